"""Snapshots: a load that does not grow with the past, and never anything but what the events say."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest

from domain.stateful import Part, Stateful
from infra.store.chain import ChainStatus
from infra.store.codec import EventCodec
from infra.store.session import Session
from infra.store.snapshot_codec import SnapshotCodec, UnfaithfulSnapshot
from infra.store.store import Store, open_store
from tests.contracts.store_means import begun, count
from tests.store.aggregates import (
    AT,
    CONTENTS,
    Area,
    Counter,
    Grade,
    Level,
    Point,
    Sample,
    Shape,
    a_context,
    counter_id,
)

EVERY = 10
SNAPPED = replace(CONTENTS, snapshots_version="1", snapshots_every=EVERY)


def opened(directory: Path, version: str = "1") -> Store:
    contents = replace(SNAPPED, snapshots_version=version)
    return open_store(directory / "store.db", contents, inline=True, durable=False)


def change(directory: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(directory / "store.db")) as connection, connection:
        connection.execute(statement, values)


def kept(directory: Path) -> list[tuple[str, int, str]]:
    with closing(sqlite3.connect(directory / "store.db")) as connection:
        return connection.execute("SELECT originator_id, originator_version, made_by FROM snapshots").fetchall()


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The topics of the events that were decoded."""
    topics: list[str] = []
    really = EventCodec.to_domain_event

    def to_domain_event(self: EventCodec, stored: Any) -> Any:
        topics.append(stored.topic)
        return really(self, stored)

    monkeypatch.setattr(EventCodec, "to_domain_event", to_domain_event)
    return topics


async def filled(directory: Path, events: int) -> UUID:
    store = opened(directory)
    identity = await begun(store, "a")
    for _ in range(events - 1):
        await count(store, identity, 1)
    await store.close()
    return identity


async def test_a_load_reads_the_newest_events_alone(tmp_path: Path, decoded: list[str]) -> None:
    identity = await filled(tmp_path, 25)
    assert kept(tmp_path) == [(identity.hex, 20, "1")]
    store = opened(tmp_path)
    decoded.clear()
    assert (await count(store, identity, 1)).value == 25
    assert decoded == ["Counter.Counted"] * 5
    await store.close()


async def test_a_store_from_before_snapshots_gets_one_when_it_is_opened(tmp_path: Path, decoded: list[str]) -> None:
    store = open_store(tmp_path / "store.db", CONTENTS, inline=True, durable=False)
    identity = await begun(store, "a")
    for _ in range(24):
        await count(store, identity, 1)
    await store.close()
    store = opened(tmp_path)
    assert kept(tmp_path) == [(identity.hex, 25, "1")]
    decoded.clear()
    assert (await count(store, identity, 1)).value == 25
    assert decoded == []
    await store.close()


def rot(directory: Path, identity: UUID) -> None:
    altered = "CAST(replace(CAST(state AS TEXT), '[\"total\",19]', '[\"total\",91]') AS BLOB)"
    change(directory, f"UPDATE snapshots SET state = {altered}")


def damage_digest(directory: Path, identity: UUID) -> None:
    change(directory, "UPDATE snapshots SET digest = x'00'")


def put_ahead(directory: Path, identity: UUID) -> None:
    """It stands at an event that this store has lost."""
    change(directory, "UPDATE snapshots SET originator_version = 40")


def put_at_another_event(directory: Path, identity: UUID) -> None:
    change(directory, "UPDATE snapshots SET originator_version = 19")


def take_from_another_store(directory: Path, identity: UUID) -> None:
    """The same aggregate at the same version, but another past: its last event has another link."""
    change(directory, "UPDATE stored_events SET link = zeroblob(32) WHERE originator_version = 20")


def empty(directory: Path, identity: UUID) -> None:
    change(directory, "DELETE FROM snapshots")


@pytest.mark.parametrize("harm", [rot, damage_digest, put_ahead, put_at_another_event, take_from_another_store, empty])
async def test_what_is_not_believed_is_folded_and_replaced(
    tmp_path: Path, decoded: list[str], harm: Callable[[Path, UUID], None]
) -> None:
    identity = await filled(tmp_path, 25)
    harm(tmp_path, identity)
    store = opened(tmp_path)
    decoded.clear()
    assert (await count(store, identity, 1)).value == 25
    assert len(decoded) == 25
    assert kept(tmp_path) == [(identity.hex, 25, "1")]
    await store.close()


async def test_what_other_code_has_made_is_ignored_and_replaced(tmp_path: Path, decoded: list[str]) -> None:
    identity = await filled(tmp_path, 25)
    decoded.clear()
    store = opened(tmp_path, "2")
    assert store.rebuilt == ()
    assert decoded == ["Counter.Begun", *["Counter.Counted"] * 24]
    assert kept(tmp_path) == [(identity.hex, 25, "2")]
    await store.close()


async def test_a_state_that_was_changed_without_an_event_gets_into_no_snapshot(tmp_path: Path) -> None:
    store = opened(tmp_path)
    identity = await begun(store, "a")
    for _ in range(2 * EVERY):
        context = a_context()

        def decide(session: Session, context: Any = context) -> None:
            counter = session.load(Counter, identity)
            counter.total += 1_000
            counter.count(context, 1)

        await store.writer.execute(context, identity, decide)
    await store.close()
    store = opened(tmp_path)
    assert (await count(store, identity, 1)).value == 2 * EVERY + 1
    await store.close()


