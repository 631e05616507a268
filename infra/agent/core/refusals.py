"""Which answers of a NameNode are refusals for good, and what can be done about each: the one place that says so.

A NameNode refuses with an exception. Some are settled by their class; an ``IOException`` stands for anything, so there
the message decides. What is not here may pass, or is understood by whoever asked (a path that is there already, or is
not): it keeps the code HDFS, and is tried again. "Not now" and "not me" never come here.

NO_RIGHT, ACLS_OFF, XATTRS_OFF, LIMIT_REACHED, NO_STORAGE_POLICY and HDFS_REFUSED end the trying (the control device's
``stopping``); NO_SPACE does not, because room may be made at any time.
"""

from __future__ import annotations

from typing import NamedTuple

from infra.agent.core.operations import OperationFailed


class Refusal(NamedTuple):
    """A code, and what an administrator can do."""

    code: str
    remedy: str


NO_RIGHT = Refusal("NO_RIGHT", "Run the administrator's set-up, then `understudy cluster check`.")
NO_SPACE = Refusal("NO_SPACE", "Raise the quota of the directory that is named here, or make room in it.")
ACLS_OFF = Refusal("ACLS_OFF", "Set dfs.namenode.acls.enabled to true on that cluster's NameNodes.")
XATTRS_OFF = Refusal("XATTRS_OFF", "Set dfs.namenode.xattrs.enabled to true on that cluster's NameNodes.")
LIMIT_REACHED = Refusal("LIMIT_REACHED", "Raise the limit that the message tells on that cluster's NameNodes.")
TOO_MANY_SNAPSHOTS = Refusal(
    "LIMIT_REACHED",
    "Delete snapshots that nobody needs, or raise dfs.namenode.snapshot.max.limit"
    " (or dfs.namenode.snapshot.filesystem.limit) on that cluster's NameNodes.",
)
POLICIES_OFF = Refusal("NO_STORAGE_POLICY", "Set dfs.storage.policy.enabled to true on that cluster's NameNodes.")
NO_POLICY = Refusal("NO_STORAGE_POLICY", "Define the same storage policies on both clusters.")
REFUSED = Refusal("HDFS_REFUSED", "The NameNode refuses it whenever it is asked: change the setting that it tells.")
NAMES = Refusal(
    "HDFS_REFUSED",
    "WebHDFS has a pattern for such values. Let the gateway reach the NameNode's RPC port, which has none, or change"
    " dfs.webhdfs.acl.provider.permission.pattern (and dfs.webhdfs.user.provider.user.pattern) on the NameNodes.",
)
RENAMES_FORBIDDEN = Refusal(
    "RENAMES_FORBIDDEN",
    "With dfs.namenode.snapshot.deletion.ordered and dfs.namenode.snapshot.trashroot.enabled together, nothing can be"
    " renamed into a snapshottable directory or out of it: switch one of them off on that cluster's NameNodes.",
)

_BY_MESSAGE = (
    ("does not belong to the domain", NAMES),
    ("Support for XAttrs has been disabled", XATTRS_OFF),
    ("XAttr to inode, would exceed limit", LIMIT_REACHED),
    ("The XAttr is too big", LIMIT_REACHED),
    ("Requested replication factor of", LIMIT_REACHED),
    ("is less than configured minimum value", LIMIT_REACHED),
    ("limit on maximum number of blocks", LIMIT_REACHED),
    ("snapshot limit is", TOO_MANY_SNAPSHOTS),
    ("not under the same snapshot root", RENAMES_FORBIDDEN),
    ("since dfs.storage.policy.enabled is set to false", POLICIES_OFF),
    ("Cannot find a block policy", NO_POLICY),
    ("be moved into an encryption zone", REFUSED),
    ("be moved from an encryption zone", REFUSED),
    ("be moved from encryption zone", REFUSED),
    ("Access time for hdfs is not configured", REFUSED),
)
_BY_CLASS = {
    "AccessControlException": NO_RIGHT,
    "SnapshotAccessControlException": NO_RIGHT,
    "DSQuotaExceededException": NO_SPACE,
    "NSQuotaExceededException": NO_SPACE,
    "QuotaByStorageTypeExceededException": NO_SPACE,
    "AclException": REFUSED,
    "PathComponentTooLongException": LIMIT_REACHED,
    "MaxDirectoryItemsExceededException": LIMIT_REACHED,
    "FSLimitException": LIMIT_REACHED,
    "SnapshotException": REFUSED,
    "IllegalArgumentException": REFUSED,
    "HadoopIllegalArgumentException": REFUSED,
    "InvalidPathException": REFUSED,
    "UnresolvedPathException": REFUSED,
    "UnsupportedOperationException": REFUSED,
}
FOR_GOOD = frozenset(
    {refusal.code for refusal in (*_BY_CLASS.values(), ACLS_OFF, XATTRS_OFF, POLICIES_OFF)} - {"NO_SPACE"}
)
_ACLS_OFF = "Support for ACLs has been disabled"


def refusal_of(exception: str, message: str) -> Refusal | None:
    """What a remote exception means, by the name of its class and its message; None where it may pass."""
    if _ACLS_OFF in message:
        return ACLS_OFF
    found = _BY_CLASS.get(exception)
    if found is not None and found is not REFUSED:
        return found
    return next((refusal for words, refusal in _BY_MESSAGE if words in message), found)


def about(failure: OperationFailed, path: str, what: str) -> OperationFailed:
    """The same failure, with the file that it is about."""
    return OperationFailed(
        failure.code,
        f"{path or 'the directory itself'}: {what}: {failure.message}",
        remedy=failure.remedy,
        unknown=failure.unknown,
        transient=failure.transient,
        detail={**failure.detail, "path": path},
    )
