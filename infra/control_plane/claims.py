"""Compares data sets with what other services have claimed, beside the writer, which everybody else waits for.

Where there are very many data sets and patterns it takes seconds. The pair tells a revision of its claims with them;
the command then says with which revision it has compared, and the pair compares what was claimed since.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple
from uuid import UUID

from domain.pair.pair import ClusterPair, first_meeting
from domain.values.data_set import DataSet
from infra.store.queries import Queries

Offload = Callable[[Callable[[], Any]], Coroutine[Any, Any, Any]]
"""Runs what takes long in another thread; inline in simulation."""


class Claims(NamedTuple):
    """What the services of a pair have claimed at a revision."""

    revision: int
    by_service: dict[UUID, tuple[DataSet, ...]]


def claims_of(pair: ClusterPair) -> Claims:
    """The claims as they are now."""
    return Claims(pair.claims_revision, dict(pair.claims))


class ClaimsComparison:
    """One comparison at a time: they take the interpreter from one another anyway."""

    def __init__(self, queries: Queries, offload: Offload) -> None:
        self._queries = queries
        self._offload = offload
        self._one_at_a_time = asyncio.Lock()

    async def compare(self, service: UUID, data_sets: tuple[DataSet, ...], claims: Claims) -> int:
        """Return the revision with which nothing of ``data_sets`` overlaps; raise ``Conflict`` OVERLAP."""
        async with self._one_at_a_time:
            met = await self._offload(lambda: first_meeting(service, data_sets, claims.by_service))
        if met is not None:
            name = str((await self._queries.get("Service", met.owner)).name) if met.owner else ""
            raise met.refusal(lambda _: name)
        return claims.revision
