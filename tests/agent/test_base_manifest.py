"""What an increment reads from its base's manifest instead of listing the base: only if that is the sealed one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.agent.core.hdfs import ListPage
from infra.agent.core.work import manifest_path
from infra.agent.protocol import canonical
from tests.agent.hdfs_world import DATA_SET, HEAD, World

FILES = 12


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.app.mkdir(f"{HEAD}/x")
    for number in range(FILES):
        made.app.put(f"{HEAD}/x/f{number}", b"%d" % number)
    made.backup("r1")
    return made


def listed(world: World) -> list[str]:
    """The trees of which the last instruction has listed a directory, on the primary."""
    calls = [one for one in world.performed if isinstance(one, ListPage) and one.site == "primary"]
    return sorted({one.path.split("/.snapshot/")[1].partition("/")[0] for one in calls})


def test_the_base_is_not_listed(world: World) -> None:
    world.app.put(f"{HEAD}/x/f1", b"changed")
    world.cut("r2")
    sent = world.run(world.send_instruction("r2", "r1"))
    assert listed(world) == ["r2"]
    assert (sent["files_moved"], sent["entries_in_base"], sent["compared_with"]) == (1, FILES + 2, "base")


@pytest.mark.parametrize("damage", ["a line is gone", "no ids", "the seal is gone"])
def test_a_manifest_that_is_not_the_sealed_one_stands_for_no_listing(world: World, damage: str) -> None:
    path = manifest_path("r1", DATA_SET)
    lines = world.secondary.read(path).splitlines(keepends=True)
    if damage == "a line is gone":
        lines = [line for line in lines if b'"p":"x/f3"' not in line]
    elif damage == "no ids":
        lines = [canonical({k: v for k, v in json.loads(line).items() if k != "I"}) + b"\n" for line in lines]
    else:
        world.secondary.call("DELETE", "DELETE", f"{path.rpartition('/')[0]}/manifest.json", {})
    world.secondary.write(path, b"".join(lines))
    world.app.delete(f"{HEAD}/x/f3")
    result = world.backup("r2", "r1")
    assert result["deleted"] == 1
    assert result["digest"]["content"]["verdict"] == "EQUAL"
    world.assert_equal("r2")


def test_a_directory_that_a_file_takes_the_place_of_moves_as_one(world: World) -> None:
    world.app.rename(f"{HEAD}/x", f"{HEAD}/z")
    world.app.put(f"{HEAD}/x", b"a file now")
    result = world.backup("r2", "r1")
    assert (result["renamed"], result["files_moved"], result["deleted"]) == (1, 1, 0)
    world.assert_equal("r2")


def test_what_moved_along_with_a_directory_is_in_the_manifest_and_nowhere_else(world: World) -> None:
    world.app.rename(f"{HEAD}/x", f"{HEAD}/z")
    result = world.backup("r2", "r1")
    assert (result["renamed"], result["files_moved"], result["changed_attributes"]) == (1, 0, 0)
    lines = [json.loads(line) for line in world.secondary.read(manifest_path("r2", DATA_SET)).splitlines()]
    assert sorted(one["p"] for one in lines) == sorted(["", "z", *(f"z/f{number}" for number in range(FILES))])
    assert not any(one.get("w") for one in lines)
    world.assert_equal("r2")
