"""Drives one aggregate: asks what it wants, has that carried out, hands the outcomes in, asks again.

A driver holds nothing that matters. Dropped at any point, another one asks the aggregate and goes on: what had been
recorded as ``Instructed`` is submitted again and attaches, and an outcome that was not handed in is still in the spool.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.values.endpoints import Endpoints
from infra.ports.gateway import invalid_answer
from infra.workers.carrying import Carrier
from infra.workers.decisions import Decisions
from infra.workers.equipment import Equipment as Equipment
from infra.workers.outgoing import Outgoing
from infra.workers.waiting import wait_until

_log = logging.getLogger(__name__)


class Driver:
    """Drives one aggregate until nothing is left to do for it."""

    def __init__(self, kind: str, identity: UUID, equipment: Equipment) -> None:
        self._kind = kind
        self._identity = identity
        self._equipment = equipment
        self._poked = asyncio.Event()
        self._in_flight: dict[str, asyncio.Task[Mapping[str, Any]]] = {}
        self._ways: dict[str, Outgoing] = {}

    def poke(self) -> None:
        """Say that the aggregate, or something that it waits for, may have changed."""
        self._poked.set()

    async def run(self) -> None:
        """Drive it; raises ``TakenOver``, and ``StoreUnavailable`` when nothing can be recorded."""
        try:
            while await self._step():
                pass
        finally:
            await self._drop(list(self._in_flight))
            self._equipment.turns.keep(self._identity, (), ())
            self._equipment.turns.arrived(self._identity)
            self._equipment.live.end(self._identity)

    async def _step(self) -> bool:
        """Ask, start what is wanted, wait for something to happen; False at the end."""
        self._poked.clear()
        equipment = self._equipment
        turns = equipment.turns
        situation = await equipment.decisions.situation(
            self._kind,
            self._identity,
            self._in_flight,
            turns.running_of(self._identity),
            equipment.gateways.offsets_ms(),
            equipment.live.seen(self._identity),
        )
        now_ms = int(equipment.clock.now().timestamp() * 1000)
        equipment.live.wait_for(self._identity, situation.waiting_for, situation.clusters, now_ms)
        moved = self._moved(situation.ways)
        await self._drop([one for one in self._in_flight if one not in situation.wanted or one in moved])
        if moved:
            self.poke()  # asked again at once, they go on where the clusters are now
        turns.keep(self._identity, situation.wanted, {demand.id for demand in situation.demands})
        for outgoing in situation.outgoing:
            self._start(outgoing)
        for demand in situation.demands:
            if turns.ask(demand, self.poke) and demand.id not in self._in_flight:
                self.poke()  # asked again at once, it begins
        turns.arrived(self._identity)
        if situation.is_over:
            return False
        await self._something(situation.wake_at)
        for identity in [identity for identity, task in self._in_flight.items() if task.done()]:
            outcome = self._in_flight.pop(identity).result()
            failure = outcome["failure"]
            _log.info(
                "%s %s: instruction %s %s", self._kind, self._identity, identity, failure["code"] if failure else "done"
            )
            await self._conclude(identity, outcome)
        return True

    async def _conclude(self, instruction: str, outcome: Mapping[str, Any]) -> None:
        """Hand an outcome in; a result that lacks what is needed of it is a failure, not the end of this driver."""
        conclude = self._equipment.decisions.conclude
        try:
            await conclude(self._kind, self._identity, instruction, outcome)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            if outcome["failure"] is not None:
                raise
            _log.exception("%s %s: the result of %s cannot be taken", self._kind, self._identity, instruction)
            await conclude(self._kind, self._identity, instruction, invalid_answer(repr(error)))

    def _moved(self, ways: Mapping[str, Endpoints]) -> set[str]:
        """What is followed on a gateway that its cluster is not reached through any more."""
        followed = [self._ways[identity] for identity in self._in_flight]
        return {
            one.instruction.id for one in followed if ways.get(one.instruction.cluster, one.endpoints) != one.endpoints
        }

    def _start(self, outgoing: Outgoing) -> None:
        equipment = self._equipment
        instruction = outgoing.instruction
        self._ways[instruction.id] = outgoing
        carrier = Carrier(
            outgoing,
            equipment.gateways.of(instruction.cluster, outgoing.endpoints),
            _Reports(equipment.decisions, self._kind, self._identity, instruction.id),
            equipment,
        )
        self._in_flight[instruction.id] = asyncio.create_task(
            carrier.carry(), name=f"{instruction.kind} {instruction.id}"
        )

    async def _something(self, wake_at: datetime | None) -> None:
        """Wait until an instruction has ended, somebody pokes, or the time has come."""
        helpers: list[asyncio.Task[Any]] = [asyncio.create_task(self._poked.wait())]
        if wake_at is not None:
            helpers.append(asyncio.create_task(wait_until(self._equipment.clock, wake_at)))
        try:
            await asyncio.wait([*self._in_flight.values(), *helpers], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancel(helpers)

    async def _drop(self, instructions: list[str]) -> None:
        """Stop looking at instructions that are not wanted any more; their agents are ended by other instructions."""
        await _cancel([self._in_flight.pop(identity) for identity in instructions])
        self._ways = {identity: outgoing for identity, outgoing in self._ways.items() if identity in self._in_flight}


async def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True)
class _Reports:
    """Hands in what happens while one instruction is carried out."""

    decisions: Decisions
    kind: str
    identity: UUID
    instruction: str

    async def milestone(self, name: str, facts: dict[str, Any]) -> None:
        await self.decisions.milestone(self.kind, self.identity, self.instruction, name, facts)

    async def stalled(self, last_bytes: int, since_ms: int) -> None:
        await self.decisions.stalled(self.kind, self.identity, self.instruction, last_bytes, since_ms)
