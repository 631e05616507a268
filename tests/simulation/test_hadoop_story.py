"""The story with the agents' real procedures over two simulated clusters: the same end whatever dies in between."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from domain.protection.policy import Settings
from domain.values.data_set import DataSet
from infra.agent.core.operations import OperationFailed
from infra.agent.core.procedures import PROCEDURES
from tests.fakes.executor import Kill
from tests.fakes.hdfs import FakeHdfs
from tests.fakes.hdfs_namespace import walk
from tests.simulation.hadoop_pair import DIRECTORY, TABLES, HadoopWorld, tree
from tests.simulation.story import Story, point_id, run_id
from tests.simulation.test_story import check_histories

pytestmark = pytest.mark.long

ORDERS = DataSet("hdfs", DIRECTORY)
DATA_SETS = (ORDERS, *(DataSet("hbase", table) for table in TABLES))
PATIENT: dict[str, Any] = {"lead_seconds": 900, "fire_tolerance_ms": 60_000}
"""For agents that die around the moment itself: the next one may still fire."""


def story(world: HadoopWorld, **settings: Any) -> Story:
    """The story; what is opened is compared with what the application had at that moment."""
    expected = {"first": (tree(world.north, DIRECTORY), world.rows())}

    def between() -> None:
        world.change()
        expected["second"] = (tree(world.north, DIRECTORY), world.rows())

    def opened(word: str, readable: Mapping[str, Any]) -> None:
        names = {one.name: readable[one.id]["readable"] for one in DATA_SETS}
        files, rows = expected[word]
        assert tree(world.south, names[DIRECTORY]) == files
        assert {table: world.tables["south"].scan(names[table]) for table in TABLES} == rows

    return Story(Settings(keep_last=1, **settings), DATA_SETS, between, opened)


def check_the_end(world: HadoopWorld) -> None:
    """One snapshot of everything on each side; heads as the primary; nothing else left, nothing taken twice."""
    assert tree(world.south, DIRECTORY) == tree(world.north, DIRECTORY)
    second = run_id("second").hex[:12]
    for name, hdfs in (("north", world.north), ("south", world.south)):
        directory = hdfs.find(DIRECTORY)
        assert directory is not None
        assert [snapshot.rpartition("-")[2] for snapshot in directory.snapshots or ()] == [second]
        snapshots = sorted(found["name"] for found in world.tables[name].snapshots.listed())
        assert [snapshot.partition("Z-")[2] for snapshot in snapshots] == [
            f"{second}-{table.replace(':', '.')}" for table in TABLES
        ]
        assert not [table for table in world.tables[name].tables if table.startswith("understudy_scratch")]
    point = f"recovery-points/{point_id('second').hex}"
    assert _files(world.north) == sorted(["identity/1.json", f"{point}/anchor.json", f"{point}/manifest.json"])
    lists = {one.id: south_list(world, f"{point}/{one.id}.layers") for one in DATA_SETS}
    manifests = [f"{point}/{one.id}.layers" for one in DATA_SETS]
    manifests += [f"manifests/{own}/{layer['name']}" for own, said in lists.items() for layer in said["layers"]]
    read = [f"read/{one.id}" for one in DATA_SETS]
    assert _files(world.south) == sorted(
        ["identity/1.json", f"{point}/anchor.json", *manifests, f"{point}/manifest.json", *read]
    )
    check_histories(world)


def south_list(world: HadoopWorld, path: str) -> dict[str, Any]:
    """Which layers a recovery point names."""
    said: dict[str, Any] = json.loads(world.south.read(f"/.understudy/{path}"))
    return said


def _files(hdfs: FakeHdfs) -> list[str]:
    """The files of the product's own tree."""
    root = hdfs.find("/.understudy")
    assert root is not None
    return sorted(name for name, inode in walk(root) if name and not inode.is_directory)


def test_it_comes_to_its_end(tmp_path: Path) -> None:
    world = HadoopWorld(tmp_path)
    story(world).tell(world)
    assert world.lives == 1
    check_the_end(world)


def test_the_control_device_crashes_after_each_command_in_turn(tmp_path: Path) -> None:
    world = HadoopWorld(tmp_path)
    story(world, **PATIENT).tell(world, crash_after=lambda position: position + 1)
    assert world.lives > 50
    check_the_end(world)


@pytest.mark.parametrize("when", ["before", "after", "torn"])
def test_agents_die_at_every_operation_in_turn(tmp_path: Path, when: Any) -> None:
    world = HadoopWorld(tmp_path)
    for gateway in world.gateways.values():
        for kind in PROCEDURES:
            for operation in range(1, 40):
                gateway.kill_agent_of(kind, Kill(operation, when, in_flight_lands=operation % 2 == 0))
    story(world, **PATIENT).tell(world)
    check_the_end(world)


@pytest.mark.parametrize("seed", range(3))
def test_everything_dies_at_random(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    world = HadoopWorld(tmp_path)
    for gateway in world.gateways.values():
        for kind in PROCEDURES:
            for _ in range(chance.randrange(4)):
                when: Any = chance.choice(["before", "after", "torn"])
                gateway.kill_agent_of(kind, Kill(chance.randrange(1, 60), when, chance.random() < 0.5))
        gateway.answers_to_lose = chance.randrange(8)
    story(world, **PATIENT).tell(world, crash_after=lambda position: position + chance.randrange(1, 20))
    check_the_end(world)


AWAY_MS = 400_000
"""Longer than an agent is patient: the attempt fails."""


@pytest.mark.parametrize("spool_is_lost", [False, True])
@pytest.mark.parametrize("asked", range(20, 400, 54))
def test_the_secondarys_namenode_is_away_in_the_middle_of_apply(
    tmp_path: Path, asked: int, spool_is_lost: bool
) -> None:
    """Another attempt ends what the first one began, even on a gateway that has lost its spool."""
    world = HadoopWorld(tmp_path)
    gateway = world.gateways["south"]
    answer = world.south.call
    back_at: list[float] = []

    def lose_spool() -> None:
        gateway.kill_agents()
        shutil.rmtree(gateway.spool.root)

    def call(*words: Any, **more: Any) -> dict[str, Any]:
        now = world.clock.now_ms
        if not back_at and sum(kind == "ApplyStaged" for kind, _ in gateway.performed) >= asked:
            back_at.append(now + AWAY_MS)
            if spool_is_lost:
                world.clock.call_at(now + 1, lose_spool)
        if back_at and now < back_at[0]:
            raise OperationFailed("HDFS_UNREACHABLE", "connection refused", transient=True)
        return answer(*words, **more)

    world.south.call = call  # type: ignore[method-assign]
    story(world, **PATIENT).tell(world)
    assert back_at
    check_the_end(world)
