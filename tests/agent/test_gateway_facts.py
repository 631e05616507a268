"""Facts about a gateway: hooks that only root can have made, and whether it takes its work up after a restart."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.agent.core.operations import OperationFailed, RunHook
from infra.agent.shell import gateway
from infra.agent.shell.hooks import Hooks
from infra.agent.shell.spool import Spool

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="hooks belong to root, so the test has to be root")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "hooks.d"
    made.mkdir(mode=0o755)
    return made


def hook(directory: Path, name: str, script: str, mode: int = 0o755) -> Path:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(mode)
    return path


def failure_of(hooks: Hooks, name: str, seconds: float = 20.0) -> OperationFailed:
    with pytest.raises(OperationFailed) as caught:
        hooks.run(RunHook(name, "run-1", seconds))
    return caught.value


@needs_root
def test_a_hook_gets_its_argument_and_a_bare_environment(directory: Path) -> None:
    hook(directory, "stop-writers", 'echo "$1"; env | grep -c .; cat')
    result = Hooks(str(directory)).run(RunHook("stop-writers", "run-1; rm -rf /", 20.0))
    assert result["exit"] == 0
    assert result["output"].splitlines()[0] == "run-1; rm -rf /"


@needs_root
def test_only_what_root_alone_can_write_is_a_hook(directory: Path) -> None:
    hook(directory, "good", "true")
    hook(directory, "writable", "true", 0o775)
    hook(directory, "not-executable", "true", 0o644)
    hook(directory, ".hidden", "true")
    os.chown(hook(directory, "of-somebody", "true"), 12345, 12345)
    (directory / "link").symlink_to(directory / "good")
    hooks = Hooks(str(directory))
    assert hooks.names() == ["good"]
    for name in ("writable", "of-somebody", "link", "../good", "/bin/true", "", "none"):
        assert failure_of(hooks, name).code == "NO_SUCH_HOOK"
    directory.chmod(0o777)
    assert hooks.names() == []
    assert Hooks(str(directory / "nowhere")).names() == []


@needs_root
def test_a_hook_that_fails_or_hangs_is_told_as_such(directory: Path) -> None:
    hook(directory, "fails", "echo no; exit 3")
    hook(directory, "hangs", "sleep 600 & wait")
    hooks = Hooks(str(directory))
    failed = failure_of(hooks, "fails")
    assert (failed.code, failed.detail["exit"], failed.unknown) == ("HOOK_FAILED", 3, False)
    assert "no" in failed.message
    assert failure_of(hooks, "hangs", 0.3).unknown


def test_reboot_safe_takes_a_line_for_this_very_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cron = tmp_path / "cron.d"
    cron.mkdir()
    spool = str(tmp_path / "spool")
    runs = [True]
    monkeypatch.setattr(gateway, "CRON_DIRECTORIES", (str(cron),))
    monkeypatch.setattr(gateway, "_cron_runs", lambda: runs[0])
    monkeypatch.setenv("PATH", str(tmp_path))
    line = f"@reboot understudy /usr/bin/python3 -I {spool}/bin/understudy-agent.pyz adopt --spool {spool}\n"

    def safe_with(text: str) -> bool:
        (cron / "understudy-agent").write_text(text)
        return gateway.is_reboot_safe(spool)

    assert not gateway.is_reboot_safe(spool)
    assert safe_with(line)
    assert safe_with(f"PATH=/opt/hadoop/bin\n\n{line}")
    assert not safe_with(f"# {line}")
    assert not safe_with(line.replace("@reboot", "@daily"))
    assert not safe_with(line.replace(f"--spool {spool}", "--spool /elsewhere"))
    assert not safe_with(line.replace(f" --spool {spool}", " --spool"))
    assert not safe_with(line.replace(" adopt", " look"))
    runs[0] = False
    assert not safe_with(line)


def test_the_facts_are_those_of_this_host(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path / "spool"))
    spool.open()
    facts = gateway.facts(spool, Hooks(str(tmp_path)))
    assert facts["agent"] == "source"
    assert facts["spool_free_bytes"] > 0
    assert facts["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
