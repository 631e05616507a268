"""Events to bytes and back: msgspec JSON under permanent topics.

Invariants:

- A topic is ``Aggregate.Event``, never a module path: code may move, stored data does not change.
- An event is stored only if its bytes read back as the very same values, type by type. Replay therefore sees what the
  live aggregate saw: an enumeration stays one, a tuple never becomes a list, times are UTC.
- What this code does not know (a topic, a newer version of an event class) is refused by name, never skipped.

An event class that changes shape gets ``class_version = N + 1`` and a static method ``upcast_vN_vN+1(state)``, which
changes in place the decoded JSON (a dict of strings, numbers, lists and dicts) of the older version.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Literal, get_type_hints
from uuid import UUID

import msgspec
from eventsourcing.domain import CanInitAggregate, DomainEventProtocol
from eventsourcing.persistence import Mapper, StoredEvent, Transcoder
from eventsourcing.utils import get_topic

from domain.stateful import Stateful
from infra.store.errors import StoreUnreadable, UnfaithfulEvent

# Kept in columns of their own, or known from the topic; not in the state.
_NOT_IN_STATE = ("originator_id", "originator_version", "originator_topic")
_VERSION = "class_version"
_SCALARS = frozenset({str, int, bool, float, bytes, UUID, type(None)})


class MsgspecTranscoder(Transcoder):
    """JSON as the library's transcoder sees it; the types are added by ``EventCodec``."""

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder()

    def encode(self, obj: Any) -> bytes:
        """Return the JSON of plain values, dataclasses, enumerations, UUIDs and times; keys keep their order."""
        return self._encoder.encode(obj)

    def decode(self, data: bytes) -> Any:
        """Return plain JSON values."""
        return self._decoder.decode(data)


@dataclasses.dataclass(frozen=True)
class EventType:
    """All that is needed to store and load one class of events."""

    topic: str
    event_class: type[Any]
    aggregate_class: type[Stateful]
    version: int
    names: tuple[str, ...]
    shape: type[msgspec.Struct]
    decoder: msgspec.json.Decoder[Any]


class EventCodec(Mapper[UUID]):
    """The library's mapper for the event classes of the aggregates that it is given."""

    def __init__(self, aggregate_classes: Iterable[type[Stateful]]) -> None:
        """Register every event class; raise ``TypeError`` for one that could not be stored."""
        super().__init__(transcoder=MsgspecTranscoder())
        self._by_topic: dict[str, EventType] = {}
        self._by_class: dict[type, EventType] = {}
        self.aggregate_classes: dict[str, type[Stateful]] = {}
        for aggregate_class in aggregate_classes:
            self._register(aggregate_class)

    def _register(self, aggregate_class: type[Stateful]) -> None:
        kind = aggregate_class.__name__
        assert kind not in self.aggregate_classes, f"two aggregate classes are called {kind}"
        self.aggregate_classes[kind] = aggregate_class
        # The library puts into each aggregate class its own subclass of every event class that it inherits or
        # redefines; those, and no others, are recorded.
        for name, event_class in vars(aggregate_class).items():
            if isinstance(event_class, type) and issubclass(event_class, Stateful.Event):
                event_type = _event_type(f"{kind}.{name}", event_class, aggregate_class)
                self._by_topic[event_type.topic] = event_type
                self._by_class[event_class] = event_type

    @property
    def topics(self) -> frozenset[str]:
        """The topics that can be stored and loaded."""
        return frozenset(self._by_topic)

    def to_stored_event(self, domain_event: DomainEventProtocol[UUID]) -> StoredEvent:
        """Return the event as it is stored; raise ``UnfaithfulEvent`` if it would not read back the same."""
        event_type = self._by_class.get(type(domain_event))
        if event_type is None:
            raise UnfaithfulEvent(f"{type(domain_event).__qualname__} belongs to no registered aggregate class")
        state = {name: getattr(domain_event, name) for name in event_type.names}
        if event_type.version > 1:
            state[_VERSION] = event_type.version
        stored = StoredEvent(
            originator_id=domain_event.originator_id,
            originator_version=domain_event.originator_version,
            topic=event_type.topic,
            state=self.transcoder.encode(state),
        )
        try:
            read_back = event_type.decoder.decode(stored.state)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UnfaithfulEvent(f"{event_type.topic} holds what its fields do not declare: {error}") from error
        difference = _difference_of_fields(event_type.names, domain_event, read_back, "")
        if difference:
            raise UnfaithfulEvent(f"{event_type.topic}: {difference}")
        return stored

    def to_domain_event(self, stored_event: StoredEvent) -> DomainEventProtocol[UUID]:
        """Return the event of today's class; raise ``StoreUnreadable`` for what is unknown, newer or damaged."""
        event_type = self._by_topic.get(stored_event.topic)
        if event_type is None:
            raise StoreUnreadable(
                "EVENT_UNKNOWN",
                f"this version knows no event {stored_event.topic!r} ({_place(stored_event)}).",
                remedy="Use the version of Understudy that wrote this store, or a newer one.",
            )
        try:
            values = msgspec.structs.asdict(event_type.decoder.decode(stored_event.state))
        except (msgspec.DecodeError, UnicodeDecodeError):
            values = self._decode_slowly(event_type, stored_event)
        values.pop(_VERSION, None)
        values["originator_id"] = stored_event.originator_id
        values["originator_version"] = stored_event.originator_version
        if issubclass(event_type.event_class, CanInitAggregate):
            values["originator_topic"] = get_topic(event_type.aggregate_class)
        event: DomainEventProtocol[UUID] = object.__new__(event_type.event_class)
        # As the library does: applying history runs no constructor.
        object.__setattr__(event, "__dict__", values)
        return event

    def _decode_slowly(self, event_type: EventType, stored_event: StoredEvent) -> dict[str, Any]:
        """Upcast an older version, or say why the state cannot be read."""
        try:
            state = self.transcoder.decode(stored_event.state)
            written_version = state.get(_VERSION, 1)
            if written_version <= event_type.version:
                for version in range(written_version, event_type.version):
                    getattr(event_type.event_class, f"upcast_v{version}_v{version + 1}")(state)
                if event_type.version > 1:
                    state[_VERSION] = event_type.version
                return msgspec.structs.asdict(msgspec.convert(state, event_type.shape))
        except Exception as error:
            raise StoreUnreadable(
                "EVENT_UNDECODABLE",
                f"the event {stored_event.topic!r} ({_place(stored_event)}) does not fit its class: {error}.",
                remedy="Verify the chain of the audit log; if it is whole, report this as a fault of Understudy.",
            ) from error
        raise StoreUnreadable(
            "EVENT_TOO_NEW",
            f"the event {stored_event.topic!r} ({_place(stored_event)}) has version {written_version}; "
            f"this code knows version {event_type.version}.",
            remedy="Use the version of Understudy that wrote this store, or a newer one.",
        )


