"""A table, copied as snapshots: what is sent, where it goes, what is found, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.agent.core.operations import CopyRange, OperationFailed
from infra.agent.protocol import hbase_snapshot_name
from tests.agent.hbase_world import EPOCH, TABLE, World
from tests.fakes.hbase_wire import SimulatedRegion, data_manifest, snapshot_info


@pytest.fixture
def world(tmp_path: Path) -> World:
    found = World(tmp_path)
    found.fill("first")
    return found


def failure_code(world: World, *arguments: object) -> str:
    with pytest.raises(OperationFailed) as caught:
        world.run(*arguments)  # type: ignore[arg-type]
    return caught.value.code


def test_a_first_copy_is_equal_row_by_row(world: World) -> None:
    result = world.backup("us-r1")
    world.assert_equal("us-r1")
    assert result["full"] is True
    assert (result["files"], result["files_moved"]) == (4, 4)
    assert result["bytes_moved"] == result["bytes"] > 0
    assert result["digest"]["content"] == {
        "verdict": "EQUAL",
        "expected": result["content_digest"],
        "found": result["content_digest"],
        "proved": "stored checksums",
    }
    assert result["digest"]["metadata"]["verdict"] == "EQUAL"
    assert result["digest"]["trial_clone"]["rows_seen"] == 6
    assert list(world.secondary.tables) == []  # the trial's clone is gone


def test_increments_send_new_files_alone(world: World) -> None:
    world.backup("us-r1")
    world.fill("second")
    result = world.backup("us-r2", base="us-r1")
    world.assert_equal("us-r2")
    world.assert_equal("us-r1")
    assert (result["files"], result["files_moved"], result["entries_in_base"], result["full"]) == (8, 4, 4, False)
    world.primary.compact(TABLE)
    result = world.backup("us-r3", base="us-r2")
    world.assert_equal("us-r3")
    assert (result["files"], result["files_moved"], result["deleted"]) == (4, 4, 8)
    result = world.backup("us-r4", base="us-r3")
    assert (result["files_moved"], result["bytes_moved"]) == (0, 0)
    world.assert_equal("us-r4")


def test_a_table_that_was_split(world: World) -> None:
    world.primary.split(TABLE, "c")
    world.fill("after the split")
    result = world.backup("us-r1")
    assert result["files"] == 8
    world.assert_equal("us-r1")
    world.primary.compact(TABLE)
    world.backup("us-r2", base="us-r1")
    world.assert_equal("us-r2")


def test_a_table_that_is_a_clone_of_another(world: World) -> None:
    world.primary.create_table("shop:origin", ("f", "g"), splits=("k",))
    for row in ("a", "b", "x"):
        world.primary.put("shop:origin", row, f"value of {row}", "f")
    world.primary.split("shop:origin", "b")
    world.primary.call({"do": "snapshot", "table": "shop:origin", "name": "us-s"})
    del world.primary.tables[TABLE]
    world.primary.clone("us-s", TABLE)
    world.primary.put(TABLE, "a2", "written after the clone")
    world.backup("us-r1")
    world.assert_equal("us-r1")
    assert world.contents_at("us-r1")[1][("x", "f")] == "value of x"
    assert any("/shop/origin/" in path for path in world.archived())


def test_a_disabled_table(world: World) -> None:
    world.primary.disable(TABLE)
    world.backup("us-r1")
    world.assert_equal("us-r1")


def test_large_files_are_copied_in_pieces(world: World) -> None:
    world.fill("large", count=10, size=200)
    world.cut("us-r1")
    world.run(world.send("us-r1"))
    ranges = [operation for operation in world.performed if isinstance(operation, CopyRange)]
    assert max(operation.length for operation in ranges) == 2048
    assert any(operation.offset for operation in ranges)
    world.run(world.apply("us-r1"))
    world.assert_equal("us-r1")


def test_files_that_move_to_the_archive_while_they_are_copied_are_followed(world: World) -> None:
    world.cut("us-r1")
    instruction = world.send("us-r1")
    executor = world.executor(instruction)
    copied: list[CopyRange] = []

    def copy(operation: CopyRange) -> object:
        if not copied:
            world.primary.compact(TABLE)  # every file of the snapshot is in the archive now
        copied.append(operation)
        return executor._CopyRange(operation)

    executor.others[CopyRange] = copy
    world.executor = lambda instruction: executor  # type: ignore[method-assign]
    world.run(instruction)
    assert {operation.source_path.split("/")[2] for operation in copied} == {"data", "archive"}
    del world.executor
    world.run(world.apply("us-r1"))
    world.assert_equal("us-r1")


def test_what_only_a_failed_run_left_is_not_relied_on(world: World) -> None:
    world.cut("us-r1")
    world.run(world.send("us-r1"))
    world.run(world.apply("us-r1"))
    world.run(world.instruction("RemoveSnapshots", "us-r1"))
    world.cut("us-r2")
    sent = world.run(world.send("us-r2"))
    assert sent["files_moved"] == 4  # the cleaner may take what r1 has left at any time
    result = world.run(world.apply("us-r2"))  # …and here it has not
    assert result["healed"] is False
    world.assert_equal("us-r2")


def test_a_damaged_file_in_the_archive_is_replaced(world: World) -> None:
    world.cut("us-r1")
    world.run(world.send("us-r1"))
    world.run(world.apply("us-r1"))
    world.run(world.instruction("RemoveSnapshots", "us-r1"))
    path = world.path_of_some_file()
    world.hdfs["secondary"].write(path, b"damaged", "644")
    world.cut("us-r2")
    world.run(world.send("us-r2"))
    assert world.run(world.apply("us-r2"))["healed"] is True
    world.assert_equal("us-r2")


def test_files_of_another_owner_are_found(world: World) -> None:
    world.backup("us-r1")
    path = world.path_of_some_file()
    world.hdfs["secondary"].call("PUT", "SETOWNER", path, {"owner": "understudy", "group": "understudy"})
    with pytest.raises(OperationFailed, match=path) as caught:
        world.backup("us-r2", base="us-r1")
    assert caught.value.code == "WRONG_OWNER"
    assert f"chown hbase {path}" in caught.value.remedy


def test_a_clone_that_never_finishes_is_a_failure(world: World) -> None:
    world.backup("us-r1")
    path = world.path_of_some_file()

    def steal() -> object:
        return world.hdfs["secondary"].call("PUT", "SETOWNER", path, {"owner": "mallory", "group": "x"})

    original = world.secondary.call

    def call(request: dict[str, object]) -> dict[str, object]:
        if request["do"] == "clone":
            steal()
        return original(request)

    world.secondary.call = call  # type: ignore[method-assign]
    world.cut("us-r2")
    world.run(world.send("us-r2", "us-r1"))
    world.run(world.apply("us-r2", "us-r1"))
    with pytest.raises(OperationFailed) as caught:
        world.run(world.digest("us-r2"))
    assert caught.value.code == "TRIAL_CLONE_FAILED"
    assert caught.value.detail["cause"] == "CLONE_HANGS"


@pytest.mark.parametrize(
    ("damage", "difference"),
    [("delete", "is missing"), ("shorten", "bytes instead of"), ("change", "has other bytes"), ("manifest", "r1-")],
)
def test_damage_on_the_secondary_is_named(world: World, damage: str, difference: str) -> None:
    world.cut("us-r1")
    world.run(world.send("us-r1"))
    world.run(world.apply("us-r1"))
    hdfs, path = world.hdfs["secondary"], world.path_of_some_file()
    data = hdfs.read(path)
    if damage == "delete":
        hdfs.call("DELETE", "DELETE", path, {})
    elif damage == "manifest":
        path = f"/hbase/.hbase-snapshot/{hbase_snapshot_name('us-r1', TABLE)}/data.manifest"
        hdfs.write(path, hdfs.read(path) + b"\x1a\x00", "644")
    else:
        hdfs.write(path, data[:-1] if damage == "shorten" else data[:-1] + b"?", "644", 1024, 3, "hbase")
    result = world.run(world.digest("us-r1"))
    verdict = result["metadata" if damage == "manifest" else "content"]
    assert verdict["verdict"] == "DIFFERENT"
    assert verdict["expected"] != verdict["found"]
    assert any(difference in told for told in result["differences"])
    assert "trial_clone" not in result


def test_only_reading_finds_a_damaged_block(world: World) -> None:
    world.cut("us-r1")
    world.run(world.send("us-r1"))
    world.run(world.apply("us-r1"))
    world.hdfs["secondary"].damage(world.path_of_some_file())
    assert world.run(world.digest("us-r1", "checksum", trial=False))["content"]["verdict"] == "EQUAL"
    for level, percent in (("bytes", 0), ("metadata", 100)):
        result = world.run(world.digest("us-r1", level, percent, trial=False))
        assert (result["content"]["verdict"], result["content"]["found"]) == ("DIFFERENT", None)
        assert "cannot be read" in result["differences"][0]
        assert result["files_read"] == 3
    content = world.run(world.digest("us-r1", "metadata", trial=False))["content"]
    listed = content.pop("listed")
    assert listed["expected"] == listed["found"] != result["content"]["expected"]
    assert content == {
        "verdict": "LISTED",
        "expected": result["content"]["expected"],
        "found": None,
        "proved": "names and lengths",
    }


def test_a_damaged_file_is_sent_again_by_the_next_run_and_replaced(world: World) -> None:
    world.fill("one")
    world.backup("us-r1")
    damaged = world.path_of_some_file()
    world.hdfs["secondary"].damage(damaged)
    result = world.backup("us-r2", "us-r1", level="bytes")
    assert result["files_moved"] == 0
    assert "cannot be read" in result["digest"]["differences"][0]

    result = world.backup("us-r3", "us-r1", level="bytes")
    assert result["files_moved"] == 1
    assert result["digest"]["content"]["verdict"] == "EQUAL"
    assert not world.hdfs["secondary"].is_damaged(damaged)
    world.assert_equal("us-r3")
    assert world.backup("us-r4", "us-r3")["files_moved"] == 0


def test_a_damaged_source_is_told(world: World) -> None:
    world.cut("us-r1")
    (path,) = [p for p in _live_files(world) if "/f/" in p][:1]
    world.hdfs["primary"].damage(path)
    assert failure_code(world, world.send("us-r1")) == "SOURCE_DAMAGED"


def test_a_missing_source_file_is_told(world: World) -> None:
    world.cut("us-r1")
    world.hdfs["primary"].call("DELETE", "DELETE", _live_files(world)[0], {})
    assert failure_code(world, world.send("us-r1")) == "SOURCE_DAMAGED"


@pytest.mark.parametrize(("wrong_writes", "arrives"), [(1, True), (100, False)])
def test_bytes_that_change_on_the_way_are_sent_again(world: World, wrong_writes: int, arrives: bool) -> None:
    world.cut("us-r1")
    instruction = world.send("us-r1")
    executor = world.executor(instruction)
    copied: list[CopyRange] = []

    def copy(operation: CopyRange) -> object:
        copied.append(operation)
        result = executor._CopyRange(operation)
        if len(copied) <= wrong_writes:
            hdfs, path = world.hdfs["secondary"], operation.target_path
            hdfs.write(path, b"?" + hdfs.read(path)[1:], "644", operation.block_size)
        return result

    executor.others[CopyRange] = copy
    world.executor = lambda instruction: executor  # type: ignore[method-assign]
    if not arrives:
        assert failure_code(world, instruction) == "COPY_DAMAGED"
        return
    world.run(instruction)
    assert len(copied) == 5
    del world.executor
    world.run(world.apply("us-r1"))
    world.assert_equal("us-r1")


def test_a_snapshot_that_cannot_be_sent(world: World) -> None:
    assert failure_code(world, world.send("us-r1")) == "SNAPSHOT_MISSING"
    world.cut("us-r1")
    name = hbase_snapshot_name("us-r1", TABLE)
    path = f"/hbase/.hbase-snapshot/{name}/.snapshotinfo"
    for content, code in [
        (snapshot_info(name, TABLE, 1, ttl_seconds=60), "SNAPSHOT_EXPIRES"),
        (snapshot_info(name, "another", 1), "SNAPSHOT_DAMAGED"),
        (b"\x0a\x05abc", "SNAPSHOT_DAMAGED"),
    ]:
        world.hdfs["primary"].write(path, content)
        assert failure_code(world, world.send("us-r1")) == code
    assert world.hdfs["secondary"].find(f"/.understudy/incoming/{EPOCH}/r1") is None


def test_a_clone_with_medium_sized_objects_of_another_table_is_refused(world: World) -> None:
    mobs = SimulatedRegion(TABLE, b".mob", region_id=0)
    directory = f"/hbase/mobdir/data/default/orders/{mobs.encoded}/f"
    hdfs = world.hdfs["primary"]
    hdfs.call("PUT", "MKDIRS", directory, {}, "hbase")
    hdfs.write(f"{directory}/origin={'a' * 32}-{'b' * 32}", b"")
    name = hbase_snapshot_name("us-r1", TABLE)
    world.cut("us-r1")
    path = f"/hbase/.hbase-snapshot/{name}/data.manifest"
    hdfs.write(path, data_manifest(TABLE, [mobs]))
    assert failure_code(world, world.send("us-r1")) == "MOB_LINKS"


def test_an_evicted_epoch_cannot_be_written(world: World) -> None:
    world.cut("us-r1")
    hdfs = world.hdfs["secondary"]
    target = {"destination": "/.understudy/evicted", "renameoptions": "NONE"}
    hdfs.call("PUT", "RENAME", f"/.understudy/incoming/{EPOCH}", target)
    assert failure_code(world, world.send("us-r1")) == "EVICTED"


def test_what_went_between_sending_and_applying_is_found_before_anything_changes(world: World) -> None:
    world.backup("us-r1")
    world.cut("us-r2")
    world.run(world.send("us-r2", "us-r1"))
    world.hdfs["secondary"].call("DELETE", "DELETE", world.path_of_some_file(), {})
    before = world.archived()
    assert failure_code(world, world.apply("us-r2", "us-r1")) == "FILES_MISSING"
    assert world.archived() == before
    assert not any(found["name"].startswith("us-r2") for found in world.secondary.snapshots.listed())


def test_a_foreign_snapshot_of_the_same_name_is_refused(world: World) -> None:
    world.secondary.create_table(TABLE)
    world.secondary.call({"do": "snapshot", "table": TABLE, "name": hbase_snapshot_name("us-r1", TABLE)})
    world.cut("us-r1")
    world.run(world.send("us-r1"))
    assert failure_code(world, world.apply("us-r1")) == "FOREIGN_TREE"


def test_removing_leaves_what_other_snapshots_name(world: World) -> None:
    world.backup("us-r1")
    world.fill("second")
    world.backup("us-r2", base="us-r1")
    world.primary.compact(TABLE)
    world.backup("us-r3", base="us-r2")
    for site in ("primary", "secondary"):
        removed = world.run(world.instruction("RemoveSnapshots", "us-r1", site, staging=None))
        assert removed == {"removed": [hbase_snapshot_name("us-r1", TABLE)], "absent": []}
        removed = world.run(world.instruction("RemoveSnapshots", "us-r1", site, staging=None))
        assert removed == {"removed": [], "absent": [hbase_snapshot_name("us-r1", TABLE)]}
    world.clock.advance_to(world.clock.now_ms + 3_600_000)
    world.secondary.run_cleaner()
    world.assert_equal("us-r2")
    world.run(world.instruction("RemoveSnapshots", "us-r2", staging=None))
    assert len(world.secondary.run_cleaner()) > 0
    world.assert_equal("us-r3")


def test_open_and_close(world: World) -> None:
    world.backup("us-r1")
    opened = world.run(world.instruction("OpenCopies", "us-r1", scratch="look1"))
    table = f"understudy_scratch:look1.{hbase_snapshot_name('us-r1', TABLE)}"
    assert opened["readable"] == table
    assert world.secondary.scan(table) == world.contents_at("us-r1")[0]
    assert world.run(world.instruction("OpenCopies", "us-r1", scratch="look1"))["readable"] == table
    assert failure_code(world, world.instruction("RemoveSnapshots", "us-r1")) == "CLONE_LIVES"
    other = world.run(world.instruction("CloseCopies", "us-r1", scratch="look"))
    assert other == {"removed": []}
    closed = world.run(world.instruction("CloseCopies", "us-r1", scratch="look1"))
    assert closed == {"removed": [table]}
    assert world.run(world.instruction("CloseCopies", "us-r1", scratch="look1")) == {"removed": []}
    assert world.run(world.instruction("RemoveSnapshots", "us-r1"))["removed"]


def test_a_lost_answer_of_a_clone_is_probed(world: World) -> None:
    world.backup("us-r1")
    world.secondary.lose_answer("clone")
    opened = world.run(world.instruction("OpenCopies", "us-r1", scratch="look1"))
    assert opened["readable"] in world.secondary.tables


def _live_files(world: World) -> list[str]:
    table = world.primary.tables[TABLE]
    return [
        f"{world.primary.files.directory(region, family)}/{name}"
        for region in table.regions
        for family in table.families
        for name in world.primary.files.names(region, family)
    ]


def test_what_somebody_else_has_exported_is_not_sent_again_if_it_is_proved_equal(world: World) -> None:
    """As ExportSnapshot leaves it: store files in the archive that no snapshot of ours names."""
    world.backup("us-r1")
    world.secondary.call({"do": "delete_snapshot", "name": hbase_snapshot_name("us-r1", TABLE)})
    hdfs = world.hdfs["secondary"]
    damaged, shorter, *_ = world.archived()
    kept = hdfs.read(damaged)
    for path, data in ((damaged, bytes(len(kept))), (shorter, b"short")):
        hdfs.call("DELETE", "DELETE", path, {"recursive": "false"})
        hdfs.write(path, data)
    world.cut("us-r2")
    assert world.run(world.send("us-r2"))["files_moved"] == 4
    world.cut("us-r3")
    sent = world.run(world.send("us-r3", adopts=True))
    assert (sent["files"], sent["files_moved"], sent["full"]) == (4, 2, True)
    world.run(world.apply("us-r3"))
    world.assert_equal("us-r3")
