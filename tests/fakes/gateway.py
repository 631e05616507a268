"""A simulated gateway: the agent's own spool, admission and procedures over simulated clusters, in virtual time.

An agent here is what a detached process is there: it holds the entry's lock, goes on when the control device is gone,
and can be killed at any operation, before its effect, after it or in the middle of it. What it left in its spool is all
that the next agent finds. The gateway itself can be cut off, lose an answer after the effect, or restart.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from domain.errors import Unavailable
from infra.agent.core.abort import EndInstruction
from infra.agent.core.machine import Outcome
from infra.agent.core.operations import Milestone, Operation, Progress
from infra.agent.protocol import Instruction, WireError, canonical
from infra.agent.shell.admission import admit
from infra.agent.shell.ending import Ending
from infra.agent.shell.locks import Lock
from infra.agent.shell.looking import forget, look
from infra.agent.shell.reports import Log, MilestoneFile, ProgressFile
from infra.agent.shell.running import Running
from infra.agent.shell.spool import Entry, Spool
from infra.ports.gateway import ClockOffset, Seen, Submission, SubmissionRefused, Submitted
from tests.fakes.executor import FakeExecutor, Kill, SimulatedDisk, Stage, one_millisecond
from tests.fakes.virtual_time import VirtualClock

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class FakeCluster:
    """The simulated parts of one cluster; see ``tests.fakes.executor`` for what they have to offer."""

    hdfs: Any
    hbase: Any = None
    hooks: Mapping[str, Callable[[str], str]] = field(default_factory=dict)


class FakeGateway:
    """Passes the contract of ``GatewayHost``; ``clusters`` are all that its agents can reach, by name."""

    def __init__(
        self,
        clock: VirtualClock,
        directory: Path | str,
        cluster: str,
        clusters: Mapping[str, FakeCluster],
        *,
        shift_ms: float = 0.0,
        round_trip_seconds: float = 0.002,
        latency_ms: Callable[[Operation], float] = one_millisecond,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self.clock = clock
        self.cluster = cluster
        self.clusters = clusters
        self.shift_ms = shift_ms
        self.latency_ms = latency_ms
        self.extra_facts = dict(facts or {})
        self.disk = SimulatedDisk()
        self.spool = Spool(str(directory), self.disk)
        self.agents: dict[str, FakeAgent] = {}
        self.performed: list[tuple[str, Operation]] = []
        self.cut_off: Unavailable | None = None
        self.answers_to_lose = 0
        self._round_trip_seconds = round_trip_seconds
        self._kills: dict[str, list[Kill]] = defaultdict(list)

    # What the control device asks

    async def submit(self, submission: Submission) -> Submitted | SubmissionRefused:
        return await self._over_the_network(lambda: self._submit(canonical(submission.to_wire())))

    async def look(
        self,
        ids: Sequence[str],
        after: Mapping[str, int] | None = None,
        allow: Mapping[str, Mapping[str, Any]] | None = None,
        wait_seconds: float = 0.0,
    ) -> dict[str, Seen]:
        await asyncio.sleep(wait_seconds)
        question = canonical({"ids": list(ids), "after": dict(after or {}), "allow": dict(allow or {})})
        answers = await self._over_the_network(lambda: look(question, self.spool))
        return {answer["id"]: Seen(**json.loads(canonical(answer))) for answer in answers}

    async def forget(self, ids: Sequence[str]) -> dict[str, str]:
        question = canonical({"ids": list(ids)})
        kept: dict[str, str] = (await self._over_the_network(lambda: forget(question, self.spool, self.now_ms)))["kept"]
        return kept

    async def clock_offset(self) -> ClockOffset:
        return await self._over_the_network(lambda: ClockOffset(self.shift_ms, self._round_trip_seconds * 500))

    async def facts(self) -> dict[str, Any]:
        return await self._over_the_network(lambda: self._executor(self.spool.root, {}).facts)

    async def close(self) -> None:
        return None

    # What a test does to it

    def kill_agent_of(self, kind: str, kill: Kill) -> None:
        """Let the next agent that starts for an instruction of this kind die there; several calls queue up."""
        self._kills[kind].append(kill)

    def kill_agents(self) -> None:
        """Kill every agent now."""
        for agent in list(self.agents.values()):
            agent.kill()

    def restart(self, adopts: bool = True) -> None:
        """Restart the host: agents die, what was not flushed is lost, and (if it is reboot-safe) agents are adopted."""
        self.kill_agents()
        self.disk.lose_power()
        if adopts:
            self.adopt()

    def adopt(self) -> None:
        """What the command ``adopt`` does."""
        for entry in self.spool.entries():
            if entry.outcome() is None and not entry.is_alive() and entry.instruction() is not None:
                self.start(entry)

    def now_ms(self) -> float:
        """This gateway's clock."""
        return self.clock.now_ms + self.shift_ms

    # The parts

    def start(self, entry: Entry) -> None:
        """Start an agent for an entry, as a detached process is started."""
        lock = entry.acquire(0.0)
        instruction = entry.instruction()
        assert lock is not None, entry.id
        if instruction is None or entry.outcome() is not None:
            lock.release()
            return
        kills = self._kills[instruction.kind]
        agent = FakeAgent(self, entry, instruction, lock, kills.pop(0) if kills else None)
        self.agents[entry.id] = agent
        agent.begin()

    def _submit(self, data: bytes) -> Submitted | SubmissionRefused:
        try:
            admitted = admit(data, self.spool, self.now_ms)
        except WireError as error:
            return SubmissionRefused(error.code, error.message)
        entry = admitted.entry
        if entry.outcome() is None and not entry.is_alive():
            self.start(entry)
        return Submitted(entry.id, admitted.known)

    async def _over_the_network(self, effect: Callable[[], Answer]) -> Answer:
        await asyncio.sleep(self._round_trip_seconds / 2)
        if self.cut_off is not None:
            raise self.cut_off
        self.spool.open()
        value = effect()
        await asyncio.sleep(self._round_trip_seconds / 2)
        if self.answers_to_lose:
            self.answers_to_lose -= 1
            raise Unavailable("GATEWAY_UNREACHABLE", "the answer was lost")
        return value

    def _executor(self, directory: str, sites: Mapping[str, Any]) -> FakeExecutor:
        reached = {site: self.clusters[value["cluster"]] for site, value in sites.items()}
        own = self.clusters.get(self.cluster)
        return FakeExecutor(
            self.clock,
            directory,
            hdfs={site: cluster.hdfs for site, cluster in reached.items()},
            hbase={site: cluster.hbase for site, cluster in reached.items() if cluster is own and cluster.hbase},
            hooks=own.hooks if own is not None else {},
            disk=self.disk,
            shift_ms=self.shift_ms,
            facts=self.extra_facts,
        )

    def executor_for(self, instruction: Instruction, entry: Entry) -> FakeExecutor:
        """The executor of one agent: the clusters for HDFS and HBase, the spool for what it tells."""
        executor = self._executor(entry.directory, instruction.payload.get("sites") or {})
        progress = ProgressFile(entry, self.now_ms, lambda: self.clock.now_ms / 1000)
        milestones = MilestoneFile(entry, executor.appender, self.now_ms)
        ending = Ending(self.spool, self.now_ms, self.start)

        def end(operation: EndInstruction) -> str:
            answer = ending.end(operation.id)
            if operation.id in self.agents:
                self.agents[operation.id].notice()
            return answer

        executor.others = {
            Progress: lambda operation: progress.tell(operation.facts),
            Milestone: lambda operation: milestones.reach(operation.name, operation.facts),
            EndInstruction: end,
        }
        return executor