@cache
def _event_type(topic: str, event_class: type[Any], aggregate_class: type[Stateful]) -> EventType:
    """Resolve the fields' types, once for each class: it takes a hundred times longer than all the rest of a codec."""
    version = getattr(event_class, _VERSION, 1)
    for older in range(1, version):
        assert hasattr(event_class, f"upcast_v{older}_v{older + 1}"), f"{topic} cannot upcast version {older}"
    fields = {f.name: f for f in dataclasses.fields(event_class) if f.name not in _NOT_IN_STATE}
    assert _VERSION not in fields, f"{topic}: {_VERSION} is the codec's own name"
    try:
        hints = get_type_hints(event_class, include_extras=True)
        members: list[Any] = [_member(hints[name], field) for name, field in fields.items()]
        if version > 1:
            # An older state lacks it or has another number, so it can never pass for the present version.
            members.append((_VERSION, Literal[version]))
        shape = msgspec.defstruct(topic.replace(".", "_"), members, kw_only=True, forbid_unknown_fields=True)
        decoder = msgspec.json.Decoder(shape)
    except (TypeError, NameError) as error:
        raise TypeError(f"{topic} cannot be stored: {error}") from error
    return EventType(topic, event_class, aggregate_class, version, tuple(fields), shape, decoder)


def _member(hint: Any, field: dataclasses.Field[Any]) -> tuple[Any, ...]:
    if field.default is not dataclasses.MISSING:
        return (field.name, hint, field.default)
    if field.default_factory is not dataclasses.MISSING:
        return (field.name, hint, msgspec.field(default_factory=field.default_factory))
    return (field.name, hint)


def _difference(written: Any, read: Any, where: str) -> str:
    """Return how a value and what was read back differ, in types too; empty when they do not."""
    if type(written) is not type(read):
        return f"{where} holds {written!r} ({type(written).__name__}) but reads back as {type(read).__name__}"
    if type(written) in _SCALARS:
        return "" if written == read else f"{where} holds {written!r} but reads back as {read!r}"
    if isinstance(written, (tuple, list)):
        pairs = zip(written, read, strict=False)
        parts = (_difference(w, r, f"{where}[{i}]") for i, (w, r) in enumerate(pairs))
        return next(filter(None, parts), "") or ("" if len(written) == len(read) else f"{where} changes its length")
    if isinstance(written, dict):
        keys = _difference(list(written), list(read), f"keys of {where}")
        return keys or next(filter(None, (_difference(v, read[k], f"{where}[{k!r}]") for k, v in written.items())), "")
    if dataclasses.is_dataclass(written):
        return _difference_of_fields(_field_names(written.__class__), written, read, f"{where}.")
    if isinstance(written, datetime) and written.utcoffset() != timedelta(0):
        return f"{where} holds {written.isoformat()}, which is not UTC"
    if isinstance(written, (set, frozenset)):
        return f"{where} holds a set, whose order differs between processes; use a sorted tuple"
    return "" if written == read else f"{where} holds {written!r} but reads back as {read!r}"


def _difference_of_fields(names: Iterable[str], written: object, read: object, prefix: str) -> str:
    for name in names:
        value, found = getattr(written, name), getattr(read, name)
        # Most fields are scalars, and as they were; this runs for every field of every event that is written.
        if type(value) in _SCALARS and type(value) is type(found) and value == found:
            continue
        if difference := _difference(value, found, prefix + name):
            return difference
    return ""


@cache
def _field_names(dataclass: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(dataclass))


def _place(stored_event: StoredEvent) -> str:
    return f"version {stored_event.originator_version} of aggregate {stored_event.originator_id}"
