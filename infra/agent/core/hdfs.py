"""Typed WebHDFS calls: what a NameNode can be asked, with its traps taken care of.

Every procedure here may be repeated. Settings of a value are simply sent again when their answer was lost; a creation,
rename or deletion whose answer was lost is followed by a probe, so each reports what is the case, never a guess.
``persist`` waits out what passes by itself (a NameNode that restarts, safe mode) with bounded pauses.

Paths are decoded text; the shell quotes them. ``site`` is "primary" or "secondary". ``user`` is "hdfs" (the superuser)
unless a call says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, NamedTuple

from infra.agent.core.listings import Page as Page
from infra.agent.core.listings import page_of, status_of
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import HdfsCall, Now, Operation, OperationFailed, SleepUntil
from infra.agent.core.work import ROOT

PATIENCE_MS = 300_000.0
FIRST_PAUSE_MS = 500.0
LONGEST_PAUSE_MS = 15_000.0
IDENTITY = f"{ROOT}/identity"


NO_CHECKSUM = "NO_CHECKSUM"
# What WebHDFS makes of a file without checksums: it has no answer for them.
_NO_CHECKSUM = "NullPointerException"

# How HDFS says that no DataNode with the block answers; one that comes back ends it.
_NO_NODE = ("Failed to find datanode", "Fail to get block", "Fail to get the checksum", "Could not obtain block")


# What listing ``.snapshot`` of a directory without snapshots gives, instead of "not found".
_OTHER_TYPE = "must both be directories"
_NOT_SNAPSHOTTABLE = "is not a snapshottable directory"


UNREADABLE_MARK = "security.hdfs.unreadable.by.superuser"
_COPIED_ATTRIBUTES = ("user.", "trusted.")
_OUR_ATTRIBUTES = "trusted.understudy."


@dataclass(frozen=True)
class FileChecksum(Operation):
    """Ask a DataNode for the stored checksum of a whole file. Result: text, "algorithm:hex"."""

    site: str
    path: str


@dataclass(frozen=True)
class ExtendedAttributes(Operation):
    """Ask a NameNode for the extended attributes of many paths at once; fails if it fails for one of them.

    Result: for each path, in their order, a list of ``{"name": …, "value": …}`` as WebHDFS tells them in hexadecimal.
    """

    site: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class EncryptionZones(Operation):
    """Ask a NameNode for the roots of all encryption zones. Result: their paths, sorted.

    Failure code "ZONES_UNKNOWN": only its own protocol tells them, and that cannot be used from here.
    """

    site: str


@dataclass(frozen=True)
class LocateAhead(Operation):
    """Say which files will be copied whole, or asked for their checksums, in a moment.

    So their blocks are looked up for all of them at once. Result: None; nothing depends on what comes of it.
    """

    site: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class ListPage(Operation):
    """Ask for a page of a directory's listing, with what tells the contents of the files apart.

    Result: as LISTSTATUS_BATCH; a file that is not empty has ``blocks``, the identity of its contents
    (``block_identity``), where the NameNode tells which blocks it has.
    """

    site: str
    path: str
    start_after: str


@dataclass(frozen=True)
class Identify(Operation):
    """Ask for the identities of the contents of many files, which will be copied in a moment.

    Result: for each path, in their order, the identity, or None where it is not told.
    """

    site: str
    paths: tuple[str, ...]


class StoragePolicy(NamedTuple):
    """On which media blocks are put; without a ``has_fallback`` nothing can be written where those are missing."""

    name: str
    has_fallback: bool


def persist(make: Callable[[], Procedure], repeat_unknown: bool = True) -> Procedure:
    """Run ``make()`` and run it again after transient failures, for at most ``PATIENCE_MS``.

    With ``repeat_unknown`` False a failure whose effect is unknown is raised at once, for the caller to probe.
    """
    pause_ms = FIRST_PAUSE_MS
    give_up_at = None
    while True:
        try:
            return (yield from make())
        except OperationFailed as failure:
            if not (failure.transient or failure.unknown) or (failure.unknown and not repeat_unknown):
                raise
            now = yield Now()
            give_up_at = give_up_at if give_up_at is not None else now + PATIENCE_MS
            if now + pause_ms > give_up_at:
                raise
            yield SleepUntil(now + pause_ms)
            pause_ms = min(2 * pause_ms, LONGEST_PAUSE_MS)


def call(
    site: str, method: str, op: str, path: str, params: tuple[tuple[str, str], ...] = (), user: str = "hdfs"
) -> Procedure:
    """One request that may be repeated: a read, or the setting of a value."""
    return (yield from ask(HdfsCall(site, method, op, path, params, user)))


def ask(request: Operation) -> Procedure:
    """The same for a request that is made already."""

    def once() -> Procedure:
        return (yield request)

    return (yield from persist(once))


def exception_of(failure: OperationFailed) -> str:
    """The class name of the remote exception, "" if there was none."""
    return str(failure.detail.get("exception", ""))


def status(site: str, path: str, user: str = "hdfs") -> Procedure:
    """The FileStatus of a path, or None when there is no such path."""
    try:
        answer = yield from call(site, "GET", "GETFILESTATUS", path, user=user)
    except OperationFailed as failure:
        if exception_of(failure) in ("FileNotFoundException", "ParentNotDirectoryException"):
            return None
        raise
    return status_of(answer, f"{site}: {path}")


def page_request(site: str, path: str, start_after: str = "", user: str = "hdfs") -> HdfsCall:
    """What ``list_page`` asks."""
    params = (("startAfter", start_after),) if start_after else ()
    return HdfsCall(site, "GET", "LISTSTATUS_BATCH", path, params, user)


def list_page(site: str, path: str, start_after: str = "", user: str = "hdfs") -> Procedure:
    """One ``Page`` of a directory's listing after the name ``start_after``; fails when the directory is not there."""
    return (yield from ask_page(page_request(site, path, start_after, user)))


