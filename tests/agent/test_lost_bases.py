"""Somebody deleted the snapshot that a copy would start from: it starts from an older one, or compares everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.agent.core.operations import OperationFailed
from infra.agent.protocol import hbase_snapshot_name
from tests.agent.hbase_world import TABLE
from tests.agent.hbase_world import World as TableWorld
from tests.agent.hdfs_world import HEAD, World
from tests.fakes.hdfs import FakeHdfs

OLDER = [{"snapshot": "r1", "recovery_point": "r1"}]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two recovery points, and changes since each."""
    found = World(tmp_path)
    for name in ("a", "b", "sub/c"):
        found.app.put(f"{HEAD}/{name}", name.encode() * 900)
    found.backup("r1")
    found.app.put(f"{HEAD}/b", b"second")
    found.app.put(f"{HEAD}/new", b"second")
    found.backup("r2", "r1")
    found.app.put(f"{HEAD}/b", b"third")
    found.app.rename(f"{HEAD}/sub", f"{HEAD}/moved")
    found.app.delete(f"{HEAD}/new")
    return found


def lose(hdfs: FakeHdfs, run: str) -> None:
    """Somebody deletes a snapshot."""
    hdfs.call("DELETE", "DELETESNAPSHOT", HEAD, {"snapshotname": run})


def back_up(world: World) -> dict[str, Any]:
    """A whole run that is offered both recovery points."""
    result = world.backup("r3", "r2", older_bases=OLDER)
    world.assert_equal("r3")
    verdicts = {result["digest"][part]["verdict"] for part in ("content", "metadata")}
    assert verdicts == {"EQUAL"}, result["digest"]["differences"]
    return result


def told(sent: dict[str, Any]) -> tuple[Any, ...]:
    lost = [(one["recovery_point"], one["cluster"]) for one in sent["lost"]]
    return sent["base"], sent["compared_with"], sent["full"], lost


def test_with_nothing_lost_the_newest_serves(world: World) -> None:
    sent = back_up(world)
    assert told(sent) == ("r2", "base", False, [])
    assert (sent["files_moved"], sent["renamed"]) == (1, 1)


@pytest.mark.parametrize("site", ["primary", "secondary"])
def test_an_older_one_that_both_have_serves(world: World, site: str) -> None:
    lose(world.hdfs[site], "r2")
    sent = back_up(world)
    assert told(sent) == ("r1", "base", False, [("r2", site)])
    assert sent["renamed"] == 1


def test_without_a_common_one_the_secondarys_own_snapshot_is_compared_in_full(world: World) -> None:
    for run in ("r1", "r2"):
        lose(world.primary, run)
    sent = back_up(world)
    assert told(sent) == ("r2", "frozen", False, [("r2", "primary"), ("r1", "primary")])
    assert sent["files_moved"] == 2, "b, and what was renamed: paths alone count now"


def test_without_any_on_the_secondary_the_head_as_it_stands_is_compared_in_full(world: World) -> None:
    for run in ("r1", "r2"):
        lose(world.secondary, run)
    sent = back_up(world)
    assert told(sent) == (None, "head", False, [("r2", "secondary"), ("r1", "secondary")])
    assert (sent["files_moved"], sent["entries_in_base"]) == (2, 6)
    world.app.put(f"{HEAD}/b", b"fourth")
    assert world.backup("r4", "r3")["files_moved"] == 1, "and from then on all is as it was"


def test_a_foul_head_without_any_snapshot_becomes_right(world: World) -> None:
    for run in ("r1", "r2"):
        lose(world.secondary, run)
    world.secondary.call("DELETE", "DELETE", f"{HEAD}/a", {})
    world.secondary.write(f"{HEAD}/foul", b"foul")
    back_up(world)


def test_a_head_of_ours_is_never_foreign_although_no_base_is_known(world: World) -> None:
    assert told(world.backup("r3")) == (None, "head", False, [])
    world.assert_equal("r3")


