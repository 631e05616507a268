"""``understudy init`` and ``serve`` as processes: what they write, where they listen, how they end."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from api.access import token_hash
from api.cli.main import main
from infra.clusters.setup_script import GatewaySetup, setup_script
from infra.settings import load_settings

PROGRAM = [sys.executable, "-c", "from api.cli.main import main; main()"]


def init(directory: Path, *arguments: str) -> str:
    result = CliRunner().invoke(main, ["init", "--directory", str(directory), "--name", "ann", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


@contextmanager
def serving(directory: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A control device as a process of its own; gives where it listens."""
    command = [*PROGRAM, "serve", "--config", str(directory / "understudy.toml")]
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("listening on "), (directory / "log").read_text()
        yield process, line.removeprefix("listening on ").strip()
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(10)
        process.stdout.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_init_shows_the_token_once_and_keeps_its_hash_alone(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "device"
    output = init(directory)
    token = output.split("shown this once: ")[1].split()[0]
    config = directory / "understudy.toml"
    assert (mode(directory), mode(config)) == (0o700, 0o600)
    assert token not in config.read_text()
    settings = load_settings(config)
    assert settings.tokens == {"ann": token_hash(token)}
    assert settings.store_path == directory / "events.db"
    assert (settings.listen.host, settings.listen.port) == ("127.0.0.1", 8740)


def test_init_can_put_the_token_into_a_private_file_and_never_overwrites(tmp_path: Path) -> None:
    output = init(tmp_path, "--socket", "--token-file", str(tmp_path / "token"))
    token = (tmp_path / "token").read_text().strip()
    assert token not in output
    assert mode(tmp_path / "token") == 0o600
    settings = load_settings(tmp_path / "understudy.toml")
    assert settings.tokens["ann"] == token_hash(token)
    assert settings.listen.socket == tmp_path / "api.sock"
    again = CliRunner().invoke(main, ["init", "--directory", str(tmp_path)])
    assert (again.exit_code, "error EXISTS" in again.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--socket", "--port", "1"], "TWO_ADDRESSES"), (["--name", "a b"], "INVALID_INPUT")],
)
def test_init_refuses_what_cannot_be(tmp_path: Path, arguments: list[str], code: str) -> None:
    result = CliRunner().invoke(main, ["init", "--directory", str(tmp_path / "d"), *arguments])
    assert (result.exit_code, f"error {code}" in result.stderr) == (2, True)
    assert not (tmp_path / "d").exists()


def test_another_token_comes_with_its_line(tmp_path: Path) -> None:
    output = CliRunner().invoke(main, ["token", "bob"]).output
    token = output.split("shown this once: ")[1].split()[0]
    line = output.splitlines()[1].split(": ", 1)[1]
    assert tomllib.loads(line) == {"bob": token_hash(token)}


def test_serve_listens_on_a_free_port_logs_json_and_ends_on_a_signal(tmp_path: Path) -> None:
    init(tmp_path, "--port", "0", "--token-file", str(tmp_path / "token"))
    environment = {"HOME": str(tmp_path), "UNDERSTUDY_TOKEN_FILE": str(tmp_path / "token")}
    with serving(tmp_path) as (process, where):
        assert CliRunner(env={**environment, "UNDERSTUDY_URL": where}).invoke(main, ["cluster", "list"]).exit_code == 0
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["message"] for line in lines] == [
        "the control device runs",
        "answered",
        "the control device has stopped",
    ]
    assert lines[1]["actor"] == "ann"
    assert (lines[1]["path"], lines[1]["status"]) == ("/v1/clusters", 200)


def test_serve_on_a_unix_socket_replaces_what_a_killed_one_left(tmp_path: Path) -> None:
    init(tmp_path, "--socket", "--token-file", str(tmp_path / "token"))
    for _ in range(2):
        with serving(tmp_path) as (process, where):
            assert where == str(tmp_path / "api.sock")
            assert mode(Path(where)) == 0o660
            environment = {"HOME": str(tmp_path), "UNDERSTUDY_TOKEN_FILE": str(tmp_path / "token")}
            runner = CliRunner(env={**environment, "UNDERSTUDY_SOCKET": where})
            assert runner.invoke(main, ["runs"]).exit_code == 0
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
    assert (tmp_path / "api.sock").is_socket()
    with serving(tmp_path) as (process, _):
        process.terminate()
        assert process.wait(10) == 0
    assert not (tmp_path / "api.sock").exists()


def test_serve_leaves_a_socket_alone_on_which_somebody_answers(tmp_path: Path) -> None:
    init(tmp_path, "--socket")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "api.sock"))
        other.listen()
        done = subprocess.run(
            [*PROGRAM, "serve", "--config", str(tmp_path / "understudy.toml")],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    assert done.returncode == 1
    assert "error ADDRESS_IN_USE" in done.stderr


def test_a_port_that_is_taken_and_settings_that_are_wrong_are_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        init(tmp_path, "--port", str(taken.getsockname()[1]))
        config = tmp_path / "understudy.toml"
        done = subprocess.run(
            [*PROGRAM, "serve", "--config", str(config)], capture_output=True, text=True, check=False, timeout=30
        )
    assert (done.returncode, "error CANNOT_LISTEN" in done.stderr) == (3, True)
    config.write_text(config.read_text() + "\n[workers]\npol_seconds = 1\n")
    wrong = CliRunner().invoke(main, ["serve", "--config", str(config)])
    assert wrong.exit_code == 2
    assert "error SETTINGS_INVALID" in wrong.stderr
    assert "pol_seconds" in wrong.stderr


def test_a_directory_of_the_store_is_made_or_it_is_told_that_it_cannot_be(tmp_path: Path) -> None:
    init(tmp_path)
    config = tmp_path / "understudy.toml"
    (tmp_path / "a-file").write_text("")
    config.write_text(config.read_text().replace("events.db", "a-file/deep/events.db"))
    wrong = CliRunner().invoke(main, ["serve", "--config", str(config)])
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert f"[store] path: its directory {tmp_path}/a-file/deep cannot be made: Not a directory." in wrong.stderr
    assert len(wrong.stderr.splitlines()) == 2


@pytest.mark.parametrize("name", ["", "a b", 'a"b', "-a", "x" * 64])
def test_a_token_s_name_is_one_that_the_settings_accept(name: str) -> None:
    result = CliRunner().invoke(main, ["token", "--", name])
    assert (result.exit_code, result.stdout) == (2, "")


def test_the_administrators_script_is_printed_with_the_settings_given() -> None:
    arguments = ["setup-script", "north", "--user", "backup", "--snapshottable", "/data/a b", "--without-hbase"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout == setup_script(
        GatewaySetup("north", user="backup", snapshottable=("/data/a b",), with_hbase=False)
    )
    assert "--authorized-key" in result.stderr
    assert "--snapshottable" not in result.stderr
    wrong = CliRunner().invoke(main, ["setup-script", "north", "--user", "a b"])
    assert (wrong.exit_code, "error BAD_SETTING" in wrong.stderr) == (2, True)
