"""Read models that are made anew little by little: crashes, commands in between, and what is told meanwhile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.store import rebuilding
from infra.store.errors import StoreUnavailable
from infra.store.rebuilding import Rebuilding
from infra.store.store import Store, open_store
from tests.contracts.store_means import begun, count
from tests.store.aggregates import CONTENTS, Counter, counter_id
from tests.store.test_read_models import Amounts, Broken, amounts, everything

NAMES = [f"counter {number}" for number in range(7)]


def opened(directory: Path, version: str, **options: Any) -> Store:
    contents = replace(
        CONTENTS,
        views_version=version,
        projections=(Amounts(version=version),),
        snapshots_version="1",
        snapshots_every=3,
    )
    return open_store(directory / "store.db", contents, durable=False, **options)


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """One aggregate, or ten events, in a step, and no step by itself but the first."""
    monkeypatch.setattr(rebuilding, "STEP_SECONDS", 0.0)
    monkeypatch.setattr(rebuilding, "PROJECTED_AT_ONCE", 10)
    monkeypatch.setattr(Rebuilding, "go_on", lambda self: None)


async def filled(directory: Path) -> Any:
    store = opened(directory, "1")
    for number, name in enumerate(NAMES):
        identity = await begun(store, name)
        for _ in range(number):
            await count(store, identity, number)
    found = await everything(store)
    await store.close()
    return found


async def refused(store: Store) -> str:
    with pytest.raises(StoreUnavailable) as told:
        await store.queries.list("Counter")
    assert told.value.code == "REBUILDING"
    for question in (store.queries.open_work(), store.queries.get("Counter", NAMES[0]), amounts(store)):
        with pytest.raises(StoreUnavailable, match="REBUILDING"):
            await question
    return told.value.message


@pytest.mark.usefixtures("by_hand")
async def test_it_goes_on_after_a_crash_at_every_step(tmp_path: Path) -> None:
    before = await filled(tmp_path)
    told, opens = [], 0
    while True:
        store = opened(tmp_path, "2", rebuild_seconds=0.0)  # which does one step
        opens += 1
        if store.queries._rebuilding._behind()[:1] in ([], [("snapshots", "")]):
            break
        told.append(await refused(store))
        await store.close()
    # Each of 7 aggregates, and the end of them; 21 counted and 7 begun in tens.
    assert opens == 8 + 3
    assert told[0] != told[5]
    assert await everything(store) == before
    await store.queries.rebuilt()
    await store.close()


@pytest.mark.usefixtures("by_hand")
async def test_commands_are_carried_out_meanwhile_and_taken_in_once(tmp_path: Path) -> None:
    await filled(tmp_path)
    store = opened(tmp_path, "2", rebuild_seconds=0.0)
    number = 0
    while store.rebuilding.step():
        if number == 12:  # with this little in a step it would take long to come to their end
            continue
        for name in NAMES:
            await count(store, counter_id(name), 1)
        await begun(store, f"new {number}")
        number += 1
    found = await everything(store)
    await store.close()
    store = opened(tmp_path, "3", inline=True)
    assert await everything(store) == found
    assert {entry.name for entry in found[0]} == {*NAMES, *(f"new {one}" for one in range(number))}
    assert sum(amount for _, amount in found[2]) == sum(entry.summary["total"] for entry in found[0])
    await store.close()


@pytest.mark.usefixtures("by_hand")
async def test_another_version_begins_anew(tmp_path: Path) -> None:
    before = await filled(tmp_path)
    await opened(tmp_path, "2", rebuild_seconds=0.0).close()
    store = opened(tmp_path, "3", inline=True)
    assert set(store.rebuilt) == {"aggregates", "amounts"}
    assert await everything(store) == before
    await store.close()
    store = opened(tmp_path, "3", inline=True)
    assert store.rebuilt == ()
    await store.close()


async def test_a_thread_goes_on_with_it_and_whoever_waits_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await filled(tmp_path)
    monkeypatch.setattr(rebuilding, "STEP_SECONDS", 0.0)
    store = opened(tmp_path, "2", rebuild_seconds=0.0)
    await store.queries.rebuilt()
    assert await everything(store) == before
    await store.close()


async def test_closing_ends_it_between_two_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = await filled(tmp_path)
    monkeypatch.setattr(rebuilding, "STEP_SECONDS", 0.0)
    await opened(tmp_path, "2", rebuild_seconds=0.0).close()
    store = opened(tmp_path, "2", inline=True)
    assert await everything(store) == before
    await store.close()


async def test_what_keeps_it_from_going_on_is_told_and_it_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = opened(tmp_path, "1")
    identity = await begun(store, "a")
    await count(store, identity, 13)
    await store.close()
    monkeypatch.setattr(rebuilding, "STEP_SECONDS", 0.0)
    monkeypatch.setattr(rebuilding, "RETRY_SECONDS", 0.01)
    contents = replace(CONTENTS, views_version="2", projections=(Broken(version="2"),))
    store = open_store(tmp_path / "store.db", contents, durable=False, rebuild_seconds=0.0)
    codes = set()
    while "REBUILDING_FAILED" not in codes:
        with pytest.raises(StoreUnavailable) as told:
            await store.queries.open_work()
        codes.add(told.value.code)
    assert codes <= {"REBUILDING", "REBUILDING_FAILED"}
    assert "a fault of the projection" in caplog.text
    assert (await count(store, identity, 1)).value == 14
    monkeypatch.setattr(Broken, "apply", Amounts.apply)
    await store.queries.rebuilt()
    assert await amounts(store) == [(2, 13), (3, 1)]
    await store.close()


async def test_a_long_past_is_folded_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a step nor a command waits until all of it is folded: each part leaves a snapshot."""
    store = open_store(tmp_path / "store.db", CONTENTS, durable=False)
    identity = await begun(store, "a")
    for _ in range(99):
        await count(store, identity, 1)
    await store.close()
    monkeypatch.setattr(rebuilding, "STEP_SECONDS", 0.0)
    monkeypatch.setattr(rebuilding, "EVENTS_AT_ONCE", 20)
    monkeypatch.setattr(Rebuilding, "go_on", lambda self: None)
    store = opened(tmp_path, "2", rebuild_seconds=0.0)
    steps = 1
    while store.rebuilding.step():
        steps += 1
    assert steps >= 100 // 20
    assert (await store.queries.get("Counter", identity)).summary["total"] == 99
    assert (await count(store, identity, 1)).value == 100
    assert Counter.INITIAL_STATE == "OPEN"
    await store.close()
