"""What shows that a head is at its base, and each thing alone that shows that it is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from infra.agent.core.hdfs_at_base import is_at_base
from infra.agent.core.kept_manifests import fetch_manifest
from infra.agent.core.machine import Procedure
from tests.agent.hdfs_world import DATA_SET, HEAD, World
from tests.fakes.executor import run_procedure
from tests.fakes.hdfs_application import Application

HEAD_SET = {**DATA_SET, "base": "r1", "recovery_point": "r1"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    for name in ("a", "b", "sub/c"):
        world.app.put(f"{HEAD}/{name}", name.encode() * 700)
    world.app.put(f"{HEAD}/sub/empty", b"")
    world.backup("r1")
    return world


def is_there(world: World) -> bool:
    """What is said of the head."""

    def ask() -> Procedure:
        fetched = yield from fetch_manifest("r1", DATA_SET, "base")
        return (yield from is_at_base(HEAD_SET, fetched.name))

    executor = world.executor(world.apply_instruction("r2", "r1"))
    try:
        return bool(run_procedure(ask(), executor))
    finally:
        executor.appender.abandon()


def opened(world: World) -> None:
    """Somebody may write to a file that has no block yet, so its length and blocks are as they were."""
    inode = world.secondary.find(f"{HEAD}/sub/empty")
    assert inode is not None
    inode.is_open = True


def other_time(world: World) -> None:
    world.secondary.call("PUT", "SETTIMES", f"{HEAD}/a", {"modificationtime": "7"})


def in_place(world: World) -> None:
    Application(world.secondary, "hdfs").rewrite(f"{HEAD}/b", b"#" * 300)


def new_file(world: World) -> None:
    world.secondary.write(f"{HEAD}/sub/new", b"new")


def other_mode(world: World) -> None:
    world.secondary.call("PUT", "SETPERMISSION", f"{HEAD}/a", {"permission": "600"})


def other_attribute(world: World) -> None:
    Application(world.secondary, "hdfs").set_attribute(f"{HEAD}/a", "user.k", "0x61")


def test_a_head_that_nobody_touched_is_at_its_base(world: World) -> None:
    assert is_there(world)
    world.secondary.tells_blocks = False
    assert is_there(world)


@pytest.mark.parametrize("change", [opened, other_time, in_place, new_file, other_mode, other_attribute])
def test_a_head_that_is_not_what_it_was_is_noticed(world: World, change: Callable[[World], None]) -> None:
    change(world)
    assert not is_there(world)
