"""What CheckCluster finds out about the gateway itself: restart, Python, room, and the hdfs command."""

from __future__ import annotations

from typing import Any

from infra.agent.core.findings import Findings
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import GatewayFacts, OpenFiles, OperationFailed
from infra.agent.core.work import PRIMARY, ROOT

OLDEST_PYTHON = (3, 8)
SPOOL_NEEDS_BYTES = 256 << 20


def check_gateway(findings: Findings) -> Procedure:
    """The facts about the gateway; findings for what a run needs of it."""
    gateway: dict[str, Any] = yield GatewayFacts()
    host = gateway["hostname"]
    findings.judge(
        "reboot",
        host,
        bool(gateway["reboot_safe"]),
        "NOT_REBOOT_SAFE",
        (
            "unfinished instructions go on after a restart of the gateway",
            "nothing goes on with unfinished instructions after a restart of the gateway",
        ),
        "Run the administrator's set-up script where systemd or cron runs, or let the host run `adopt` at its start.",
    )
    version = tuple(int(part) for part in gateway["python"].split(".")[:2])
    findings.judge(
        "python",
        host,
        version >= OLDEST_PYTHON,
        "NO_FITTING_PYTHON",
        (f"Python {gateway['python']}", f"the agent needs Python 3.8 or newer, this is {gateway['python']}"),
        "Name a newer interpreter in the cluster's settings.",
    )
    free_mib = int(gateway["spool_free_bytes"]) >> 20
    findings.judge(
        "spool",
        host,
        gateway["spool_free_bytes"] >= SPOOL_NEEDS_BYTES,
        "SPOOL_TIGHT",
        (f"{free_mib} MiB free for the spool", f"only {free_mib} MiB are free where the spool is"),
        "The lists of files of a run stand there while it works: make room, or move the spool.",
    )
    return gateway


def check_open_file_listing(site: str, findings: Findings) -> Procedure:
    """Can this gateway say which files are open? Only the primary's has to."""
    if site != PRIMARY:
        return
    try:
        listed = yield OpenFiles(site, ROOT)
    except OperationFailed as failure:
        findings.bad("open files", "hdfs command", failure.code, failure.message, failure.remedy)
        return
    findings.good("open files", listed["way"], "files that are open for writing can be listed")
