"""The link over the gateway's own OpenSSH server, as the gateway's user: the contract, death and lost connections."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from domain.errors import Unavailable
from domain.values.endpoints import Gateway
from infra.clusters.ssh_gateway import SshGateway
from infra.ports.gateway import GatewayHost, Seen
from scripts.labkit.cluster import Cluster
from scripts.labkit.description import describe_cluster
from scripts.labkit.lab import Lab
from tests.agent.counting_agent import holder
from tests.clusters.ssh_server import keys_of
from tests.clusters.test_ssh_gateway import archive_with_test_kinds
from tests.contracts.gateway_contract import GatewayContract


class TestLabGateway(GatewayContract):
    """On a spool of its own, so that nothing else of the lab is touched."""

    @pytest.fixture(autouse=True)
    def _fresh(self, lab: Lab, cluster_a: Cluster) -> None:
        gateway = Gateway(**describe_cluster(cluster_a.layout, lab.layout)["gateway"])
        self.spool = Path(gateway.spool).parent / "home" / f"spool-{secrets.token_hex(4)}"
        self.gateway: Gateway = replace(gateway, spool=str(self.spool))

    def run(self, scenario: Callable[[GatewayHost], Awaitable[None]]) -> None:
        async def whole() -> None:
            link = SshGateway(self.gateway, archive_with_test_kinds(), keys_of(self.gateway))
            try:
                await scenario(link)
            finally:
                await link.close()

        try:
            asyncio.run(whole())
        finally:
            self.end_all_agents()
            shutil.rmtree(self.spool)

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def now_ms(self) -> float:
        return time.time() * 1000

    def kill_agent(self, instruction_id: str) -> None:
        os.kill(holder(self.spool / "instructions" / instruction_id), signal.SIGKILL)

    def end_all_agents(self) -> None:
        for entry in (self.spool / "instructions").glob("[!.]*"):
            if not (entry / "outcome.json").exists():
                os.kill(holder(entry), signal.SIGKILL)

    def test_agents_are_the_gateways_user_and_survive_the_ssh_server(self) -> None:
        async def scenario(gateway: GatewayHost) -> None:
            payload = {"up_to": 100, "pause_ms": 50}
            await self.submitted(gateway, self.instruction(payload=payload))
            await self.until(gateway, "i1", lambda seen: "begun" in seen.milestones)
            pid = holder(self.spool / "instructions" / "i1")
            assert owner_of(Path(f"/proc/{pid}")) == owner_of(self.spool) != 0
            for server in ancestors(self.process("look")):
                with contextlib.suppress(ProcessLookupError):  # one of the two ends when the other does
                    os.kill(server, signal.SIGKILL)
            seen = await self.until_reached(gateway, "i1", lambda seen: seen.outcome is not None)
            assert seen.outcome is not None
            assert seen.outcome["result"] == {"counted": 100, "found": 0}

        self.run(scenario)

    async def until_reached(self, gateway: GatewayHost, name: str, condition: Callable[[Seen], bool]) -> Seen:
        """Like ``until``, over a connection that has been lost."""
        async with asyncio.timeout(30):
            while True:
                try:
                    return await self.until(gateway, name, condition)
                except Unavailable:
                    await asyncio.sleep(0.2)

    def process(self, command: str) -> int:
        """The process of one of our own commands on the gateway."""
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue  # it has ended
            if command in words and str(self.spool) in words:
                return int(entry.name)
        raise AssertionError(f"no {command!r} runs for {self.spool}")


def ancestors(pid: int) -> list[int]:
    """The SSH server's two processes of the connection over which a command runs: the user's and root's."""
    found: list[int] = []
    while pid > 1:
        pid = int((Path("/proc") / str(pid) / "stat").read_text().rpartition(") ")[2].split()[1])
        name = (Path("/proc") / str(pid) / "cmdline").read_bytes()
        if name.startswith(b"sshd:") and b"listener" not in name:
            found.append(pid)
    assert found
    return found


def owner_of(path: Path) -> int:
    """The user that a file, or a process, belongs to."""
    return path.stat().st_uid
