"""The story with the agents' real procedures over two simulated HDFS: the same end whatever dies in between."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from domain.protection.policy import Settings
from domain.values.data_set import DataSet
from infra.agent.core.procedures import PROCEDURES
from tests.fakes.executor import Kill
from tests.fakes.hdfs_application import Application
from tests.fakes.hdfs_namespace import walk
from tests.simulation.hdfs_pair import HEAD, hdfs_world, second_contents, tree
from tests.simulation.story import Story, point_id, run_id
from tests.simulation.test_story import check_histories
from tests.simulation.world import World

PATIENT: dict[str, Any] = {"lead_seconds": 900, "fire_tolerance_ms": 60_000}
"""For agents that die around the moment itself: the next one may still fire."""


def story(world: World, **settings: Any) -> Story:
    application = Application(world.clusters["north"].hdfs)
    return Story(Settings(keep_last=1, **settings), (DataSet("hdfs", HEAD),), lambda: second_contents(application))


def check_the_end(world: World) -> None:
    """The copy is what the primary has; one snapshot on each side, nothing else left, nothing taken twice."""
    north, south = world.clusters["north"].hdfs, world.clusters["south"].hdfs
    assert tree(south, HEAD) == tree(north, HEAD)
    for hdfs in (north, south):
        snapshots = list(hdfs.find(HEAD).snapshots)
        assert [name.rpartition("-")[2] for name in snapshots] == [run_id("second").hex[:12]]
        assert tree(hdfs, f"{HEAD}/.snapshot/{snapshots[0]}") == tree(north, HEAD)
    assert left_over(north) == ["identity/1.json"]
    point = f"recovery-points/{point_id('second').hex}"
    manifest = f"{point}/{DataSet('hdfs', HEAD).id}.manifest"
    assert left_over(south) == ["identity/1.json", f"{point}/anchor.json", manifest, f"{point}/manifest.json"]
    check_histories(world)


def left_over(hdfs: Any) -> list[str]:
    """The files of the product's own tree."""
    root = hdfs.find("/.understudy")
    return [name for name, inode in walk(root) if name and not inode.is_directory]


def test_it_comes_to_its_end(tmp_path: Path) -> None:
    world = hdfs_world(tmp_path)
    story(world).tell(world)
    assert world.lives == 1
    check_the_end(world)


def test_the_control_device_crashes_after_each_command_in_turn(tmp_path: Path) -> None:
    world = hdfs_world(tmp_path)
    story(world).tell(world, crash_after=lambda position: position + 1)
    assert world.lives > 50
    check_the_end(world)


@pytest.mark.parametrize("when", ["before", "after", "torn"])
def test_agents_die_at_every_operation_in_turn(tmp_path: Path, when: Any) -> None:
    world = hdfs_world(tmp_path)
    for gateway in world.gateways.values():
        for kind in PROCEDURES:
            for operation in range(1, 40):
                gateway.kill_agent_of(kind, Kill(operation, when, in_flight_lands=operation % 2 == 0))
    story(world, **PATIENT).tell(world)
    check_the_end(world)


@pytest.mark.parametrize("seed", range(8))
def test_everything_dies_at_random(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    world = hdfs_world(tmp_path)
    for gateway in world.gateways.values():
        for kind in PROCEDURES:
            for _ in range(chance.randrange(4)):
                when: Any = chance.choice(["before", "after", "torn"])
                gateway.kill_agent_of(kind, Kill(chance.randrange(1, 60), when, chance.random() < 0.5))
        gateway.answers_to_lose = chance.randrange(8)
    story(world, **PATIENT).tell(world, crash_after=lambda position: position + chance.randrange(1, 20))
    check_the_end(world)
