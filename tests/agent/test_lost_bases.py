"""Somebody deleted the snapshot that a copy would start from: it starts from an older one, or compares everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infra.agent.protocol import hbase_snapshot_name
from tests.agent.hbase_world import TABLE
from tests.agent.hbase_world import World as TableWorld


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
    for run, base in (("r1", None), ("r2", "r1")):
        world.fill(run)
        world.backup(run, base=base)
    names = {run: hbase_snapshot_name(run, TABLE) for run in ("r1", "r2")}
    world.secondary.call({"do": "delete_snapshot", "name": names["r2"]})
    world.fill("r3")
    older = [{"snapshot": "r1", "recovery_point": "r1"}]
    result = backup_table(world, "r3", "r2", older)
    world.assert_equal("r3")
    lost = {"snapshot": names["r2"], "recovery_point": "r2", "cluster": "secondary"}
    assert (result["base"], result["compared_with"], result["lost"]) == ("r1", "base", [lost])
    for name in (names["r1"], hbase_snapshot_name("r3", TABLE)):
        world.secondary.call({"do": "delete_snapshot", "name": name})
    result = backup_table(world, "r4", "r3", older)
    world.assert_equal("r4")
    assert (result["base"], result["compared_with"], len(result["lost"])) == (None, "nothing", 2)
    assert result["files_moved"] == result["files"]
