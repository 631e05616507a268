"""A pair is taken over from a control device that is lost: by a person, once, and the lost one is refused for good."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from domain.errors import Conflict, InvalidInput, Unavailable
from domain.protection.backup_run.states import ENDED
from domain.protection.policy import Settings
from tests.simulation.hadoop_pair import DIRECTORY, HadoopWorld, tree
from tests.simulation.test_two_control_devices import (
    DATA_SETS,
    another,
    backup,
    enter,
    form,
    owner,
    picture,
    run_of,
)
from tests.simulation.world import Crash, Life, World


@pytest.fixture
def world(tmp_path: Path) -> HadoopWorld:
    """A control device with a pair and one recovery point, which is about to be lost."""
    directory = tmp_path / "lost"
    directory.mkdir()
    made = HadoopWorld(directory)
    made.live(form)
    assert made.live(backup("first")) == ("COMPLETED", None)
    return made


def taking(world: HadoopWorld, **changed: Any) -> Any:
    """A person takes the pair over."""

    async def step(life: Life) -> None:
        words = {"from_store": owner(world).store, "reason": "it burnt", **changed}
        await enter(life)
        await life.control_plane.take_over_pair(life.caller(f"take {words}"), "main", "north", "south", **words)
        await life.until("pair", "main", ["STEADY"])

    return step


async def enter_service(life: Life) -> None:
    """The new control device knows nothing of services: they are entered again, and their copies taken over."""
    await life.control_plane.add_service(life.caller("service"), "shop", "main", DATA_SETS, adopts=True)
    await life.control_plane.add_policy(life.caller("policy"), "nightly", "shop", Settings())


async def first_backup(life: Life) -> str:
    """What the copies would lose is confirmed, as with every service that is adopted."""
    await life.control_plane.backup(life.caller("new"), "shop", policy=None, moment_ms=None, direction="push")
    if await life.until("run", run_of("new"), ["HELD", *ENDED]) == "HELD":
        await life.control_plane.confirm_run(life.caller("confirm"), run_of("new"))
    return await life.until("run", run_of("new"), ENDED)


def check_the_new_one_works(world: HadoopWorld, new: World) -> None:
    """It backs up; the lost one, should it come back, is refused and changes nothing, however often it starts."""
    new.live(enter_service)
    world.change()
    assert new.live(first_backup) == "COMPLETED"
    assert tree(world.south, DIRECTORY) == tree(world.north, DIRECTORY)
    before = picture(world)
    for number in range(4):
        assert world.live(backup(f"wrong {number}")) == ("FAILED", "PAIR_OWNED")
    assert picture(world) == before


@pytest.mark.parametrize("has_gateways", [True, False], ids=["its gateways", "new gateways"])
def test_a_fresh_store_takes_a_pair_over(world: HadoopWorld, has_gateways: bool) -> None:
    new = another(world, "new", has_store=False, has_gateways=has_gateways)
    new.live(taking(world))
    assert "new-device" in {owner(world, "north").host, owner(world, "south").host}

    async def summary(life: Life) -> dict[str, Any]:
        return (await life.queries.get("ClusterPair", "main")).summary

    told = new.live(summary)
    assert (told["epoch"], told["taken_over"]["by"], told["taken_over"]["reason"]) == (2, "ann", "it burnt")
    assert told["store"] == owner(world, "south").store
    check_the_new_one_works(world, new)


def test_the_control_device_crashes_after_each_command_of_a_take_over(world: HadoopWorld) -> None:
    new = another(world, "new", has_store=False)
    step = taking(world, from_store=owner(world).store)

    async def go_on(life: Life) -> None:
        life.world.crash_after = (await life.queries.head()).position + 1
        known = await life.queries.list("ClusterPair", {})
        if known:  # it was asked for, and goes on by itself
            await life.until("pair", "main", ["STEADY"])
        else:
            await step(life)

    for _ in range(60):
        try:
            new.live(go_on)
            break
        except Crash:
            continue
    new.crash_after = None
    assert new.lives > 5
    assert owner(world, "north").store == owner(world, "south").store
    check_the_new_one_works(world, new)


def test_lost_answers_of_a_gateway_do_no_harm(world: HadoopWorld) -> None:
    new = another(world, "new", has_store=False)
    step = taking(world, from_store=owner(world).store)

    async def losing(life: Life) -> None:
        await enter(life)
        for gateway in new.gateways.values():
            gateway.answers_to_lose = 1
        try:
            await step(life)
        except Unavailable:
            await step(life)

    new.live(losing)
    check_the_new_one_works(world, new)


def test_a_take_over_that_is_repeated_with_its_key_gets_its_first_answer(world: HadoopWorld) -> None:
    new = another(world, "new", has_store=False)
    store = owner(world).store

    async def twice(life: Life) -> None:
        await enter(life)
        take = life.control_plane.take_over_pair
        first = await take(life.caller("take"), "main", "north", "south", store, "it burnt")
        await life.until("pair", "main", ["STEADY"])
        assert await take(life.caller("take"), "main", "north", "south", store, "it burnt") == first
        with pytest.raises(Conflict, match="NOTHING_TO_TAKE_OVER"):
            await take(life.caller("another"), "main", "north", "south", store, "it burnt")

    new.live(twice)


def test_only_what_belongs_to_the_store_that_is_named_is_taken(world: HadoopWorld) -> None:
    new = another(world, "new", has_store=False)
    before = picture(world)

    async def wrong(life: Life) -> None:
        await enter(life)
        take = life.control_plane.take_over_pair
        with pytest.raises(InvalidInput, match="NOT_THE_OWNER") as caught:
            await take(life.caller("1"), "main", "north", "south", "f" * 32, "it burnt")
        assert owner(world, "north").store in caught.value.message
        for gateway in new.gateways.values():
            gateway.cut_off = Unavailable("GATEWAY_UNREACHABLE", "away")
        with pytest.raises(Unavailable, match="GATEWAY_UNREACHABLE"):
            await take(life.caller("2"), "main", "north", "south", owner(world).store, "it burnt")
        for gateway in new.gateways.values():
            gateway.cut_off = None

    async def own(life: Life) -> None:
        with pytest.raises(Conflict, match="NOTHING_TO_TAKE_OVER"):
            await life.control_plane.take_over_pair(
                life.caller("1"), "main", "north", "south", owner(world).store, "it burnt"
            )

    new.live(wrong)
    world.live(own)
    assert picture(world) == before


def test_what_the_lost_one_had_armed_takes_no_snapshot(world: HadoopWorld) -> None:
    """Neither its agent, which waits for the moment, nor the lost one itself, should it come back."""
    new = another(world, "new", has_store=False, has_gateways=False)
    directory = world.north.find(DIRECTORY)
    assert directory is not None
    before = sorted(directory.snapshots or ())

    async def arm(life: Life) -> None:
        await life.control_plane.backup(life.caller("armed"), "shop", policy=None, moment_ms=None, direction="push")
        await life.until("run", run_of("armed"), ["ARMED"])

    async def wait(life: Life) -> str:
        await asyncio.sleep(300)
        return (await life.queries.get("BackupRun", run_of("armed"))).state

    world.live(arm)
    new.live(taking(world))
    assert sorted(directory.snapshots or ()) == before, "it was taken over before the moment"
    assert world.live(wait) not in ("STAGING", "COMPLETED")
    assert sorted(directory.snapshots or ()) == before


def test_a_restored_backup_of_the_store_takes_over_when_a_person_says_so(world: HadoopWorld) -> None:
    restored = another(world, "restored", has_store=True)
    world.change()
    assert world.live(backup("second")) == ("COMPLETED", None)
    lost = owner(world)
    restored.live(taking(world))
    assert owner(world).store == lost.store, "it is the same store"
    assert owner(world).line != lost.line
    world.application.put(f"{DIRECTORY}/later", b"x")
    assert restored.live(backup("third")) == ("COMPLETED", None)
    assert tree(world.south, DIRECTORY) == tree(world.north, DIRECTORY)
    before = picture(world)
    assert world.live(backup("wrong")) == ("FAILED", "OTHER_CONTROLLER")
    assert picture(world) == before


@pytest.mark.parametrize("away", ["north", "south"])
def test_a_cluster_that_cannot_be_reached_is_taken_over_later(world: HadoopWorld, away: str) -> None:
    new = another(world, "new", has_store=False)
    there = "south" if away == "north" else "north"
    from_store = owner(world, away).store
    first = taking(world, from_store=from_store, reason="it burnt")

    async def one_alone(life: Life) -> None:
        await enter(life)
        words = {"from_store": from_store, "reason": "it burnt"}
        new.gateways[away].cut_off = Unavailable("GATEWAY_UNREACHABLE", "away")
        await life.control_plane.take_over_pair(life.caller("one"), "main", "north", "south", **words)
        while owner(world, there).store == from_store:
            await life.clock.sleep_until(life.clock.monotonic_seconds() + 1)
        new.gateways[away].cut_off = None
        assert owner(world, away).store == from_store
        with pytest.raises(Conflict, match="IN_ANOTHER_PAIR"):
            await life.control_plane.create_pair(life.caller("pair"), "other", "north", "south")

    new.live(one_alone)
    assert world.live(backup("wrong")) == ("FAILED", "PAIR_OWNED"), "with one cluster alone it can do nothing"
    new.live(first)
    check_the_new_one_works(world, new)
