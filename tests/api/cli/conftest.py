"""The command line against a server that really listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from api.cli.main import main
from tests.api.cli.serving import TOKEN, Serving, serving

Run = Callable[..., Result]


@pytest.fixture(params=["tcp", "unix"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Serving]:
    with serving(tmp_path / "api.sock" if request.param == "unix" else None) as started:
        yield started


@pytest.fixture
def tcp_server() -> Iterator[Serving]:
    with serving() as started:
        yield started


def runner_for(server: Serving, tmp_path: Path) -> Run:
    """A function that runs the command line with the server's address in the environment."""
    where = "UNDERSTUDY_SOCKET" if server.address.startswith("/") else "UNDERSTUDY_URL"
    environment = {where: server.address, "UNDERSTUDY_TOKEN": TOKEN, "HOME": str(tmp_path), "XDG_CONFIG_HOME": ""}

    def run(*arguments: str, stdin: str | None = None, **more: str) -> Result:
        return CliRunner(env={**environment, **more}).invoke(main, arguments, input=stdin)

    return run


@pytest.fixture
def understudy(server: Serving, tmp_path: Path) -> Run:
    return runner_for(server, tmp_path)


@pytest.fixture
def understudy_tcp(tcp_server: Serving, tmp_path: Path) -> Run:
    return runner_for(tcp_server, tmp_path)
