"""Modification times in the future: a copy keeps them, and they are not taken for the time of a close."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.agent.hdfs_world import HEAD, World
from tests.agent.test_changed_in_place import cut_ms, manifest

YEAR_2040 = 2_208_988_800_000
ACL = "user::rw-,user:bob:r--,group::r--,mask::r--,other::r--"


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    for name in ("plain", "sub/with an ACL", "sub/other"):
        made.app.put(f"{HEAD}/{name}", name.encode() * 100)
    made.app.set_acl(f"{HEAD}/sub/with an ACL", ACL)
    for name in ("plain", "sub/with an ACL", "sub"):
        made.app.touch(f"{HEAD}/{name}", YEAR_2040)
    return made


def assert_exact(world: World, run: str, result: dict[str, Any]) -> None:
    world.assert_equal(run)
    assert result["fuzzy"] == 0
    assert not any("f" in entry for entry in manifest(world, run).values())
    assert result["digest"]["content"]["verdict"] == result["digest"]["metadata"]["verdict"] == "EQUAL"


def test_they_are_copied_once_and_are_exact(world: World) -> None:
    assert_exact(world, "r1", world.backup("r1"))
    again = world.backup("r2", "r1")
    assert_exact(world, "r2", again)
    assert (again["files_moved"], again["steps"]) == (0, 0)


def test_a_file_that_an_agent_from_before_took_for_open_is_not_copied_again(world: World) -> None:
    world.open_files = ["plain"]
    assert world.backup("r1")["fuzzy"] == 1
    world.open_files = []
    again = world.backup("r2", "r1")
    assert_exact(world, "r2", again)
    assert again["files_moved"] == 0


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("name", ["plain", "sub/with an ACL"])
def test_only_a_time_up_to_the_listing_of_open_files_may_be_a_close(world: World, is_first: bool, name: str) -> None:
    base = None
    if not is_first:
        world.backup("r0")
        base = "r0"
    world.app.touch(f"{HEAD}/{name}", int(world.clock.now_ms) + 1000)
    world.cut("r1")
    at_ms = cut_ms(world.primary, "r1")
    sent = world.run(world.send_instruction("r1", base, open_listed_ms=at_ms + 900))
    assert sent["fuzzy"] == 0
    sent = world.run(world.send_instruction("r1", base, open_listed_ms=at_ms + 1100))
    assert sent["fuzzy"] == 1


def test_where_open_files_were_not_listed_a_close_may_be_as_late_as_the_reading(world: World) -> None:
    world.app.touch(f"{HEAD}/plain", int(world.clock.now_ms) + 60_000)
    world.cut("r1")
    assert world.run(world.send_instruction("r1", None))["fuzzy"] == 1
