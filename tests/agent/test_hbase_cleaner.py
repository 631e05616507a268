"""HBase's cleaner and the order in which a table is applied: what is in the archive is named, or young, or noticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.agent.core.operations import HdfsCall, Operation, OperationFailed
from infra.agent.protocol import hbase_snapshot_name
from tests.agent.hbase_world import EPOCH, TABLE, World
from tests.fakes.executor import FakeExecutor

RUN = "us-r1"
SNAPSHOT = hbase_snapshot_name(RUN, TABLE)
FINAL = f"/hbase/.hbase-snapshot/{SNAPSHOT}"
WORKING = f"/hbase/.hbase-snapshot/.tmp/{SNAPSHOT}"
HOUR_MS = 3_600_000
CLEANER_TTL_MS = 300_000
NO_PATIENCE_MS = -10_000  # further than any two clocks of these worlds are apart


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A table that is staged on the secondary."""
    world = World(tmp_path)
    world.fill("first")
    world.cut(RUN)
    world.run(world.send(RUN))
    return world


def is_final_rename(operation: Operation) -> bool:
    return isinstance(operation, HdfsCall) and operation.op == "RENAME" and operation.path == WORKING


def apply_with_loss(world: World, when: str) -> None:
    """Apply; a store file vanishes right before or right after the final rename."""
    instruction = world.apply(RUN)
    executor = world.executor(instruction)
    performed = executor.perform

    def perform(operation: Operation) -> object:
        if not is_final_rename(operation):
            return performed(operation)
        if when == "before":
            remove_a_file(world)
            return performed(operation)
        result = performed(operation)
        remove_a_file(world)
        return result

    executor.perform = perform  # type: ignore[method-assign]
    run_with(world, executor, instruction)


def run_with(world: World, executor: FakeExecutor, instruction: object) -> None:
    world.executor = lambda instruction: executor  # type: ignore[method-assign]
    try:
        world.run(instruction)  # type: ignore[arg-type]
    finally:
        del world.executor  # type: ignore[method-assign]


def remove_a_file(world: World) -> None:
    world.hdfs["secondary"].call("DELETE", "DELETE", world.path_of_some_file(), {}, "hbase")


def test_no_store_file_is_in_the_archive_before_the_snapshot_names_it(world: World) -> None:
    hdfs = world.hdfs["secondary"]
    seen = 0

    def look(count: int) -> None:
        nonlocal seen
        if world.archived():
            seen += 1
            named = [place for place in (WORKING, FINAL) if hdfs.find(f"{place}/data.manifest") is not None]
            assert named, f"a store file is in the archive at operation {count}, and no snapshot names it"

    world.run(world.apply(RUN), disturb=look)
    assert seen > 4


def cleaned(world: World, ttl_ms: int) -> list[str]:
    """Let the cleaner run; returns the store files of the copy that it took."""
    before = world.archived()
    world.secondary.run_cleaner(ttl_ms)
    after = set(world.archived())
    return [path for path in before if path not in after and "/orders/" in path]


def test_a_cleaner_without_patience_removes_nothing_that_is_being_applied(world: World) -> None:
    stray = "/hbase/archive/data/shop/other/r/f/stray"
    world.hdfs["secondary"].call("PUT", "MKDIRS", stray.rpartition("/")[0], {"permission": "755"}, "hbase")
    world.hdfs["secondary"].write(stray, b"named by nothing", "644")
    taken: list[str] = []

    def clean(count: int) -> None:
        if count % 13 == 0:  # a directory that is always gone before it can be used is of no use to anybody
            taken.extend(cleaned(world, NO_PATIENCE_MS))

    world.run(world.apply(RUN), disturb=clean)
    assert world.hdfs["secondary"].find(stray) is None  # it bites
    assert taken == []
    world.assert_equal(RUN)


def test_a_file_that_vanishes_before_the_final_rename_keeps_the_snapshot_from_being_published(world: World) -> None:
    hdfs = world.hdfs["secondary"]

    def vanish(count: int) -> None:
        # The last file has just been placed: its name in staging is gone, and the snapshot is not published yet.
        if len(world.archived()) == 4 and hdfs.find(FINAL) is None and not removed:
            removed.append(count)
            remove_a_file(world)

    removed: list[int] = []
    with pytest.raises(OperationFailed, match="FILES_MISSING"):
        world.run(world.apply(RUN), disturb=vanish)
    assert removed
    assert hdfs.find(FINAL) is None


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_file_that_vanishes_at_the_final_rename_is_noticed(world: World, when: str) -> None:
    with pytest.raises(OperationFailed, match="FILES_MISSING"):
        apply_with_loss(world, when)


def test_a_master_that_restarts_finds_only_young_files(world: World) -> None:
    """What was staged long ago gets the present time; else the cleaner takes it before a manifest is there again."""
    world.clock.advance_to(world.clock.now_ms + HOUR_MS)
    restarts = 0

    def restart(count: int) -> None:
        nonlocal restarts
        if len(world.archived()) == 4 and not restarts:
            restarts += 1
            world.secondary.restart_master()
            assert cleaned(world, CLEANER_TTL_MS) == []

    world.run(world.apply(RUN), disturb=restart)
    assert restarts == 1
    world.assert_equal(RUN)


def test_files_that_a_failed_run_left_are_young_again_once_they_are_taken_over(world: World) -> None:
    world.run(world.apply(RUN))
    world.run(world.instruction("RemoveSnapshots", RUN))
    assert len(world.archived()) == 4
    world.clock.advance_to(world.clock.now_ms + HOUR_MS)
    world.cut("us-r2")
    world.run(world.send("us-r2"))
    world.run(world.apply("us-r2"))
    for path in world.archived():
        inode = world.hdfs["secondary"].find(path)
        assert inode is not None
        assert world.hdfs["secondary"].now_ms() - inode.modified_ms < CLEANER_TTL_MS / 2, path


def test_a_working_snapshot_that_is_not_whole_is_made_anew(world: World) -> None:
    hdfs = world.hdfs["secondary"]
    hdfs.call("PUT", "MKDIRS", WORKING, {"permission": "755"}, "hbase")
    for name in (".snapshotinfo", "data.manifest"):
        hdfs.write(f"{WORKING}/{name}", b"half", "644")
    world.run(world.apply(RUN))
    world.assert_equal(RUN)


def test_a_staged_manifest_that_names_other_files_than_the_snapshot_is_refused(world: World) -> None:
    hdfs = world.hdfs["secondary"]
    path = f"/.understudy/incoming/{EPOCH}/{RUN}/t1/manifest"
    lines = hdfs.read(path).splitlines(keepends=True)
    hdfs.write(path, b"".join(lines[:-1]))
    with pytest.raises(OperationFailed, match="STAGING_DAMAGED"):
        world.run(world.apply(RUN))
    assert world.archived() == []


def test_a_damaged_file_of_a_live_table_that_would_hide_the_staged_one_is_told(world: World) -> None:
    hdfs = world.hdfs["secondary"]
    path = f"/.understudy/incoming/{EPOCH}/{RUN}/t1/manifest"
    entry = json.loads(hdfs.read(path).splitlines()[-1])
    directory = f"/hbase/data/{entry['p'].rpartition('/')[0]}"
    hdfs.call("PUT", "MKDIRS", directory, {"permission": "755"}, "hbase")
    hdfs.write(f"/hbase/data/{entry['p']}", b"damaged", "644")
    with pytest.raises(OperationFailed, match="FILES_MISSING"):
        world.run(world.apply(RUN))
    assert world.archived() == []
