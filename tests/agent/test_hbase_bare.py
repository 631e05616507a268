"""Clones without what a table's schema would load into a RegionServer, and the snapshot that they are made of."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from infra.agent.core.hbase_bare import bare_name, bare_of
from infra.agent.core.hbase_manifest import SnapshotDamaged, parse_data_manifest, parse_snapshot_info
from infra.agent.core.hbase_snapshot import FILES
from infra.agent.core.operations import OperationFailed
from infra.agent.protocol import hbase_snapshot_name
from tests.agent.hbase_world import TABLE, World, files_below
from tests.fakes.executor import AgentKilled, Kill
from tests.fakes.hbase_wire import SimulatedRegion, data_manifest, snapshot_info

REGIONS = [SimulatedRegion(TABLE, b"", b"m", files={"f": [("a" * 32, 10, False)]}), SimulatedRegion(TABLE, b"m")]
AUDIT = "hdfs://a/jars/audit.jar|com.example.Audit|1073741823|"
USUAL = {"IS_META": "false", "hbase.store.file-tracker.impl": "DEFAULT", "READONLY": "false"}
USUAL_FAMILY = {"VERSIONS": "3", "COMPRESSION": "GZ", "BLOOMFILTER": "ROW", "REPLICATION_SCOPE": "0", "TTL": "86400"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.primary.tables[TABLE].attributes = {**USUAL, "coprocessor$1": AUDIT}
    world.fill("one")
    return world


def snapshots(world: World) -> set[str]:
    """The names of the secondary's snapshots."""
    return {found["name"] for found in world.secondary.snapshots.listed()}


def files_of(world: World, run: str) -> list[bytes]:
    directory = f"/hbase/.hbase-snapshot/{hbase_snapshot_name(run, TABLE)}"
    return [world.hdfs["secondary"].read(f"{directory}/{name}") for name in FILES]


def test_the_trial_clone_has_no_coprocessor_and_the_recovery_point_keeps_it(world: World) -> None:
    trial = world.backup("us-r1")["digest"]["trial_clone"]
    assert trial["rows_seen"] == 6
    assert trial["left_out"] == [f"coprocessor$1 {AUDIT}"]
    assert world.secondary.aborted == []
    assert snapshots(world) == {hbase_snapshot_name("us-r1", TABLE)}
    assert b"com.example.Audit" in files_of(world, "us-r1")[1]


def test_opening_is_as_careful(world: World) -> None:
    world.backup("us-r1")
    told = world.run(world.instruction("OpenCopies", "us-r1", scratch="look"))
    assert told["left_out"] == [f"coprocessor$1 {AUDIT}"]
    assert len(world.secondary.scan(told["readable"])) == 12
    assert world.secondary.tables[told["readable"]].attributes == USUAL
    assert (world.secondary.aborted, len(snapshots(world))) == ([], 1)
    closed = world.run(world.instruction("CloseCopies", "us-r1", scratch="look"))
    assert closed == {"removed": [told["readable"]]}


def test_a_table_with_nothing_of_its_own_is_cloned_as_it_is(world: World) -> None:
    del world.primary.tables[TABLE].attributes["coprocessor$1"]
    assert "left_out" not in world.backup("us-r1")["digest"]["trial_clone"]
    asked = [request["snapshot"] for request in world.secondary.requests if request["do"] == "clone"]
    assert asked == [hbase_snapshot_name("us-r1", TABLE)]


def test_an_agent_that_dies_anywhere_leaves_nothing_for_long(tmp_path: Path) -> None:
    for step in count(60, 7):
        world = World(tmp_path / str(step))
        world.primary.tables[TABLE].attributes = {"SPLIT_POLICY": "com.example.Split"}
        world.fill("one", count=1)
        world.backup("us-r1")
        opening = world.instruction("OpenCopies", "us-r1", scratch="look")
        try:
            world.run(opening, Kill(step - 60 + 1, "after", in_flight_lands=True))
        except AgentKilled:
            told = world.run(opening)
            assert len(snapshots(world)) == 1
            assert len(world.secondary.scan(told["readable"])) == 4
            continue
        return


def test_a_rename_whose_answer_is_lost_is_found_done(world: World) -> None:
    world.backup("us-r1")
    world.hdfs["secondary"].lose_answer("RENAME", "us-bare-")
    assert world.run(world.instruction("OpenCopies", "us-r1", scratch="look"))["left_out"]
    assert not [path for path in files_below(world.hdfs["secondary"], "/.understudy/scratch") if "us-bare-" in path]


