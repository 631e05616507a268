"""Keeps one driver for each aggregate with open work, from the store's table of open work.

There is no other list of what is going on: after a crash the table is read, and everything goes on.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from uuid import UUID

from domain.errors import UnderstudyError
from infra.store.queries import MAX_LIMIT, OpenWork, Queries
from infra.workers.carrying import TakenOver
from infra.workers.driver import Driver, Equipment
from infra.workers.sweeper import Sweeper
from infra.workers.waiting import Backoff

_log = logging.getLogger(__name__)


@dataclass
class _Driven:
    """A driver that runs, with its task; ``driver`` is replaced when it had to be started again."""

    kind: str
    task: asyncio.Task[None]
    driver: Driver


class Supervisor:
    """Starts drivers, wakes those whose aggregates have changed, starts again those that failed."""

    def __init__(self, queries: Queries, equipment: Equipment) -> None:
        self._queries = queries
        self._equipment = equipment
        self._driven: dict[UUID, _Driven] = {}
        self._changed = asyncio.Event()
        self._taken_over: TakenOver | None = None
        self._sweeper = Sweeper(queries, equipment)

    async def run(self) -> None:
        """Work until cancelled; raises ``TakenOver`` when another controller has taken over."""
        await self._queries.rebuilt()
        position = (await self._queries.head()).position
        turns = self._equipment.turns
        open_work = await self._queries.open_work()
        turns.expect([work.aggregate_id for work in open_work])
        await turns.refresh(self._queries)
        sweeping = asyncio.create_task(self._sweeper.run(), name="sweeper")
        try:
            while True:
                self._changed.clear()
                for work in open_work:
                    self._keep(work)
                position = await self._next_change(position)
                if self._taken_over is not None:
                    raise self._taken_over
                open_work = await self._queries.open_work()
        finally:
            tasks = [sweeping, *(driven.task for driven in self._driven.values())]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._equipment.gateways.close()

    def _keep(self, work: OpenWork) -> None:
        driven = self._driven.get(work.aggregate_id)
        if driven is not None and not driven.task.done():
            return
        driver = Driver(work.kind, work.aggregate_id, self._equipment)
        task = asyncio.create_task(self._drive(work), name=f"{work.kind} {work.aggregate_id}")
        self._driven[work.aggregate_id] = _Driven(work.kind, task, driver)

    async def _drive(self, work: OpenWork) -> None:
        """Run a driver to its end, again and again while it fails."""
        settings = self._equipment.settings
        backoff = Backoff(self._equipment.clock, settings.retry_seconds, settings.longest_retry_seconds)
        driven = self._driven[work.aggregate_id]
        try:
            while True:
                try:
                    await driven.driver.run()
                    return
                except TakenOver as error:
                    _log.error("%s %s: %s", work.kind, work.aggregate_id, error)
                    self._taken_over = error
                    return
                except UnderstudyError as error:
                    _log.warning("%s %s is driven again: %s", work.kind, work.aggregate_id, error)
                except Exception:  # noqa: BLE001 - logged with its traceback
                    # One aggregate that meets a fault of the program must not stop the others.
                    _log.exception("%s %s is driven again", work.kind, work.aggregate_id)
                await backoff.wait()
                driven.driver = Driver(work.kind, work.aggregate_id, self._equipment)
        finally:
            self._changed.set()

    async def _next_change(self, position: int) -> int:
        """Wait for new events or the end of a driver; wake the drivers concerned; return the newest position seen."""
        waiting = [
            asyncio.create_task(self._queries.wait_for(position + 1)),
            asyncio.create_task(self._changed.wait()),
        ]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        self._driven = {identity: driven for identity, driven in self._driven.items() if not driven.task.done()}
        have_rules_changed = False
        while events := await self._queries.events_after(position, MAX_LIMIT):
            for event in events:
                self._wake(UUID(event["aggregate_id"]), event["topic"])
                have_rules_changed |= event["topic"].startswith(("Cluster.", "Pause."))
            position = events[-1]["position"]
        if have_rules_changed:
            await self._equipment.turns.refresh(self._queries)
        return position

    def _wake(self, identity: UUID, topic: str) -> None:
        driven = self._driven.get(identity)
        if driven is not None:
            driven.driver.poke()
        for other in self._driven.values():
            # A run may be waiting for its turn, or may take more or less from now on; a cluster may be elsewhere.
            if topic.startswith("Cluster.") or (
                topic.startswith(("Replica.", "BackupPolicy.")) and other.kind == "BackupRun"
            ):
                other.driver.poke()