def ask_page(request: HdfsCall | ListPage) -> Procedure:
    """The ``Page`` that a ``page_request`` or a ``ListPage`` asks for."""
    answer = yield from ask(request)
    after = request.start_after if isinstance(request, ListPage) else dict(request.params).get("startAfter", "")
    return page_of(answer, f"{request.site}: {request.path}", after)


def list_directory(site: str, path: str, user: str = "hdfs") -> Procedure:
    """All entries of a directory that is known to be small, or None when it is not there."""
    entries: list[dict[str, Any]] = []
    try:
        page = yield from list_page(site, path, user=user)
        entries.extend(page.entries)
        while page.remaining:
            page = yield from list_page(site, path, page.entries[-1]["pathSuffix"], user)
            entries.extend(page.entries)
    except OperationFailed as failure:
        if exception_of(failure) == "FileNotFoundException" or _NOT_SNAPSHOTTABLE in failure.message:
            return None
        raise
    return entries


def make_directory(site: str, path: str, permission: str, user: str = "hdfs") -> Procedure:
    """Make a directory, and those above it, unless it is there; ``permission`` is octal text."""
    answer = yield from call(site, "PUT", "MKDIRS", path, (("permission", permission),), user)
    if not answer.get("boolean"):
        raise OperationFailed("HDFS", f"MKDIRS {path} was refused without a reason")


def rename(site: str, source: str, target: str, user: str = "hdfs") -> Procedure:
    """Rename without ever replacing ``target`` or moving into it; the directory above it must be there.

    What stands at ``target`` already, of whatever type, is told as a FileAlreadyExistsException.

    One of both names has to be the caller's alone, then the probe after a lost answer is unambiguous: the rename has
    happened exactly when ``source`` is gone and ``target`` is there.
    """
    request = HdfsCall(site, "PUT", "RENAME", source, (("destination", target), ("renameoptions", "NONE")), user)

    def once() -> Procedure:
        try:
            yield request
        except OperationFailed as failure:
            if _OTHER_TYPE in failure.message:  # a directory stands where a file is to go, or the reverse
                failure.detail["exception"] = "FileAlreadyExistsException"
            if not failure.unknown:
                raise
            if (yield from status(site, source, user)) is None and (yield from status(site, target, user)) is not None:
                return
            failure.transient = True
            raise

    yield from persist(once)


