"""TakeSnapshots: all data sets of a run, at one moment of the NameNode's clock, or not at all.

The order: accepted and checked (milestone ``armed``) → wait → warm-up: connections, HBase process, clocks, tables
flushed → the clock once more → journal "firing" → fire everything at once → what was open → clocks again.

Invariant: a snapshot of this name stands for this moment or does not exist. After a restart the journal tells what was
begun: before "firing" the agent goes on as if nothing had been; after it, nothing is ever fired again. Snapshots that
are all there are recognised by the servers' own stamps; otherwise those that exist are removed and the run has missed
its moment.
"""

from __future__ import annotations

import json
from typing import Any

from infra.agent.core import barrier, clocks, evidence, hdfs
from infra.agent.core.hdfs_snapshots import delete_snapshot, snapshot_path
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.markers import check_marker
from infra.agent.core.moment_targets import Target, check_target, recognise, snapshot_call, snapshot_is_there, target_of
from infra.agent.core.operations import (
    Fire,
    HBaseCall,
    Milestone,
    Now,
    OpenFiles,
    OperationFailed,
    Progress,
    SleepUntil,
    SpoolAppend,
)
from infra.agent.core.work import PRIMARY
from infra.agent.protocol import Instruction, canonical

AT_ONCE = 16
FLUSH_BEFORE_MS = 3_000.0
SNAPSHOT_TRIES = 3


def take_snapshots(instruction: Instruction, journal: bytes) -> Procedure:
    """Carry out TakeSnapshots; see docs/agent.md for the result."""
    payload = instruction.payload
    targets = [target_of(value, payload) for value in payload["data_sets"]]
    records = [json.loads(line) for line in journal[: journal.rfind(b"\n") + 1].splitlines()]
    if any("barrier" in record for record in records):
        yield from barrier.release(instruction)
    fired: dict[str, Any] = next((r for r in records if "fired" in r), {})
    firing: dict[str, Any] = next((r for r in records if "firing" in r), {})
    if not fired:
        if firing and (yield from _may_have_fired(targets, firing)):
            fired = yield from _recognise(instruction, targets, firing)
        else:
            fired = yield from _fire(instruction, targets)
    return (yield from _conclude(instruction, targets, fired))


def _fire(instruction: Instruction, targets: list[Target]) -> Procedure:
    """From acceptance to the fired snapshots; returns the journal's record "fired"."""
    payload = instruction.payload
    has_tables = any(t.component == "hbase" for t in targets)
    yield from check_marker(instruction, PRIMARY, "PRIMARY")
    yield Together((check_target(target) for target in targets), AT_ONCE, keep_results=False)
    measured = yield from clocks.measure(PRIMARY, instruction.id, with_hbase=False)
    yield Milestone("armed", {"clocks": measured})
    moment_ms = float(payload["moment_ms"])
    offset_ms = measured["namenode"]["offset_ms"]
    yield SleepUntil(moment_ms - offset_ms - payload["warm_up_ms"])
    yield Progress({"step": "warm-up"})
    yield from check_marker(instruction, PRIMARY, "PRIMARY")
    before = yield from clocks.measure(PRIMARY, instruction.id, with_hbase=has_tables)
    metrics = yield from _metrics(targets)
    yield SleepUntil(moment_ms - before["namenode"]["offset_ms"] - FLUSH_BEFORE_MS)
    yield Together((_flush(t) for t in targets if t.component == "hbase"), AT_ONCE, keep_results=False)
    yield from barrier.hold(instruction)
    just_before = yield from clocks.namenode_offset(PRIMARY, instruction.id)
    at_ms = moment_ms - just_before["offset_ms"]
    record = {
        "firing": {"at_ms": at_ms},
        "clocks": {"namenode": just_before, "hbase": before["hbase"]},
        "metrics": metrics,
    }
    yield SpoolAppend("journal", canonical(record) + b"\n")
    yield Progress({"step": "firing"})
    try:
        shots = yield Fire(at_ms, float(payload["fire_tolerance_ms"]), tuple(snapshot_call(t) for t in targets))
    except OperationFailed:
        yield from barrier.release(instruction)
        yield from _remove(targets)
        raise
    yield from barrier.release(instruction)
    results = yield Together((_settle(t, shot, just_before["offset_ms"]) for t, shot in zip(targets, shots)), AT_ONCE)
    failed = next((r["failure"] for r in results if "failure" in r), None)
    if failed is not None:
        yield from _remove(targets)
        raise OperationFailed(
            failed["code"], failed["message"], remedy=failed.get("remedy", ""), detail=failed["detail"]
        )
    fired = {"fired": {t.id: r for t, r in zip(targets, results)}, **record}
    yield SpoolAppend("journal", canonical(fired) + b"\n")
    return fired


def _settle(target: Target, shot: dict[str, Any], offset_ms: float) -> Procedure:
    """Turn one shot into asked and done; a table's snapshot that failed is tried again, with that try's stamps."""
    attempts = 1
    while "failure" in shot and target.component == "hbase" and attempts < SNAPSHOT_TRIES:
        attempts += 1
        yield HBaseCall(PRIMARY, {"do": "delete_snapshot", "name": target.snapshot})
        asked = yield Now()
        (shot,) = yield Fire(asked, clocks.NEVER_LATE_MS, (snapshot_call(target),))
    if "failure" in shot:
        found = None
        if shot["failure"].get("unknown"):
            found = yield from recognise(target, shot["asked_ms"], offset_ms, shot["done_ms"] - shot["asked_ms"])
        if found is None:
            failure = shot["failure"]
            return {
                "failure": {
                    "code": "SNAPSHOT_FAILED",
                    "message": f"{target.name}: {failure['message']}",
                    "detail": {**failure.get("detail", {}), "data_set": target.id},
                }
            }
        return {**found, "attempts": attempts}
    value = shot["value"]
    asked_ms, done_ms = shot["asked_ms"], shot["done_ms"]
    server_ms = float(value["creation_ms"]) if "creation_ms" in value else None
    kind = value.get("type", "FLUSH")
    return {"asked_ms": asked_ms, "done_ms": done_ms, "server_ms": server_ms, "type": kind, "attempts": attempts}


