"""One data set at the moment: is it ready, what fires its snapshot, and how is a snapshot recognised afterwards."""

from __future__ import annotations

from typing import Any, NamedTuple

from infra.agent.core import hdfs
from infra.agent.core.hdfs_snapshots import snapshot_path
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import HBaseCall, HdfsCall, Operation, OperationFailed
from infra.agent.core.work import PRIMARY
from infra.agent.protocol import hbase_snapshot_name

SNAPSHOT_SECONDS = 300.0
STAMP_RESOLUTION_MS = 1.0


class Target(NamedTuple):
    """``name`` is the directory or the table, ``snapshot`` the name that its snapshot gets.

    ``snapshot_path`` is where the snapshot stands in HDFS once it is complete: for a table its manifest, which is
    written last.
    """

    id: str
    component: str
    name: str
    snapshot: str
    snapshot_path: str


def target_of(data_set: dict[str, Any], payload: dict[str, Any]) -> Target:
    """The target of a data set in wire form; ``payload`` is that of TakeSnapshots."""
    snapshot = payload["snapshot"]
    if data_set["component"] == "hdfs":
        path = data_set["path"]
        return Target(data_set["id"], "hdfs", path, snapshot, snapshot_path(path, snapshot))
    hbase = payload["sites"][PRIMARY].get("hbase")
    if hbase is None:
        raise OperationFailed("NO_HBASE", f"the cluster of table {data_set['table']} is configured without HBase")
    name = hbase_snapshot_name(snapshot, data_set["table"])
    manifest = f"{hbase['root']}/.hbase-snapshot/{name}/data.manifest"
    return Target(data_set["id"], "hbase", data_set["table"], name, manifest)


def snapshot_call(target: Target) -> Operation:
    """The one request that takes the snapshot."""
    if target.component == "hdfs":
        return HdfsCall(PRIMARY, "PUT", "CREATESNAPSHOT", target.name, (("snapshotname", target.snapshot),))
    request = {
        "do": "snapshot",
        "table": target.name,
        "name": target.snapshot,
        "timeout_ms": int(SNAPSHOT_SECONDS * 1000),
    }
    return HBaseCall(PRIMARY, request, timeout_seconds=SNAPSHOT_SECONDS + 30)


def check_target(target: Target) -> Procedure:
    """Raise unless the snapshot can be taken and none of this name exists."""
    if target.component == "hdfs":
        yield from _check_directory(target)
    else:
        yield from _check_table(target)
    if (yield from snapshot_is_there(target)):
        message = f"{target.name} has a snapshot {target.snapshot} already"
        raise _failure("SNAPSHOT_EXISTS", target, message, "Start a new run.")


def snapshot_is_there(target: Target) -> Procedure:
    """Whether the snapshot exists, complete."""
    return (yield from hdfs.status(PRIMARY, target.snapshot_path)) is not None


def _check_directory(target: Target) -> Procedure:
    found = yield from hdfs.status(PRIMARY, target.name)
    if found is None or found["type"] != "DIRECTORY":
        raise _failure("NO_SUCH_DIRECTORY", target, f"{target.name} is no directory", "Correct the service.")
    if not found.get("snapshotEnabled"):
        remedy = f"hdfs dfsadmin -allowSnapshot {target.name}"
        raise _failure("NOT_SNAPSHOTTABLE", target, f"{target.name} does not allow snapshots", remedy)


def _check_table(target: Target) -> Procedure:
    found = yield HBaseCall(PRIMARY, {"do": "tables", "pattern": target.name})
    if not found["tables"]:
        raise _failure("NO_SUCH_TABLE", target, f"there is no table {target.name}", "Correct the service.")


def recognise(target: Target, asked_ms: float, offset_ms: float, within_ms: float) -> Procedure:
    """Find a snapshot whose answer was lost by the server's own stamp, which has to lie within ``within_ms`` of asking.

    ``asked_ms`` is on the gateway's clock and ``offset_ms`` is server minus gateway. Returns asked, done, server's
    stamp and type like a shot, or None when there is no such snapshot. A table's snapshot was complete when its
    manifest was written.
    """
    written = yield from hdfs.status(PRIMARY, target.snapshot_path)
    if written is None:
        return None
    finished_ms = stamp_ms = float(written["modificationTime"])
    kind = "HDFS"
    if target.component == "hbase":
        listed = yield HBaseCall(PRIMARY, {"do": "list_snapshots", "pattern": target.snapshot})
        facts = next((s for s in listed["snapshots"] if s["name"] == target.snapshot), None)
        if facts is None:
            return None
        stamp_ms, kind = float(facts["creation_ms"]), facts["type"]
    asked_server_ms = asked_ms + offset_ms
    if not asked_server_ms - STAMP_RESOLUTION_MS <= stamp_ms <= asked_server_ms + within_ms + STAMP_RESOLUTION_MS:
        return None
    done_ms = finished_ms + STAMP_RESOLUTION_MS - offset_ms
    return {"asked_ms": asked_ms, "done_ms": done_ms, "server_ms": stamp_ms, "type": kind}


def _failure(code: str, target: Target, message: str, remedy: str) -> OperationFailed:
    return OperationFailed(code, message, remedy=remedy, detail={"data_set": target.id})
