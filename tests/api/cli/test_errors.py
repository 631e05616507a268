"""Exit codes and what is told when something is wrong: one line with the code, one with the remedy."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from api.cli.main import main
from api.cli.remote.connection import DEFAULT_URL, Options, connection
from api.cli.remote.errors import CommandFailed
from domain.errors import Refused, Unavailable
from infra.settings import Listen
from tests.api.cli.conftest import Run
from tests.api.cli.serving import Serving


def test_a_refusal_is_one_line_with_its_remedy(server: Serving, understudy: Run) -> None:
    server.control_plane.raises = Refused("MOMENT_PAST", "it has\npassed.", remedy="Give a later one.")
    result = understudy("backup", "orders")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error MOMENT_PAST: it has\\u000apassed.\nremedy: Give a later one.\n"


def test_what_is_not_there_is_refused(understudy: Run) -> None:
    result = understudy("run", "show", "0123456789ab")
    assert result.exit_code == 1
    assert result.stderr.startswith("error NOT_FOUND: there is no run named '0123456789ab'.")
    assert "understudy runs" in result.stderr


def test_a_cluster_that_cannot_be_reached_is_exit_code_3(server: Serving, understudy: Run) -> None:
    server.control_plane.raises = Unavailable("GATEWAY_UNREACHABLE", "connection refused.", remedy="Look at sshd.")
    result = understudy("cluster", "list")
    assert result.exit_code == 3
    assert "error GATEWAY_UNREACHABLE" in result.stderr


def test_a_fault_of_the_control_device_is_exit_code_3_and_names_the_request(server: Serving, understudy: Run) -> None:
    server.control_plane.raises = RuntimeError("secret")
    result = understudy("cluster", "list")
    assert result.exit_code == 3
    assert "error INTERNAL" in result.stderr
    assert "secret" not in result.output


def test_a_control_device_that_is_not_there_is_exit_code_3(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        for environment in ({"UNDERSTUDY_URL": url}, {"UNDERSTUDY_SOCKET": str(tmp_path / "none.sock")}):
            runner = CliRunner(env={"HOME": str(tmp_path), "UNDERSTUDY_TOKEN": "t", **environment})
            result = runner.invoke(main, ["cluster", "list"])
            assert result.exit_code == 3
            assert result.stderr.startswith("error UNREACHABLE: the control device does not answer at")


def test_an_answer_that_is_not_the_api_s_is_exit_code_3(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        script = (
            "import socket,sys; s=socket.socket(fileno=int(sys.argv[1])); c,_=s.accept(); c.recv(65536);"
            "c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\n<htm>'); c.close()"
        )
        child = subprocess.Popen([sys.executable, "-c", script, str(listener.fileno())], pass_fds=[listener.fileno()])
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        runner = CliRunner(env={"HOME": str(tmp_path), "UNDERSTUDY_TOKEN": "t", "UNDERSTUDY_URL": url})
        result = runner.invoke(main, ["cluster", "list"])
        assert child.wait(10) == 0
    assert result.exit_code == 3
    assert "what answers there is not the API" in result.stderr


def test_a_wrong_token_is_refused(understudy: Run) -> None:
    result = understudy("cluster", "list", UNDERSTUDY_TOKEN="us_wrong")
    assert result.exit_code == 1
    assert "error UNAUTHENTICATED" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("no-such-command",), "No such command"),
        (("backup",), "Missing argument"),
        (("service", "add", "orders", "--pair", "sites"), "NO_DATA_SETS"),
        (("policy", "add", "p", "--service", "s", "--barrier-hold", "stop"), "HALF_A_BARRIER"),
        (("policy", "add", "p", "--service", "s", "--workers", "many"), "not a valid integer"),
        (("runs", "--limit", "0"), "not in the range"),
    ],
)
def test_wrong_use_is_exit_code_2(understudy_tcp: Run, arguments: tuple[str, ...], said: str) -> None:
    result = understudy_tcp(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize("content", ["not toml", "since = 2026-05-04", "\xff"])
def test_a_cluster_file_that_cannot_be_used_is_exit_code_2(understudy_tcp: Run, content: str, tmp_path: Path) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text(content, encoding="latin-1")
    result = understudy_tcp("cluster", "add", "north", "--file", str(file))
    assert (result.exit_code, "error BAD_FILE" in result.stderr) == (2, True)


def test_a_field_that_the_api_refuses_is_named(understudy_tcp: Run, tmp_path: Path) -> None:
    result = understudy_tcp(
        "cluster", "add", "north", "--file", "-", stdin="namenodes = ['http://nn:9870']\n[gateway]\n"
    )
    assert result.exit_code == 2
    assert "endpoints.gateway.host: it is missing." in result.stderr


class TestConnection:
    """Where the address and the token come from."""

    def test_without_anything_it_is_where_serve_listens(self, tmp_path: Path) -> None:
        listen = Listen()
        assert f"http://{listen.host}:{listen.port}" == DEFAULT_URL
        found = connection(Options(), {"HOME": str(tmp_path), "UNDERSTUDY_TOKEN": "t"})
        assert (found.url, found.socket, found.token) == (DEFAULT_URL, "", "t")

    def test_options_come_before_the_environment_before_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "file-token").write_text("from-file\n")
        (tmp_path / "option-token").write_text("from-option\n")
        for name in ("file-token", "option-token"):
            (tmp_path / name).chmod(0o600)
        config = tmp_path / ".config/understudy/client.toml"
        config.parent.mkdir(parents=True)
        config.write_text(f'socket = "/file.sock"\ntoken_file = "{tmp_path}/file-token"\n')
        environment = {"HOME": str(tmp_path)}
        assert connection(Options(), environment).where == "/file.sock"
        assert connection(Options(), environment).token == "from-file"
        environment |= {"UNDERSTUDY_URL": "http://127.0.0.1:1/", "UNDERSTUDY_TOKEN": "from-environment"}
        assert connection(Options(), environment).where == "http://127.0.0.1:1"
        assert connection(Options(), environment).token == "from-environment"
        options = Options(socket="/option.sock", token_file=str(tmp_path / "option-token"))
        assert connection(options, environment).where == "/option.sock"
        assert connection(options, environment).token == "from-option"

    @pytest.mark.parametrize(
        ("options", "environment", "code"),
        [
            (Options(), {}, "NO_TOKEN"),
            (Options(token_file="/nowhere/token"), {}, "NO_TOKEN"),
            (Options(), {"UNDERSTUDY_TOKEN": "two words"}, "NO_TOKEN"),
            (Options(), {"UNDERSTUDY_TOKEN": "new\r\nline: x"}, "NO_TOKEN"),
            (Options(url="http://x", socket="/y"), {"UNDERSTUDY_TOKEN": "t"}, "TWO_ADDRESSES"),
            (Options(url="ftp://x"), {"UNDERSTUDY_TOKEN": "t"}, "BAD_URL"),
            (Options(url="http://x:port"), {"UNDERSTUDY_TOKEN": "t"}, "BAD_URL"),
            (Options(url="http://x/path"), {"UNDERSTUDY_TOKEN": "t"}, "BAD_URL"),
            (Options(), {"UNDERSTUDY_CLIENT_CONFIG": "/nowhere/client.toml"}, "BAD_CLIENT_FILE"),
        ],
    )
    def test_what_cannot_be_used_is_wrong_use(
        self, options: Options, environment: dict[str, str], code: str, tmp_path: Path
    ) -> None:
        with pytest.raises(CommandFailed) as caught:
            connection(options, {"HOME": str(tmp_path), **environment})
        assert (caught.value.code, caught.value.exit_code) == (code, 2)

    @pytest.mark.parametrize("content", ["not toml", "colour = 'red'", "url = 1"])
    def test_a_client_file_is_checked(self, content: str, tmp_path: Path) -> None:
        file = tmp_path / "client.toml"
        file.write_text(content)
        with pytest.raises(CommandFailed) as caught:
            connection(Options(), {"UNDERSTUDY_CLIENT_CONFIG": str(file), "UNDERSTUDY_TOKEN": "t"})
        assert caught.value.code == "BAD_CLIENT_FILE"


def test_json_of_a_list_is_the_api_s_answer(understudy_tcp: Run) -> None:
    assert json.loads(understudy_tcp("runs", "--json").output) == {"items": [], "next": None}


def test_commands_of_the_api_load_nothing_of_infra() -> None:
    script = (
        "import sys, click; from api.cli.main import COMMANDS, main;"
        "[main.get_command(click.Context(main), name) for name in COMMANDS if name != 'setup-script'];"
        "bad = [m for m in sys.modules if m.split('.')[0] == 'infra' or m in ('aiohttp', 'asyncssh')];"
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