def _may_have_fired(targets: list[Target], firing: dict[str, Any]) -> Procedure:
    """Whether an earlier agent can have fired: the instant has come, or some snapshot is there already."""
    now = yield Now()
    if now >= float(firing["firing"]["at_ms"]):
        return True
    there = yield Together((snapshot_is_there(target) for target in targets), AT_ONCE)
    return any(there)


def _recognise(instruction: Instruction, targets: list[Target], firing: dict[str, Any]) -> Procedure:
    """After a restart in the middle of firing: take what is there by the servers' stamps, all of it or nothing."""
    at_ms = float(firing["firing"]["at_ms"])
    tolerance_ms = float(instruction.payload["fire_tolerance_ms"])
    yield SleepUntil(at_ms + tolerance_ms)
    offset_ms = firing["clocks"]["namenode"]["offset_ms"]
    results = {}
    for target in targets:
        found = yield from recognise(target, at_ms, offset_ms, tolerance_ms)
        if found is None:
            yield from _remove(targets)
            raise OperationFailed(
                "MOMENT_MISSED",
                f"the agent was ended while it fired, and {target.name} has no snapshot of that moment",
                detail={"data_set": target.id},
            )
        results[target.id] = {**found, "attempts": 1}
    return {**firing, "fired": results}


def _conclude(instruction: Instruction, targets: list[Target], fired: dict[str, Any]) -> Procedure:
    """Measure what is still to be measured after the cut, and put the evidence together."""
    has_tables = any(t.component == "hbase" for t in targets)
    after = yield from clocks.measure(PRIMARY, instruction.id, with_hbase=has_tables)
    metrics = yield from _metrics(targets)
    offset_ms = fired["clocks"]["namenode"]["offset_ms"]
    rpc_timeout_ms = yield from _rpc_timeout(has_tables)
    data_sets = {}
    for target in targets:
        shot = fired["fired"][target.id]
        opened: list[str] | None = []
        server_ms = shot["server_ms"]
        if target.component == "hdfs":
            opened = yield from _open_files(target)
            made = yield from hdfs.status(PRIMARY, snapshot_path(target.name, target.snapshot))
            if made is None:
                message = f"{target.name}: the snapshot {target.snapshot} is gone"
                raise OperationFailed("SNAPSHOT_FAILED", message, detail={"data_set": target.id})
            server_ms = float(made["modificationTime"])
            grade = evidence.of_directory(opened)
        else:
            known = fired.get("metrics", {}).get(target.id)
            grade = evidence.of_table(
                shot["type"], known, metrics.get(target.id), float(fired["firing"]["at_ms"]), rpc_timeout_ms
            )
        data_sets[target.id] = {
            "snapshot": target.snapshot,
            "asked_ms": float(shot["asked_ms"]),
            "done_ms": float(shot["done_ms"]),
            "server_ms": server_ms,
            "asked_cluster_ms": float(shot["asked_ms"]) + offset_ms,
            "done_cluster_ms": float(shot["done_ms"]) + offset_ms,
            "open_files": opened or [],
            "evidence": grade,
            "attempts": shot["attempts"],
        }
    return {"data_sets": data_sets, "clocks": {"before": fired["clocks"], "after": after}}


def _open_files(target: Target) -> Procedure:
    """Paths relative to the data set; None when the NameNode would not tell.

    A file that was closed between the cut and this listing has a modification time after the cut: the copy sees that.
    """
    try:
        found = yield OpenFiles(PRIMARY, target.name)
    except OperationFailed:
        return None
    prefix = f"{target.name}/"
    return sorted(path[len(prefix) :] for path in found if path.startswith(prefix))


def _metrics(targets: list[Target]) -> Procedure:
    """Live region metrics by data set id; a table whose metrics cannot be had is left out, and so is BOUNDED."""
    results: dict[str, Any] = {}
    for target in targets:
        if target.component == "hbase":
            try:
                results[target.id] = yield HBaseCall(PRIMARY, {"do": "region_metrics", "table": target.name})
            except OperationFailed:
                continue
    return results


def _rpc_timeout(has_tables: bool) -> Procedure:
    if not has_tables:
        return 0.0
    status = yield HBaseCall(PRIMARY, {"do": "status"})
    return float(status["settings"]["rpc_timeout_ms"])


def _flush(target: Target) -> Procedure:
    """Make the flush of the cut short; a table that cannot be flushed now is cut all the same."""
    try:
        yield HBaseCall(PRIMARY, {"do": "flush", "table": target.name}, timeout_seconds=30)
    except OperationFailed as failure:
        yield Progress({"step": "flush", "data_set": target.id, "note": failure.message[:200]})


def _remove(targets: list[Target]) -> Procedure:
    """Remove every snapshot of this name, so that none of another instant can be taken for the moment's."""
    for target in targets:
        if target.component == "hdfs":
            yield from delete_snapshot(PRIMARY, target.name, target.snapshot)
        else:
            yield HBaseCall(PRIMARY, {"do": "delete_snapshot", "name": target.snapshot})
