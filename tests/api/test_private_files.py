"""What others can write or read is not used, as OpenSSH does; the command that mends it is told."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from api.cli.main import main
from api.private_files import found_fault
from tests.api.test_serve import PROGRAM, init, serving

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "device"
    init(made, "--socket", "--token-file", str(made / "token"))
    return made


def refused(directory: Path) -> str:
    """What serve says; it must not have begun."""
    done = subprocess.run(
        [*PROGRAM, "serve", "--config", str(directory / "understudy.toml")],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "error NOT_PRIVATE" in done.stderr
    return done.stderr


def mend(told: str) -> None:
    """Do what the remedy says, as a person would."""
    remedy = told.split("remedy: ")[1].splitlines()[0].split(", or ")[0]
    subprocess.run(remedy, shell=True, check=True)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("understudy.toml", 0o622),
        ("understudy.toml", 0o602),
        (".", 0o777),
        (".", 0o772),
        ("..", 0o707),
        ("keys", 0o702),
    ],
)
def test_what_others_can_write_is_refused_until_it_is_mended(directory: Path, name: str, mode: int) -> None:
    (directory / name).chmod(mode)
    told = refused(directory)
    assert "others can write" in told or "which others can write" in told
    mend(told)
    with serving(directory):
        pass


@needs_root
@pytest.mark.parametrize("name", ["understudy.toml", ".", "..", "keys"])
def test_what_belongs_to_somebody_else_is_refused_until_it_is_mended(directory: Path, name: str) -> None:
    os.chown(directory / name, 54_321, -1)
    told = refused(directory)
    assert "belongs to user 54321" in told
    mend(told)
    with serving(directory):
        pass


@pytest.mark.parametrize("name", ["events.db", "events.db.lock"])
def test_an_existing_store_is_the_control_device_s_alone(directory: Path, name: str) -> None:
    with serving(directory):
        pass
    assert {path.stat().st_mode & 0o077 for path in directory.glob("events.db*")} == {0}
    (directory / name).chmod(0o622)
    mend(refused(directory))
    directory.chmod(0o755)
    (directory / name).chmod(0o644)
    told = refused(directory)
    assert "others can read" in told
    mend(told)
    (directory / name).chmod(0o644)
    directory.chmod(0o700)
    with serving(directory):  # nobody else gets to it, so what a store from before looks like does no harm
        pass


@needs_root
def test_a_store_of_another_user_is_refused(directory: Path) -> None:
    with serving(directory):
        pass
    os.chown(directory / "events.db", 54_321, -1)
    mend(refused(directory))
    with serving(directory):
        pass


def test_a_sticky_directory_above_is_no_fault_but_one_without_is(tmp_path: Path) -> None:
    (tmp_path / "shared" / "mine").mkdir(parents=True)
    file = tmp_path / "shared" / "mine" / "file"
    file.touch(0o600)
    (tmp_path / "shared").chmod(0o1777)
    assert found_fault(file, secret=True) is None
    (tmp_path / "shared").chmod(0o777)
    fault = found_fault(file)
    assert fault is not None
    assert fault.message == f"{file} lies in {tmp_path}/shared, which others can write."
    link = tmp_path / "link"
    link.symlink_to(file)
    assert found_fault(link) is not None, "where a link leads to counts, too"
    assert found_fault(tmp_path / "nothing") is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_the_command_line_does_not_use_a_token_that_others_can_read(directory: Path, mode: int) -> None:
    (directory / "token").chmod(mode)
    runner = CliRunner(env={"UNDERSTUDY_SOCKET": str(directory / "api.sock"), "HOME": str(directory)})
    for arguments in (["--token-file", str(directory / "token"), "runs"], ["runs"]):
        result = runner.invoke(main, arguments, env={"UNDERSTUDY_TOKEN_FILE": str(directory / "token")})
        assert (result.exit_code, "error NOT_PRIVATE" in result.stderr) == (2, True), result.stderr
    mend(result.stderr)
    result = runner.invoke(main, ["--token-file", str(directory / "token"), "runs"])
    assert "error UNREACHABLE" in result.stderr


def test_the_command_line_does_not_go_where_others_tell_it_to(directory: Path) -> None:
    client = directory / "client.toml"
    client.write_text('url = "http://127.0.0.1:1"\n')
    client.chmod(0o666)
    runner = CliRunner(env={"UNDERSTUDY_CLIENT_CONFIG": str(client), "UNDERSTUDY_TOKEN_FILE": str(directory / "token")})
    result = runner.invoke(main, ["runs"])
    assert (result.exit_code, "error NOT_PRIVATE" in result.stderr) == (2, True)
    mend(result.stderr)
    assert "error UNREACHABLE" in runner.invoke(main, ["runs"]).stderr


@pytest.mark.parametrize(
    "url", ["http://understudy.example", "http://10.0.0.1:8740", "HTTP://0.0.0.0:1", "http://127.0.0.1.example:1"]
)
def test_a_token_does_not_go_to_another_host_in_the_clear(directory: Path, url: str) -> None:
    environment = {"UNDERSTUDY_TOKEN_FILE": str(directory / "token"), "HOME": str(directory)}
    for arguments, more in ((["--url", url], {}), ([], {"UNDERSTUDY_URL": url}), ([], {"UNDERSTUDY_INSECURE": "no"})):
        given = environment | ({"UNDERSTUDY_URL": url} if not arguments else {}) | more
        result = CliRunner(env=given).invoke(main, [*arguments, "runs"])
        assert (result.exit_code, "error INSECURE_URL" in result.stderr) == (2, True), result.stderr
        assert "--insecure" in result.stderr


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "http://127.1.2.3:1"])
def test_this_host_is_reached_without_tls_and_others_with_a_word_for_it(directory: Path, url: str) -> None:
    environment = {"UNDERSTUDY_TOKEN_FILE": str(directory / "token"), "HOME": str(directory)}
    assert "error UNREACHABLE" in CliRunner(env=environment).invoke(main, ["--url", url, "runs"]).stderr
    elsewhere = "http://understudy.invalid:1"
    for arguments, more in ((["--insecure"], {}), ([], {"UNDERSTUDY_INSECURE": "1"})):
        result = CliRunner(env=environment | more).invoke(main, [*arguments, "--url", elsewhere, "runs"])
        assert "error UNREACHABLE" in result.stderr
