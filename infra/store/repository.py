"""Aggregates from their events, with a bounded cache of committed ones.

Invariant: an aggregate in the cache is what its committed events make of it. So an aggregate is *taken* out while
commands may change it, and comes back only after their events are committed; one that is not given back is simply
replayed the next time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import cast
from uuid import UUID

from domain.stateful import Stateful
from infra.store.codec import EventCodec
from infra.store.recorder import ChainedRecorder


def fold(aggregate: Stateful | None, events: Iterable[Stateful.Event]) -> Stateful | None:
    """Apply events in order; ``aggregate`` is None before the first one.

    In place of the library's projector, which checks a runtime protocol for each event and takes several times longer.
    """
    for event in events:
        aggregate = cast("Stateful | None", event.mutate(aggregate))
    return aggregate


class Repository:
    """Loads aggregates for the writer; not for use by several threads."""

    def __init__(self, recorder: ChainedRecorder, codec: EventCodec, *, cached_aggregates: int = 1_000) -> None:
        self._recorder = recorder
        self._codec = codec
        self._limit = cached_aggregates
        self._cache: OrderedDict[UUID, Stateful] = OrderedDict()

    def take(self, identity: UUID) -> Stateful | None:
        """Hand over the committed aggregate, or None; the caller owns it from now on.

        Raises ``StoreUnreadable`` and the library's ``PersistenceError``.
        """
        cached = self._cache.pop(identity, None)
        if cached is not None:
            return cached
        stored_events = self._recorder.select_events(identity)
        return fold(None, (cast("Stateful.Event", self._codec.to_domain_event(stored)) for stored in stored_events))

    def give_back(self, aggregates: Iterable[Stateful]) -> None:
        """Keep aggregates whose events are all committed; the least recently used go first."""
        for aggregate in aggregates:
            assert not aggregate.pending_events, "an uncommitted aggregate must not be cached"
            self._cache[aggregate.id] = aggregate
        while len(self._cache) > self._limit:
            self._cache.popitem(last=False)

    def forget(self) -> None:
        """Empty the cache, after a commit whose outcome is not known."""
        self._cache.clear()
