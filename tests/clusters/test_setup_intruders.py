"""The administrator's set-up against who has the gateway's user: nothing that he plants is run as HBase's user.

The rules are real ones of sudo, with two accounts that every host has: ``daemon`` is the gateway's user, ``nobody``
HBase's. HBase's command tells what it was started with, and calls programs by their bare names, as HBase's own does.
"""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.clusters.setup_script import GatewaySetup, setup_script

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make rules for sudo")

GATEWAYS, HBASES = "daemon", "nobody"
RULES = Path("/etc/sudoers.d")
HBASE = """#!/bin/sh
dirname "$0" >/dev/null
printf 'directory %s\\n' "$PWD" >&2
[ ! -e .jrubyrc ] || echo "a .jrubyrc is read" >&2
env >&2
id -un
"""
PLANTED = {
    "HBASE_OPTS": "-javaagent:/tmp/evil.jar",
    "HBASE_CLASSPATH": "/tmp/evil.jar",
    "HBASE_CONF_DIR": "/tmp/evil",
    "HBASE_HOME": "/tmp/evil",
    "HBASE_JRUBY_OPTS": "-r/tmp/evil",
    "JRUBY_OPTS": "-r/tmp/evil",
    "RUBYOPT": "-r/tmp/evil",
    "RUBYLIB": "/tmp/evil",
    "GEM_HOME": "/tmp/evil",
    "JAVA_HOME": "/tmp/evil",
    "JAVA_TOOL_OPTIONS": "-javaagent:/tmp/evil.jar",
    "_JAVA_OPTIONS": "-javaagent:/tmp/evil.jar",
    "JDK_JAVA_OPTIONS": "-javaagent:/tmp/evil.jar",
    "CLASSPATH": "/tmp/evil",
    "LD_PRELOAD": "/tmp/evil.so",
    "BASH_ENV": "/tmp/evil",
    "ENV": "/tmp/evil",
    "SHELLOPTS": "xtrace",
    "PS4": "$(touch /tmp/evil)",
    "CDPATH": "/tmp/evil",
    "IFS": "/",
    "HOME": "/tmp/evil",
    "BASH_FUNC_cd%%": "() { touch /tmp/evil; }",
}


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that is root's all the way up, as /tmp is not."""
    made = Path(tempfile.mkdtemp(prefix="understudy-test-", dir="/var/lib"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def setup(place: Path) -> Iterator[GatewaySetup]:
    """A gateway's settings, with commands that are there; its rules are taken away afterwards."""
    commands = place / "bin"
    commands.mkdir()
    for name, text in (("hdfs", "#!/bin/sh\nexit 1\n"), ("hbase", HBASE)):
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    rules = RULES / place.name
    yield GatewaySetup(
        cluster="north",
        user=GATEWAYS,
        spool=str(place / "own" / "spool"),
        library=str(place / "lib"),
        hooks_directory=str(place / "etc" / "hooks.d"),
        sudoers_file=str(rules),
        service_name="understudy-test-agent",
        hbase_user=HBASES,
        hdfs_command=str(commands / "hdfs"),
        hbase_command=str(commands / "hbase"),
    )
    rules.unlink(missing_ok=True)


def install(setup: GatewaySetup, place: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    (place / "cron").mkdir(exist_ok=True)
    # This host's own cron and systemd are not for a test.
    script = setup_script(setup).replace("/run/systemd/system", "/nowhere").replace("/etc/cron.d", str(place / "cron"))
    (place / "setup.sh").write_text(script)
    kept = {name: value for name, value in os.environ.items() if name not in ("JAVA_HOME", "HBASE_CONF_DIR")}
    return subprocess.run(
        ["/bin/sh", str(place / "setup.sh"), "gateway"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**kept, **environment},
    )


def installed(setup: GatewaySetup, place: Path, **environment: str) -> Path:
    done = install(setup, place, **environment)
    assert done.returncode == 0, done.stderr
    return Path(setup.library) / "hbase-admin"


def plant(place: Path) -> Path:
    """A directory of the gateway's user: JRuby's settings, and programs of the names that scripts call."""
    theirs = place / "theirs"
    theirs.mkdir()
    (theirs / ".jrubyrc").write_text(f"home={theirs}\n")
    for name in ("dirname", "env", "id", "java", "sh"):
        (theirs / name).write_text(f"#!/bin/sh\necho {name} was planted >&2\n")
        (theirs / name).chmod(0o755)
    return theirs


def as_gateways_user(words: list[str], theirs: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        user=GATEWAYS,
        cwd=theirs,
        env={"PATH": f"{theirs}:/usr/bin:/bin", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def assert_nothing_planted(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    assert not [word for word in ("planted", "evil", ".jrubyrc") if word in done.stdout + done.stderr], done.stderr
    assert "directory /\n" in done.stderr
    variables = dict(line.partition("=")[::2] for line in done.stderr.splitlines() if "=" in line)
    assert variables.pop("PWD") == "/"
    assert variables.pop("_", None) in (None, "/usr/bin/env")
    assert {name: value for name, value in variables.items() if name not in ("OLDPWD", "SHLVL")} == {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/",
        "LANG": "C.UTF-8",
        "HBASE_OPTS": "-XX:TieredStopAtLevel=1 -Duser.home=/ -Dfile.encoding=UTF-8",
    }
    assert not Path("/tmp/evil").exists()


@pytest.fixture(params=["as sudo comes", "a host that keeps everything"])
def host(request: pytest.FixtureRequest, place: Path) -> Iterator[None]:
    """Other rules of the host, which take the protection away for this user as far as they can."""
    rules = RULES / f"{place.name}-host"
    if request.param != "as sudo comes":
        names = " ".join(name for name in PLANTED if "%" not in name)
        rules.write_text(f'Defaults:{GATEWAYS} !env_reset, setenv, !secure_path, env_keep += "{names}", !env_delete\n')
        rules.chmod(0o440)
    yield
    rules.unlink(missing_ok=True)


@pytest.mark.usefixtures("host")
def test_what_the_gateways_user_plants_is_not_run(setup: GatewaySetup, place: Path) -> None:
    program = installed(setup, place)
    done = as_gateways_user(["/usr/bin/sudo", "-n", "-u", HBASES, str(program)], plant(place), PLANTED)
    assert_nothing_planted(done)
    assert done.stdout == f"{HBASES}\n"


def test_the_program_protects_itself_without_sudo(setup: GatewaySetup, place: Path) -> None:
    """Whatever becomes of the rule: the program alone takes nothing over."""
    program = installed(setup, place)
    environment = {name: value for name, value in PLANTED.items() if name != "LD_PRELOAD"}  # which only sudo can drop
    assert_nothing_planted(as_gateways_user([str(program), "argument"], plant(place), environment))


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize(
    "words",
    [
        ["-u", HBASES, "PROGRAM", "argument"],
        ["-u", HBASES, "-E", "PROGRAM"],
        ["-u", HBASES, "RUBYOPT=-r/tmp/evil", "PROGRAM"],
        ["-u", HBASES, "-D", "/tmp", "PROGRAM"],
        ["-u", HBASES, "-s"],
        ["-u", HBASES, "-i", "PROGRAM"],
        ["-u", HBASES, "/usr/bin/id"],
        ["-u", "root", "PROGRAM"],
        ["PROGRAM"],
        ["-u", HBASES, "-g", "root", "PROGRAM"],
    ],
)
def test_the_rule_is_for_that_one_command(setup: GatewaySetup, place: Path, words: list[str]) -> None:
    program = str(installed(setup, place))
    asked = ["/usr/bin/sudo", "-n", *(program if word == "PROGRAM" else word for word in words)]
    done = as_gateways_user(asked, plant(place), {})
    assert done.returncode != 0
    assert done.stdout == ""


def test_the_administrators_own_settings_are_fixed_then(setup: GatewaySetup, place: Path) -> None:
    for directory in ("conf", "java", "java/bin"):
        (place / directory).mkdir()
    (place / "java" / "bin" / "java").touch()
    program = installed(setup, place, JAVA_HOME=str(place / "java"), HBASE_CONF_DIR=str(place / "conf"))
    done = as_gateways_user([str(program)], plant(place), PLANTED)
    assert f"JAVA_HOME={place}/java\n" in done.stderr
    assert f"HBASE_CONF_DIR={place}/conf\n" in done.stderr


def give_away(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    shutil.chown(path, GATEWAYS)


def let_write(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o777)


def let_write_with_sticky_bit(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o1777)


def link(path: Path) -> None:
    """A link of root's, to what is not root's."""
    theirs = path.with_name(f"{path.name}-elsewhere")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.rename(theirs)
    else:
        theirs.mkdir()
    path.symlink_to(theirs.name)
    shutil.chown(theirs, GATEWAYS)


@pytest.mark.parametrize("make", [give_away, let_write, let_write_with_sticky_bit, link])
@pytest.mark.parametrize("at", ["lib", "own", "etc", "etc/hooks.d", "bin", "cron"])
def test_a_place_that_is_not_roots_alone_is_refused(setup: GatewaySetup, place: Path, at: str, make) -> None:  # type: ignore[no-untyped-def]
    make(place / at)
    done = install(setup, place)
    assert done.returncode == 1
    assert str(place / at) in done.stderr
    assert "chown root" in done.stderr
    assert not Path(setup.sudoers_file).exists() or at in ("etc", "etc/hooks.d", "cron")  # those come after the rule
    assert not Path(setup.spool).exists() or at != "own"


def test_the_place_above_is_looked_at_too(setup: GatewaySetup, place: Path) -> None:
    shutil.chown(place, GATEWAYS)
    done = install(setup, place)
    assert done.returncode == 1
    assert f"{place} belongs to somebody else than root" in done.stderr


@pytest.mark.parametrize("name", ["hbase", "hdfs"])
@pytest.mark.parametrize("change", ["owner", "mode", "link"])
def test_a_command_that_is_not_roots_alone_is_refused(setup: GatewaySetup, place: Path, name: str, change: str) -> None:
    command = place / "bin" / name
    if change == "owner":
        shutil.chown(command, GATEWAYS)
    elif change == "mode":
        command.chmod(0o775)
    else:
        theirs = place / "theirs"
        give_away(theirs)
        command.rename(theirs / name)
        command.symlink_to(theirs / name)
    if name == "hbase":
        done = install(setup, place)
        assert not Path(setup.sudoers_file).exists()
    else:
        (place / "setup.sh").write_text(setup_script(setup))
        done = subprocess.run(["/bin/sh", str(place / "setup.sh"), "hdfs"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"command {command} is not root's alone" in done.stderr


def test_links_of_root_to_what_is_roots_are_right(setup: GatewaySetup, place: Path) -> None:
    """As the alternatives of a distribution are, and a changed place of the library."""
    (place / "real").mkdir()
    (place / "lib").symlink_to("./bin/../real")
    (place / "bin" / "hbase").rename(place / "real" / "hbase-2.6")
    (place / "bin" / "hbase").symlink_to(f"{place}//lib/hbase-2.6")
    installed(setup, place)
    assert (place / "real" / "hbase_admin.rb").exists()


def test_links_in_a_circle_end(setup: GatewaySetup, place: Path) -> None:
    (place / "lib").symlink_to("lib")
    done = install(setup, place)
    assert done.returncode == 1
    assert "too many links" in done.stderr


def test_a_spool_that_is_a_link_is_refused(setup: GatewaySetup, place: Path) -> None:
    """To make it the user's would give away whatever it leads to."""
    (place / "own").mkdir()
    (place / "precious").mkdir()
    Path(setup.spool).symlink_to(place / "precious")
    done = install(setup, place)
    assert done.returncode == 1
    assert f"{setup.spool} is a link" in done.stderr
    assert (place / "precious").owner() == getpass.getuser()


def test_keys_that_the_user_could_lead_elsewhere_are_written_as_the_user(setup: GatewaySetup, place: Path) -> None:
    """The directory of the keys is root's, the one above is not: the user could have changed it for a link."""
    home = place / "home"
    (home / "ssh").mkdir(parents=True)
    shutil.chown(home, GATEWAYS)
    victim = place / "victim"
    victim.touch(mode=0o600)
    (home / "ssh" / "authorized_keys").symlink_to(victim)
    keys = {"authorized_key": "ssh-ed25519 AAAA test", "authorized_keys_file": str(home / "ssh" / "authorized_keys")}
    done = install(GatewaySetup(**{**vars(setup), **keys}), place)
    assert done.returncode != 0
    assert victim.read_text() == ""


def test_what_would_be_refused_is_told_beforehand(setup: GatewaySetup, place: Path) -> None:
    let_write(place / "lib")
    (place / "setup.sh").write_text(setup_script(setup))
    words = ["/bin/sh", str(place / "setup.sh"), "--dry-run", "gateway"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"would be refused: directory {place}/lib is not root's alone" in done.stdout
    assert os.listdir(place / "lib") == []
