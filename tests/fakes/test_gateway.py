"""The simulated gateway passes the contract, and dies in every way that a test can ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from domain.errors import Unavailable
from infra.agent.core import procedures
from infra.agent.payloads import PAYLOADS
from infra.ports.gateway import GatewayHost, Submission
from tests.agent import counting_agent
from tests.contracts.gateway_contract import CREDENTIALS, GatewayContract
from tests.fakes.executor import Kill
from tests.fakes.gateway import FakeCluster, FakeGateway
from tests.fakes.virtual_time import VirtualClock, run_virtually


@pytest.fixture(autouse=True)
def _kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the agent know the kinds of tests, for one test."""
    for kind in ("Count", "ApplyStaged"):
        monkeypatch.setitem(procedures.PROCEDURES, kind, counting_agent.count)
        monkeypatch.setitem(PAYLOADS, kind, counting_agent.SHAPE)


class TestFakeGateway(GatewayContract):
    @pytest.fixture(autouse=True)
    def _fresh(self, tmp_path: Path) -> None:
        self.clock = VirtualClock()
        self.gateway = FakeGateway(self.clock, tmp_path / "spool", "a", {"a": FakeCluster(hdfs=None)})

    def run(self, scenario: Callable[[GatewayHost], Awaitable[None]]) -> None:
        run_virtually(self.clock, scenario(self.gateway))

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def now_ms(self) -> float:
        return self.clock.now_ms

    def kill_agent(self, instruction_id: str) -> None:
        self.gateway.agents[instruction_id].kill()

    @pytest.mark.parametrize("when", ["before", "after", "torn"])
    @pytest.mark.parametrize("operation", range(1, 15))
    def test_killed_at_every_operation_it_counts_each_number_once(self, operation: int, when: str) -> None:
        async def scenario(gateway: GatewayHost) -> None:
            self.gateway.kill_agent_of("Count", Kill(operation, when))  # type: ignore[arg-type]
            await self.submitted(gateway, self.instruction())
            seen = await self.until(gateway, "i1", lambda seen: not seen.alive)
            assert seen.outcome is None
            await self.submitted(gateway, self.instruction())
            seen = await self.until(gateway, "i1", lambda seen: seen.outcome is not None)
            assert seen.outcome is not None
            assert seen.outcome["status"] == "succeeded"

        self.run(scenario)
        journal = Path(self.gateway.spool.entry("i1").path("journal")).read_bytes()
        assert journal == b"0\n1\n2\n"

    def test_agents_go_on_while_the_control_device_is_gone(self) -> None:
        self.run(lambda gateway: self.submit_only(gateway))
        self.clock.advance_to(self.clock.now_ms + 60_000)
        outcome = self.gateway.spool.entry("i1").outcome()
        assert outcome is not None
        assert outcome["status"] == "succeeded"

    async def submit_only(self, gateway: GatewayHost) -> None:
        await self.submitted(gateway, self.instruction())
        assert self.gateway.agents

    def test_after_a_restart_it_goes_on_from_what_was_flushed(self) -> None:
        async def scenario(gateway: GatewayHost) -> None:
            await self.submitted(gateway, self.instruction(payload={"up_to": 30, "pause_ms": 100}))
            await asyncio.sleep(1)
            self.gateway.restart()
            seen = await self.until(gateway, "i1", lambda seen: seen.outcome is not None)
            assert seen.outcome is not None
            assert seen.outcome["result"]["counted"] == 30
            assert 0 < seen.outcome["result"]["found"] < 30

        self.run(scenario)

    def test_it_can_be_cut_off_and_lose_an_answer(self) -> None:
        async def scenario(gateway: GatewayHost) -> None:
            self.gateway.cut_off = Unavailable("GATEWAY_UNREACHABLE", "cut off")
            with pytest.raises(Unavailable):
                await gateway.submit(Submission(self.instruction(), CREDENTIALS))
            self.gateway.cut_off = None
            assert not (await gateway.look(["i1"]))["i1"].known
            self.gateway.answers_to_lose = 1
            with pytest.raises(Unavailable):
                await gateway.submit(Submission(self.instruction(), CREDENTIALS))
            assert (await gateway.look(["i1"]))["i1"].known

        self.run(scenario)