class FakeAgent:
    """One agent at work; it holds the entry's lock until it ends or dies."""

    def __init__(
        self, gateway: FakeGateway, entry: Entry, instruction: Instruction, lock: Lock, kill: Kill | None
    ) -> None:
        self._gateway = gateway
        self._entry = entry
        self._instruction = instruction
        self._lock = lock
        self._kill = kill
        self._running = Running(gateway.spool, entry, instruction, gateway.now_ms, Log(entry.path("log")))
        self._executor: FakeExecutor | None = None
        self._stage: Stage | None = None

    def begin(self) -> None:
        """Go on from the journal."""
        self._executor = self._gateway.executor_for(self._instruction, self._entry)
        self._stage = Stage(self._executor, self._deliver, self._died, self._kill, self._gateway.latency_ms)
        self._running.begin()
        self._step([])

    def notice(self) -> None:
        """See a wish to abort soon, as the real one does by looking from time to time."""
        self._gateway.clock.call_at(self._gateway.clock.now_ms, lambda: self._step([]) if self._is_alive() else None)

    def kill(self, in_flight_lands: bool = False) -> None:
        """Die now."""
        assert self._stage is not None
        self._stage.kill(in_flight_lands)

    def _is_alive(self) -> bool:
        return self._gateway.agents.get(self._entry.id) is self

    def _deliver(self, outcome: Outcome) -> None:
        self._step([outcome])

    def _step(self, outcomes: Sequence[Outcome]) -> None:
        assert self._stage is not None
        if self._running.is_going:
            for number, operation in self._running.step(outcomes):
                self._gateway.performed.append((self._instruction.kind, operation))
                self._stage.start(number, operation)
        if not self._running.is_going:
            self._finish()

    def _finish(self) -> None:
        assert self._stage is not None
        assert self._executor is not None
        self._stage.stop()
        self._executor.appender.close()
        self._running.settle()
        if self._running.ended is None:
            self.begin()
            return
        self._entry.end(self._running.ended)
        self._died()

    def _died(self) -> None:
        del self._gateway.agents[self._entry.id]
        self._lock.release()
