"""What every ``GatewayHost`` must do, real or simulated.

A subclass runs a scenario on a fresh gateway of the cluster "a" whose agent knows the kinds of
``tests.agent.counting_agent``; ``wait`` lets time go by there, and ``kill_agent`` kills the agent of an instruction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import Any

from infra.agent.protocol import Instruction
from infra.ports.gateway import GatewayHost, Seen, Submission, SubmissionRefused, Submitted

CREDENTIALS = {"primary": {"hdfs": {"kind": "simple", "user": "hdfs"}}}


class GatewayContract(ABC):
    """The suite."""

    @abstractmethod
    def run(self, scenario: Callable[[GatewayHost], Awaitable[None]]) -> None:
        """Run a scenario on a fresh gateway."""

    @abstractmethod
    async def wait(self, seconds: float) -> None:
        """Let time go by."""

    @abstractmethod
    def now_ms(self) -> float:
        """The control device's clock."""

    @abstractmethod
    def kill_agent(self, instruction_id: str) -> None:
        """Kill the agent that carries the instruction out."""

    @cached_property
    def _not_after_ms(self) -> int:
        return int(self.now_ms()) + 3_600_000

    def instruction(self, name: str = "i1", **changes: Any) -> Instruction:
        """An instruction that counts to three."""
        fields: dict[str, Any] = {
            "id": name,
            "kind": "Count",
            "pair": "pair",
            "cluster": "a",
            "epoch": 3,
            "term": 5,
            "run": "run",
            "step": f"step-{name}",
            "attempt": 0,
            "not_after_ms": self._not_after_ms,
            "payload": {"up_to": 3, "pause_ms": 10},
        }
        return Instruction(**{**fields, **changes})

    def endless(self, name: str = "i1", **changes: Any) -> Instruction:
        """An instruction that would count for hours."""
        return self.instruction(name, **{"payload": {"up_to": 100_000, "pause_ms": 100}, **changes})

    async def until(self, gateway: GatewayHost, name: str, condition: Callable[[Seen], bool]) -> Seen:
        """Look until the condition holds."""
        for _ in range(600):
            seen = (await gateway.look([name]))[name]
            if condition(seen):
                return seen
            await self.wait(0.05)
        raise AssertionError(f"{name} did not get there: {seen}")

    async def submitted(self, gateway: GatewayHost, instruction: Instruction) -> Submitted:
        answer = await gateway.submit(Submission(instruction, CREDENTIALS))
        assert isinstance(answer, Submitted), answer
        return answer

    async def refused(self, gateway: GatewayHost, instruction: Instruction) -> str:
        answer = await gateway.submit(Submission(instruction, CREDENTIALS))
        assert isinstance(answer, SubmissionRefused), answer
        return answer.code

    def test_an_instruction_is_carried_out_and_tells_how_far_it_is(self) -> None:
        async def scenario(gateway: GatewayHost) -> None:
            assert await self.submitted(gateway, self.instruction()) == Submitted("i1", attached=False)
            seen = await self.until(gateway, "i1", lambda seen: seen.outcome is not None)
            assert seen.outcome is not None
            assert seen.outcome["status"] == "succeeded"
            assert seen.outcome["result"] == {"counted": 3, "found": 0}
            assert seen.milestones == {"begun": {"began_with": 0}}
            assert seen.progress is not None
            assert seen.progress["files"] == 3
            again = (await gateway.look(["i1"], {"i1": seen.progress_offset}))["i1"]
            assert again.progress is None

        self.run(scenario)

    def test_a_look_that_waits_sees_the_end(self) -> None:
        async def scenario(gateway: GatewayHost) -> None:
            await self.submitted(gateway, self.instruction())
            seen = await self.until(gateway, "i1", lambda seen: bool(seen.milestones))
            while seen.outcome is None:  # "begun" may have been seen before, or have ended a look
                seen = (await gateway.look(["i1"], wait_seconds=1.0))["i1"]
                assert seen.alive or seen.outcome is not None
            assert (await gateway.look(["i1"], wait_seconds=1.0))["i1"].outcome == seen.outcome

        self.run(scenario)

    def test_unknown_ids_are_told_as_unknown(self) -> None:
        async def scenario(gateway: GatewayHost) -> None:
            seen = await gateway.look(["i7", "i8"])
            assert set(seen) == {"i7", "i8"}
            assert not seen["i7"].known
            assert not seen["i7"].alive

        self.run(scenario)

    def test_submitting_again_attaches_also_after_the_end(self) -> None:
        async def scenario(gateway: GatewayHost) -> None:
            await self.submitted(gateway, self.endless())
            assert (await self.submitted(gateway, self.endless(term=6))).attached
            await self.submitted(gateway, self.instruction("i2", term=6))
            await self.until(gateway, "i2", lambda seen: seen.outcome is not None)
            assert (await self.submitted(gateway, self.instruction("i2", term=6))).attached
            assert (await gateway.look(["i1"]))["i1"].alive

        self.run(scenario)

    def test_what_must_be_refused_is_refused_by_its_code(self) -> None:
        async def scenario(gateway: GatewayHost) -> None:
            await self.submitted(gateway, self.instruction())
            assert await self.refused(gateway, self.instruction("i2", epoch=2)) == "OLD_EPOCH"
            assert await self.refused(gateway, self.instruction("i2", term=4)) == "OLD_TERM"
            assert await self.refused(gateway, self.instruction("i2", cluster="b")) == "WRONG_CLUSTER"
            assert await self.refused(gateway, self.instruction("i2", not_after_ms=1)) == "TOO_LATE"
            assert await self.refused(gateway, self.instruction("i2", kind="Dance")) == "UNKNOWN_KIND"
            assert await self.refused(gateway, self.instruction("i2", payload={})) == "INVALID_PAYLOAD"
            assert await self.refused(gateway, self.endless()) == "NOT_THE_SAME"
            assert not (await gateway.look(["i2"]))["i2"].known

        self.run(scenario)

    def test_a_killed_agent_is_seen_as_gone_and_the_same_instruction_goes_on(self) -> None:
        async def scenario(gateway: GatewayHost) -> None:
            payload = {"up_to": 300, "pause_ms": 20}
            await self.submitted(gateway, self.instruction(payload=payload))
            await self.until(gateway, "i1", lambda seen: "begun" in seen.milestones)
            self.kill_agent("i1")
            seen = await self.until(gateway, "i1", lambda seen: not seen.alive)
            assert seen.outcome is None
            assert (await self.submitted(gateway, self.instruction(payload=payload))).attached
            seen = await self.until(gateway, "i1", lambda seen: seen.outcome is not None)
            assert seen.outcome is not None
            assert seen.outcome["result"]["counted"] == 300
            assert seen.outcome["result"]["found"] > 0

        self.run(scenario)

    def test_the_next_attempt_supersedes_the_one_before(self) -> None:
        async def scenario(gateway: GatewayHost) -> None:
            first = self.endless("first", step="same")
            await self.submitted(gateway, first)
            await self.until(gateway, "first", lambda seen: "begun" in seen.milestones)
            await self.submitted(gateway, self.instruction("second", step="same", attempt=1))
            seen = await self.until(gateway, "second", lambda seen: seen.outcome is not None)
            assert seen.outcome is not None
            assert seen.outcome["status"] == "succeeded"
            ended = (await gateway.look(["first"]))["first"]
            assert ended.outcome is not None
            assert ended.outcome["status"] == "aborted"
            assert await self.refused(gateway, first) == "SUPERSEDED"

        self.run(scenario)

    def test_abort_ends_what_runs_and_keeps_out_what_has_not_come(self) -> None:
        async def scenario(gateway: GatewayHost) -> None:
            await self.submitted(gateway, self.endless())
            abort = self.instruction("abort", kind="Abort", payload={"instructions": ["i1", "late"]})
            await self.submitted(gateway, abort)
            seen = await self.until(gateway, "abort", lambda seen: seen.outcome is not None)
            assert seen.outcome is not None
            assert seen.outcome["result"] == {"aborted": ["i1", "late"], "ended_before": [], "rolled_forward": []}
            assert not (await gateway.look(["i1"]))["i1"].alive
            assert await self.refused(gateway, self.instruction("late")) == "SUPERSEDED"

        self.run(scenario)

    def test_what_may_only_be_rolled_forward_is_not_aborted(self) -> None:
        async def scenario(gateway: GatewayHost) -> None:
            payload = {"up_to": 24, "pause_ms": 500}
            await self.submitted(gateway, self.instruction(kind="ApplyStaged", payload=payload))
            await self.until(gateway, "i1", lambda seen: "begun" in seen.milestones)
            abort = self.instruction("abort", kind="Abort", payload={"instructions": ["i1"]})
            await self.submitted(gateway, abort)
            seen = await self.until(gateway, "abort", lambda seen: seen.outcome is not None)
            assert seen.outcome is not None
            assert seen.outcome["result"]["rolled_forward"] == ["i1"]
            ended = (await gateway.look(["i1"]))["i1"]
            assert ended.outcome is not None
            assert ended.outcome["status"] == "succeeded"

        self.run(scenario)

    def test_only_what_can_have_no_late_copy_is_forgotten(self) -> None:
        async def scenario(gateway: GatewayHost) -> None:
            await self.submitted(gateway, self.instruction())
            soon = int(self.now_ms()) + 4000
            await self.submitted(gateway, self.instruction("brief", not_after_ms=soon))
            await self.until(gateway, "i1", lambda seen: seen.outcome is not None)
            await self.until(gateway, "brief", lambda seen: seen.outcome is not None)
            await self.wait((soon - self.now_ms()) / 1000 + 0.1)
            assert set(await gateway.forget(["i1", "brief", "unknown"])) == {"i1"}
            assert not (await gateway.look(["brief"]))["brief"].known
            brief = self.instruction("brief", not_after_ms=soon)
            assert await self.refused(gateway, brief) == "TOO_LATE"

        self.run(scenario)

    def test_the_clock_is_measured_and_the_facts_are_told(self) -> None:
        async def scenario(gateway: GatewayHost) -> None:
            offset = await gateway.clock_offset()
            assert abs(offset.offset_ms) <= offset.uncertainty_ms < 1000
            facts = await gateway.facts()
            assert {"python", "agent", "user", "boot_id", "hostname", "spool_free_bytes", "hooks"} <= set(facts)
            assert isinstance(facts["reboot_safe"], bool)

        self.run(scenario)
