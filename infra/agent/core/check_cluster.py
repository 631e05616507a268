"""CheckCluster: look at a cluster through its gateway, try each right that a run will need, change nothing for good.

What is written for a try lies in ``/.understudy/scratch`` and is removed again. Each finding says what was checked and
what speaks against it; whether that stops a run is the control device's decision.
"""

from __future__ import annotations

from typing import Any

from infra.agent.core import clocks, hdfs
from infra.agent.core.check_data_sets import check_snapshottable, check_target_path, resolve_directories
from infra.agent.core.findings import Findings
from infra.agent.core.hdfs import newest_marker
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import GatewayFacts, HBaseCall, OperationFailed, ReadFile, WriteFile
from infra.agent.core.work import PRIMARY, SCRATCH
from infra.agent.protocol import Instruction

PROBE = b"understudy looks whether this can be written and read\n"


def check_cluster(instruction: Instruction, journal: bytes) -> Procedure:
    """Carry out CheckCluster; see docs/agent.md for the result."""
    payload = instruction.payload
    site: str = payload["role"]
    other = next((name for name in payload["sites"] if name != site), None)
    findings = Findings(payload["sites"][site]["cluster"])
    gateway = yield GatewayFacts()
    _judge_gateway(gateway, findings)
    marker = yield from newest_marker(site)
    safe_mode = yield from _try_files(instruction, site, findings)
    if other is not None and payload["copies_here"]:
        yield from _try_files(instruction, other, findings)
        yield from _compare_checksums(instruction, site, other, findings)
    patterns = [p for p in payload["patterns"] if p["component"] == "hdfs"]
    data_sets: list[dict[str, Any]] = []
    if site == PRIMARY:
        data_sets += yield from resolve_directories(site, patterns, findings)
    yield from check_snapshottable(site, [d["path"] for d in data_sets or patterns], findings, required=site == PRIMARY)
    if site != PRIMARY:
        for pattern in patterns:
            yield from check_target_path(site, pattern["path"], findings)
    hbase, tables = yield from _look_at_hbase(instruction, site, findings)
    data_sets += tables
    measured = {"namenode": None, "hbase": None}
    if not safe_mode:
        measured = yield from clocks.measure(site, instruction.id, with_hbase=hbase is not None)
        if hbase is not None:
            known = measured["hbase"] is not None
            findings.add("clock", "HBase", known, "HBASE_CLOCK_UNKNOWN", "its clock is told by the canary table")
    space = yield from _space(site)
    return {
        "gateway": gateway,
        "clocks": measured,
        "marker": marker,
        "safe_mode": safe_mode,
        "data_sets": data_sets,
        "findings": findings.items,
        "hbase": hbase,
        "space": space,
    }


def _judge_gateway(gateway: dict[str, Any], findings: Findings) -> None:
    findings.add(
        "reboot",
        gateway["hostname"],
        bool(gateway["reboot_safe"]),
        "NOT_REBOOT_SAFE",
        "unfinished instructions go on after a restart of the gateway",
        "nothing adopts unfinished instructions after a restart of the gateway",
        "Run the administrator's set-up script, which installs it.",
    )


def _try_files(instruction: Instruction, site: str, findings: Findings) -> Procedure:
    """Write, read and delete a probe file through NameNode and DataNodes; returns whether the site is read-only."""
    path = f"{SCRATCH}/{instruction.id}-probe"
    where = instruction.payload["sites"][site]["cluster"]
    try:
        yield from hdfs.make_directory(site, SCRATCH, "700")
        yield WriteFile(site, path, PROBE)
        back = yield ReadFile(site, path)
        yield from hdfs.delete(site, path)
    except OperationFailed as failure:
        if hdfs.exception_of(failure) == "SafeModeException":
            return True
        findings.add(
            "files",
            where,
            False,
            "NO_RIGHT" if hdfs.exception_of(failure) == "AccessControlException" else failure.code,
            "",
            f"a file could not be written, read and removed in {SCRATCH}: {failure.message}",
            "The credential must be the superuser's, and every DataNode must be reachable from this gateway.",
        )
        return False
    findings.add("files", where, back == PROBE, "PROBE_DIFFERS", "a probe file was written, read back and removed")
    return False


def _compare_checksums(instruction: Instruction, site: str, other: str, findings: Findings) -> Procedure:
    """Write the same bytes on both clusters and compare their stored checksums."""
    found = []
    try:
        for each in (site, other):
            path = f"{SCRATCH}/{instruction.id}-checksum"
            yield WriteFile(each, path, PROBE)
            found.append((yield from hdfs.checksum(each, path)))
            yield from hdfs.delete(each, path)
    except OperationFailed as failure:
        findings.add("checksums", "both clusters", False, failure.code, "", failure.message)
        return
    findings.add(
        "checksums",
        "both clusters",
        found[0] == found[1],
        "CHECKSUMS_DIFFER",
        "equal bytes have equal stored checksums on both clusters",
        f"the same bytes have checksum {found[0]} here and {found[1]} there",
        "Give both clusters the same dfs.checksum.type and dfs.bytes-per-checksum.",
    )


def _look_at_hbase(instruction: Instruction, site: str, findings: Findings) -> Procedure:
    """Status of HBase and, on the primary, the tables that the patterns stand for; (None, []) without HBase."""
    payload = instruction.payload
    patterns = [p for p in payload["patterns"] if p["component"] == "hbase"]
    where = payload["sites"][site]["cluster"]
    configured = payload["sites"][site].get("hbase") is not None
    if not configured or (payload["patterns"] and not patterns):
        for pattern in patterns:
            findings.add("tables", pattern["table"], False, "NO_HBASE", "", f"{where} is configured without HBase")
        return None, []
    try:
        status = yield HBaseCall(site, {"do": "status"}, timeout_seconds=90)
        tables = []
        for pattern in patterns if site == PRIMARY else ():
            found = yield HBaseCall(site, {"do": "tables", "pattern": pattern["table"]}, timeout_seconds=90)
            findings.add(
                "tables",
                pattern["table"],
                bool(found["tables"]),
                "NO_SUCH_TABLE",
                f"{len(found['tables'])} found",
                f"there is no table {pattern['table']}",
                "Correct the service, or create the table.",
            )
            tables += [{"component": "hbase", "table": table.pop("table"), **table} for table in found["tables"]]
    except OperationFailed as failure:
        remedy = "Run the administrator's set-up script on the gateway; is HBase itself up?"
        findings.add("hbase", where, False, failure.code, "", f"HBase does not answer: {failure.message}", remedy)
        return None, []
    findings.add("hbase", where, True, "HBASE", f"HBase {status['version']} answers its administration process")
    findings.add(
        "snapshot ttl",
        where,
        not status["settings"]["snapshot_ttl_seconds"],
        "SNAPSHOT_TTL",
        "snapshots do not expire by themselves",
        f"hbase.master.snapshot.ttl lets every snapshot expire after {status['settings']['snapshot_ttl_seconds']} s",
        "Set hbase.master.snapshot.ttl to 0.",
    )
    return status, tables


def _space(site: str) -> Procedure:
    """Free and used bytes; None where the NameNode does not tell."""
    try:
        answer = yield from hdfs.call(site, "GET", "GETSTATUS", "/")
    except OperationFailed:
        return None
    status = answer["FsStatus"]
    return {"free_bytes": status["remaining"], "used_bytes": status["used"], "capacity_bytes": status["capacity"]}
