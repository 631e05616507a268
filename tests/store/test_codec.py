"""Events come back as they went, and what is not known is refused by name."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import StoredEvent
from hypothesis import given
from hypothesis import strategies as st

from domain.stateful import Stateful
from infra.store.codec import EventCodec
from infra.store.errors import StoreUnreadable, UnfaithfulEvent
from tests.store.aggregates import AT, Area, Counter, Grade, Level, Point, Sample, Shape, a_context

CODEC = EventCodec([Counter, Sample])

text = st.text(st.characters(exclude_categories=["Cs"]))
times = st.datetimes(timezones=st.just(UTC))
points = st.builds(Point, text, times, st.sampled_from(Grade))
areas = st.recursive(
    st.builds(Area, st.uuids(), st.lists(points, max_size=3).map(tuple)),
    lambda inner: st.builds(Area, st.uuids(), st.just(()), inner),
    max_leaves=3,
)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
facts = st.fixed_dictionaries(
    {
        "area": st.none() | areas,
        "pair": st.tuples(st.integers(-(2**63), 2**63 - 1), text),
        "by_id": st.dictionaries(st.uuids(), st.lists(points, max_size=2).map(tuple), max_size=2),
        "by_grade": st.dictionaries(st.sampled_from(Grade), st.integers(0, 9)),
        "level": st.sampled_from(Level),
        "shape": st.sampled_from(Shape),
        "ratio": st.floats(allow_nan=False, allow_infinity=False),
        "flag": st.booleans(),
        "raw": st.binary(max_size=20),
        "plain": st.dictionaries(text, plain, max_size=3),
        "names": st.lists(text, max_size=3),
        "note": text,
    }
)
FACTS: dict[str, Any] = {
    "area": None,
    "pair": (1, "one"),
    "by_id": {},
    "by_grade": {Grade.EXACT: 1},
    "level": Level.HIGH,
    "shape": Shape.ROUND,
    "ratio": 0.5,
    "flag": True,
    "raw": b"\x00\xff",
    "plain": {"z": 1, "a": [None]},
    "names": ["x"],
}


def taken(**changed: Any) -> Stateful.Event:
    [event] = Sample.begin(Sample.Taken, uuid4(), a_context(), **{**FACTS, **changed}).pending_events
    assert isinstance(event, Stateful.Event)
    return event


def types_of(value: Any) -> Any:
    """The value's shape in types, for comparing what ``==`` holds equal (an enumeration and its text)."""
    if isinstance(value, (tuple, list)):
        return type(value), [types_of(v) for v in value]
    if isinstance(value, dict):
        return dict, [(types_of(k), types_of(v)) for k, v in value.items()]
    if hasattr(value, "__dataclass_fields__"):
        return type(value), {name: types_of(getattr(value, name)) for name in value.__dataclass_fields__}
    return type(value)


@given(facts)
def test_every_shape_reads_back_in_value_and_type(facts: dict[str, Any]) -> None:
    event = taken(**facts)
    read = CODEC.to_domain_event(CODEC.to_stored_event(event))
    assert read == event
    assert types_of(read) == types_of(event)


def test_topics_are_short_and_permanent_and_state_holds_no_module_path() -> None:
    stored = CODEC.to_stored_event(taken())
    assert stored.topic == "Sample.Taken"
    state = json.loads(stored.state)
    assert not {"originator_id", "originator_version", "originator_topic", "class_version"} & state.keys()
    assert b"tests" not in stored.state
    assert {"Counter.Begun", "Counter.Counted", "Counter.Closed", "Sample.Taken"} <= CODEC.topics


def test_the_stored_bytes_do_not_change() -> None:
    """A golden event: histories must load for ever."""
    context = a_context(UUID(int=7))
    counter = Counter.begin(Counter.Begun, UUID(int=1), context, name="ä")
    counter.fire("close", context)
    assert [CODEC.to_stored_event(event).state.decode() for event in counter.pending_events] == [
        '{"timestamp":"2026-03-01T12:30:15.123456Z","command_id":"00000000-0000-0000-0000-000000000007",'
        '"actor":"tester","request_id":"request-1","cause":"","code_version":"1.0","name":"ä"}',
        '{"timestamp":"2026-03-01T12:30:15.123456Z","command_id":"00000000-0000-0000-0000-000000000007",'
        '"actor":"tester","request_id":"request-1","cause":"","code_version":"1.0",'
        '"from_state":"OPEN","to_state":"CLOSED"}',
    ]


def test_a_created_event_that_was_read_makes_its_aggregate() -> None:
    stored = CODEC.to_stored_event(taken())
    aggregate = CODEC.to_domain_event(stored).mutate(None)  # type: ignore[attr-defined]
    assert type(aggregate) is Sample
    assert aggregate.id == stored.originator_id


