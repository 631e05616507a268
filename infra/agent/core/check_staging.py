"""What CheckCluster tries of the secondary beside files: can copies be put into place there, and frozen?

Every APPLY renames between staging and directories that allow snapshots, and every FREEZE takes a snapshot. A NameNode
can forbid both by settings, so both are tried on a directory in scratch. What is above staging must not reach into it.
"""

from __future__ import annotations

import shlex
from typing import Any

from infra.agent.core import hdfs, hdfs_snapshots
from infra.agent.core.findings import Findings
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import OperationFailed
from infra.agent.core.refusals import ACLS_OFF
from infra.agent.core.staging import PRIVATE
from infra.agent.core.work import ROOT, SCRATCH, SECONDARY
from infra.agent.protocol import Instruction

SNAPSHOT = "us-check-border"
NO_ACLS = "NO_ACLS"
"""To be known, and no more: as soon as an ACL is met it is ACLS_OFF, which refuses the run."""

LATER = (
    "renames into snapshottable directories, and snapshots, are allowed; before dfs.namenode.snapshot.deletion.ordered"
    " and …snapshot.trashroot.enabled are both switched on: hdfs dfsadmin -safemode enter, -saveNamespace, or the"
    " NameNode does not start again (docs/limits.md)"
)


def check_staging(instruction: Instruction, findings: Findings) -> Procedure:
    """Findings "copies" and "staging" of the secondary."""
    cluster: str = instruction.payload["sites"][SECONDARY]["cluster"]
    yield from _check_above(findings)
    border = f"{SCRATCH}/{instruction.id}-border"
    try:
        yield from _remove(border)  # left by an agent that died
        yield from _try_border(border)
    except OperationFailed as failure:
        findings.failed("copies", cluster, "copies could not be put into place or frozen", failure)
    else:
        findings.good("copies", cluster, LATER)
    try:
        yield from _remove(border)
    except OperationFailed as failure:
        findings.failed("copies", cluster, f"{border}, made for a try, could not be removed", failure)
    yield from _check_acls(instruction, cluster, findings)


def _check_above(findings: Findings) -> Procedure:
    """Staging must be plain: what is created in a zone, or striped, is not what the source has."""
    status: dict[str, Any] | None = yield from hdfs.status(SECONDARY, ROOT)
    if status is not None and status.get("encBit"):
        message = f"{ROOT} lies in an encryption zone, and nothing can be renamed from there to a directory outside"
        findings.bad("staging", ROOT, "ENCRYPTION_ZONE", message, "Let it lie outside of encryption zones.")
    if status is not None and status.get("ecBit"):
        message = f"{ROOT} is erasure coded, and so would be every file that is staged in it"
        remedy = f"As the superuser: hdfs ec -setPolicy -replicate -path {shlex.quote(ROOT)}"
        findings.bad("staging", ROOT, "ERASURE_CODED", message, remedy)


def _try_border(border: str) -> Procedure:
    head, staged = f"{border}/head", f"{border}/staged"
    for directory in (head, staged):
        yield from hdfs.make_directory(SECONDARY, directory, PRIVATE)
    yield from hdfs_snapshots.allow_snapshots(SECONDARY, head)
    yield from hdfs.rename(SECONDARY, staged, f"{head}/in")
    yield from hdfs_snapshots.create_snapshot(SECONDARY, head, SNAPSHOT)
    yield from hdfs.rename(SECONDARY, f"{head}/in", staged)


def _remove(border: str) -> Procedure:
    head = f"{border}/head"
    if (yield from hdfs.status(SECONDARY, head)) is not None:
        yield from hdfs_snapshots.delete_snapshot(SECONDARY, head, SNAPSHOT)
    yield from hdfs.delete(SECONDARY, border)


def _check_acls(instruction: Instruction, cluster: str, findings: Findings) -> Procedure:
    """A cluster whose ACLs are off can hold all that has none: that is to be known, and no more."""
    directory = f"{SCRATCH}/{instruction.id}-acl"
    try:
        yield from hdfs.make_directory(SECONDARY, directory, PRIVATE)
        yield from hdfs.remove_acl(SECONDARY, directory)
    except OperationFailed as failure:
        if failure.code != ACLS_OFF.code:
            findings.failed("copies", cluster, "an ACL could not be removed", failure)
        else:
            message = "ACLs are switched off: a run whose data have ACLs is refused before it changes anything"
            findings.bad("copies", cluster, NO_ACLS, message, ACLS_OFF.remedy)
    yield from hdfs.delete(SECONDARY, directory)
