"""One data set at the moment: is it ready, what takes its snapshot, how is a snapshot recognised and removed.

Each kind of component is one class with the same five procedures; another kind is one more class and one more line in
``TARGETS``. A snapshot that is *found* carries the NameNode's own stamps, so what it stands for can be told without
having seen the request: a directory's snapshot has the time of its cut; a table's lies in files that HBase writes
before the first region is cut (``.snapshotinfo``) and after the last one (``data.manifest``).
"""

from __future__ import annotations

import shlex
from typing import Any, Callable, NamedTuple, Protocol

from infra.agent.core import hbase_calls, hdfs, hdfs_snapshots
from infra.agent.core.hbase_layout import snapshot_directory
from infra.agent.core.hbase_snapshot import read_info
from infra.agent.core.hdfs_snapshots import snapshot_path
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import HBaseCall, HdfsCall, Operation, OperationFailed
from infra.agent.core.work import PRIMARY
from infra.agent.protocol import hbase_snapshot_name

HDFS = "hdfs"
HBASE = "hbase"
DIRECTORY_KIND = "DIRECTORY"
SNAPSHOT_SECONDS = 300.0
# The master stamps a snapshot when it begins with it, which may be a little after the request.
MASTER_PATIENCE_MS = 1_000.0


class Found(NamedTuple):
    """A snapshot that is there. Times are on the NameNode's clock; None where nothing tells.

    ``stamp_ms`` is the server's own stamp of when it began and must be the moment's, within ``patience_ms`` more than
    the tolerance. What the snapshot shows was true at some instant between ``from_ms`` and ``until_ms``.
    """

    stamp_ms: float
    patience_ms: float
    from_ms: float | None
    until_ms: float | None
    kind: str


class Target(Protocol):
    """What is done for one data set. ``name`` is its directory or table, ``snapshot`` the name its snapshot gets."""

    id: str
    component: str
    name: str
    snapshot: str

    def check(self) -> Procedure:
        """Raise, with the code of what is wrong, unless the snapshot can be taken and is not there yet.

        Returns whether nobody can write to the data set, because it is a disabled table.
        """

    def call(self) -> Operation:
        """The one request that takes the snapshot."""

    def find(self) -> Procedure:
        """``Found``, or None when there is no (finished) snapshot."""

    def remove(self) -> Procedure:
        """Remove the snapshot; one that is not there is as good as removed."""

    def is_worth_another_try(self, failure: dict[str, Any]) -> bool:
        """Whether a request that failed for certain may succeed a little later."""


class DirectoryTarget:
    """An HDFS directory."""

    component = HDFS

    def __init__(self, data_set: dict[str, Any], snapshot: str, site: dict[str, Any]) -> None:
        self.id: str = data_set["id"]
        self.name: str = data_set["path"]
        self.snapshot = snapshot

    def check(self) -> Procedure:
        """NO_SUCH_DIRECTORY, NOT_SNAPSHOTTABLE, SNAPSHOT_EXISTS."""
        found = yield from hdfs.status(PRIMARY, self.name)
        if found is None or found["type"] != "DIRECTORY":
            raise _unfit(self, "NO_SUCH_DIRECTORY", f"{self.name} is no directory", "Correct the service.")
        if (yield from hdfs.status(PRIMARY, f"{self.name}/.snapshot")) is None:
            remedy = f"As the superuser: hdfs dfsadmin -allowSnapshot {shlex.quote(self.name)}"
            raise _unfit(self, "NOT_SNAPSHOTTABLE", f"{self.name} does not allow snapshots", remedy)
        if (yield from hdfs.status(PRIMARY, snapshot_path(self.name, self.snapshot))) is not None:
            raise _exists(self)
        return False

    def call(self) -> Operation:
        """CREATESNAPSHOT."""
        return HdfsCall(PRIMARY, "PUT", "CREATESNAPSHOT", self.name, (("snapshotname", self.snapshot),))

    def find(self) -> Procedure:
        """The snapshot directory's modification time is the cut."""
        made = yield from hdfs.status(PRIMARY, snapshot_path(self.name, self.snapshot))
        if made is None:
            return None
        cut_ms = float(made["modificationTime"])
        return Found(cut_ms, 0.0, cut_ms, cut_ms + 1, DIRECTORY_KIND)

    def remove(self) -> Procedure:
        """DELETESNAPSHOT."""
        yield from hdfs_snapshots.delete_snapshot(PRIMARY, self.name, self.snapshot)

    def is_worth_another_try(self, failure: dict[str, Any]) -> bool:
        """Never: the NameNode takes it at once or not at all, and later is another instant."""
        return False