def test_a_field_that_is_missing_takes_its_default() -> None:
    stored = CODEC.to_stored_event(taken(note="x"))
    state = json.loads(stored.state)
    del state["note"]
    assert CODEC.to_domain_event(replace(stored, state=json.dumps(state).encode())).note == "none"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"pair": [1, "one"]}, "pair holds"),
        ({"pair": ("one", 1)}, "do not declare"),
        ({"by_grade": {"EXACT": 1}}, "keys of by_grade"),
        ({"level": 2}, "level holds 2 .int. but reads back as Level"),
        ({"ratio": 1}, "ratio holds 1 .int. but reads back as float"),
        ({"ratio": float("nan")}, "do not declare"),
        ({"plain": {"grade": Grade.EXACT}}, r"plain\['grade'\] holds .* reads back as str"),
        ({"plain": {"t": (1,)}}, "reads back as list"),
        ({"plain": {"s": {1}}}, "reads back as list"),
        ({"names": ("x",)}, "names holds"),
        ({"area": Area(uuid4(), (Point("p", datetime(2026, 1, 1), Grade.EXACT),))}, "not UTC"),  # noqa: DTZ001
        (
            {"area": Area(uuid4(), (Point("p", AT.astimezone(timezone(timedelta(hours=2))), Grade.EXACT),))},
            "not UTC",
        ),
    ],
)
def test_what_would_not_read_back_the_same_is_refused_before_it_is_stored(changed: Any, said: str) -> None:
    with pytest.raises(UnfaithfulEvent, match=said):
        CODEC.to_stored_event(taken(**changed))


def test_an_event_of_an_unregistered_class_is_a_programmer_error() -> None:
    with pytest.raises(UnfaithfulEvent, match="no registered aggregate"):
        EventCodec([Counter]).to_stored_event(taken())


def test_an_unknown_topic_is_refused_by_name() -> None:
    stored = replace(CODEC.to_stored_event(taken()), topic="Sample.Forgotten")
    with pytest.raises(StoreUnreadable, match=r"EVENT_UNKNOWN.*Sample\.Forgotten"):
        CODEC.to_domain_event(stored)


@pytest.mark.parametrize("state", [b"", b"[]", b"{}", b'{"timestamp":1}', b"\xff"])
def test_a_damaged_state_is_refused_by_name(state: bytes) -> None:
    with pytest.raises(StoreUnreadable, match=r"EVENT_UNDECODABLE.*Counter\.Counted.*version 3"):
        CODEC.to_domain_event(StoredEvent(uuid4(), 3, "Counter.Counted", state))


def test_an_unknown_field_is_refused_rather_than_dropped() -> None:
    stored = CODEC.to_stored_event(taken())
    state = {**json.loads(stored.state), "surprise": 1}
    with pytest.raises(StoreUnreadable, match="surprise"):
        CODEC.to_domain_event(replace(stored, state=json.dumps(state).encode()))


class Renamer(Stateful):
    """An aggregate whose event has changed twice since version 1, the second time in meaning alone."""

    class Named(Stateful.Created):
        class_version = 3
        name: str
        size_bytes: int

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            state["name"] = state.pop("title")

        @staticmethod
        def upcast_v2_v3(state: dict[str, Any]) -> None:
            state["size_bytes"] *= 1024


def named(version: int | None, **state: Any) -> StoredEvent:
    context = {"command_id": str(UUID(int=1)), "actor": "a", "request_id": "", "cause": "", "code_version": "1"}
    stamps = {"timestamp": "2026-03-01T12:30:15Z", **context}
    versioned = {} if version is None else {"class_version": version}
    return StoredEvent(UUID(int=2), 1, "Renamer.Named", json.dumps({**stamps, **state, **versioned}).encode())


@pytest.mark.parametrize(
    "stored",
    [named(None, title="x", size_bytes=2), named(2, name="x", size_bytes=2), named(3, name="x", size_bytes=2048)],
)
def test_older_versions_are_upcast(stored: StoredEvent) -> None:
    codec = EventCodec([Renamer])
    event: Any = codec.to_domain_event(stored)
    assert (event.name, event.size_bytes) == ("x", 2048)
    again = codec.to_stored_event(event)
    assert json.loads(again.state)["class_version"] == 3
    assert codec.to_domain_event(again) == event


def test_a_newer_version_is_refused_by_name() -> None:
    with pytest.raises(StoreUnreadable, match=r"EVENT_TOO_NEW.*Renamer\.Named.*version 4.*version 3"):
        EventCodec([Renamer]).to_domain_event(named(4, name="x", size_bytes=1))
    newer = CODEC.to_stored_event(taken())
    state = {**json.loads(newer.state), "class_version": 2}
    with pytest.raises(StoreUnreadable, match=r"EVENT_TOO_NEW.*version 2.*version 1"):
        CODEC.to_domain_event(replace(newer, state=json.dumps(state).encode()))


class Hopeless(Stateful):
    """Its event has a field that no JSON can hold faithfully."""

    class Made(Stateful.Created):
        either: Point | Area


def test_a_class_that_cannot_be_stored_is_refused_at_the_start() -> None:
    with pytest.raises(TypeError, match=r"Hopeless\.Made cannot be stored"):
        EventCodec([Hopeless])