async def test_the_chain_knows_nothing_of_snapshots(tmp_path: Path) -> None:
    await filled(tmp_path, 25)
    store = opened(tmp_path)
    anchor = await store.queries.head()
    assert anchor.position == 25
    change(tmp_path, "DELETE FROM snapshots")
    assert (await store.queries.verify([anchor])).status is ChainStatus.PROVED
    await store.close()


async def test_a_snapshot_fits_its_events_whatever_batch_they_came_in(tmp_path: Path) -> None:
    """One command may step over the border with several events, and several commands may be committed together."""
    store = opened(tmp_path)
    identity = await begun(store, "a")
    for step in range(1, 13):
        context = a_context()

        def decide(session: Session, context: Any = context, step: int = step) -> None:
            for _ in range(step):
                session.load(Counter, identity).count(context, 1)

        await store.writer.execute(context, identity, decide)
        (_, version, _) = kept(tmp_path)[0] if kept(tmp_path) else ("", 0, "")
        total = sum(range(1, step + 1)) + 1
        assert total - version < EVERY
    await store.close()
    store = opened(tmp_path)
    assert (await count(store, identity, 1)).value == 79
    await store.close()


class Wheel(Part):
    pass


class Cart(Stateful):
    """Every shape of value that a state may hold."""

    def __init__(self) -> None:
        super().__init__()
        self.grades = {Grade.EXACT: Level.HIGH, Grade.FUZZY: Level.LOW}
        self.by_id = {UUID(int=2): (1, "a"), UUID(int=1): (2, "b")}
        self.holders = {"b", "a"}
        self.fixed = frozenset({UUID(int=7)})
        self.wheels = {"front": Wheel("front")}
        self.area = Area(UUID(int=3), (Point("p", AT, Grade.EXACT),))
        self.shape = Shape.ROUND
        self.raw = b"\xff\x00"
        self.plain: list[Any] = [None, True, 1, 1.5, "é", {"n": [1, (2,)]}]
        self.made: Cart.Bought

    class Bought(Stateful.Created):
        grade: Grade

        def evolve(self, aggregate: Cart) -> None:
            aggregate.made = self
            aggregate.wheels["front"].state = "WORN"


def a_cart() -> Cart:
    cart = Cart.begin(Cart.Bought, UUID(int=9), a_context(), grade=Grade.FUZZY)
    cart.collect_events()
    return cart


CODEC = SnapshotCodec(EventCodec([Cart, Counter, Sample]))


def test_every_value_comes_back_with_its_type() -> None:
    cart = a_cart()
    again = cast("Cart", CODEC.decode(CODEC.encode(cart)))
    assert CODEC.encode(again) == CODEC.encode(cart)
    assert type(next(iter(again.grades))) is Grade
    assert type(again.grades[Grade.EXACT]) is Level
    assert type(again.area.points[0].grade) is type(again.made.grade) is Grade
    assert list(again.by_id) == [UUID(int=2), UUID(int=1)]
    assert (again.by_id, again.holders, again.fixed) == (cart.by_id, cart.holders, cart.fixed)
    assert (type(again.wheels["front"]), again.wheels["front"].state) == (Wheel, "WORN")
    assert (again.area, again.shape, again.raw, again.plain) == (cart.area, cart.shape, cart.raw, cart.plain)
    assert type(again.plain[5]["n"][1]) is tuple
    assert (again.made, again.created_on, again.version) == (cart.made, cart.created_on, cart.version)


@pytest.mark.parametrize(
    "value",
    [object(), float("nan"), float("inf"), datetime(2026, 1, 1), test_every_value_comes_back_with_its_type, 1j],  # noqa: DTZ001
)
def test_what_would_not_come_back_makes_no_snapshot(value: Any) -> None:
    cart = a_cart()
    cart.plain = [value]
    with pytest.raises(UnfaithfulSnapshot):
        CODEC.encode(cart)


async def test_an_aggregate_without_a_snapshot_is_folded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Counter.Counted, "evolve", lambda event, counter: setattr(counter, "odd", object()))
    identity = await filled(tmp_path, 12)
    assert kept(tmp_path) == []
    assert f"Counter {identity} cannot have a snapshot" in caplog.text
    monkeypatch.undo()
    store = opened(tmp_path)
    assert (await count(store, identity, 1)).value == 12
    await store.close()


@pytest.mark.parametrize(
    "name", ["os:environ", "subprocess:Popen", "infra.store.store:open_store", "domain.errors:Refused"]
)
def test_nothing_but_values_of_our_own_packages_is_made(name: str) -> None:
    alien = f'["Counter",[["total",["object","{name}",["args",1]]]]]'.encode()
    with pytest.raises(UnfaithfulSnapshot):
        CODEC.decode(alien)


async def test_one_whose_digest_holds_and_that_cannot_be_read_is_folded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    identity = await filled(tmp_path, 25)
    monkeypatch.setattr(SnapshotCodec, "decode", lambda codec, state: (_ for _ in ()).throw(KeyError(state)))
    store = opened(tmp_path)
    assert (await count(store, identity, 1)).value == 25
    assert "cannot be read" in caplog.text
    await store.close()


async def test_two_aggregates_do_not_take_one_anothers(tmp_path: Path) -> None:
    identity = await filled(tmp_path, 25)
    store = opened(tmp_path)
    other = await begun(store, "b")
    for _ in range(19):
        await count(store, other, 2)
    await store.close()
    change(
        tmp_path,
        "UPDATE snapshots SET (digest, state) = (SELECT digest, state FROM snapshots WHERE originator_id = ?)"
        " WHERE originator_id = ?",
        other.hex,
        identity.hex,
    )
    store = opened(tmp_path)
    assert (await count(store, identity, 1)).value == 25
    assert counter_id("b") == other
    await store.close()
