"""Clones of snapshots in a namespace of their own: to look into a recovery point, and to try whether it can be used.

A clone costs no bytes: its files are links to those of the snapshot. It stands in the namespace ``understudy_scratch``,
so it can never be taken for a table of the application, quotas and grants can be set for all of them, and the
administration process can refuse to drop anything else. Its name tells what it is a clone of (``clone_names``). It has
no coprocessors and nothing else that its table's schema would load into a RegionServer (``hbase_bare``).

As long as a clone lives, its snapshot is not removed (``refuse_living_clones``): links and references of its regions
lead to the snapshot's files until a major compaction. Closing drops the clone; what it had written itself goes with it.
"""

from __future__ import annotations

from typing import Any

from infra.agent.core import hbase_calls
from infra.agent.core.clone_names import (
    SCRATCH_NAMESPACE,
    clone_of_snapshot,
    clone_of_table,
    clones_of_table,
    is_clone_of_table,
    names_in_clones,
    parse_clone_of_snapshot,
)
from infra.agent.core.hbase_bare import bare_name, clone_bare
from infra.agent.core.hbase_manifest import parse_table
from infra.agent.core.hbase_snapshot import name_of, root_of
from infra.agent.core.hdfs import exception_of
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import Now, OperationFailed
from infra.agent.core.work import SECONDARY, Work

TRIAL = "trial"
TRIAL_SECONDS = 300.0
TRIAL_ROWS = 1000
OPEN_SECONDS = 1800.0
_NEVER_FINISHED = ("TimeoutException",)


def try_clone(work: Work, data_set: dict[str, Any]) -> Procedure:
    """Clone the secondary's snapshot, read some rows of every region, drop the clone; returns what was seen."""
    name = name_of(work, data_set)
    table = clone_of_snapshot(TRIAL, name)
    started_ms = yield Now()
    yield from hbase_calls.drop(SECONDARY, table)  # left by an agent that died
    try:
        left_out = yield from _clone(work, name, table, TRIAL_SECONDS)
        counted = yield from hbase_calls.ask(SECONDARY, "count", TRIAL_SECONDS, table=table, limit=TRIAL_ROWS)
    except OperationFailed as failure:
        if failure.code == "ABORTED":
            raise
        raise (yield from _trial_failed(failure, table)) from failure
    yield from hbase_calls.drop(SECONDARY, table)
    seconds = ((yield Now()) - started_ms) / 1000
    told = {"table": data_set["table"], "rows_seen": counted["rows"], "seconds": round(seconds, 3)}
    return {**told, **({"left_out": left_out} if left_out else {})}


def _clone(work: Work, snapshot: str, table: str, seconds: float) -> Procedure:
    """A clone with an end: HBase itself would wait for ever where a file cannot be opened. Returns what it lacks."""
    try:
        return (yield from clone_bare(work, root_of(work, SECONDARY), snapshot, table, seconds))
    except OperationFailed as failure:
        if exception_of(failure) in _NEVER_FINISHED or failure.code == "HBASE_TIMEOUT":
            raise OperationFailed(
                "CLONE_HANGS",
                f"the clone {table} is not ready after {seconds:.0f} s",
                remedy=f"Look at the regions in transition of {table} on the master's page: a file that HBase cannot"
                " open (its owner, a missing block) keeps a region from opening.",
            ) from failure
        raise


def _trial_failed(failure: OperationFailed, table: str) -> Procedure:
    """The failure of a trial, with what became of its clone."""
    left = ""
    try:
        yield from hbase_calls.drop(SECONDARY, table)
    except OperationFailed as second:
        left = f"; it could not be dropped either ({second.message[:200]})"
    return OperationFailed(
        "TRIAL_CLONE_FAILED",
        f"{table}: {failure.message}{left}",
        remedy=failure.remedy,
        detail={**failure.detail, "table": table, "cause": failure.code},
    )


def open_clone(work: Work, data_set: dict[str, Any]) -> Procedure:
    """Clone a snapshot to its scratch name; one that is open already is taken."""
    site = work.only_site()
    name = name_of(work, data_set)
    table = _opened_as(work, data_set, name)
    started_ms = yield Now()
    if not (yield from hbase_calls.has_snapshot(site, name, data_set["table"])):
        raise OperationFailed("SNAPSHOT_MISSING", f"HBase does not know the snapshot {name}")
    left_out = yield from _clone(work, name, table, OPEN_SECONDS)
    told = {"readable": table, "seconds": round(((yield Now()) - started_ms) / 1000, 3)}
    return {**told, **({"left_out": left_out} if left_out else {})}


def _opened_as(work: Work, data_set: dict[str, Any], snapshot: str) -> str:
    """The name of a table's clone in the instruction's opening."""
    scratch: str = work.payload["scratch"]
    is_by_table = work.payload.get("by_table", False)
    return clone_of_table(scratch, data_set["table"]) if is_by_table else clone_of_snapshot(scratch, snapshot)


def close_clones(work: Work, data_set: dict[str, Any]) -> Procedure:
    """Drop the clones of a table that were opened under the instruction's scratch name."""
    site = work.only_site()
    scratch = work.payload["scratch"]
    if work.payload.get("by_table", False):
        table = clone_of_table(scratch, data_set["table"])
        return {"removed": [table] if (yield from hbase_calls.drop(site, table)) else []}
    clone_of_snapshot(scratch, "any")  # refuses a name that cannot be one
    wanted = parse_table(data_set["table"])
    removed = []
    for found in (yield from hbase_calls.find_tables(site, f"{SCRATCH_NAMESPACE}:{scratch}.*")):
        _, snapshot = parse_clone_of_snapshot(found["table"])
        head, _, name = snapshot.partition(".")
        is_of_this = not name or (head.rpartition("-")[2], name) == wanted  # a digest: all of this scratch name go
        if is_of_this and (yield from hbase_calls.drop(site, found["table"])):
            removed.append(found["table"])
    return {"removed": removed}


def refuse_living_clones(site: str, snapshot: str, recovery_point: str | None, table: str) -> Procedure:
    """Raise while a clone of the snapshot is open, by whichever name; the trial's own clone is dropped.

    ``recovery_point`` is the one that the snapshot of the table belongs to, if there is one.
    """
    if recovery_point is not None:
        for found in (yield from hbase_calls.find_tables(site, clones_of_table(recovery_point, table))):
            if is_clone_of_table(found["table"], recovery_point, table):
                raise _lives(found["table"], snapshot)
    names = names_in_clones(snapshot)
    for name in names:
        for found in (yield from hbase_calls.find_tables(site, f"{SCRATCH_NAMESPACE}:*.{name}")):
            purpose, cloned = parse_clone_of_snapshot(found["table"])
            if cloned not in names:
                continue
            if purpose != TRIAL:
                raise _lives(found["table"], snapshot)
            yield from hbase_calls.drop(site, found["table"])
    yield from hbase_calls.delete_snapshot(site, bare_name(snapshot))  # left by an agent that died


def _lives(clone: str, snapshot: str) -> OperationFailed:
    return OperationFailed(
        "CLONE_LIVES",
        f"{clone} is an open clone of {snapshot}",
        remedy="Close the recovery point first.",
        detail={"table": clone},
    )
