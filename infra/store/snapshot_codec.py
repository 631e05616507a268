"""The state of an aggregate to bytes and back, type by type.

Every value carries its type: an enumeration comes back as one (the library's own snapshots give a plain ``str``), a
tuple as a tuple, a set as a set; dicts keep their order. Events that a state holds go through the codec of events. A
value of any other type is refused, so a snapshot is whole or is not made.

What may be named in a snapshot is found by import below the packages of the aggregates alone, and must be a dataclass,
an enumeration or a ``Part``: bytes that somebody else has written make no object of any other class.
"""

from __future__ import annotations

import dataclasses
import importlib
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, cast
from uuid import UUID

import msgspec
from eventsourcing.persistence import StoredEvent

from domain.stateful import Part, Stateful
from infra.store.codec import EventCodec

_PLAIN = frozenset({str, int, bool, float, type(None)})


class UnfaithfulSnapshot(TypeError):
    """A state holds what would not read back the same; a programmer error."""


class SnapshotCodec:
    """Encodes and decodes aggregates of the classes that an event codec knows."""

    def __init__(self, events: EventCodec) -> None:
        self._events = events
        self._packages = {cls.__module__.partition(".")[0] for cls in events.aggregate_classes.values()} | {"domain"}
        self._decoders: dict[str, Callable[..., Any]] = {
            "list": lambda *items: [self._decoded(item) for item in items],
            "tuple": lambda *items: tuple(self._decoded(item) for item in items),
            "set": lambda *items: {self._decoded(item) for item in items},
            "frozenset": lambda *items: frozenset(self._decoded(item) for item in items),
            "dict": lambda *pairs: {self._decoded(key): self._decoded(value) for key, value in pairs},
            "uuid": UUID,
            "bytes": b64decode,
            "time": datetime.fromisoformat,
            "enum": lambda name, value: self._class(name)(self._decoded(value)),
            "event": self._event,
            "object": self._object,
        }

    def encode(self, aggregate: Stateful) -> bytes:
        """Return the state; raise ``UnfaithfulSnapshot`` for one that would not read back the same."""
        assert not aggregate.pending_events, "a snapshot is made of recorded events alone"
        return msgspec.json.encode([type(aggregate).__name__, self._attributes(vars(aggregate))])

    def decode(self, state: bytes) -> Stateful:
        """Return the aggregate; raises whatever bytes that are none of ``encode`` lead to."""
        kind, attributes = msgspec.json.decode(state)
        aggregate = object.__new__(self._events.aggregate_classes[kind])
        vars(aggregate).update({name: self._decoded(value) for name, value in attributes})
        return aggregate

    def _attributes(self, values: dict[str, Any]) -> list[Any]:
        return [[name, self._encoded(value)] for name, value in values.items()]

    def _encoded(self, value: Any) -> Any:
        kind = type(value)
        if kind in _PLAIN:
            if kind is float and value - value != 0.0:
                raise UnfaithfulSnapshot(f"{value!r} is no number that JSON has")
            return value
        if kind is UUID:
            return ["uuid", value.hex]
        if kind in (list, tuple):
            return [kind.__name__, *map(self._encoded, value)]
        if kind is dict:
            return ["dict", *([self._encoded(key), self._encoded(item)] for key, item in value.items())]
        if kind in (set, frozenset):
            return [kind.__name__, *sorted(map(self._encoded, value), key=msgspec.json.encode)]
        if kind is bytes:
            return ["bytes", b64encode(value).decode()]
        if kind is datetime and value.utcoffset() == timedelta(0):
            return ["time", value.isoformat()]
        return self._encoded_object(value)

    def _encoded_object(self, value: Any) -> Any:
        kind = type(value)
        if isinstance(value, Enum):
            return ["enum", self._name(kind), self._encoded(value.value)]
        if isinstance(value, Stateful.Event):
            stored = self._events.to_stored_event(value)
            assert isinstance(stored.originator_id, UUID)
            return ["event", stored.topic, stored.originator_id.hex, stored.originator_version, stored.state.decode()]
        if dataclasses.is_dataclass(kind):
            values = {field.name: getattr(value, field.name) for field in dataclasses.fields(kind)}
            return ["object", self._name(kind), *self._attributes(values)]
        if isinstance(value, Part):
            return ["object", self._name(kind), *self._attributes(vars(value))]
        raise UnfaithfulSnapshot(f"a state holds {value!r}, a {kind.__module__}.{kind.__qualname__}")

    def _name(self, kind: type) -> str:
        name = f"{kind.__module__}:{kind.__qualname__}"
        if self._class(name) is not kind:
            raise UnfaithfulSnapshot(f"{name} names another class")
        return name

    def _class(self, name: str) -> type[Any]:
        module, _, qualified = name.partition(":")
        if module.partition(".")[0] not in self._packages:
            raise UnfaithfulSnapshot(f"{name} is of another package")
        found: Any = importlib.import_module(module)
        for part in qualified.split("."):
            found = getattr(found, part)
        is_ours = isinstance(found, type) and (dataclasses.is_dataclass(found) or issubclass(found, (Enum, Part)))
        if not is_ours:
            raise UnfaithfulSnapshot(f"{name} is no dataclass, enumeration or part")
        return cast("type[Any]", found)

    def _decoded(self, value: Any) -> Any:
        if isinstance(value, list):
            kind, *rest = value
            return self._decoders[kind](*rest)
        return value

    def _event(self, topic: str, originator: str, version: int, state: str) -> Stateful.Event:
        stored = StoredEvent(UUID(originator), version, topic, state.encode())
        return cast("Stateful.Event", self._events.to_domain_event(stored))

    def _object(self, name: str, *attributes: Any) -> Any:
        made = object.__new__(self._class(name))
        for attribute, value in attributes:
            object.__setattr__(made, attribute, self._decoded(value))
        return made
