"""Aggregates from their events, with a bounded cache of committed ones.

Invariant: an aggregate in the cache is what its committed events make of it. So an aggregate is *taken* out while
commands may change it, and comes back only after their events are committed; one that is not given back is simply
loaded the next time, by way of its snapshot where it is long.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import cast
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from domain.stateful import Stateful
from infra.store.codec import EventCodec
from infra.store.folding import fold
from infra.store.recorder import ChainedRecorder
from infra.store.snapshots import Snapshot, Snapshots


class Repository:
    """Loads aggregates for the writer; not for use by several threads."""

    def __init__(
        self, recorder: ChainedRecorder, codec: EventCodec, snapshots: Snapshots, *, cached_aggregates: int = 1_000
    ) -> None:
        self._recorder = recorder
        self._codec = codec
        self._snapshots = snapshots
        self._limit = cached_aggregates
        self._cache: OrderedDict[UUID, Stateful] = OrderedDict()
        self._due: dict[UUID, Snapshot] = {}

    def take(self, identity: UUID) -> Stateful | None:
        """Hand over the committed aggregate, or None; the caller owns it from now on.

        Raises ``StoreUnreadable`` and the library's ``PersistenceError``.
        """
        cached = self._cache.pop(identity, None)
        return self._load(identity) if cached is None else cached

    def _load(self, identity: UUID) -> Stateful | None:
        with self._recorder.datastore.transaction(commit=False) as cursor:
            aggregate, due = self._snapshots.load(cursor, identity)
        if due is not None:
            self._due[identity] = due
        return aggregate

    def snapshots_with(self, accepted: Iterable[tuple[Stateful, Sequence[StoredEvent]]]) -> list[Snapshot]:
        """Return the snapshots to be kept in the transaction that inserts these events.

        ``accepted`` are the aggregates after the events, which are their last. A snapshot is made from the bytes that
        are stored, so that a state that a command has changed without an event never gets into one.
        """
        for aggregate, events in accepted:
            if self._snapshots.is_due(aggregate.version - len(events), aggregate.version):
                stored = (cast("Stateful.Event", self._codec.to_domain_event(event)) for event in events)
                folded = fold(self._load(aggregate.id), stored)
                due = None if folded is None else self._snapshots.of(folded)
                if due is not None:
                    self._due[aggregate.id] = due
        return list(self._due.values())

    def give_back(self, aggregates: Iterable[Stateful]) -> None:
        """Keep aggregates whose events are all committed; the least recently used go first."""
        for aggregate in aggregates:
            assert not aggregate.pending_events, "an uncommitted aggregate must not be cached"
            self._cache[aggregate.id] = aggregate
        while len(self._cache) > self._limit:
            self._cache.popitem(last=False)

    def committed(self) -> None:
        """Note that the snapshots are kept."""
        self._due.clear()

    def forget(self) -> None:
        """Empty the cache, after a commit whose outcome is not known."""
        self._cache.clear()
        self._due.clear()
