"""What is asked of HBase: requests to the administration process that may be repeated, and probes after unknown ends.

``persist`` of ``hdfs`` waits out a master that restarts. A clone is the one request that is not repeated blindly: what
became of it is told by the state of its table.
"""

from __future__ import annotations

from typing import Any

from infra.agent.core.hdfs import exception_of, persist
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import HBaseCall, OperationFailed

SHORT_SECONDS = 60.0
# HBase's clients have time-outs of their own; the agent gives up a little later than they do.
GRACE_SECONDS = 30.0
ENABLED = "ENABLED"
DISABLED = "DISABLED"
# What a master or a server says, or a client says of them, while they restart or move.
_NOT_NOW = frozenset(
    [
        "CallQueueTooBigException",
        "CallTimeoutException",
        "ConnectException",
        "ConnectionClosedException",
        "MasterNotRunningException",
        "MasterRegistryFetchException",
        "MasterStoppedException",
        "NoRouteToHostException",
        "NotServingRegionException",
        "PleaseHoldException",
        "RegionServerStoppedException",
        "RetriesExhaustedException",
        "ServerNotRunningYetException",
        "SocketTimeoutException",
        "StoppedRpcClientException",
        "ZooKeeperConnectionException",
    ]
)


def ask(site: str, do: str, timeout_seconds: float = SHORT_SECONDS, **request: Any) -> Procedure:
    """One request that may be repeated; returns its result, or raises the failure with ``detail["exception"]``."""
    operation = HBaseCall(site, {"do": do, **request}, timeout_seconds + GRACE_SECONDS)

    def once() -> Procedure:
        return (yield from _telling(operation))

    return (yield from persist(once))


def _telling(operation: HBaseCall) -> Procedure:
    """Carry a request out and mark what passes by itself as transient."""
    try:
        return (yield operation)
    except OperationFailed as failure:
        if exception_of(failure) in _NOT_NOW:
            failure.transient = True
        raise


def has_snapshot(site: str, name: str, table: str) -> Procedure:
    """Whether the master has a finished snapshot of that name; a list would make it read all that there are."""
    answer = yield from ask(site, "find_snapshot", name=name, table=table)
    return bool(answer["found"])


def delete_snapshot(site: str, name: str) -> Procedure:
    """Delete a snapshot; returns whether it was there."""
    try:
        answer = yield from ask(site, "delete_snapshot", name=name)
    except OperationFailed as failure:
        if exception_of(failure) != "SnapshotDoesNotExistException":
            raise
        return False
    return bool(answer["deleted"])


def find_tables(site: str, pattern: str) -> Procedure:
    """The tables whose names fit "namespace:name" with wildcards, each a dict with ``table`` and ``state``."""
    answer = yield from ask(site, "tables", pattern=pattern)
    return answer["tables"]


def clone(site: str, snapshot: str, table: str, timeout_seconds: float) -> Procedure:
    """Clone a snapshot to a new table and return when it is enabled; a table of that name is taken for this clone.

    HBase reports a missing file or a wrong owner by never finishing, so the end of the time is the failure.
    """
    request = {"do": "clone", "snapshot": snapshot, "table": table, "timeout_ms": int(timeout_seconds * 1000)}
    operation = HBaseCall(site, request, timeout_seconds + GRACE_SECONDS)

    def once() -> Procedure:
        found = yield from find_tables(site, table)
        if found and found[0]["state"] == ENABLED:
            return
        if found:
            yield from drop(site, table)
        try:
            yield from _telling(operation)
        except OperationFailed as failure:
            if failure.code == "HBASE_TIMEOUT":
                failure.transient = failure.unknown = False  # its time is over, whatever becomes of it
            raise

    yield from persist(once)


def drop(site: str, table: str) -> Procedure:
    """Disable and drop a table of the scratch namespace; returns whether it was there."""
    found = yield from find_tables(site, table)
    if not found:
        return False
    timeout_ms = int(SHORT_SECONDS * 1000)
    yield from ask(site, "disable", table=table, timeout_ms=timeout_ms)
    try:
        yield from ask(site, "drop", table=table, timeout_ms=timeout_ms)
    except OperationFailed as failure:
        if exception_of(failure) != "TableNotFoundException":
            raise
    return True
