"""The administrator's script: what it holds, that a shell takes it, that it tells before it does, and does once."""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.clusters.setup_script import GatewaySetup, hbase_admin_script, hbase_admin_sha256, setup_script

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMadeUp control device's key"


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that is root's all the way up, as /tmp is not; where root is not at work, any other."""
    made = Path(tempfile.mkdtemp(prefix="understudy-test-", dir="/var/lib" if os.geteuid() == 0 else None))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def setup_in(directory: Path) -> GatewaySetup:
    """A gateway whose places are all below one directory, and whose user is the one who runs this."""
    commands = directory / "bin"
    commands.mkdir()
    for name in ("hdfs", "hbase"):
        (commands / name).write_text("#!/bin/sh\nexit 1\n")
        (commands / name).chmod(0o755)
    return GatewaySetup(
        cluster="north",
        user=getpass.getuser(),
        spool=str(directory / "spool"),
        authorized_key=KEY,
        authorized_keys_file=str(directory / "keys" / "authorized_keys"),
        library=str(directory / "lib"),
        hooks_directory=str(directory / "etc" / "hooks.d"),
        sudoers_file=str(directory / "rules"),
        service_name="understudy-test-agent",
        hdfs_command=str(commands / "hdfs"),
        hbase_command=str(commands / "hbase"),
        snapshottable=("/data/it's mine",),
    )


def run(script: str, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = directory / "setup.sh"
    path.write_text(script)
    return subprocess.run(["/bin/sh", str(path), *arguments], capture_output=True, text=True, timeout=60, check=False)


def tree(directory: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(directory.rglob("*"))
        if path.name != "setup.sh"
    }


def test_the_embedded_script_is_the_one_that_is_checked(place: Path) -> None:
    script = setup_script(setup_in(place))
    prefix = script[: script.index("# The rest of this script")]
    (place / "part.sh").write_text(f"{prefix}\nhbase_admin_script\n")
    done = subprocess.run(["/bin/sh", str(place / "part.sh")], capture_output=True, check=True)
    assert done.stdout.decode() == hbase_admin_script()
    assert hashlib.sha256(done.stdout).hexdigest() == hbase_admin_sha256()


def test_it_tells_what_it_would_do_and_does_nothing(place: Path) -> None:
    setup = setup_in(place)
    before = tree(place)
    done = run(setup_script(setup), place, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert tree(place) == before
    for told in (
        f"would append to {setup.authorized_keys_file}: restrict {KEY}",
        f"would write: {setup.library}/hbase_admin.rb (mode 644)",
        f"would write: {setup.sudoers_file} (mode 440)",
        "would run: runuser -u hdfs -- ",
        "dfsadmin -allowSnapshot /data/it's mine",
        "would ask HBase: ",
    ):
        assert told in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to root and check sudo rules")
def test_it_does_everything_once(place: Path) -> None:
    setup = setup_in(place)
    # This host's own cron and systemd are not for a test.
    script = setup_script(setup).replace("/run/systemd/system", "/nowhere").replace("/etc/cron.d", str(place / "cron"))
    (place / "cron").mkdir()
    done = run(script, place, "gateway")
    assert done.returncode == 0, done.stderr
    assert f"restrict {KEY}\n" == Path(setup.authorized_keys_file).read_text()
    assert (Path(setup.spool).stat().st_mode & 0o777, Path(setup.spool).owner()) == (0o700, setup.user)
    rules = Path(setup.sudoers_file)
    command = f"{setup.library}/hbase-admin"
    assert rules.read_text() == (
        f"Defaults!{command} env_reset, !setenv, !env_keep, !env_check, "
        'secure_path="/usr/sbin:/usr/bin:/sbin:/bin"\n'
        f'{setup.user} ALL=(hbase) NOPASSWD: {command} ""\n'
    )
    assert rules.stat().st_mode & 0o777 == 0o440
    starter = Path(setup.library) / "hbase-admin"
    assert starter.stat().st_mode & 0o777 == 0o755
    started = f"{setup.hbase_command} org.jruby.Main --dev --disable-gems {setup.library}/hbase_admin.rb\n"
    assert starter.read_text().endswith(started)
    assert (Path(setup.library) / "hbase_admin.rb").read_text() == hbase_admin_script()
    line = (place / "cron" / setup.service_name).read_text().splitlines()[-1]
    # An interpreter of the system, whatever the administrator's own PATH names first.
    assert re.match(rf"@reboot {setup.user} (/usr/local/bin|/usr/bin|/bin)/python3 -I ", line)
    assert line.endswith(f"{setup.spool}/bin/understudy-agent.pyz adopt --spool {setup.spool}")
    before = tree(place)
    again = run(script, place, "gateway")
    assert again.returncode == 0, again.stderr
    assert tree(place) == before
    assert not any(word in again.stdout for word in ("run:", "write:", "append"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can check sudo rules")
def test_what_cannot_be_is_an_error(place: Path) -> None:
    setup = setup_in(place)
    assert run(setup_script(setup), place, "--nonsense").returncode == 2
    missing = setup_script(setup).replace(f"hbase_command={setup.hbase_command}", "hbase_command=''")
    done = run(
        missing.replace("hbase_user=hbase", "PATH=/nowhere:/usr/sbin:/usr/bin:/sbin:/bin; hbase_user=hbase"),
        place,
        "gateway",
    )
    assert done.returncode == 1
    assert "the command hbase is not in this shell's PATH" in done.stderr


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"user": "a b"}, "user"),
        ({"user": ""}, "user"),
        ({"hbase_user": "hbase, root"}, "hbase_user"),
        ({"spool": "relative"}, "spool"),
        ({"spool": "/with blank/spool"}, "spool"),
        ({"sudoers_file": "/etc/sudoers.d/x\ny"}, "sudoers_file"),
        ({"library": "/usr/local/../tmp/lib"}, "library"),
        ({"library": "/"}, "library"),
        ({"hbase_command": "/opt/it's/hbase"}, "hbase_command"),
        ({"hdfs_command": "hdfs"}, "hdfs_command"),
        ({"java_home": "/opt/$(id)"}, "java_home"),
        ({"hbase_conf_dir": "/etc/hbase/conf x=y"}, "hbase_conf_dir"),
        ({"authorized_key": "ssh-ed25519 AAAA\nssh-rsa BBBB"}, "printed"),
        ({"snapshottable": ["data"]}, "snapshottable"),
        ({"cluster": "x\nrm -rf /"}, "printed"),
    ],
)
def test_settings_that_would_break_the_script_are_refused(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        setup_script(GatewaySetup(**{"cluster": "north", **wrong}))  # type: ignore[arg-type]


def test_it_is_printed_with_the_settings_of_the_command_line() -> None:
    arguments = ["north", "--user", "replica", "--without-hbase", "--snapshottable", "/data/a", "--snapshottable", "/b"]
    command = [sys.executable, "-m", "infra.clusters.setup_script", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    wanted = GatewaySetup("north", user="replica", with_hbase=False, snapshottable=("/data/a", "/b"))
    assert done.stdout == setup_script(wanted)
