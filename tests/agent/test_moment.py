"""TakeSnapshots on simulated clusters, in virtual time: at the moment of the NameNode's clock, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.agent.core.operations import HBaseCall, HdfsCall, Operation, OperationFailed
from tests.agent.moment_world import DATA_SETS, DIRECTORY, EPOCH, TABLES, MomentWorld

CLOSE_MS = 2.0


@pytest.fixture
def world(tmp_path: Path) -> MomentWorld:
    return MomentWorld(tmp_path)


@pytest.mark.parametrize("gateway_shift_ms", [0.0, 90_000.0, -3_600_000.0])
@pytest.mark.parametrize("namenode_shift_ms", [0, -2_500])
def test_every_snapshot_is_fired_at_the_moment_of_the_namenodes_clock(
    tmp_path: Path, namenode_shift_ms: int, gateway_shift_ms: float
) -> None:
    world = MomentWorld(tmp_path, namenode_shift_ms, gateway_shift_ms)
    instruction = world.instruction()
    moment_ms = instruction.payload["moment_ms"]

    result = world.run(instruction)

    assert set(world.snapshots()) == {"files", "orders", "items"}
    for stamp in world.snapshots().values():
        assert abs(stamp - moment_ms) <= CLOSE_MS
    for found in result["data_sets"].values():
        assert abs(found["asked_cluster_ms"] - moment_ms) <= CLOSE_MS
        assert abs(found["asked_ms"] - (moment_ms - namenode_shift_ms + gateway_shift_ms)) <= CLOSE_MS
        assert found["asked_ms"] <= found["done_ms"]
        assert found["attempts"] == 1
    for when in ("before", "after"):
        offset = result["clocks"][when]["namenode"]
        true_offset = namenode_shift_ms - gateway_shift_ms
        assert abs(offset["offset_ms"] - true_offset) <= offset["uncertainty_ms"]


def test_armed_is_told_before_the_wait(world: MomentWorld) -> None:
    instruction = world.instruction(in_ms=86_400_000.0)
    armed_at: list[float] = []
    world.at(60_000, lambda: armed_at.append(len(world.executor.milestones)))

    world.run(instruction)

    assert armed_at == [1]
    assert set(world.executor.milestones) == {"armed"}
    assert world.executor.milestones["armed"]["clocks"]["namenode"]["uncertainty_ms"] > 0


def test_a_wait_of_a_day_takes_few_operations(world: MomentWorld) -> None:
    world.run(world.instruction(in_ms=86_400_000.0))
    assert len(world.executor.performed) < 300


@pytest.mark.parametrize("late_ms", [251.0, 60_000.0])
def test_a_moment_that_is_past_is_missed_and_nothing_is_taken(world: MomentWorld, late_ms: float) -> None:
    with pytest.raises(OperationFailed, match="MOMENT_MISSED"):
        world.run(world.instruction(in_ms=-late_ms))
    assert world.fired() == []
    assert world.snapshots() == {}
    assert world.executor.milestones == {}


def test_what_was_cut_before_the_spool_was_lost_is_removed_when_the_moment_is_missed(world: MomentWorld) -> None:
    """The control device may choose another moment then, and with it other names."""
    instruction = world.instruction()
    world.run(instruction)
    assert set(world.snapshots()) == {"files", "orders", "items"}
    world.lose_spool()
    world.clock.now_ms += 60_000
    with pytest.raises(OperationFailed, match="MOMENT_MISSED"):
        world.run(instruction)
    assert world.snapshots() == {}


def test_a_missed_moment_removes_nothing_on_a_cluster_that_has_another_identity(world: MomentWorld) -> None:
    instruction = world.instruction()
    world.run(instruction)
    world.lose_spool()
    world.clock.now_ms += 60_000
    world.write_marker(2, epoch=EPOCH + 1)
    with pytest.raises(OperationFailed, match="MARKER_MISMATCH"):
        world.run(instruction)
    assert set(world.snapshots()) == {"files", "orders", "items"}


@pytest.mark.parametrize(
    ("op", "in_ms", "takes_ms"), [("region_metrics", 120_000.0, 45_000.0), ("tables", 15_000.0, 20_000.0)]
)
def test_a_moment_that_passes_while_it_is_prepared_is_missed(
    world: MomentWorld, op: str, in_ms: float, takes_ms: float
) -> None:
    """Something that takes too long never makes the agent fire late."""

    def slow(operation: Operation) -> float:
        is_slow = isinstance(operation, HBaseCall) and operation.request["do"] in (op, "flush", "tables")
        return takes_ms if is_slow else 1.0

    with pytest.raises(OperationFailed, match="MOMENT_MISSED"):
        world.run(world.instruction(in_ms=in_ms), latency_ms=slow)
    assert world.snapshots() == {}


@pytest.mark.parametrize("takes_ms", [6_000.0, 11_000.0])
def test_a_look_that_would_take_longer_than_the_moment_is_away_is_not_repeated(
    world: MomentWorld, takes_ms: float
) -> None:
    """Many tables: what is not fresh is looked at once more only if there is time for it."""

    def slow(operation: Operation) -> float:
        return takes_ms if isinstance(operation, HBaseCall) and operation.request["do"] == "tables" else 1.0

    world.run(world.instruction(in_ms=30_000.0), latency_ms=slow)
    looks = [request for request in world.hbase.requests if request["do"] == "tables"]
    assert len(looks) == (2 if takes_ms < 10_000 else 1) * len(TABLES)


def test_a_flush_that_hangs_does_not_delay_the_moment(world: MomentWorld) -> None:
    def slow(operation: Operation) -> float:
        return 9_000.0 if isinstance(operation, HBaseCall) and operation.request["do"] == "flush" else 1.0

    instruction = world.instruction()
    world.run(instruction, latency_ms=slow)
    for stamp in world.snapshots().values():
        assert abs(stamp - instruction.payload["moment_ms"]) <= CLOSE_MS


@pytest.mark.parametrize(
    ("flush_ms", "before_ms"),
    [(400.0, [5_000, 600]), (2_000.0, [5_000, 2_600]), (4_000.0, [5_000])],
    ids=["quick", "slow", "too slow for another"],
)
def test_tables_are_flushed_once_more_as_late_as_it_can_be_over_by_the_moment(
    world: MomentWorld, flush_ms: float, before_ms: list[int]
) -> None:
    instruction = world.instruction(data_sets=DATA_SETS[:2])
    flushes: list[float] = []

    def latency(operation: Operation) -> float:
        if isinstance(operation, HBaseCall) and operation.request["do"] == "flush":
            flushes.append(instruction.payload["moment_ms"] - world.namenode_ms())
            return flush_ms
        return 1.0

    world.run(instruction, latency_ms=latency)
    assert [round(before, -2) for before in flushes] == before_ms


@pytest.mark.parametrize("changed", [{"epoch": EPOCH + 1}, {"identity": "FENCED"}, {"pair": "other"}, {"cluster": "b"}])
@pytest.mark.parametrize("in_ms", [-1.0, 10_000.0, 28_000.0])
def test_a_marker_that_does_not_fit_is_seen_until_just_before_the_moment(
    world: MomentWorld, in_ms: float, changed: dict[str, Any]
) -> None:
    instruction = world.instruction()
    if in_ms < 0:
        world.write_marker(2, **changed)
    else:
        world.at(in_ms, lambda: world.write_marker(2, **changed))
    with pytest.raises(OperationFailed, match="MARKER_MISMATCH"):
        world.run(instruction)
    assert world.fired() == []


def test_a_cluster_without_a_marker_is_refused(world: MomentWorld) -> None:
    world.hdfs.call("DELETE", "DELETE", "/.understudy/identity", {"recursive": "true"})
    with pytest.raises(OperationFailed, match="MARKER_MISMATCH"):
        world.run(world.instruction())


def spoil_directory(world: MomentWorld) -> None:
    world.hdfs.call("DELETE", "DELETE", DIRECTORY, {"recursive": "true"})


def spoil_table(world: MomentWorld) -> None:
    world.hbase.tables["default:orders"].state = "CHANGING"


def drop_table(world: MomentWorld) -> None:
    del world.hbase.tables["default:orders"]


def replace_directory_by_file(world: MomentWorld) -> None:
    spoil_directory(world)
    world.app.put(DIRECTORY, b"x")


def forbid_snapshots(world: MomentWorld) -> None:
    spoil_directory(world)
    world.app.mkdir(DIRECTORY)


def leave_foreign_snapshot(world: MomentWorld) -> None:
    world.hdfs.call("PUT", "CREATESNAPSHOT", DIRECTORY, {"snapshotname": "us-run1"})


def leave_foreign_table_snapshot(world: MomentWorld) -> None:
    world.hbase.call({"do": "snapshot", "table": TABLES[1], "name": "us-run1-shop.items"})


UNFIT: list[tuple[Any, str, str]] = [
    (spoil_directory, "NO_SUCH_DIRECTORY", "files"),
    (replace_directory_by_file, "NO_SUCH_DIRECTORY", "files"),
    (forbid_snapshots, "NOT_SNAPSHOTTABLE", "files"),
    (leave_foreign_snapshot, "SNAPSHOT_EXISTS", "files"),
    (drop_table, "NO_SUCH_TABLE", "orders"),
    (spoil_table, "TABLE_CHANGING", "orders"),
    (leave_foreign_table_snapshot, "SNAPSHOT_EXISTS", "items"),
]


@pytest.mark.parametrize(("spoil", "code", "data_set"), UNFIT, ids=[spoil.__name__ for spoil, _, _ in UNFIT])
@pytest.mark.parametrize("in_ms", [None, 10_000.0])
def test_a_data_set_that_cannot_be_snapshotted_is_named_before_the_moment(
    world: MomentWorld, spoil: Any, code: str, data_set: str, in_ms: float | None
) -> None:
    instruction = world.instruction()
    if in_ms is None:
        spoil(world)
    else:
        world.at(in_ms, lambda: spoil(world))
    before = dict(world.snapshots())
    with pytest.raises(OperationFailed) as caught:
        world.run(instruction)
    assert caught.value.code == code
    assert caught.value.detail["data_set"] == data_set
    assert caught.value.remedy
    assert world.fired() == []
    assert set(before) <= set(world.snapshots()), "what somebody else made is left alone"


def test_one_failure_removes_the_other_snapshots_and_names_its_data_set(world: MomentWorld) -> None:
    world.hbase.fail("snapshot", "AccessDeniedException")
    with pytest.raises(OperationFailed) as caught:
        world.run(world.instruction())
    assert caught.value.code == "SNAPSHOT_FAILED"
    assert caught.value.detail["data_set"] == "orders"
    assert "AccessDeniedException" in caught.value.message
    assert len(world.fired()) == 3
    assert world.snapshots() == {}


def test_a_directory_that_fails_is_not_tried_again(world: MomentWorld) -> None:
    refusal = OperationFailed(
        "HDFS", "SnapshotException: no more than 65536", detail={"exception": "SnapshotException"}
    )
    world.hdfs.fail("CREATESNAPSHOT", refusal)
    with pytest.raises(OperationFailed, match=r"SNAPSHOT_FAILED.*65536"):
        world.run(world.instruction())
    assert len([call for call in world.fired() if isinstance(call, HdfsCall)]) == 1
    assert world.snapshots() == {}


def test_a_table_that_is_split_during_the_cut_is_tried_again_and_the_times_are_the_last_trys(
    world: MomentWorld,
) -> None:
    world.hbase.fail("snapshot", "CorruptedSnapshotException")
    world.hbase.fail("snapshot", "NotServingRegionException")
    instruction = world.instruction()
    result = world.run(instruction)["data_sets"]
    tries = {name: result[name]["attempts"] for name in result}
    assert sorted(tries.values()) in ([1, 2, 2], [1, 1, 3])
    assert tries["files"] == 1
    for name, attempts in tries.items():
        late_ms = result[name]["asked_cluster_ms"] - instruction.payload["moment_ms"]
        assert (late_ms >= 250 * (attempts - 1)) is True
        assert abs(world.snapshots()[name] - result[name]["asked_cluster_ms"]) <= CLOSE_MS


def test_tries_come_to_an_end(world: MomentWorld) -> None:
    for _ in range(1000):
        world.hbase.fail("snapshot", "HBaseSnapshotException")
    instruction = world.instruction()
    with pytest.raises(OperationFailed, match=r"SNAPSHOT_FAILED.*tried \d+ times"):
        world.run(instruction)
    assert world.namenode_ms() - instruction.payload["moment_ms"] < 40_000
    assert world.snapshots() == {}


@pytest.mark.parametrize("lost", ["files", "orders"])
def test_a_lost_answer_is_replaced_by_the_servers_own_stamps(world: MomentWorld, lost: str) -> None:
    if lost == "files":
        world.hdfs.lose_answer("CREATESNAPSHOT")
    else:
        world.hbase.lose_answer("snapshot")
    instruction = world.instruction()
    result = world.run(instruction)["data_sets"]
    assert len(world.fired()) == 3, "nothing is asked for twice"
    for name in ("files", "orders", "items"):
        assert abs(result[name]["asked_cluster_ms"] - instruction.payload["moment_ms"]) <= CLOSE_MS
        assert ("stamps" in result[name]["evidence"]["reason"]) == (name == lost)


@pytest.mark.parametrize("in_ms", [1_500.0, 30_000.0])
def test_hbases_clock_is_known_before_anything_is_fired_however_near_the_moment(
    world: MomentWorld, in_ms: float
) -> None:
    """A snapshot whose answer is lost is recognised by it."""

    def slow(operation: Operation) -> float:
        return 300.0 if isinstance(operation, HBaseCall) and operation.request["do"] == "clock" else 1.0

    world.hbase.lose_answer("snapshot")
    result = world.run(world.instruction(in_ms=in_ms), latency_ms=slow)
    assert result["clocks"]["before"]["hbase"] is not None
    assert set(world.snapshots()) == {"files", "orders", "items"}


def test_a_lost_answer_without_a_snapshot_fails(world: MomentWorld) -> None:
    lost = OperationFailed("HDFS_UNREACHABLE", "timed out", unknown=True, transient=True)
    world.hdfs.fail("CREATESNAPSHOT", lost)
    with pytest.raises(OperationFailed, match="SNAPSHOT_FAILED"):
        world.run(world.instruction())
    assert world.snapshots() == {}


def test_a_snapshot_that_was_taken_late_is_another_instants_and_goes(world: MomentWorld) -> None:
    """The NameNode slept over the request; its answer was given up, and it took the snapshot when it woke."""
    lost = OperationFailed("HDFS_UNREACHABLE", "timed out", unknown=True, transient=True)
    world.hdfs.fail("CREATESNAPSHOT", lost)
    instruction = world.instruction()
    take = {"snapshotname": "us-run1"}
    world.at(35_000, lambda: world.hdfs.call("PUT", "CREATESNAPSHOT", DIRECTORY, take))
    with pytest.raises(OperationFailed, match="MOMENT_MISSED"):
        world.run(instruction)
    assert world.snapshots() == {}


def test_only_directories_need_no_hbase(tmp_path: Path) -> None:
    world = MomentWorld(tmp_path)
    world.executor.hbase.clear()
    result = world.run(world.instruction(data_sets=DATA_SETS[:1]))
    assert set(result["data_sets"]) == {"files"}
    assert result["clocks"]["before"]["hbase"] is None


def test_safe_mode_that_begins_after_arming_is_named_and_leaves_nothing(world: MomentWorld) -> None:
    def enter() -> None:
        world.hdfs.safe_mode = True

    world.at(30_000, enter)
    with pytest.raises(OperationFailed, match="SAFE_MODE") as failed:
        world.run(world.instruction(in_ms=60_000.0))
    assert "safemode" in failed.value.remedy
    assert set(world.executor.milestones) == {"armed"}
    assert world.fired() == []
    assert world.snapshots() == {}