def test_a_rename_that_is_refused_fails_the_opening(world: World) -> None:
    world.backup("us-r1")
    refused = OperationFailed("HDFS", "no", detail={"exception": "AccessControlException"})
    world.hdfs["secondary"].fail("RENAME", refused, "us-bare-")
    with pytest.raises(OperationFailed, match="no"):
        world.run(world.instruction("OpenCopies", "us-r1", scratch="look"))
    assert (snapshots(world), world.secondary.tables) == ({hbase_snapshot_name("us-r1", TABLE)}, {})


def test_what_an_agent_left_goes_with_the_recovery_point(world: World) -> None:
    world.backup("us-r1")
    name = hbase_snapshot_name("us-r1", TABLE)
    world.secondary.snapshots.take(bare_name(name), world.primary.tables[TABLE], "FLUSH")
    assert len(snapshots(world)) == 2
    world.run(world.instruction("RemoveSnapshots", "us-r1"))
    assert snapshots(world) == set()


def test_a_clone_that_fails_leaves_no_snapshot(world: World) -> None:
    world.secondary.fail("clone", "RestoreSnapshotException")
    with pytest.raises(OperationFailed) as caught:
        world.backup("us-r1")
    assert caught.value.code == "TRIAL_CLONE_FAILED"
    assert snapshots(world) == {hbase_snapshot_name("us-r1", TABLE)}


def test_a_snapshot_that_cannot_be_removed_does_not_spoil_the_clone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.backup("us-r1")
    name = hbase_snapshot_name("us-r1", TABLE)
    clone = world.secondary._do_clone

    def then_fail(request: dict[str, Any]) -> dict[str, Any]:
        world.secondary.fail("delete_snapshot", "IOException")
        return clone(request)

    monkeypatch.setattr(world.secondary, "_do_clone", then_fail)
    told = world.run(world.instruction("OpenCopies", "us-r1", scratch="look"))
    assert len(world.secondary.scan(told["readable"])) == 12
    assert snapshots(world) == {name, bare_name(name)}
    world.run(world.instruction("CloseCopies", "us-r1", scratch="look"))
    world.run(world.instruction("RemoveSnapshots", "us-r1"))
    assert snapshots(world) == set(), "it goes with the recovery point"


def test_of_the_schema_what_says_how_rows_are_kept_stays() -> None:
    attributes = {**USUAL, "coprocessor$1": AUDIT, "SPLIT_POLICY": "com.example.Split", "REGION_REPLICATION": "2"}
    attributes |= {"hbase.rsgroup.name": "fast", "hbase.table.sanity.checks": "false", "ERASURE_CODING_POLICY": "XOR"}
    family = {**USUAL_FAMILY, "STORAGE_POLICY": "ALL_SSD", "COMPRESSION_COMPACT": "LZO", "anything": "new"}
    families = {"f": family, "g": {**USUAL_FAMILY, "BLOOMFILTER": "ROWPREFIX_FIXED_LENGTH", "REPLICATION_SCOPE": "1"}}
    configuration = {"hbase.hstore.engine.class": "com.example.Engine"}
    info = snapshot_info("us-1-orders", TABLE, 5)
    whole = data_manifest(TABLE, REGIONS, attributes, families, configuration)
    bare = bare_of((info, whole), "us-bare-1")
    kept = {"VERSIONS": "3", "COMPRESSION": "GZ", "TTL": "86400"}
    expected = data_manifest(
        TABLE,
        REGIONS,
        USUAL,
        {"f": USUAL_FAMILY, "g": {name: USUAL_FAMILY[name] for name in USUAL_FAMILY if name in kept}},
    )
    assert bare.contents[1] == expected
    assert parse_data_manifest(bare.contents[1]) == parse_data_manifest(whole)
    assert parse_snapshot_info(bare.contents[0]) == parse_snapshot_info(info)._replace(name="us-bare-1")
    assert bare.left_out == [
        "ERASURE_CODING_POLICY XOR",
        "REGION_REPLICATION 2",
        "SPLIT_POLICY com.example.Split",
        f"coprocessor$1 {AUDIT}",
        "f: COMPRESSION_COMPACT LZO",
        "f: STORAGE_POLICY ALL_SSD",
        "f: anything new",
        "g: BLOOMFILTER ROWPREFIX_FIXED_LENGTH",
        "g: REPLICATION_SCOPE 1",
        "hbase.hstore.engine.class com.example.Engine",
        "hbase.rsgroup.name fast",
        "hbase.table.sanity.checks false",
    ]


def test_a_schema_that_is_none_is_told() -> None:
    with pytest.raises(SnapshotDamaged):
        bare_of((snapshot_info("us-1", TABLE, 5), b"\x0a\x03\x12\x01\x07"), "us-bare-1")