def delete(site: str, path: str, recursive: bool = True, user: str = "hdfs") -> Procedure:
    """Delete a path; returns whether it was there (True too when that is not known because an answer was lost)."""
    request = HdfsCall(site, "DELETE", "DELETE", path, (("recursive", "true" if recursive else "false"),), user)
    tries = []

    def once() -> Procedure:
        tries.append(request)
        return (yield request)

    answer = yield from persist(once)
    return bool(answer.get("boolean")) or len(tries) > 1


def concatenate(site: str, target: str, sources: list[str], whole_bytes: int) -> Procedure:
    """Append whole files to ``target``, which has ``whole_bytes`` afterwards; the sources vanish."""
    request = HdfsCall(site, "POST", "CONCAT", target, (("sources", ",".join(sources)),))

    def once() -> Procedure:
        try:
            yield request
        except OperationFailed as failure:
            found = (yield from status(site, target)) if failure.unknown else None
            if found is None or found["length"] != whole_bytes:
                raise

    yield from persist(once)


def set_owner(site: str, path: str, owner: str, group: str, user: str = "hdfs") -> Procedure:
    """Set owner and group."""
    return (yield from call(site, "PUT", "SETOWNER", path, (("owner", owner), ("group", group)), user))


def set_permission(site: str, path: str, permission: str) -> Procedure:
    """Set the mode, octal text."""
    return (yield from call(site, "PUT", "SETPERMISSION", path, (("permission", permission),)))


def set_modification_time(site: str, path: str, at_ms: int) -> Procedure:
    """Set the modification time and leave the access time as it is."""
    return (yield from call(site, "PUT", "SETTIMES", path, (("modificationtime", str(at_ms)), ("accesstime", "-1"))))


def set_replication(site: str, path: str, replication: int) -> Procedure:
    """Set the wanted number of replicas of a file."""
    return (yield from call(site, "PUT", "SETREPLICATION", path, (("replication", str(replication)),)))


def set_storage_policy(site: str, path: str, name: str) -> Procedure:
    """Set the storage policy by its name."""
    return (yield from call(site, "PUT", "SETSTORAGEPOLICY", path, (("storagepolicy", name),)))


def unset_storage_policy(site: str, path: str) -> Procedure:
    """Let a path follow the policy of the directory above it again."""
    return (yield from call(site, "POST", "UNSETSTORAGEPOLICY", path))


def storage_policies(site: str) -> Procedure:
    """The storage policies by their ids, each a ``StoragePolicy``."""
    answer = yield from call(site, "GET", "GETALLSTORAGEPOLICY", "/")
    return {
        int(policy["id"]): StoragePolicy(policy["name"], bool(policy["creationFallbacks"]))
        for policy in answer["BlockStoragePolicies"]["BlockStoragePolicy"]
    }


def acl_entries(site: str, path: str) -> Procedure:
    """The sorted ACL entries as GETACLSTATUS tells them: without those that the mode holds."""
    answer = yield from call(site, "GET", "GETACLSTATUS", path)
    return sorted(answer["AclStatus"]["entries"])


def set_acl(site: str, path: str, specification: str) -> Procedure:
    """Replace the whole ACL, but for default entries where the specification has none; see ``full_acl``."""
    return (yield from call(site, "PUT", "SETACL", path, (("aclspec", specification),)))


def remove_default_acl(site: str, path: str) -> Procedure:
    """Leave no default entries."""
    return (yield from call(site, "PUT", "REMOVEDEFAULTACL", path))


def remove_acl(site: str, path: str) -> Procedure:
    """Leave nothing but the mode."""
    return (yield from call(site, "PUT", "REMOVEACL", path))


