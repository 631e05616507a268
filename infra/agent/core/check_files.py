"""What CheckCluster tries with files of its own: NameNodes, DataNodes, the superuser's right, comparable checksums.

Each right is tried from this gateway, with the credential that a run will use. What is written lies in
``/.understudy/scratch`` under a name of this instruction and is removed again.
"""

from __future__ import annotations

from typing import Any

from infra.agent.core import hdfs
from infra.agent.core.findings import Findings
from infra.agent.core.hdfs_asking import stored_checksum
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import CopyRange, HdfsCall, OperationFailed, ReadFile, WriteFile
from infra.agent.core.staging import PRIVATE
from infra.agent.core.work import PRIMARY, ROOT, SCRATCH, SECONDARY
from infra.agent.protocol import Instruction

# More than one chunk of any usual dfs.bytes-per-checksum, so that a difference of it shows.
PROBE = bytes(range(256)) * 20
TIGHT_PERCENT = 10
# Only a superuser may set an attribute of this namespace, as copies carry it.
SUPERUSERS_ATTRIBUTE = "trusted.understudy.probe"


def check_safe_mode(site: str, cluster: str, findings: Findings) -> Procedure:
    """Whether the NameNode is read-only: WebHDFS has no word for it, so our own directories are made once more.

    Nothing is waited out, for whoever checks wants to know how it is now; a NameNode that cannot be reached fails it.
    """
    try:
        for directory in (ROOT, SCRATCH):
            yield HdfsCall(site, "PUT", "MKDIRS", directory, (("permission", PRIVATE),))
    except OperationFailed as failure:
        if failure.code == "HDFS_UNREACHABLE":
            raise
        if hdfs.exception_of(failure) == "SafeModeException":
            return True
        remedy = "The credential must be the superuser's: run the administrator's set-up script."
        findings.failed("files", cluster, f"{SCRATCH} could not be made", failure, remedy)
    return False


def check_files(instruction: Instruction, site: str, findings: Findings) -> Procedure:
    """Write, read and delete a file through a DataNode of a site, from here; returns whether it worked."""
    cluster: str = instruction.payload["sites"][site]["cluster"]
    path = _probe(instruction, "probe")
    try:
        yield WriteFile(site, path, PROBE)
        yield from hdfs.set_extended_attribute(site, path, SUPERUSERS_ATTRIBUTE, "0x00")
        back = yield ReadFile(site, path)
        yield from hdfs.delete(site, path)
    except OperationFailed as failure:
        remedy = "The credential must be the superuser's, and every DataNode reachable from this gateway by its name."
        findings.failed("files", cluster, f"{path} could not be written, read and deleted", failure, remedy)
        return False
    findings.judge(
        "files",
        cluster,
        back == PROBE,
        "PROBE_DIFFERS",
        ("a file was written, read and deleted through a DataNode", f"{path} was read with other bytes than written"),
        "Look at the DataNodes' logs and disks.",
    )
    return bool(back == PROBE)


def check_checksums(instruction: Instruction, findings: Findings) -> Procedure:
    """Copy a file from the primary to the secondary, as a run does, and compare what both clusters store about it."""
    source, target = _probe(instruction, "original"), _probe(instruction, "copy")
    try:
        yield WriteFile(PRIMARY, source, PROBE)
        status = yield from hdfs.status(PRIMARY, source)
        yield CopyRange(PRIMARY, source, 0, len(PROBE), SECONDARY, target, int(status["blockSize"]), 1, "600")
        found = [(yield from stored_checksum(PRIMARY, source)), (yield from stored_checksum(SECONDARY, target))]
        yield from hdfs.delete(PRIMARY, source)
        yield from hdfs.delete(SECONDARY, target)
    except OperationFailed as failure:
        findings.failed("checksums", "both clusters", "a file could not be copied and compared", failure)
        return
    findings.judge(
        "checksums",
        "both clusters",
        found[0] == found[1] is not None,
        "CHECKSUMS_DIFFER",
        (
            "a copied file has the same stored checksum on both clusters",
            f"the same bytes have checksum {found[0]} on the primary and {found[1]} on the secondary:"
            " copies can be proved by reading them alone",
        ),
        "Let the gateway reach the DataNodes' transfer ports, or give both clusters the same dfs.checksum.type and"
        " dfs.bytes-per-checksum.",
    )


def check_space(site: str, cluster: str, findings: Findings) -> Procedure:
    """Free, used and all bytes; None where the NameNode is too old to tell. Only the secondary needs room."""
    try:
        answer = yield from hdfs.call(site, "GET", "GETSTATUS", "/")
    except OperationFailed as failure:
        if hdfs.exception_of(failure) in ("IllegalArgumentException", "UnsupportedOperationException"):
            return None
        raise
    status: dict[str, Any] = answer["FsStatus"]
    space = {"free_bytes": status["remaining"], "used_bytes": status["used"], "capacity_bytes": status["capacity"]}
    if site == SECONDARY:
        free_percent = 100 * space["free_bytes"] // max(space["capacity_bytes"], 1)
        message = f"{free_percent} % of the cluster's capacity is free"
        code = "NO_SPACE" if free_percent < 1 else "SPACE_TIGHT"
        remedy = "Make room, or add DataNodes: a run needs room for what has changed, a first one for everything."
        findings.judge("space", cluster, free_percent >= TIGHT_PERCENT, code, (message, f"only {message}"), remedy)
    return space


def _probe(instruction: Instruction, name: str) -> str:
    return f"{SCRATCH}/{instruction.id}-{name}"
