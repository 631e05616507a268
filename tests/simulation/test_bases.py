"""Where increments start, with the agents' real procedures: deleted snapshots, data sets that come back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from domain.protection.policy import Settings
from domain.values.data_set import DataSet
from infra.agent.protocol import hbase_snapshot_name
from tests.simulation.doing import ended, plan
from tests.simulation.hadoop_pair import DIRECTORY, TABLES, HadoopWorld, tree
from tests.simulation.story import Story, point_id
from tests.simulation.world import Life

ORDERS = DataSet("hdfs", DIRECTORY)
ACCOUNTS, CARTS = (DataSet("hbase", table) for table in TABLES)
EVERYTHING = (ORDERS, ACCOUNTS, CARTS)


@pytest.fixture
def world(tmp_path: Path) -> HadoopWorld:
    """A pair, the service and a policy that keeps one recovery point and never asks."""
    world = HadoopWorld(tmp_path)
    story = Story(Settings(keep_last=1, mass_change_percent=100, trial_clone=False), EVERYTHING)
    story.steps = story.steps[:3]
    story.tell(world)
    return world


def back_up(world: HadoopWorld, word: str, data_sets: tuple[DataSet, ...] = EVERYTHING) -> dict[str, Any]:
    """Change everything, let the service have these data sets, and back it up; returns the run's page."""
    world.application.put(f"{DIRECTORY}/2026/{word}", word.encode() * 100)
    for table in TABLES:
        world.tables["north"].put(table, word, word)

    async def scenario(life: Life) -> dict[str, Any]:
        await life.control_plane.add_service(life.caller(f"service {word}"), "shop", "main", data_sets)
        await plan(life, word)
        return await ended(life, word)

    page = world.live(scenario)
    assert page["state"] == "COMPLETED", page["failure"]
    return page


def lose(world: HadoopWorld, cluster: str, page: dict[str, Any], *data_sets: DataSet) -> None:
    """Somebody deletes snapshots of a run."""
    hdfs = {"north": world.north, "south": world.south}[cluster]
    for data_set in data_sets:
        if data_set == ORDERS:
            hdfs.call("DELETE", "DELETESNAPSHOT", DIRECTORY, {"snapshotname": page["snapshot"]})
        else:
            name = hbase_snapshot_name(page["snapshot"], data_set.name)
            world.tables[cluster].call({"do": "delete_snapshot", "name": name})


def state_of(world: HadoopWorld, word: str) -> tuple[str, str | None]:
    """The state of the recovery point of a run, and the code of what is wrong with it."""

    async def scenario(life: Life) -> tuple[str, str | None]:
        entry = await life.queries.get("RecoveryPoint", point_id(word))
        return entry.state, (entry.summary["failure"] or {}).get("code")

    return world.live(scenario)


def assert_equal(world: HadoopWorld) -> None:
    assert tree(world.south, DIRECTORY) == tree(world.north, DIRECTORY)


def test_a_deleted_snapshot_is_told_and_the_next_backup_needs_it_no_more(world: HadoopWorld) -> None:
    first = back_up(world, "first")
    lose(world, "south", first, ORDERS, CARTS)
    second = back_up(world, "second")
    assert_equal(world)
    staged = {one.name: second["staged"][one.id] for one in EVERYTHING}
    assert {name: told["compared_with"] for name, told in staged.items()} == {
        ORDERS.name: "head",
        ACCOUNTS.name: "base",
        CARTS.name: "nothing",
    }
    assert staged[ORDERS.name]["files_moved"] == 1
    told = {found["subject"] for found in second["warnings"] if found["code"] == "SNAPSHOT_MISSING"}
    assert told == {str(ORDERS), str(CARTS)}
    history = [type(event).__name__ for event in world.events()[point_id("first")]]
    assert history.count("DamageFound") == 1
    third = back_up(world, "third")
    assert {told["compared_with"] for told in third["staged"].values()} == {"base"}
    assert_equal(world)


def test_an_older_recovery_point_that_has_lost_a_snapshot_is_noticed_before_anybody_needs_it(
    world: HadoopWorld,
) -> None:
    async def keep_more(life: Life) -> None:
        await life.control_plane.add_policy(life.caller("more"), "nightly", "shop", Settings(keep_last=9))

    world.live(keep_more)
    first = back_up(world, "first")
    back_up(world, "second")
    lose(world, "south", first, ORDERS)
    third = back_up(world, "third")
    assert state_of(world, "first") == ("DAMAGED", "SNAPSHOT_MISSING")
    assert third["staged"][ORDERS.id]["compared_with"] == "base"
    assert state_of(world, "second") == ("AVAILABLE", None)


def test_what_the_primary_has_lost_damages_no_recovery_point(world: HadoopWorld) -> None:
    lose(world, "north", back_up(world, "first"), *EVERYTHING)
    second = back_up(world, "second")
    assert_equal(world)
    assert second["staged"][ORDERS.id]["compared_with"] == "frozen"
    assert {second["staged"][one.id]["compared_with"] for one in (ACCOUNTS, CARTS)} == {"base"}
    assert "DamageFound" not in [type(event).__name__ for event in world.events()[point_id("first")]]


def test_a_data_set_that_left_and_comes_back_starts_where_its_copy_is(world: HadoopWorld) -> None:
    back_up(world, "first")
    for word in ("second", "third"):
        back_up(world, word, (ACCOUNTS, CARTS))
    assert state_of(world, "first") == ("AVAILABLE", None), "its directory's copy shows it"
    fourth = back_up(world, "fourth")
    assert fourth["staged"][ORDERS.id]["base"] == point_id("first").hex
    assert fourth["staged"][ORDERS.id]["files_moved"] == 3
    assert fourth["staged"][ACCOUNTS.id]["base"] == point_id("third").hex
    assert_equal(world)
    assert state_of(world, "first")[0] in ("EXPIRING", "EXPIRED")


def test_a_data_set_that_another_service_has_protected_before_is_no_foreign_tree(world: HadoopWorld) -> None:
    back_up(world, "first")

    async def hand_over(life: Life) -> None:
        plane = life.control_plane
        await plane.add_service(life.caller("without"), "shop", "main", (ACCOUNTS, CARTS))
        await plane.add_service(life.caller("other"), "books", "main", (ORDERS,))
        await plane.add_policy(life.caller("books"), "hourly", "books", Settings(trial_clone=False))

    async def scenario(life: Life) -> dict[str, Any]:
        wanted = {"policy": None, "moment_ms": None, "direction": None}
        run = await life.control_plane.backup(life.caller("books 1"), "books", **wanted)
        await life.until("run", run, ["COMPLETED", "FAILED"])
        return await life.control_plane.run_page(run)

    world.live(hand_over)
    page = world.live(scenario)
    assert page["state"] == "COMPLETED", page["failure"]
    assert page["staged"][ORDERS.id]["compared_with"] == "head"
    assert_equal(world)
