"""Refused commands are recorded before their callers hear of them, and never so many that they fill the store."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from domain.errors import NotFound, Refused
from infra.control_plane import Caller
from infra.control_plane.refusals import PER_MINUTE
from infra.store.errors import StoreUnavailable
from infra.store.queries import AggregateEntry
from tests.simulation.doing import plan, prepare
from tests.simulation.test_story import toy_world
from tests.simulation.toy import toys
from tests.simulation.world import Life, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world with a pair, a service and a policy."""
    world = toy_world(tmp_path)
    prepare(world)
    return world


async def recorded(life: Life) -> list[dict[str, Any]]:
    """The recorded refusals, oldest first."""
    entries: list[AggregateEntry] = list(await life.queries.list("Refusal", limit=1_000))
    return [entry.summary for entry in entries]


async def refused(call: Awaitable[object]) -> str:
    with pytest.raises(Refused) as caught:
        await call
    return caught.value.code


async def expire(life: Life, caller: Caller) -> str:
    """A command that is always refused: there is no such recovery point."""
    return await refused(life.control_plane.expire_recovery_point(caller, uuid4(), "no"))


def test_who_tried_what_is_recorded_with_the_code(world: World) -> None:
    async def scenario(life: Life) -> None:
        plane = life.control_plane
        unknown = uuid4()
        assert await refused(plane.cancel_run(life.caller("cancel"), unknown, "no")) == "NOT_FOUND"
        assert await refused(plan(life, "past", moment_ms=1)) == "MOMENT_PAST"
        assert await refused(plan(life, "which", policy="none")) == "NOT_FOUND"
        assert await refused(plane.create_pair(life.caller("same"), "other", "north", "north")) == "SAME_CLUSTER"
        told = [(one["actor"], one["command"], one["about"], one["code"]) for one in await recorded(life)]
        assert told == [
            ("ann", "cancel_run", str(unknown), "NOT_FOUND"),
            ("ann", "backup", "shop", "MOMENT_PAST"),
            ("ann", "backup", "shop", "NOT_FOUND"),
            ("ann", "create_pair", "other", "SAME_CLUSTER"),
        ]
        assert {one["request_id"] for one in await recorded(life)} >= {"request cancel", "request past"}
        assert await life.queries.open_work() == [], "a refusal asks for nothing"

    with toys():
        world.live(scenario)


def test_a_command_that_succeeds_or_only_looks_records_none(world: World) -> None:
    async def scenario(life: Life) -> None:
        with suppress(NotFound):
            await life.control_plane.run_page(uuid4())
        await life.control_plane.add_cluster(life.caller("third"), "third", world.endpoints("north"))
        assert await recorded(life) == []

    with toys():
        world.live(scenario)


def test_a_refused_command_that_is_repeated_is_recorded_once(world: World) -> None:
    async def scenario(life: Life) -> None:
        for _ in range(3):
            assert await refused(plan(life, "past", moment_ms=1)) == "MOMENT_PAST"
        assert len(await recorded(life)) == 1

    with toys():
        world.live(scenario)
        world.live(scenario)


def test_a_flood_is_counted_and_hides_nobody_else(world: World) -> None:
    async def scenario(life: Life) -> None:
        for number in range(PER_MINUTE + 7):
            assert await expire(life, life.caller(f"flood {number}")) == "NOT_FOUND"
        assert len(await recorded(life)) == PER_MINUTE
        await expire(life, replace(life.caller("bob's"), actor="bob"))
        assert (await recorded(life))[-1]["actor"] == "bob"
        await life.clock.sleep_until(life.clock.monotonic_seconds() + 60)
        await expire(life, life.caller("a minute later"))
        newest = (await recorded(life))[-1]
        assert (newest["actor"], newest["left_out"]) == ("ann", 7)
        await expire(life, life.caller("once more"))
        assert (await recorded(life))[-1]["left_out"] == 0

    with toys():
        world.live(scenario)


def test_a_store_that_cannot_record_it_does_not_hide_the_refusal(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def full(*_: object) -> None:
        raise StoreUnavailable("STORE_FULL", "there is no space left.")

    async def scenario(life: Life) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(life.control_plane.refusals._writer, "execute", full)
            assert await refused(life.control_plane.backup(
                life.caller("lost"), "nothing", policy=None, moment_ms=None, direction=None
            )) == "NOT_FOUND"  # fmt: skip
        assert "STORE_FULL" in caplog.text
        await expire(life, life.caller("next"))
        (told,) = await recorded(life)
        assert told["left_out"] == 1

    with toys():
        world.live(scenario)
