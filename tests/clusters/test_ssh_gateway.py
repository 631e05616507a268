"""The link over SSH against a real SSH server: the contract, and everything that can be wrong with a gateway."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from domain.errors import Unavailable
from domain.values.endpoints import Gateway
from infra.agent.archive import Archive, pack, sources
from infra.agent.protocol import canonical
from infra.clusters.ssh_connection import SshLimits
from infra.clusters.ssh_gateway import SshGateway
from infra.ports.gateway import GatewayHost, Submission, Submitted
from tests.agent import counting_agent
from tests.clusters.ssh_server import Server, keys_of, ssh_server
from tests.contracts.gateway_contract import CREDENTIALS, GatewayContract

pytestmark = pytest.mark.long

MAIN = b"""import sys

from infra.agent.__main__ import main
from infra.agent.shell.detaching import own_command
from tests.agent.counting_agent import register

register()
sys.exit(main(sys.argv[1:], own_command()))
"""


def archive_with_test_kinds() -> Archive:
    """The agent as it is shipped, with two more kinds."""
    source = Path(counting_agent.__file__).read_bytes()
    packages = {"tests/__init__.py": b"", "tests/agent/__init__.py": b""}
    return pack({**sources(), **packages, "tests/agent/counting_agent.py": source, "__main__.py": MAIN})


class TestSshGateway(GatewayContract):
    @pytest.fixture(autouse=True)
    def _fresh(self, tmp_path: Path) -> None:
        self.directory = tmp_path

    def run(self, scenario: Callable[[GatewayHost], Awaitable[None]]) -> None:
        async def on(server: Server, gateway: SshGateway) -> None:
            await scenario(gateway)

        self.run_with_server(on)

    def run_with_server(
        self, scenario: Callable[[Server, SshGateway], Awaitable[None]], limits: SshLimits | None = None
    ) -> None:
        async def whole() -> None:
            async with ssh_server(self.directory) as server:
                gateway = SshGateway(server.gateway, archive_with_test_kinds(), keys_of(server.gateway), limits)
                try:
                    await scenario(server, gateway)
                finally:
                    await gateway.close()
                    self.kill_all_agents()

        asyncio.run(whole())

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def now_ms(self) -> float:
        return time.time() * 1000

    def entry(self, instruction_id: str) -> Path:
        return self.directory / "spool" / "instructions" / instruction_id

    def kill_agent(self, instruction_id: str) -> None:
        os.kill(counting_agent.holder(self.entry(instruction_id)), signal.SIGKILL)

    def kill_all_agents(self) -> None:
        """End the agents that a test has left at work."""
        for entry in (self.directory / "spool" / "instructions").glob("[!.]*"):
            (entry / "abort").touch()

    def test_agents_survive_the_connection_and_the_link_comes_back(self) -> None:
        async def scenario(server: Server, gateway: SshGateway) -> None:
            await self.submitted(gateway, self.instruction(payload={"up_to": 20, "pause_ms": 50}))
            await self.until(gateway, "i1", lambda seen: "begun" in seen.milestones)
            server.cut_all()
            with pytest.raises(Unavailable):
                await gateway.look(["i1"])
            seen = await self.until(gateway, "i1", lambda seen: seen.outcome is not None)
            assert seen.outcome is not None
            assert seen.outcome["status"] == "succeeded"

        self.run_with_server(scenario)

    def test_the_agent_is_uploaded_once_under_its_hash_and_replaced_when_damaged(self) -> None:
        async def scenario(server: Server, gateway: SshGateway) -> None:
            archive = archive_with_test_kinds()
            facts = await gateway.facts()
            assert facts["agent"] == archive.sha256
            lying = self.directory / "spool" / "bin" / archive.file_name
            assert lying.read_bytes() == archive.data
            assert lying.stat().st_mode & 0o777 == 0o500
            assert (lying.parent / "understudy-agent.pyz").resolve() == lying
            first = lying.stat().st_ino
            other = SshGateway(server.gateway, archive, keys_of(server.gateway))
            await other.facts()
            assert lying.stat().st_ino == first
            lying.chmod(0o700)
            lying.write_bytes(archive.data[:-100])
            third = SshGateway(server.gateway, archive, keys_of(server.gateway))
            assert (await third.facts())["agent"] == archive.sha256
            assert lying.read_bytes() == archive.data
            await other.close()
            await third.close()

        self.run_with_server(scenario)

    def test_a_changed_host_key_is_told_as_such(self) -> None:
        async def scenario(server: Server, gateway: SshGateway) -> None:
            other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
            await self.fails(replace_gateway(server, host_key=other), "HOST_KEY_CHANGED")

        self.run_with_server(scenario)

    def test_refused_denied_and_unreachable_are_told_apart(self) -> None:
        async def scenario(server: Server, gateway: SshGateway) -> None:
            stranger = asyncssh.generate_private_key("ssh-ed25519")
            stranger.write_private_key(str(self.directory / "stranger"))
            (self.directory / "stranger").chmod(0o600)
            await self.fails(
                replace_gateway(server, client_key_file=str(self.directory / "stranger")), "GATEWAY_DENIED"
            )
            await self.fails(replace_gateway(server, client_key_file="/nowhere/key"), "GATEWAY_DENIED")
            await self.fails(replace_gateway(server, port=1), "GATEWAY_REFUSED")
            callers: list[asyncio.StreamWriter] = []
            silent = await asyncio.start_server(lambda reader, writer: callers.append(writer), "127.0.0.1", 0)
            port = silent.sockets[0].getsockname()[1]
            await self.fails(replace_gateway(server, port=port), "GATEWAY_UNREACHABLE", SshLimits(connect_seconds=0.5))
            silent.close()
            for caller in callers:
                caller.close()
                await caller.wait_closed()

        self.run_with_server(scenario)

    def test_a_gateway_without_a_fitting_python_names_what_it_has(self, monkeypatch: pytest.MonkeyPatch) -> None:
        old = self.directory / "bin"
        old.mkdir()
        for name in ("python3", *(f"python3.{minor}" for minor in range(8, 15))):
            (old / name).write_text("#!/bin/sh\necho /usr/bin/python3 3 6 8; exit 1\n")
            (old / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{old}:/bin")

        async def scenario(server: Server, gateway: SshGateway) -> None:
            error = await self.fails(server.gateway, "NO_FITTING_PYTHON")
            assert "/usr/bin/python3 3.6" in error.message

        self.run_with_server(scenario)

    def test_a_python_that_is_named_is_used_as_it_is_or_none(self) -> None:
        told = self.directory / "told"
        named = self.directory / "interpreter"
        named.write_text(f'#!/bin/sh\necho x >> {told}\nexec {sys.executable} "$@"\n')
        named.chmod(0o755)

        async def scenario(server: Server, gateway: SshGateway) -> None:
            fitting = SshGateway(
                replace_gateway(server, python=str(named)), archive_with_test_kinds(), keys_of(server.gateway)
            )
            await fitting.facts()
            await fitting.close()
            assert told.read_text().count("x") >= 3, "found, asked for its version, and asked for facts"
            error = await self.fails(replace_gateway(server, python="/bin/false"), "NO_FITTING_PYTHON")
            assert "called /bin/false" in error.message

        self.run_with_server(scenario)

    @pytest.mark.parametrize(
        "line", ["Last login: today", "{}", "[]", "12", '{"accepted":"another","attached":false}', "[" * 100_000]
    )
    def test_what_is_no_proper_answer_is_told_and_the_command_starts_anew(self, line: str) -> None:
        garbled = self.directory / "garbled"
        named = self.directory / "interpreter"
        named.write_text(
            f'#!/bin/sh\ncase "$*" in\n'
            f"*submit*|*look*) [ ! -e {garbled} ] || {{ read -r _; cat {garbled}; exit; }} ;;\nesac\n"
            f'exec {sys.executable} "$@"\n'
        )
        named.chmod(0o755)
        garbled.write_text(f"{line}\n")

        async def scenario(server: Server, _: SshGateway) -> None:
            gateway = SshGateway(
                replace_gateway(server, python=str(named)), archive_with_test_kinds(), keys_of(server.gateway)
            )
            for ask in (gateway.submit(Submission(self.instruction(), CREDENTIALS)), gateway.look(["i1"])):
                with pytest.raises(Unavailable, match="AGENT_FAILED"):
                    await ask
            garbled.unlink()
            assert isinstance(await gateway.submit(Submission(self.instruction(), CREDENTIALS)), Submitted)
            assert "i1" in await gateway.look(["i1"])
            await gateway.close()

        self.run_with_server(scenario)

    def test_a_command_that_hangs_is_given_up_and_ended_there(self) -> None:
        hanging = self.directory / "hanging"
        hanging.write_text(f"#!/bin/sh\necho $$ > {self.directory}/pid\nexec sleep 600\n")
        hanging.chmod(0o755)

        async def scenario(server: Server, gateway: SshGateway) -> None:
            await self.fails(
                replace_gateway(server, python=str(hanging)), "GATEWAY_TIMEOUT", SshLimits(command_seconds=1)
            )
            await until_gone(int((self.directory / "pid").read_text()))

        self.run_with_server(scenario)

    def test_a_dead_gateway_costs_a_time_out_only_once_in_a_while(self) -> None:
        async def scenario(server: Server, gateway: SshGateway) -> None:
            dead = SshGateway(replace_gateway(server, port=1), archive_with_test_kinds(), keys_of(server.gateway))
            for _ in range(50):
                with pytest.raises(Unavailable, match="GATEWAY_REFUSED"):
                    await dead.facts()

        started = time.monotonic()
        self.run_with_server(scenario)
        assert time.monotonic() - started < 5

    def test_many_at_once_stay_within_the_sessions_that_ssh_allows(self) -> None:
        async def scenario(server: Server, gateway: SshGateway) -> None:
            submissions = [Submission(self.instruction(f"i{number}"), CREDENTIALS) for number in range(20)]
            answers = await asyncio.gather(*(gateway.submit(item) for item in submissions))
            assert all(isinstance(answer, Submitted) for answer in answers)
            await gateway.clock_offset()
            for number in range(20):
                await self.until(gateway, f"i{number}", lambda seen: seen.outcome is not None)
            assert len(server.connections) == 1

        self.run_with_server(scenario)

    def test_an_outcome_of_many_megabytes_is_read_whole(self) -> None:
        async def scenario(server: Server, gateway: SshGateway) -> None:
            await self.submitted(gateway, self.instruction())
            seen = await self.until(gateway, "i1", lambda seen: seen.outcome is not None)
            large = {**dict(seen.outcome or {}), "result": {"open_files": ["x" * 90] * 200_000}}
            (self.entry("i1") / "outcome.json").write_bytes(canonical(large))
            assert (await gateway.look(["i1"]))["i1"].outcome == large

        self.run_with_server(scenario)

    def test_a_spool_that_others_can_read_is_refused(self) -> None:
        async def scenario(server: Server, gateway: SshGateway) -> None:
            await gateway.facts()
            (self.directory / "spool").chmod(0o755)
            assert await self.refused(gateway, self.instruction()) == "SPOOL_UNUSABLE"
            shutil.rmtree(self.directory / "spool")
            again = SshGateway(server.gateway, archive_with_test_kinds(), keys_of(server.gateway))
            assert await self.submitted(again, self.instruction())
            await again.close()

        self.run_with_server(scenario)

    async def fails(self, gateway: Gateway, code: str, limits: SshLimits | None = None) -> Unavailable:
        link = SshGateway(gateway, archive_with_test_kinds(), keys_of(gateway), limits)
        with pytest.raises(Unavailable) as caught:
            await link.facts()
        await link.close()
        assert caught.value.code == code, caught.value
        assert caught.value.remedy
        return caught.value


def is_there(pid: int) -> bool:
    """Tell whether there is such a process."""
    return Path(f"/proc/{pid}").exists()


async def until_gone(pid: int) -> None:
    """Wait until there is no such process; the server of the test has reaped it then."""
    async with asyncio.timeout(10):
        while is_there(pid):  # noqa: ASYNC110 - another process tells nothing
            await asyncio.sleep(0.05)


def replace_gateway(server: Server, **changes: object) -> Gateway:
    """The server's gateway with something wrong."""
    return replace(server.gateway, **changes)  # type: ignore[arg-type]