def full_acl(entries: list[str], permission: str) -> str:
    """The complete specification that SETACL wants, from the entries that GETACLSTATUS gives and the mode.

    The mode's group digit is the mask as soon as there are access entries beyond the mode (HDFS-4685): GETACLSTATUS
    then lists the group's own entry too.
    """
    digits = int(permission, 8)
    user, group, other = (_symbols(digits >> shift) for shift in (6, 3, 0))
    has_access_entries = any(not entry.startswith("default:") for entry in entries)
    mode = [f"user::{user}", f"mask::{group}" if has_access_entries else f"group::{group}", f"other::{other}"]
    return ",".join([*mode, *entries])


def _symbols(digit: int) -> str:
    return "".join(letter if digit & bit else "-" for letter, bit in (("r", 4), ("w", 2), ("x", 1)))


def extended_attributes(site: str, path: str, beginning: str = "") -> Procedure:
    """The extended attributes that copies carry, or whose names have a ``beginning``: ``{name: value as 0x…}``.

    Copies carry what users and superusers have set (the other namespaces are HDFS's own), but none of this product's.
    """
    found = yield from extended_attributes_of(site, (path,), beginning)
    return found[0]


def extended_attributes_of(site: str, paths: tuple[str, ...], beginning: str = "", marks: bool = False) -> Procedure:
    """``extended_attributes`` of many paths, in their order; with ``marks`` also ``UNREADABLE_MARK``."""
    request = ExtendedAttributes(site, paths)

    def is_asked_for(name: str) -> bool:
        if marks and name == UNREADABLE_MARK:
            return True
        if beginning:
            return name.startswith(beginning)
        return name.startswith(_COPIED_ATTRIBUTES) and not name.startswith(_OUR_ATTRIBUTES)

    def once() -> Procedure:
        return (yield request)

    answers = yield from persist(once)
    return [
        {
            attribute["name"]: attribute.get("value") or "0x"
            for attribute in attributes
            if is_asked_for(attribute["name"])
        }
        for attributes in answers
    ]


def set_extended_attribute(site: str, path: str, name: str, value: str) -> Procedure:
    """Create or replace an extended attribute; ``value`` is hexadecimal text with 0x."""
    params = (("xattr.name", name), ("xattr.value", value), ("flag", "CREATE,REPLACE"))
    return (yield from call(site, "PUT", "SETXATTR", path, params))


def remove_extended_attribute(site: str, path: str, name: str) -> Procedure:
    """Remove an extended attribute; one that is not there is as good as removed."""
    try:
        yield from call(site, "PUT", "REMOVEXATTR", path, (("xattr.name", name),))
    except OperationFailed as failure:
        if "No matching attributes found" not in failure.message:
            raise


def checksum(site: str, path: str) -> Procedure:
    """The stored checksum of a whole file as "algorithm:hex"; equal texts mean equal bytes.

    It comes from what DataNodes have stored beside the blocks: a damaged block does not show in it. While no DataNode
    that has a block can be reached it is waited for. Failure code "NO_CHECKSUM": nothing is stored, and only its bytes
    tell what it holds.
    """

    def once() -> Procedure:
        try:
            return (yield FileChecksum(site, path))
        except OperationFailed as failure:
            if exception_of(failure) == _NO_CHECKSUM:
                message = f"{path} has no stored checksum: it was written with dfs.checksum.type=NULL"
                raise OperationFailed(NO_CHECKSUM, message, detail={"path": path}) from failure
            if any(words in failure.message for words in _NO_NODE):
                failure.transient = True
            raise

    return (yield from persist(once))


def quotas(site: str, path: str) -> Procedure:
    """The directory's own quotas [names, bytes], -1 for none; None where the NameNode is too old to tell."""
    try:
        answer = yield from call(site, "GET", "GETQUOTAUSAGE", path)
    except OperationFailed as failure:
        if exception_of(failure) in ("IllegalArgumentException", "UnsupportedOperationException"):
            return None
        raise
    usage = answer["QuotaUsage"]
    return [int(usage["quota"]), int(usage["spaceQuota"])]
