"""What a command sees while it decides: an overlay of aggregates that are not committed yet.

A ``Batch`` is the overlay of one transaction, a ``Session`` the view of one command in it. Invariants:

- Commands of a batch see each other's changes in order, and are stored in that order or not at all.
- The accepted events of the batch, over the committed ones, give each aggregate's state. A command that raises after
  it changed an aggregate therefore costs no copy made in advance: the aggregate is dropped, and whoever needs it next
  gets it by replay. An aggregate that recorded nothing is unchanged (state changes only by events) and stays.
- A command that changes anything records an event in its target, which remembers the command's id; else a repetition
  could not be recognised. If its caller chose the id, what it stood for is stored with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar, cast
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from domain.command_key import CommandKey
from domain.errors import Conflict, NotFound, UnderstudyError, word_for
from domain.stateful import Context, Stateful
from infra.store.codec import EventCodec
from infra.store.folding import fold
from infra.store.read_models import Change, ReadModels
from infra.store.repository import Repository

A = TypeVar("A", bound=Stateful)


@dataclass(slots=True)
class _Touched:
    aggregate: Stateful
    version: int


class Batch:
    """The overlay of one transaction: uncommitted aggregates and the events that led to them, in order."""

    def __init__(self, repository: Repository, codec: EventCodec, read_models: ReadModels) -> None:
        self._repository = repository
        self._codec = codec
        self._read_models = read_models
        self._overlay: dict[UUID, Stateful] = {}
        self._accepted: dict[UUID, list[StoredEvent]] = {}
        self.events: list[Stateful.Event] = []
        self.stored: list[StoredEvent] = []
        self.changes: list[Change] = []

    def find(self, identity: UUID) -> Stateful | None:
        """Return the aggregate as the accepted commands of this batch left it, or None."""
        aggregate = self._overlay.get(identity)
        if aggregate is None:
            # From the bytes that will be stored, so that it is the aggregate that a replay would give.
            accepted = (self._codec.to_domain_event(stored) for stored in self._accepted.get(identity, ()))
            aggregate = fold(self._repository.take(identity), cast("Iterable[Stateful.Event]", accepted))
            if aggregate is not None:
                self._overlay[identity] = aggregate
        return aggregate

    def key_of(self, context: Context) -> CommandKey | None:
        """What is known about the id that the caller chose for a command."""
        found = self.find(CommandKey.identity(context.command_id)) if context.digest else None
        return found if isinstance(found, CommandKey) else None

    def drop(self, identity: UUID) -> None:
        """Forget an aggregate that holds changes which are not accepted."""
        self._overlay.pop(identity, None)

    def accept(self, aggregates: list[Stateful]) -> None:
        """Take over the pending events of one command; whatever can fail, fails before anything is taken."""
        stored = [[self._codec.to_stored_event(e) for e in aggregate.pending_events] for aggregate in aggregates]
        is_open = [self._read_models.is_open(aggregate) for aggregate in aggregates]
        for index, aggregate in enumerate(aggregates):
            events = cast("list[Stateful.Event]", list(aggregate.collect_events()))
            first_index = len(self.events)
            self.events += events
            self.stored += stored[index]
            self._overlay[aggregate.id] = aggregate
            self._accepted.setdefault(aggregate.id, []).extend(stored[index])
            self.changes.append(Change(aggregate.id, first_index, is_open[index]))

    def changed_aggregates(self) -> list[Stateful]:
        """Return the aggregates with accepted events, in the state after the last of them."""
        changed = [self.find(identity) for identity in self._accepted]
        assert None not in changed
        return cast("list[Stateful]", changed)

    def accepted(self) -> list[tuple[Stateful, list[StoredEvent]]]:
        """Return the changed aggregates, each with its accepted events."""
        return [(aggregate, self._accepted[aggregate.id]) for aggregate in self.changed_aggregates()]

    def release(self) -> None:
        """Give every aggregate back to the cache, once all accepted events are committed (or there are none)."""
        self._repository.give_back(self._overlay.values())


class Session:
    """The aggregates that one command loads, adds and changes. Usable inside its ``decide`` alone."""

    def __init__(self, batch: Batch, context: Context, target: UUID) -> None:
        self._batch = batch
        self._context = context
        self._target = target
        self._touched: dict[UUID, _Touched] = {}
        self._is_closed = False

    def load(self, aggregate_class: type[A], identity: UUID) -> A:
        """Return the aggregate; raise ``NotFound`` if there is none of that class."""
        aggregate = self.find(aggregate_class, identity)
        if aggregate is None:
            raise NotFound(aggregate_class.__name__, str(identity))
        return aggregate

    def find(self, aggregate_class: type[A], identity: UUID) -> A | None:
        """Return the aggregate, or None if there is none of that class."""
        assert not self._is_closed, "a session is used inside its command alone"
        touched = self._touched.get(identity)
        aggregate = self._batch.find(identity) if touched is None else touched.aggregate
        if not isinstance(aggregate, aggregate_class):
            return None
        if touched is None:
            self._touched[identity] = _Touched(aggregate, aggregate.version)
        return aggregate

    def add(self, aggregate: Stateful) -> None:
        """Store a new aggregate with this command; raise ``Conflict`` if its id exists."""
        assert not self._is_closed, "a session is used inside its command alone"
        if aggregate.id in self._touched or self._batch.find(aggregate.id) is not None:
            kind = word_for(type(aggregate).__name__)
            raise Conflict("ALREADY_EXISTS", f"{kind} {aggregate.id} exists already.")
        self._touched[aggregate.id] = _Touched(aggregate, 0)

    def accept(self) -> int:
        """Close the session and hand its events to the batch; return the version of the target (0: there is none)."""
        self._is_closed = True
        changed = [t.aggregate for t in self._touched.values() if t.aggregate.pending_events]
        if not changed:
            unchanged = self._batch.find(self._target)
            return 0 if unchanged is None else unchanged.version
        target = self._touched.get(self._target)
        assert target is not None, "a command that changes anything must change its target"
        remembered = target.aggregate.answer_to(self._context.command_id)
        assert remembered is not None, "a command that changes anything must record an event in its target"
        if self._context.digest:
            changed.append(CommandKey.use(self._context, self._target, target.aggregate.version))
        self._batch.accept(changed)
        return target.aggregate.version

    def discard(self, error: Exception) -> None:
        """Close the session and undo what its command did to aggregates, before ``error`` goes to the caller."""
        self._is_closed = True
        for identity, touched in self._touched.items():
            has_recorded = touched.aggregate.version != touched.version or touched.aggregate.pending_events
            # Another error may come from the midst of applying an event, which leaves no trace in the version.
            if has_recorded or not isinstance(error, UnderstudyError):
                self._batch.drop(identity)
