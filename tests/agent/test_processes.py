"""The agent as processes: detached, killed, adopted, looked at, and under the oldest Python that it claims."""

from __future__ import annotations

import errno
import glob
import io
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from infra.agent.protocol import canonical
from infra.agent.shell import commands
from infra.agent.shell.detaching import own_program, start_detached
from infra.agent.shell.locks import acquire, is_held
from infra.agent.shell.spool import Entry, Spool
from tests.agent.counting_agent import holder
from tests.clusters.test_ssh_gateway import archive_with_test_kinds

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60.0


class Gateway:
    """A spool and the agent's commands on this host, run by some Python."""

    def __init__(self, directory: Path, python: str = sys.executable) -> None:
        self.spool = directory / "spool"
        self.archive = directory / "agent.pyz"
        self.archive.write_bytes(archive_with_test_kinds().data)
        self.python = python

    def command(self, *words: str, data: bytes = b"", check: bool = True) -> list[dict[str, Any]]:
        """Run a command to its end: its answers."""
        completed = subprocess.run(
            [self.python, "-I", str(self.archive), *words], input=data, capture_output=True, timeout=PATIENCE_SECONDS
        )
        assert completed.returncode == 0 or not check, completed.stderr.decode()
        return [json.loads(line) for line in completed.stdout.splitlines()]

    def submit(self, **changes: Any) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "version": 1,
            "id": "i1",
            "kind": "Count",
            "pair": "pair",
            "cluster": "a",
            "epoch": 3,
            "term": 5,
            "run": "run",
            "step": "step",
            "attempt": 0,
            "not_after_ms": 32_503_680_000_000,
            "payload": {"up_to": 3, "pause_ms": 10},
        }
        submission = {"instruction": {**fields, **changes}, "credentials": {}}
        (answer,) = self.command("submit", "--spool", str(self.spool), data=canonical(submission))
        return answer

    def look(self, name: str = "i1") -> dict[str, Any]:
        (answer,) = self.command("look", "--spool", str(self.spool), data=canonical({"ids": [name]}) + b"\n")
        return answer

    def entry(self, name: str = "i1") -> Path:
        return self.spool / "instructions" / name

    def outcome(self, name: str = "i1") -> dict[str, Any]:
        """Wait for the outcome."""
        path = self.entry(name) / "outcome.json"
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while not path.exists():
            assert time.monotonic() < give_up_at, (self.entry(name) / "log").read_text()
            time.sleep(0.02)
        value: dict[str, Any] = json.loads(path.read_bytes())
        return value

    def wait_for_lines(self, count: int, name: str = "i1") -> None:
        """Wait until the journal has so many lines."""
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        journal = self.entry(name) / "journal"
        while not journal.exists() or len(journal.read_bytes().splitlines()) < count:
            assert time.monotonic() < give_up_at
            time.sleep(0.01)

    def kill(self, name: str = "i1") -> None:
        """Kill the agent, and wait until it is gone."""
        os.kill(holder(self.entry(name)), signal.SIGKILL)
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while is_held(str(self.entry(name) / "lock")):
            assert time.monotonic() < give_up_at
            time.sleep(0.01)


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)


@pytest.mark.parametrize("deaths", [0, 2, 3])
def test_an_agent_that_is_killed_while_it_starts_is_started_again(tmp_path: Path, deaths: int) -> None:
    mortal = tmp_path / "agent"
    # run --spool DIR --report-to DESCRIPTOR ID
    mortal.write_text(
        f"""#!/bin/sh
        echo x >> {tmp_path}/starts
        [ $(wc -l < {tmp_path}/starts) -gt {deaths} ] || kill -KILL $$
        exec {sys.executable} -c 'import os, sys; os.write(int(sys.argv[1]), b"locked\\n")' $5
        """
    )
    mortal.chmod(0o755)
    spool = Spool(str(tmp_path / "spool"))
    spool.open()
    spool.create("i1", {})
    if deaths < 3:
        assert start_detached(spool, spool.entry("i1"), own_program([str(mortal)]))
    else:
        with pytest.raises(OSError, match="did not start"):
            start_detached(spool, spool.entry("i1"), own_program([str(mortal)]))
    assert (tmp_path / "starts").read_text() == "x\n" * min(deaths + 1, 3)