def test_a_head_that_is_not_ours_any_more_is_left_alone(world: World) -> None:
    for run in ("r1", "r2"):
        lose(world.secondary, run)
    world.cut("r3")
    world.run(world.send_instruction("r3", "r2", older_bases=OLDER))
    world.secondary.call("DELETE", "DELETE", HEAD, {"recursive": "true"})
    world.secondary.call("PUT", "MKDIRS", HEAD, {})
    world.secondary.write(f"{HEAD}/theirs", b"theirs")
    with pytest.raises(OperationFailed, match="HEAD_CHANGED"):
        world.run(world.apply_instruction("r3", None))
    assert world.secondary.read(f"{HEAD}/theirs") == b"theirs"


def test_a_copy_that_is_gone_is_made_anew(world: World) -> None:
    for run in ("r1", "r2"):
        lose(world.secondary, run)
    world.secondary.call("DELETE", "DELETE", HEAD, {"recursive": "true"})
    sent = back_up(world)
    assert told(sent) == (None, "nothing", True, [("r2", "secondary"), ("r1", "secondary")])


def backup_table(world: TableWorld, run: str, base: str, older: list[dict[str, str]]) -> dict[str, Any]:
    """A whole run that is offered older bases, too; returns the sender's totals."""
    world.cut(run)
    sent: dict[str, Any] = world.run(world.send(run, base, older_bases=older))
    for instruction in (world.apply(run, base), world.instruction("FreezeCopies", run), world.digest(run)):
        world.run(instruction)
    world.seal(run)
    return sent


def test_the_base_of_a_table_is_told_as_lost_and_an_older_one_serves(tmp_path: Path) -> None:
    world = TableWorld(tmp_path)
    for run, base in (("us-r1", None), ("us-r2", "us-r1")):
        world.fill(run)
        world.backup(run, base=base)
    names = {run: hbase_snapshot_name(run, TABLE) for run in ("us-r1", "us-r2")}
    world.secondary.call({"do": "delete_snapshot", "name": names["us-r2"]})
    world.fill("us-r3")
    older = [{"snapshot": "us-r1", "recovery_point": "us-r1"}]
    result = backup_table(world, "us-r3", "us-r2", older)
    world.assert_equal("us-r3")
    lost = {"snapshot": names["us-r2"], "recovery_point": "us-r2", "cluster": "secondary"}
    assert (result["base"], result["compared_with"], result["lost"]) == ("us-r1", "base", [lost])
    for name in (names["us-r1"], hbase_snapshot_name("us-r3", TABLE)):
        world.secondary.call({"do": "delete_snapshot", "name": name})
    result = backup_table(world, "us-r4", "us-r3", older)
    world.assert_equal("us-r4")
    assert (result["base"], result["compared_with"], len(result["lost"])) == (None, "nothing", 2)
    assert result["files_moved"] == result["files"]


def test_a_base_of_a_table_that_cannot_be_understood_is_as_good_as_lost(tmp_path: Path) -> None:
    world = TableWorld(tmp_path)
    for run, base in (("us-r1", None), ("us-r2", "us-r1")):
        world.fill(run)
        world.backup(run, base=base)
    name = hbase_snapshot_name("us-r2", TABLE)
    secondary = world.hdfs["secondary"]
    torn = f"/hbase/.hbase-snapshot/{name}/data.manifest"
    secondary.write(torn, secondary.read(torn)[:40])
    world.fill("us-r3")
    older = [{"snapshot": "us-r1", "recovery_point": "us-r1"}]
    result = backup_table(world, "us-r3", "us-r2", older)
    assert (result["base"], result["compared_with"]) == ("us-r1", "base")
    assert [one["recovery_point"] for one in result["lost"]] == ["us-r2"]


def test_a_manifest_of_the_base_that_cannot_be_read_costs_time_alone(world: World) -> None:
    world.secondary.damage("/.understudy/recovery-points/r2/d1.manifest")
    assert told(back_up(world)) == ("r2", "base", False, [])
