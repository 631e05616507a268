"""Projections and the built-in tables stay equal to what the events say."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.sqlite import SQLiteCursor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import Refused
from infra.store.session import Session
from infra.store.store import Store, StoreContents, open_store
from tests.contracts.store_means import begun, count
from tests.store.aggregates import CONTENTS, Counter, a_context, counter_id


@dataclass(frozen=True)
class Amounts:
    """Every amount that was counted, with its position."""

    version: str = "1"
    factor: int = 1
    name: str = "amounts"
    tables: tuple[str, ...] = ("amounts",)
    ddl: tuple[str, ...] = ("CREATE TABLE amounts (position INTEGER PRIMARY KEY, amount INTEGER)",)

    def apply(self, cursor: SQLiteCursor, event: Any, position: int) -> None:
        if isinstance(event, Counter.Counted):
            cursor.execute("INSERT INTO amounts VALUES (?, ?)", (position, event.amount * self.factor))


def opened(path: Path, *projections: Amounts) -> Store:
    contents: StoreContents = replace(CONTENTS, projections=projections)
    return open_store(path / "store.db", contents, inline=True, durable=False)


async def amounts(store: Store) -> list[tuple[int, int]]:
    def question(cursor: SQLiteCursor) -> list[tuple[int, int]]:
        cursor.execute("SELECT * FROM amounts ORDER BY position")
        return [tuple(row) for row in cursor.fetchall()]

    return await store.queries.ask(question)


async def test_a_projection_grows_in_the_inserting_transaction(tmp_path: Path) -> None:
    store = opened(tmp_path, Amounts())
    identity = await begun(store, "a")
    for amount in (3, 4):
        await count(store, identity, amount)
    assert await amounts(store) == [(2, 3), (3, 4)]
    await store.close()


async def test_a_projection_that_is_new_or_changed_is_rebuilt_when_opened(tmp_path: Path) -> None:
    store = opened(tmp_path)
    await count(store, await begun(store, "a"), 3)
    await store.close()
    store = opened(tmp_path, Amounts())
    assert (store.rebuilt, await amounts(store)) == (("amounts",), [(2, 3)])
    await store.close()
    store = opened(tmp_path)
    await count(store, counter_id("a"), 4)
    await store.close()
    store = opened(tmp_path, Amounts())
    assert (store.rebuilt, await amounts(store)) == (("amounts",), [(2, 3), (3, 4)])
    await store.close()
    store = opened(tmp_path, Amounts(version="2", factor=10))
    assert (store.rebuilt, await amounts(store)) == (("amounts",), [(2, 30), (3, 40)])
    await store.close()
    store = opened(tmp_path, Amounts(version="2", factor=10))
    assert store.rebuilt == ()
    await store.close()


@dataclass(frozen=True)
class Broken(Amounts):
    def apply(self, cursor: SQLiteCursor, event: Any, position: int) -> None:
        super().apply(cursor, event, position)
        if getattr(event, "amount", 0) == 13:
            raise KeyError("a fault of the projection")


async def test_a_fault_of_a_projection_fails_that_command_alone(tmp_path: Path) -> None:
    store = opened(tmp_path, Broken())
    identity = await begun(store, "a")
    with pytest.raises(KeyError):
        await count(store, identity, 13)
    await count(store, identity, 1)
    assert await amounts(store) == [(2, 1)]
    await store.close()


steps = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["count", "refuse", "close", "reopen", "both", "rename"])),
    max_size=25,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(steps)
async def test_whatever_happened_a_rebuild_changes_nothing(tmp_path_factory: Any, steps: list[tuple[str, str]]) -> None:
    store = opened(tmp_path_factory.mktemp("store"), Amounts())
    for name in "abc":
        await begun(store, name)
    for name, step in steps:
        await take_step(store, counter_id(name), step)
    listed, work, counted = await everything(store)
    for model in ("aggregates", "amounts"):
        store.rebuild(model)
    assert await everything(store) == (listed, work, counted)
    assert {w.aggregate_id for w in work} == {entry.id for entry in listed if entry.state == "OPEN"}
    assert sum(entry.summary["total"] for entry in listed) == sum(amount for _, amount in counted)
    await store.close()


async def everything(store: Store) -> Any:
    return await store.queries.list("Counter"), await store.queries.open_work(), await amounts(store)


async def take_step(store: Store, identity: UUID, step: str) -> None:
    context = a_context()

    def decide(session: Session) -> None:
        counter = session.load(Counter, identity)
        if step in ("count", "refuse", "both"):
            counter.count(context, 1)
        if step == "refuse":
            counter.count(context, 0)
        if step in ("close", "both"):
            counter.fire("close", context)
        if step in ("reopen", "both"):
            counter.fire("reopen", context)
        if step == "rename":
            counter.note(Counter.Renamed, context, name=counter.name + "x")

    with suppress(Refused):
        await store.writer.execute(context, identity, decide)