def test_killed_again_and_again_it_counts_each_number_once(gateway: Gateway) -> None:
    payload = {"up_to": 60, "pause_ms": 20}
    assert gateway.submit(payload=payload) == {"accepted": "i1", "attached": False}
    for lines in (1, 12, 25, 40):
        gateway.wait_for_lines(lines)
        gateway.kill()
        assert gateway.submit(payload=payload) == {"accepted": "i1", "attached": True}
    assert gateway.outcome()["result"]["counted"] == 60
    assert (gateway.entry() / "journal").read_bytes() == b"".join(b"%d\n" % number for number in range(60))


def test_a_torn_last_line_is_dropped_before_anything_is_appended(gateway: Gateway) -> None:
    payload = {"up_to": 500, "pause_ms": 20}
    gateway.submit(payload=payload)
    gateway.wait_for_lines(5)
    gateway.kill()
    journal = gateway.entry() / "journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b"12345")
    milestones = gateway.entry() / "milestones.ndjson"
    milestones.write_bytes(milestones.read_bytes() + b'{"name": "to')
    assert set(gateway.look()["milestones"]) == {"begun"}
    gateway.submit(payload=payload)
    gateway.wait_for_lines(whole.count(b"\n") + 5)
    (gateway.entry() / "abort").touch()
    assert gateway.outcome()["status"] == "aborted"
    numbers = [int(line) for line in journal.read_bytes().splitlines()]
    assert numbers == list(range(len(numbers)))


def test_many_submissions_at_once_make_one_agent(gateway: Gateway) -> None:
    payload = {"up_to": 50, "pause_ms": 20}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: gateway.submit(payload=payload), range(8)))
    assert [answer["attached"] for answer in answers].count(False) == 1
    assert gateway.outcome()["result"] == {"counted": 50, "found": 0}
    assert (gateway.entry() / "log").read_text().count("started Count") == 1


def test_adopt_starts_what_is_unfinished_and_nothing_else(gateway: Gateway) -> None:
    gateway.submit(id="done", step="done")
    gateway.outcome("done")
    long = {"up_to": 400, "pause_ms": 20}
    for name in ("runs", "died"):
        gateway.submit(id=name, step=name, payload=long)
        gateway.wait_for_lines(1, name)
    gateway.kill("died")
    assert gateway.command("adopt", "--spool", str(gateway.spool)) == [{"adopted": "died", "started": True}]
    assert gateway.look("died")["alive"]
    for name in ("runs", "died"):
        (gateway.entry(name) / "abort").touch()
        gateway.outcome(name)
    assert gateway.command("adopt", "--spool", str(gateway.spool)) == []


def test_an_instruction_of_an_epoch_that_is_over_is_not_taken_up_again(gateway: Gateway) -> None:
    long = {"up_to": 400, "pause_ms": 20}
    gateway.submit(payload=long)
    gateway.submit(id="apply", step="apply", kind="ApplyStaged", payload={"up_to": 5, "pause_ms": 300})
    for name in ("i1", "apply"):
        gateway.wait_for_lines(1, name)
        gateway.kill(name)
    gateway.submit(id="next", step="next", epoch=4)
    gateway.command("adopt", "--spool", str(gateway.spool))
    assert gateway.outcome()["failure"]["code"] == "OLD_EPOCH"
    assert gateway.outcome("apply")["status"] == "succeeded"  # what has begun is brought to its end


def test_run_in_the_foreground_answers_with_the_outcome(gateway: Gateway) -> None:
    long = {"up_to": 20, "pause_ms": 100}
    gateway.submit(payload=long)
    gateway.wait_for_lines(1)
    gateway.kill()
    (answer,) = gateway.command("run", "--spool", str(gateway.spool), "i1")
    assert answer["status"] == "succeeded"
    (answer,) = gateway.command("run", "--spool", str(gateway.spool), "unknown")
    assert answer["refused"] == "NOT_FOUND"


