"""Backup runs of one HDFS directory between two simulated clusters: what is particular about each step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.agent.core.operations import CopyRange, HdfsCall, OperationFailed
from infra.agent.core.work import manifest_path
from tests.agent.hdfs_world import DATA_SET, EPOCH, HEAD, World, picture
from tests.fakes.hdfs_tree import refusal

ACL = (
    "user::rwx,user:bob:r-x,group::r-x,mask::rwx,other::---,"
    "default:user::rwx,default:user:bob:rw-,default:group::r-x,default:mask::rwx,default:other::---"
)
STAGING = f"/.understudy/incoming/{EPOCH}"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def populate(world: World) -> None:
    app = world.app
    app.put(f"{HEAD}/a.txt", b"alpha")
    app.put(f"{HEAD}/empty", b"")
    app.put(f"{HEAD}/é.txt", b"accent", mode="600")
    app.put(f"{HEAD}/sub/deep/b.bin", bytes(range(256)) * 20)
    app.put(f"{HEAD}/sub/c", b"c" * 1024)
    app.mkdir(f"{HEAD}/sub/none", "1777")
    app.chown(f"{HEAD}/sub/c", "alice", "staff")
    app.set_acl(f"{HEAD}/sub", ACL)
    app.set_attribute(f"{HEAD}/a.txt", "user.color", "0x6162")


def manifest_of(world: World, run: str) -> dict[str, dict[str, Any]]:
    lines = world.secondary.read(manifest_path(run, DATA_SET)).splitlines()
    return {entry["p"]: entry for entry in map(json.loads, lines)}


def copied(world: World) -> list[str]:
    return [operation.source_path for operation in world.performed if isinstance(operation, CopyRange)]


@pytest.mark.parametrize(
    "now", ["user::rwx,user:bob:r-x,group::r-x,mask::rwx,other::---", "user::rwx,group::r-x,other::---"]
)
def test_default_acl_that_is_taken_away(world: World, now: str) -> None:
    """What is set in its place does not take it away by itself."""
    populate(world)
    world.backup("r1")
    world.app.remove_acl(f"{HEAD}/sub")
    world.app.set_acl(f"{HEAD}/sub", now)
    world.backup("r2", "r1")
    world.assert_equal("r2")


def test_extended_attributes_that_are_changed_and_taken_away(world: World) -> None:
    populate(world)
    world.app.set_attribute(f"{HEAD}/sub", "user.kept", "0x61")
    world.app.set_attribute(f"{HEAD}/sub", "user.changed", "0x61")
    world.app.set_attribute(f"{HEAD}/sub", "user.gone", "0x61")
    world.backup("r1")
    world.app.set_attribute(f"{HEAD}/sub", "user.changed", "0x62")
    world.app.remove_attribute(f"{HEAD}/sub", "user.gone")
    world.backup("r2", "r1")
    world.assert_equal("r2")


def test_storage_policy_whose_media_neither_side_has(world: World) -> None:
    populate(world)
    world.app.set_policy(f"{HEAD}/sub", "COLD")
    world.app.set_policy(f"{HEAD}/sub/deep", "ALL_SSD")
    world.backup("r1")
    world.assert_equal("r1")
    world.app.mkdir(f"{HEAD}/later")
    world.app.put(f"{HEAD}/later/d/f", b"f")
    world.app.set_policy(f"{HEAD}/later", "COLD")
    world.app.rename(f"{HEAD}/later", f"{HEAD}/sub/deep/later")
    world.backup("r2", "r1")
    world.assert_equal("r2")
    found = world.secondary.find(f"{HEAD}/sub/deep/later")
    assert found is not None
    assert found.policy


def test_first_copy(world: World) -> None:
    populate(world)
    result = world.backup("r1")
    world.assert_equal("r1")
    assert result["full"] is True
    assert result["files"] == result["files_moved"] == 5
    assert result["bytes"] == result["bytes_moved"] == 5 + 6 + 5120 + 1024
    for name in ("content", "metadata"):
        assert result["digest"][name]["verdict"] == "EQUAL"
        assert result["digest"][name]["found"] == result[f"{name}_digest"]


def test_nothing_changed(world: World) -> None:
    populate(world)
    world.backup("r1")
    result = world.backup("r2", "r1")
    world.assert_equal("r2")
    assert result["files_moved"] == 0
    assert result["entries_in_base"] == 9
    assert result["steps"] == 0
    assert result["healed"] is False


def test_renamed_directory_moves_no_bytes(world: World) -> None:
    populate(world)
    world.backup("r1")
    world.app.rename(f"{HEAD}/sub", f"{HEAD}/renamed")
    world.app.put(f"{HEAD}/renamed/deep/new", b"new")
    result = world.backup("r2", "r1")
    world.assert_equal("r2")
    assert (result["renamed"], result["files_moved"], result["deleted"]) == (1, 1, 0)


def test_file_written_again_with_the_same_bytes_is_not_copied(world: World) -> None:
    populate(world)
    world.backup("r1")
    world.app.put(f"{HEAD}/sub/c", b"c" * 1024)
    world.app.chown(f"{HEAD}/sub/c", "alice", "staff")
    result = world.backup("r2", "r1")
    world.assert_equal("r2")
    assert (result["files_moved"], result["replaced"]) == (0, 0)


def test_without_the_base_on_the_source_only_differences_are_copied(world: World) -> None:
    populate(world)
    world.backup("r1")
    world.primary.call("DELETE", "DELETESNAPSHOT", HEAD, {"snapshotname": "r1"})
    world.app.put(f"{HEAD}/a.txt", b"omega")
    world.app.delete(f"{HEAD}/sub/deep")
    result = world.backup("r2", "r1")  # the agent finds by itself that the source's base is gone
    world.assert_equal("r2")
    assert (result["files_moved"], result["deleted"], result["full"]) == (1, 2, False)


def test_without_the_manifest_of_the_base(world: World) -> None:
    populate(world)
    world.backup("r1")
    world.app.put(f"{HEAD}/a.txt", b"omega")
    world.secondary.call("DELETE", "DELETE", "/.understudy/recovery-points/r1", {"recursive": "true"})
    result = world.backup("r2", "r1")
    world.assert_equal("r2")
    assert result["files_moved"] == 1
    assert "c" in manifest_of(world, "r2")["sub/c"]


def test_manifest_keeps_what_promotion_needs(world: World) -> None:
    populate(world)
    root = world.primary.find(HEAD)
    assert root is not None
    root.quota = 1000
    world.backup("r1")
    entry = manifest_of(world, "r1")[""]
    assert (entry["o"], entry["x"], entry["q"]) == ("app", "750", [1000, -1])
    head = world.secondary.find(HEAD)
    assert head is not None
    assert (head.owner, head.mode) == ("hdfs", "700")


def test_parents_of_the_head_are_made(world: World) -> None:
    populate(world)
    world.backup("r1")
    parent = world.secondary.find("/data")
    assert parent is not None
    assert (parent.owner, parent.mode) == ("hdfs", "755")


@pytest.mark.parametrize("attributes", [{"/x": b"foreign"}, None])
def test_foreign_tree_is_left_alone(world: World, attributes: dict[str, bytes] | None) -> None:
    populate(world)
    if attributes is None:
        world.secondary.call("PUT", "MKDIRS", HEAD, {})
        world.secondary.call("PUT", "SETOWNER", HEAD, {"owner": "somebody"})
    else:
        world.secondary.call("PUT", "MKDIRS", HEAD, {})
        world.secondary.write(f"{HEAD}/x", b"foreign")
    before = picture(world.secondary, "/data")
    world.cut("r1")
    world.run(world.send_instruction("r1", None))
    apply = world.apply_instruction("r1", None)
    with pytest.raises(OperationFailed, match="FOREIGN_TREE"):
        world.run(apply)
    assert picture(world.secondary, "/data") == before
    assert world.executor(apply).journal() == b""


def test_empty_directory_of_ours_makes_room(world: World) -> None:
    populate(world)
    world.secondary.call("PUT", "MKDIRS", HEAD, {})
    world.secondary.call("PUT", "ALLOWSNAPSHOT", HEAD, {})
    world.backup("r1")
    world.assert_equal("r1")


def test_first_copy_that_was_given_up_is_built_upon(world: World) -> None:
    populate(world)
    world.cut("r1")
    world.run(world.send_instruction("r1", None))
    world.run(world.apply_instruction("r1", None))
    world.run(world.instruction("FreezeCopies", "r1"))
    with pytest.raises(OperationFailed, match="HEAD_CHANGED"):
        world.run(world.apply_instruction("other", None))
    for site in ("primary", "secondary"):
        world.run(world.instruction("RemoveSnapshots", "r1", site=site))
    world.app.put(f"{HEAD}/later", b"later")
    result = world.backup("r2")
    world.assert_equal("r2")
    assert (result["compared_with"], result["files_moved"]) == ("head", 1)


def test_evicted_sender_can_write_nothing(world: World) -> None:
    populate(world)
    world.cut("r1")
    world.secondary.call("PUT", "RENAME", STAGING, {"destination": f"{STAGING}-evicted", "renameoptions": "NONE"})
    with pytest.raises(OperationFailed, match="EVICTED"):
        world.run(world.send_instruction("r1", None))
    assert world.secondary.find(STAGING) is None


def test_evicted_in_the_middle(world: World) -> None:
    populate(world)
    world.cut("r1")
    write = world.secondary.write

    def evict(path: str, *arguments: Any, **options: Any) -> None:
        if path.endswith("a.txt"):
            target = {"destination": f"{STAGING}-evicted", "renameoptions": "NONE"}
            world.secondary.call("PUT", "RENAME", STAGING, target)
        write(path, *arguments, **options)

    world.secondary.write = evict  # type: ignore[method-assign]
    with pytest.raises(OperationFailed, match="EVICTED"):
        world.run(world.send_instruction("r1", None))
    assert world.secondary.find(STAGING) is None


def test_next_attempt_takes_over_what_is_staged(world: World) -> None:
    populate(world)
    world.cut("r1")
    first = world.run(world.send_instruction("r1", None))
    second = world.run(world.send_instruction("r1", None))
    assert copied(world) == []
    assert first == second
    world.run(world.apply_instruction("r1", None))
    assert picture(world.secondary, HEAD) == picture(world.primary, f"{HEAD}/.snapshot/r1")


def test_staging_of_another_plan_is_replaced(world: World) -> None:
    populate(world)
    world.backup("r1")
    world.app.put(f"{HEAD}/new", b"new")
    world.cut("r2")
    world.run(world.send_instruction("r2", None))
    world.run(world.send_instruction("r2", "r1"))
    world.run(world.apply_instruction("r2", "r1"))
    assert picture(world.secondary, HEAD) == picture(world.primary, f"{HEAD}/.snapshot/r2")
    assert list((world.secondary.find("/.understudy/scratch/r2") or world.secondary.root).children or {}) == []


def test_requests_of_the_first_phase_that_arrive_late_change_nothing(world: World) -> None:
    world.app.put(f"{HEAD}/one", b"1")
    world.app.put(f"{HEAD}/two", b"2")
    world.backup("r1")
    world.app.rename(f"{HEAD}/one", f"{HEAD}/turning")
    world.app.rename(f"{HEAD}/two", f"{HEAD}/one")
    world.app.rename(f"{HEAD}/turning", f"{HEAD}/two")
    world.cut("r2")
    world.run(world.send_instruction("r2", "r1"))
    world.run(world.apply_instruction("r2", "r1"))
    renames = [call for call in world.performed if isinstance(call, HdfsCall) and call.op == "RENAME"]
    assert len(renames) == 7  # two of them leave signs in staging
    for call in renames:
        with pytest.raises(OperationFailed, match="FileNotFound"):
            world.secondary.call(call.method, call.op, call.path, dict(call.params))
    assert picture(world.secondary, HEAD) == picture(world.primary, f"{HEAD}/.snapshot/r2")


def test_head_changed_while_it_is_applied(world: World) -> None:
    populate(world)
    world.backup("r1")
    world.app.delete(f"{HEAD}/a.txt")
    world.cut("r2")
    world.run(world.send_instruction("r2", "r1"))
    world.secondary.fail("RENAME", refusal("FileNotFoundException", "rename source is not found."), "a.txt")
    with pytest.raises(OperationFailed, match="HEAD_CHANGED"):
        world.run(world.apply_instruction("r2", "r1"))


def test_clean_up_leaves_nothing(world: World) -> None:
    populate(world)
    world.cut("r1")
    world.run(world.send_instruction("r1", None))
    result = world.run(world.instruction("RemoveSnapshots", "r1", site="primary"))
    assert result == {"removed": [f"{HEAD}/.snapshot/r1"], "absent": []}
    result = world.run(world.instruction("RemoveSnapshots", "r1"))
    assert result == {"removed": [], "absent": [f"{HEAD}/.snapshot/r1"]}


def test_open_copy(world: World) -> None:
    populate(world)
    world.backup("r1")
    opened = world.run(world.instruction("OpenCopies", "r1", scratch="s"))
    assert opened["readable"] == f"{HEAD}/.snapshot/r1"
    with pytest.raises(OperationFailed, match="SNAPSHOT_MISSING"):
        world.run(world.instruction("OpenCopies", "r9", scratch="s"))