class TableTarget:
    """An HBase table."""

    component = HBASE
    # Whatever is tried, these stay as they are. Splits, merges, moves and time-outs of regions have many names.
    FINAL = frozenset(
        [
            "AccessDeniedException",
            "KeyError",
            "NamespaceNotFoundException",
            "Refused",
            "SnapshotExistsException",
            "TableNotFoundException",
        ]
    )

    def __init__(self, data_set: dict[str, Any], snapshot: str, site: dict[str, Any]) -> None:
        self.id: str = data_set["id"]
        self.name: str = data_set["table"]
        self.snapshot = hbase_snapshot_name(snapshot, self.name)
        hbase = site.get("hbase") or {}
        self._root = str(hbase.get("root") or "/hbase")

    def check(self) -> Procedure:
        """NO_SUCH_TABLE, TABLE_CHANGING, SNAPSHOT_EXISTS; a disabled table is snapshotted as it is."""
        found = yield from hbase_calls.find_tables(PRIMARY, self.name)
        if not found:
            raise _unfit(self, "NO_SUCH_TABLE", f"there is no table {self.name}", "Correct the service.")
        state = found[0]["state"]
        if state not in (hbase_calls.ENABLED, hbase_calls.DISABLED):
            remedy = "Wait until it is enabled or disabled; look at the master's page if that takes long."
            raise _unfit(self, "TABLE_CHANGING", f"table {self.name} is being enabled or disabled", remedy)
        if (yield from hbase_calls.has_snapshot(PRIMARY, self.snapshot, self.name)):
            raise _exists(self)
        return state == hbase_calls.DISABLED

    def call(self) -> Operation:
        """A flush snapshot; of a disabled table its files are taken as they are."""
        request = {
            "do": "snapshot",
            "table": self.name,
            "name": self.snapshot,
            "timeout_ms": int(SNAPSHOT_SECONDS * 1000),
        }
        return HBaseCall(PRIMARY, request, timeout_seconds=SNAPSHOT_SECONDS + hbase_calls.GRACE_SECONDS)

    def find(self) -> Procedure:
        """What the snapshot says of itself, and the times of its own files."""
        directory = snapshot_directory(self._root, self.snapshot)
        info = yield from read_info(PRIMARY, directory)
        if info is None:
            return None
        begun = yield from hdfs.status(PRIMARY, f"{directory}/.snapshotinfo", "hbase")
        ended = yield from hdfs.status(PRIMARY, f"{directory}/data.manifest", "hbase")
        return Found(
            float(info.creation_ms),
            MASTER_PATIENCE_MS,
            None if begun is None else float(begun["modificationTime"]),
            None if ended is None else float(ended["modificationTime"]) + 1,
            info.type,
        )

    def remove(self) -> Procedure:
        """Delete the snapshot by its name."""
        yield from hbase_calls.delete_snapshot(PRIMARY, self.snapshot)

    def is_worth_another_try(self, failure: dict[str, Any]) -> bool:
        """A region that is split, merged or moved fails a snapshot, and soon does not any more."""
        return failure["code"] != "NO_HBASE" and failure.get("detail", {}).get("exception") not in self.FINAL


TARGETS: dict[str, Callable[[dict[str, Any], str, dict[str, Any]], Target]] = {
    HDFS: DirectoryTarget,
    HBASE: TableTarget,
}


def target_of(data_set: dict[str, Any], snapshot: str, site: dict[str, Any]) -> Target:
    """The target of a data set in wire form, on a site as the payload describes it."""
    return TARGETS[data_set["component"]](data_set, snapshot, site)


def _exists(target: Target) -> OperationFailed:
    message = f"{target.name} has a snapshot {target.snapshot} that this agent did not take"
    return _unfit(target, "SNAPSHOT_EXISTS", message, "Look who made it, remove it, and start a new run.")


def _unfit(target: Target, code: str, message: str, remedy: str) -> OperationFailed:
    return OperationFailed(code, message, remedy=remedy, detail={"data_set": target.id})