def test_wrong_usage_and_internal_errors_have_their_exit_codes(gateway: Gateway) -> None:
    def exit_code(*words: str, data: bytes = b"") -> int:
        command = [gateway.python, str(gateway.archive), *words]
        return subprocess.run(command, input=data, capture_output=True).returncode

    assert exit_code() == 2
    assert exit_code("dance") == 2
    assert exit_code("look") == 2
    gateway.submit()
    gateway.outcome()
    (gateway.entry() / "outcome.json").write_bytes(b"damaged")
    assert exit_code("look", "--spool", str(gateway.spool), data=b'{"ids":["i1"]}\n') == 70
    assert exit_code("adopt", "--spool", str(gateway.spool)) == 0, "one that has ended keeps no other from its end"


def test_a_look_never_keeps_an_agent_from_starting(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    acquire(path, 0).release()  # type: ignore[union-attr]
    stop: list[bool] = []
    with ThreadPoolExecutor(4) as pool:
        looks = [pool.submit(lambda: [is_held(path) for _ in iter(lambda: bool(stop), True)]) for _ in range(3)]
        for _ in range(200):
            lock = acquire(path, patience_seconds=2)
            assert lock is not None
            assert is_held(path)
            lock.release()
        stop.append(True)
        assert all(isinstance(look.result(), list) for look in looks)


def old_pythons() -> list[str]:
    """Interpreters of this host that are among the oldest that the agent claims."""
    found = [
        path for minor in (8, 9) for path in glob.glob(f"{Path.home()}/.pyenv/versions/3.{minor}.*/bin/python3.{minor}")
    ]
    found += [f"/usr/bin/python3.{minor}" for minor in (8, 9) if Path(f"/usr/bin/python3.{minor}").exists()]
    return found


@pytest.mark.parametrize(
    "python",
    old_pythons() or [pytest.param("", marks=pytest.mark.skip(reason="this host has no Python 3.8 or 3.9"))],
)
def test_it_runs_under_old_pythons(tmp_path: Path, python: str) -> None:
    gateway = Gateway(tmp_path, python)
    payload = {"up_to": 20, "pause_ms": 20}
    gateway.submit(payload=payload)
    gateway.wait_for_lines(2)
    gateway.kill()
    assert gateway.submit(payload=payload)["attached"]
    assert gateway.outcome()["result"]["counted"] == 20
    (facts,) = gateway.command("facts", "--spool", str(gateway.spool))
    assert facts["python"].startswith(("3.8", "3.9"))
    (forgotten,) = gateway.command("forget", "--spool", str(gateway.spool), data=b'{"ids":["i1"]}')
    assert set(forgotten["kept"]) == {"i1"}
    # Every module of the agent loads, those that this run had no use for too.
    script = (
        "import pkgutil, infra.agent as a; "
        "[__import__(m.name) for m in pkgutil.walk_packages(a.__path__, 'infra.agent.')]"
    )
    subprocess.run([python, "-c", script], check=True, env={"PYTHONPATH": str(gateway.archive)})


def test_the_sources_claim_no_newer_python_than_that() -> None:
    vermin = Path(sys.executable).with_name("vermin")
    files = [str(path) for path in (ROOT / "infra" / "agent").rglob("*.py") if path.name != "archive.py"]
    completed = subprocess.run([str(vermin), "-t=3.8-", "--violations", *files], capture_output=True, text=True)
    assert completed.returncode == 0, completed.stdout


def test_a_spool_that_cannot_be_tidied_is_adopted_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(spool: Spool) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    started: list[str] = []

    def start(spool: Spool, entry: Entry, begin: object) -> bool:
        started.append(entry.id)
        return True

    spool = Spool(str(tmp_path / "spool"))
    spool.open()
    with spool.lock():
        spool.create("i1", {"instruction.json": b"{}"})
    monkeypatch.setattr(Spool, "tidy", full)
    monkeypatch.setattr(commands, "start_detached", start)
    commands.Commands(spool, [], io.BytesIO(), io.BytesIO()).adopt()
    assert started == ["i1"]
