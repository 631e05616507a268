"""What TakeSnapshots claims about each snapshot, and on what grounds."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from domain.protection.grading import derive
from infra.agent.core.evidence import of_table, still_digest
from infra.agent.core.open_files import common_directory
from infra.agent.core.operations import HBaseCall, OpenFiles, Operation
from tests.agent.moment_world import BARRIER, DIRECTORY, TABLES, MomentWorld
from tests.fakes.executor import AgentKilled, Kill

EARLY_MS = 120_000.0
LATE_MS = 30_000.0


@pytest.fixture
def world(tmp_path: Path) -> MomentWorld:
    return MomentWorld(tmp_path, namenode_shift_ms=-40, gateway_shift_ms=7_000.0)


def grade(result: dict[str, Any], data_set: str) -> str:
    found: str = result["data_sets"][data_set]["evidence"]["grade"]
    assert result["data_sets"][data_set]["evidence"]["reason"]
    snapshot = json.loads(json.dumps(result["data_sets"][data_set]))
    derived = derive("hdfs" if data_set == "files" else "hbase", snapshot, 1.0)
    assert derived.grade == found, "the control device comes to the same by what is sealed"
    assert len(json.dumps(snapshot["evidence"])) < 2_000
    return found


def test_a_table_that_stood_still_for_long_enough_is_exact(world: MomentWorld) -> None:
    result = world.run(world.instruction(in_ms=EARLY_MS))
    assert [grade(result, name) for name in ("orders", "items")] == ["EXACT", "EXACT"]


def test_a_table_that_nobody_looked_at_early_enough_is_bounded(world: MomentWorld) -> None:
    result = world.run(world.instruction(in_ms=LATE_MS))
    assert [grade(result, name) for name in ("orders", "items")] == ["BOUNDED", "BOUNDED"]


def test_a_table_that_is_slow_to_flush_takes_the_early_look_from_no_other(world: MomentWorld) -> None:
    def slow(operation: Operation) -> float:
        is_slow = isinstance(operation, HBaseCall) and operation.request["do"] == "flush"
        return 30_000.0 if is_slow and operation.request["table"] == TABLES[0] else 1.0

    result = world.run(world.instruction(in_ms=EARLY_MS), latency_ms=slow)
    assert [grade(result, name) for name in ("orders", "items")] == ["BOUNDED", "EXACT"]


@pytest.mark.parametrize("before_moment_ms", [59_000.0, 20_000.0, 1.0])
def test_a_put_within_the_rpc_timeout_before_the_request_makes_it_bounded(
    world: MomentWorld, before_moment_ms: float
) -> None:
    world.at(EARLY_MS - before_moment_ms, lambda: world.hbase.put(TABLES[0], "row", "other"))
    result = world.run(world.instruction(in_ms=EARLY_MS))
    assert [grade(result, name) for name in ("orders", "items")] == ["BOUNDED", "EXACT"]


def test_a_put_long_before_does_no_harm(world: MomentWorld) -> None:
    world.at(10_000, lambda: world.hbase.put(TABLES[0], "row", "other"))
    assert grade(world.run(world.instruction(in_ms=EARLY_MS)), "orders") == "EXACT"


def test_a_split_makes_it_bounded(world: MomentWorld) -> None:
    world.at(EARLY_MS - 20_000, lambda: world.hbase.split(TABLES[0], "d"))
    assert grade(world.run(world.instruction(in_ms=EARLY_MS)), "orders") == "BOUNDED"


def test_a_table_that_the_barrier_disabled_is_exact(world: MomentWorld) -> None:
    def stop_writers(argument: str) -> str:
        world.hbase.disable(TABLES[0])
        return argument

    world.executor.hooks["stop-writers"] = stop_writers
    result = world.run(world.instruction(barrier=BARRIER))
    assert [grade(result, name) for name in ("orders", "items")] == ["EXACT", "BOUNDED"]
    assert "disabled" in result["data_sets"]["orders"]["evidence"]["reason"]


@pytest.mark.parametrize("in_ms", [LATE_MS, EARLY_MS, 4_000.0])
def test_a_disabled_table_is_snapshotted_as_it_is_which_is_exact(world: MomentWorld, in_ms: float) -> None:
    world.hbase.disable(TABLES[0])
    result = world.run(world.instruction(in_ms=in_ms))
    assert grade(result, "orders") == "EXACT"
    assert "disabled" in result["data_sets"]["orders"]["evidence"]["reason"]
    assert world.hbase.tables["default:orders"].state == "DISABLED", "it is left as it was found"
    assert all(request["table"] != TABLES[0] for request in world.hbase.requests if request["do"] == "flush")


@pytest.mark.parametrize("barrier", [None, BARRIER])
def test_a_reading_of_a_disabled_table_that_takes_long_does_not_make_the_moment_be_missed(
    world: MomentWorld, barrier: dict[str, Any] | None
) -> None:
    def slow(operation: Operation) -> float:
        is_slow = isinstance(operation, HBaseCall) and operation.request["do"] == "region_metrics"
        return 45_000.0 if is_slow else 1.0

    world.hbase.disable(TABLES[0])
    instruction = world.instruction(in_ms=LATE_MS, barrier=barrier)
    result = world.run(instruction, latency_ms=slow)
    assert all(abs(stamp - instruction.payload["moment_ms"]) <= 250 for stamp in world.snapshots().values())
    assert grade(result, "orders") == "BOUNDED", "it was seen after the request alone"


def open_and_close_again(world: MomentWorld) -> None:
    world.hbase.enable(TABLES[0])
    world.hbase.put(TABLES[0], "row", "between")
    world.hbase.disable(TABLES[0])


@pytest.mark.parametrize(
    ("at_ms", "change", "reason"),
    [
        (20_000.0, lambda world: world.hbase.disable(TABLES[0]), "nobody has seen before the request"),
        (29_900.0, open_and_close_again, "its state has changed"),
    ],
)
def test_a_table_whose_state_changes_around_the_cut_is_bounded(
    world: MomentWorld, at_ms: float, change: Callable[[MomentWorld], None], reason: str
) -> None:
    if change is open_and_close_again:
        world.hbase.disable(TABLES[0])
    world.at(at_ms, lambda: change(world))
    result = world.run(world.instruction(in_ms=LATE_MS))
    assert grade(result, "orders") == "BOUNDED"
    assert reason in result["data_sets"]["orders"]["evidence"]["reason"]


def test_an_agent_that_takes_over_knows_that_the_table_was_disabled(tmp_path: Path) -> None:
    for step in count(100):
        world = MomentWorld(tmp_path / str(step))
        world.hbase.disable(TABLES[0])
        instruction = world.instruction(in_ms=LATE_MS)
        with pytest.raises(AgentKilled):
            world.run(instruction, Kill(step, "after", in_flight_lands=True))
        if len(world.snapshots()) == 3:
            break
    assert b'"taken"' not in world.executor.journal()
    assert grade(world.run(instruction), "orders") == "EXACT"


def test_a_snapshot_without_a_flush_is_fuzzy() -> None:
    assert of_table("SKIPFLUSH", None, None, 1.0, 2.0)["grade"] == "FUZZY"


DISABLED = {"digest": "d", "state": "DISABLED", "state_since_ms": 5, "asked_ms": 190.0, "done_ms": 200.0}
AFTER = {**DISABLED, "asked_ms": 250.0, "done_ms": 260.0}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (DISABLED, AFTER, "EXACT"),
        ({**DISABLED, "done_ms": 200.1}, AFTER, "BOUNDED"),
        (DISABLED, {**AFTER, "asked_ms": 249.9}, "BOUNDED"),
        (DISABLED, {**AFTER, "state_since_ms": 6}, "BOUNDED"),
        (DISABLED, {**AFTER, "state": "ENABLED"}, "BOUNDED"),
        ({**DISABLED, "state_since_ms": None}, {**AFTER, "state_since_ms": None}, "BOUNDED"),
        ({"digest": "d", "done_ms": 200.0}, {"digest": "d", "asked_ms": 250.0}, "BOUNDED"),
        (None, AFTER, "BOUNDED"),
        (DISABLED, None, "BOUNDED"),
    ],
)
def test_a_disabled_table_is_exact_only_if_it_was_so_from_before_to_after(
    before: dict[str, Any] | None, after: dict[str, Any] | None, expected: str
) -> None:
    assert of_table("DISABLED", READING, after, 200.0, 250.0, before)["grade"] == expected


READING = {"digest": "same", "asked_ms": 0.0, "done_ms": 10.0, "rpc_timeout_ms": 100.0}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (READING, {**READING, "asked_ms": 250.0}, "EXACT"),
        ({**READING, "done_ms": 100.1}, {**READING, "asked_ms": 250.0}, "BOUNDED"),
        (READING, {**READING, "asked_ms": 249.9}, "BOUNDED"),
        (READING, {**READING, "asked_ms": 250.0, "digest": "other"}, "BOUNDED"),
        (None, {**READING, "asked_ms": 250.0}, "BOUNDED"),
        (READING, None, "BOUNDED"),
    ],
)
def test_readings_count_only_if_they_span_the_request_and_the_rpc_timeout(
    before: dict[str, Any] | None, after: dict[str, Any] | None, expected: str
) -> None:
    assert of_table("FLUSH", before, after, 200.0, 250.0)["grade"] == expected


REGION = {
    "region": "r1",
    "start": "",
    "end": "",
    "server": "s1",
    "open_sequence_id": 2,
    "live": True,
    "write_requests": 5,
    "store_files": 1,
}


@pytest.mark.parametrize(
    "changed",
    [
        {"write_requests": 6},
        {"server": "s2"},
        {"open_sequence_id": 9},
        {"region": "r2"},
        {"end": "6d"},
        {"live": False},
        {"store_files": 2},
    ],
)
def test_whatever_moves_shows_in_the_digest(changed: dict[str, Any]) -> None:
    other = {**REGION, "region": "zz"}
    assert still_digest({"regions": [REGION, other]}) == still_digest({"regions": [other, REGION]})
    assert still_digest({"regions": [REGION]}) != still_digest({"regions": [{**REGION, **changed}]})
    assert still_digest({"regions": [REGION]}) != still_digest({"regions": []})


# Open files: in a run whose moment is 30 s away the first listing is taken 15 s before it.


def open_files(world: MomentWorld, result: dict[str, Any]) -> list[str]:
    found: list[str] = result["data_sets"]["files"]["open_files"]
    assert ("FUZZY" in result["data_sets"]["files"]["evidence"]["reason"]) == bool(found)
    return found


def test_nothing_open(world: MomentWorld) -> None:
    result = world.run(world.instruction(in_ms=LATE_MS))
    assert open_files(world, result) == []
    assert grade(result, "files") == "EXACT"


def test_a_file_that_is_held_open_is_named(world: MomentWorld) -> None:
    world.app.start(f"{DIRECTORY}/deep/log", b"begun")
    world.app.start("/data/salesother/log", b"not in this directory")
    result = world.run(world.instruction(in_ms=LATE_MS))
    assert open_files(world, result) == ["deep/log"]
    assert grade(result, "files") == "EXACT"


@pytest.mark.parametrize(("closed_at_ms", "expected"), [(20_000, []), (31_000, ["log"])])
def test_a_file_that_is_closed_between_the_listings_is_whole_only_if_that_was_before_the_cut(
    world: MomentWorld, closed_at_ms: float, expected: list[str]
) -> None:
    world.app.start(f"{DIRECTORY}/log", b"begun")
    world.at(closed_at_ms, lambda: world.app.close(f"{DIRECTORY}/log"))
    hold_second_listing_until(world, 33_000)
    assert open_files(world, world.run(world.instruction(in_ms=LATE_MS))) == expected


def test_a_time_in_the_future_is_not_that_of_a_close(world: MomentWorld) -> None:
    def close_and_touch() -> None:
        world.app.close(f"{DIRECTORY}/log")
        world.app.touch(f"{DIRECTORY}/log", 2_208_988_800_000)

    world.app.start(f"{DIRECTORY}/log", b"begun")
    world.at(20_000, close_and_touch)
    begun_ms = world.clock.now_ms
    hold_second_listing_until(world, 33_000)
    result = world.run(world.instruction(in_ms=LATE_MS))
    assert open_files(world, result) == []
    listed_ms = result["data_sets"]["files"]["open_listed_ms"] - (world.hdfs.now_ms() - world.clock.now_ms)
    assert begun_ms + 33_000 <= listed_ms < begun_ms + 33_100


def test_a_file_that_is_opened_after_the_cut_is_not_in_the_snapshot(world: MomentWorld) -> None:
    world.at(31_000, lambda: world.app.start(f"{DIRECTORY}/log", b"begun"))
    hold_second_listing_until(world, 33_000)
    assert open_files(world, world.run(world.instruction(in_ms=LATE_MS))) == []


def test_a_file_that_is_opened_between_first_listing_and_cut_is_named(world: MomentWorld) -> None:
    world.at(25_000, lambda: world.app.start(f"{DIRECTORY}/log", b"begun"))
    assert open_files(world, world.run(world.instruction(in_ms=LATE_MS))) == ["log"]


def test_without_a_listing_a_directory_is_fuzzy_and_the_run_goes_on(world: MomentWorld) -> None:
    world.cannot_list_open_files()
    result = world.run(world.instruction(in_ms=LATE_MS))
    assert grade(result, "files") == "FUZZY"
    assert result["data_sets"]["files"]["open_files"] == []
    assert "open_listed_ms" not in result["data_sets"]["files"]


def hold_second_listing_until(world: MomentWorld, in_ms: float) -> None:
    """Let the listing after the cut be taken that late in the world."""
    at_ms = world.clock.now_ms + in_ms
    listings: list[OpenFiles] = []

    def list_late(operation: OpenFiles) -> dict[str, Any]:
        listings.append(operation)
        if len(listings) == 2:
            world.clock.advance_to(at_ms)
        return {"paths": world.hdfs.open_files(operation.path), "way": "hdfs command"}

    world.executor.others[OpenFiles] = list_late


@pytest.mark.parametrize(
    ("directories", "expected"),
    [(["/a/b"], "/a/b"), (["/a/b", "/a/bc"], "/a"), (["/a", "/b"], "/"), (["/a/b/c", "/a/b"], "/a/b")],
)
def test_one_listing_covers_all_directories(directories: list[str], expected: str) -> None:
    assert common_directory(directories) == expected
