"""CheckCluster: look at a cluster through its gateway, try each right that a run will need, change nothing for good.

What is written for a try lies in ``/.understudy`` (or is HBase's canary) and is removed again. Each finding says what
was checked and what speaks against it; whether that stops a run is the control device's decision.
"""

from __future__ import annotations

from typing import Any, Sequence

from infra.agent.core import clocks
from infra.agent.core.check_directories import check_directories
from infra.agent.core.check_files import check_checksums, check_files, check_safe_mode, check_space
from infra.agent.core.check_gateway import check_gateway, check_open_file_listing
from infra.agent.core.check_rights import check_rights
from infra.agent.core.check_sources import check_sources
from infra.agent.core.check_staging import check_staging
from infra.agent.core.check_tables import check_tables
from infra.agent.core.findings import Findings
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.markers import newest_marker
from infra.agent.core.operations import OperationFailed
from infra.agent.core.work import SECONDARY
from infra.agent.protocol import Instruction


def check_cluster(instruction: Instruction, journal: bytes) -> Procedure:
    """Carry out CheckCluster; see docs/agent.md for the result. Fails when the cluster's NameNode does not answer."""
    payload = instruction.payload
    site: str = payload["role"]
    cluster: str = payload["sites"][site]["cluster"]
    findings = Findings()
    gateway = yield from check_gateway(findings)
    is_safe_mode = yield from check_safe_mode(site, cluster, findings)
    marker = yield from newest_marker(site)
    directories = [pattern for pattern in payload["patterns"] if pattern["component"] == "hdfs"]
    parts = [
        check_directories(instruction, site, directories, findings),
        check_tables(instruction, site, findings),
        check_space(site, cluster, findings),
        check_open_file_listing(site, findings),
    ]
    if not is_safe_mode:
        parts.append(_try_writing(instruction, site, directories, findings))
        if site == SECONDARY:
            parts.append(check_staging(instruction, findings))
    resolved, (hbase, tables), space, *_ = yield Together(parts, limit=len(parts))
    measured: dict[str, Any] = {"namenode": None, "hbase": None}
    if not is_safe_mode:
        measured = yield from _measure(instruction, site, hbase is not None, findings)
        if payload.get("tries_rights"):
            yield from check_rights(instruction, site, hbase is not None, findings)
    return {
        "gateway": gateway,
        "clocks": measured,
        "marker": marker,
        "safe_mode": is_safe_mode,
        "data_sets": [*resolved, *tables],
        "findings": sorted(findings.items, key=lambda item: (item["check"], item["subject"], item["code"])),
        "hbase": hbase,
        "space": space,
    }


def _try_writing(
    instruction: Instruction, site: str, directories: Sequence[dict[str, Any]], findings: Findings
) -> Procedure:
    """Files here; there too, and from one to the other, if this gateway is the one that copies."""
    works = yield from check_files(instruction, site, findings)
    other = next((name for name in instruction.payload["sites"] if name != site), None)
    if other is None or not instruction.payload["copies_here"]:
        return
    cluster = instruction.payload["sites"][other]["cluster"]
    try:
        if (yield from check_safe_mode(other, cluster, findings)):
            return  # the other side's own check tells
    except OperationFailed as failure:
        remedy = "This gateway copies, so it must reach the other cluster's NameNodes and DataNodes."
        findings.failed("files", cluster, "the NameNode cannot be reached from here", failure, remedy)
        return
    if (yield from check_files(instruction, other, findings)) and works:
        yield from check_checksums(instruction, findings)
        yield from check_sources(instruction, directories, findings)


def _measure(instruction: Instruction, site: str, with_hbase: bool, findings: Findings) -> Procedure:
    """The clocks, quietly: when everything else is done."""
    try:
        measured = yield from clocks.measure(site, instruction.id, with_hbase)
    except OperationFailed as failure:
        findings.failed("clocks", "NameNode", "its clock could not be measured", failure)
        return {"namenode": None, "hbase": None}
    if with_hbase and measured["hbase"] is None:
        message = "no RegionServer could be asked for the time by the canary table"
        findings.bad("clocks", "HBase", "HBASE_CLOCK_UNKNOWN", message, "See the instruction's log on the gateway.")
    return measured
