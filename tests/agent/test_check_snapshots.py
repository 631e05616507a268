"""CheckCluster tells which snapshots of recovery points the copies on a secondary do not have any more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infra.agent.core.check_cluster import check_cluster
from tests.agent.check_world import DIRECTORY, CheckWorld
from tests.fakes.executor import run_procedure
from tests.fakes.hdfs_application import Application


def checked(world: CheckWorld, role: str, *relied_on: str) -> list[dict[str, Any]]:
    instruction = world.instruction(role, (DIRECTORY,), copies_here=False)
    instruction.payload["relied_on"] = list(relied_on)
    data_sets: list[dict[str, Any]] = run_procedure(check_cluster(instruction, b""), world.executor)["data_sets"]
    return data_sets


def test_what_a_copy_of_ours_has_lost(tmp_path: Path) -> None:
    world = CheckWorld(tmp_path)
    hdfs = world.hdfs["secondary"]
    Application(hdfs).put("/data/sales/a", b"1")
    signature = {"xattr.name": "trusted.understudy.copy", "xattr.value": "0x" + DIRECTORY["id"].encode().hex()}
    hdfs.call("PUT", "SETXATTR", "/data/sales", {**signature, "flag": "CREATE,REPLACE"})
    assert checked(world, "secondary", "us-1") == [{**DIRECTORY, "lost_snapshots": ["us-1"]}]
    hdfs.call("PUT", "ALLOWSNAPSHOT", "/data/sales", {})
    for name in ("us-1", "us-3"):
        hdfs.call("PUT", "CREATESNAPSHOT", "/data/sales", {"snapshotname": name})
    assert checked(world, "secondary", "us-1", "us-2", "us-3") == [{**DIRECTORY, "lost_snapshots": ["us-2"]}]
    assert checked(world, "secondary") == [DIRECTORY]
    assert "lost_snapshots" not in checked(world, "primary", "us-9")[0]
