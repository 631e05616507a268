"""Lets gateways forget instructions that can have no effect any more.

An instruction may go when its owner is at rest in the store and its ``not_after`` has passed by more than clocks may
differ: then no copy of it that is still on its way would be accepted. The gateway checks the same on its own clock.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from domain.errors import Unavailable, UnderstudyError
from infra.store.queries import AggregateEntry, Queries
from infra.workers.decisions import HANDLERS

if TYPE_CHECKING:
    from infra.workers.equipment import Equipment

_log = logging.getLogger(__name__)

PAGE = 100


class Sweeper:
    """Sweeps all gateways from time to time."""

    def __init__(self, queries: Queries, equipment: Equipment) -> None:
        self._queries = queries
        self._equipment = equipment

    async def run(self) -> None:
        """Sweep until cancelled; a sweep that fails is followed by the next one."""
        clock = self._equipment.clock
        while True:
            await clock.sleep_until(clock.monotonic_seconds() + self._equipment.settings.sweep_seconds)
            try:
                await self.sweep()
            except UnderstudyError as error:
                _log.warning("the gateways' spools could not be swept: %s", error)
            except Exception:  # noqa: BLE001 - logged with its traceback
                # Spools that are kept too long do no harm; a controller that stops would.
                _log.exception("the gateways' spools could not be swept")

    async def sweep(self) -> int:
        """Look at everything at rest that gateways still know; return how many instructions were forgotten."""
        forgotten = 0
        for kind in HANDLERS:
            after: int | None = None
            while entries := await self._queries.list(kind, {"can_be_swept": True}, limit=PAGE, after=after):
                for entry in entries:
                    forgotten += await self._sweep(kind, entry)
                after = entries[-1].first_position
        await self._sweep_looks()
        return forgotten

    async def _sweep_looks(self) -> None:
        """What was asked to find out whose the clusters are."""
        after: int | None = None
        while entries := await self._queries.list("Cluster", limit=PAGE, after=after):
            for entry in entries:
                try:
                    await self._equipment.standing.sweep(str(entry.name), self._equipment)
                except Unavailable as error:
                    _log.info("%s keeps what it knows of looks at it: %s", entry.name, error)
            after = entries[-1].first_position

    async def _sweep(self, kind: str, entry: AggregateEntry) -> int:
        equipment = self._equipment
        before_ms = equipment.clock.now().timestamp() * 1000 - equipment.settings.spool_margin_seconds * 1000
        gone: list[str] = []
        for cluster, ids in (await equipment.decisions.sweepable(kind, entry.id, before_ms)).items():
            try:
                endpoints = await equipment.decisions.endpoints(cluster)
                kept = await equipment.gateways.of(cluster, endpoints).forget(ids)
            except Unavailable as error:
                _log.info("%s keeps what it knows of %s %s: %s", cluster, kind, entry.id, error)
                continue
            gone += [identity for identity in ids if identity not in kept]
        if gone:
            await equipment.decisions.forgotten(kind, entry.id, gone)
        return len(gone)
