"""When trying again ends: which failures only a person can do something about, and what the run says then.

Before the heads are touched such a failure ends the run, which leaves nothing behind. From APPLYING on it must not: the
way forward is the safe one, and what is staged would be lost. So the run stops where it is, keeps everything, raises an
alarm, and goes on when a person says so (``retry``), or is given up.

What cleans up stands in nobody's way and needs nobody to say so: it is asked for again every few minutes, whatever it
was refused for, and the alarm of an aggregate that gets nowhere tells of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domain.protection.backup_run import states

if TYPE_CHECKING:
    from domain.protection.backup_run.run import BackupRun

FINAL_CODES = frozenset(
    {
        "ABORTED", "ACLS_OFF", "ANSWER_INVALID", "BASE_MISSING", "ENCRYPTED", "ENCRYPTION_ZONE", "ERASURE_CODED",
        "EVICTED", "FILES_MISSING", "FOREIGN_TREE", "HDFS_REFUSED", "HEAD_CHANGED", "HOST_KEY_CHANGED",
        "INVALID_PAYLOAD", "LIMIT_REACHED", "LINES_DAMAGED", "LISTING_INVALID", "MALFORMED", "MARKER_MISMATCH",
        "MOMENT_MISSED", "NESTED_SNAPSHOTTABLE", "NOT_SNAPSHOTTABLE", "NO_FITTING_PYTHON", "NO_RIGHT",
        "NO_STORAGE_POLICY", "NO_SUCH_DIRECTORY", "NO_SUCH_TABLE", "OLD_EPOCH", "RENAMES_FORBIDDEN", "SOURCE_DAMAGED",
        "SYMLINK", "TABLE_CHANGING", "TABLE_DISABLED", "TOO_LARGE", "UNREADABLE", "WRONG_OWNER", "XATTRS_OFF",
        "OTHER_CONTROLLER", "PAIR_OWNED",
    }
)  # fmt: skip
"""Failures that another attempt would only repeat."""

REFUSED_FOR_GOOD = frozenset(
    {
        "ACLS_OFF", "ANSWER_INVALID", "ENCRYPTED", "HDFS_REFUSED", "INVALID_PAYLOAD", "LIMIT_REACHED", "LINES_DAMAGED",
        "LISTING_INVALID", "MALFORMED", "NESTED_SNAPSHOTTABLE", "NO_RIGHT", "NO_STORAGE_POLICY", "RENAMES_FORBIDDEN",
        "TOO_LARGE", "XATTRS_OFF",
    }
)  # fmt: skip
"""Of those, what rolling forward meets and cannot mend: a setting, a limit or a right that only a person changes."""

STOPPED = "STOPPED"
STOPS = ("apply", "freeze", "seal")
_STANDS = {
    states.APPLYING: "The copies on {cluster} stand between two states, and the service's other runs wait",
    states.FREEZING: "The copies on {cluster} are changed and not frozen yet, and the service's other runs wait",
    states.SEALING: "The copies on {cluster} are verified, and their recovery point is not sealed yet",
}


def stops(step: str, failure: dict[str, Any]) -> bool:
    """Whether a failure of a step is one that trying again ends with, until a person says so."""
    return step in STOPS and failure["code"] in REFUSED_FOR_GOOD


def alarms(run: BackupRun) -> list[dict[str, Any]]:
    """What was refused for good, how the copies stand, and what a person can do; of the form of a finding."""
    if run.state not in _STANDS:
        return []
    stands = _STANDS[run.state].format(cluster=run.plan.secondary)
    return [
        {
            "code": STOPPED,
            "subject": run.plan.secondary,
            "message": f"{failure['code']}: {failure['message']} {stands}; every recovery point is as it was.",
            "remedy": f"{failure['remedy'] or 'Remove what the message names.'} Then: understudy run retry {run.id}."
            f" Or give it up: understudy run cancel {run.id} --give-up; the next run heals the copies.",
        }
        for failure in run.stopped.values()
    ]
