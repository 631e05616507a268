"""What CheckCluster finds out about directories: patterns resolved, snapshots allowed, and what stands in the way.

Patterns are resolved on the cluster that is looked at: the primary's result is what a run copies, the secondary's is
where copies stand or something foreign does.
"""

from __future__ import annotations

import shlex
from typing import Any, NamedTuple, Sequence
from uuid import NAMESPACE_URL, uuid5

from infra.agent.core import hdfs
from infra.agent.core.findings import Findings
from infra.agent.core.hdfs_ownership import OWNERSHIP, signature
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.operations import OperationFailed
from infra.agent.core.sizes import directory_size
from infra.agent.core.wildcards import fitting
from infra.agent.core.work import PRIMARY, ROOT
from infra.agent.protocol import Instruction

AT_ONCE = 16
ROOM_FOR_SNAPSHOTS = 10


class Snapshottable(NamedTuple):
    """Directories that allow snapshots, each with how many it has and may have; None where nobody tells."""

    counts: dict[str, tuple[int, int]] | None


def data_set_id(component: str, name: str) -> str:
    """The id that the control device derives for a data set (``DataSet.id``)."""
    return uuid5(NAMESPACE_URL, f"understudy:{component}:{name}").hex


def check_directories(
    instruction: Instruction, site: str, patterns: Sequence[dict[str, Any]], findings: Findings
) -> Procedure:
    """The directories that the patterns stand for, in wire form; findings for each of them.

    On the secondary they are the copies of ours, each with those of the snapshots ``relied_on`` that it does not have,
    and what is to be adopted, each with what ``stands`` there.
    """
    payload = instruction.payload
    relied_on: Sequence[str] = payload.get("relied_on", ())
    paths = yield Together((resolve(site, pattern["path"]) for pattern in patterns), AT_ONCE)
    allowed = yield from _snapshottable(site)
    resolved: list[dict[str, Any]] = []
    for pattern, found in zip(patterns, paths):
        if not found and site == PRIMARY:
            message = f"there is no directory {pattern['path']}"
            findings.bad("directory", pattern["path"], "NO_SUCH_DIRECTORY", message, "Correct the service.")
        for path in found:
            data_set = {"id": data_set_id("hdfs", path), "component": "hdfs", "path": path}
            if site == PRIMARY:
                is_fit = yield from _check_source(path, payload["snapshot"], allowed, findings)
                if is_fit and payload.get("sizes"):
                    data_set["size"] = yield from directory_size(site, path)
            else:
                stands = yield from _check_target(site, path, allowed, findings, payload.get("adopts", False))
                is_fit = stands is not None
                if stands:
                    data_set["stands"] = stands
                if is_fit and relied_on:
                    data_set["lost_snapshots"] = yield from _lost(site, path, relied_on)
            if is_fit:
                resolved.append(data_set)
        if site != PRIMARY:
            for path in found or [pattern["path"]]:
                yield from _check_above(site, path, findings)
        if not found and site != PRIMARY:
            _check_nested(pattern["path"], allowed, findings)
            findings.good("target", pattern["path"], "nothing stands there yet")
    return resolved


def resolve(site: str, pattern: str) -> Procedure:
    """Every path that fits, component by component; sorted. ``*`` and ``?`` match within one component."""
    paths = [""]
    for part in pattern.split("/")[1:]:
        if "*" not in part and "?" not in part:
            paths = [f"{path}/{part}" for path in paths]
            continue
        fits = fitting(part)
        listings = yield Together((hdfs.list_directory(site, path or "/") for path in paths), AT_ONCE)
        paths = [
            f"{path}/{entry['pathSuffix']}"
            for path, entries in zip(paths, listings)
            for entry in entries or ()
            if entry["type"] == "DIRECTORY" and fits(entry["pathSuffix"])
        ]
    # Never our own directory, whatever the pattern says.
    paths = [path for path in paths if path != ROOT and not path.startswith(f"{ROOT}/")]
    found = yield Together((hdfs.status(site, path) for path in paths), AT_ONCE)
    return sorted(path for path, status in zip(paths, found) if status is not None)


def _snapshottable(site: str) -> Procedure:
    try:
        answer = yield from hdfs.call(site, "GET", "GETSNAPSHOTTABLEDIRECTORYLIST", "/")
    except OperationFailed as failure:
        if hdfs.exception_of(failure) != "IllegalArgumentException":
            raise
        return Snapshottable(None)  # Hadoop before 3.2 has no such operation
    counts = {}
    for entry in answer.get("SnapshottableDirectoryList") or ():
        parent = str(entry["parentFullPath"]).rstrip("/")
        path = f"{parent}/{entry['dirStatus']['pathSuffix']}"
        counts[path] = (int(entry["snapshotNumber"]), int(entry.get("snapshotQuota") or 1 << 16))
    return Snapshottable(counts)


def _check_source(path: str, snapshot: str, allowed: Snapshottable, findings: Findings) -> Procedure:
    """Can this directory be snapshotted on the primary, and held by the secondary? False when it is no directory."""
    status = yield from hdfs.status(PRIMARY, path)
    if status is None or status["type"] != "DIRECTORY":
        findings.bad("directory", path, "NO_SUCH_DIRECTORY", f"{path} is no directory", "Correct the service.")
        return False
    findings.good("directory", path, "is there")
    for field, code, what in (
        ("encBit", "ENCRYPTION_ZONE", "lies in an encryption zone"),
        ("ecBit", "ERASURE_CODED", "is erasure coded"),
    ):
        if status.get(field):
            message = f"{path} {what}, which a copy cannot keep yet"
            findings.bad("directory", path, code, message, "Take it out of the service.")
    is_free_of_others = _check_nested(path, allowed, findings)
    allows = (yield from hdfs.status(PRIMARY, f"{path}/.snapshot")) is not None
    if is_free_of_others:  # otherwise it could not allow them, and that has been said
        findings.judge(
            "snapshots",
            path,
            allows,
            "NOT_SNAPSHOTTABLE",
            ("snapshots are allowed", f"{path} does not allow snapshots"),
            f"As the superuser: hdfs dfsadmin -allowSnapshot {shlex.quote(path)}",
        )
    if allows:
        yield from _check_room(path, snapshot, allowed, findings)
    return True


def _check_room(path: str, snapshot: str, allowed: Snapshottable, findings: Findings) -> Procedure:
    count, quota = (allowed.counts or {}).get(path, (0, 1 << 16))
    findings.judge(
        "snapshots",
        path,
        count + ROOM_FOR_SNAPSHOTS <= quota,
        "TOO_MANY_SNAPSHOTS",
        (f"{count} of {quota} snapshots", f"{count} of {quota} snapshots are taken: there is no room for another"),
        "Delete snapshots that nobody needs.",
    )
    if (yield from hdfs.status(PRIMARY, f"{path}/.snapshot/{snapshot}")) is not None:
        message = f"{path} has a snapshot {snapshot} already"
        findings.bad("snapshots", path, "SNAPSHOT_EXISTS", message, "Look who made it, and remove it.")


def _check_nested(path: str, allowed: Snapshottable, findings: Findings) -> bool:
    nested = next((p for p in allowed.counts or () if _is_above(p, path) or _is_above(path, p)), None)
    findings.judge(
        "snapshots",
        path,
        nested is None,
        "NESTED_SNAPSHOTTABLE",
        ("nothing above or below it allows snapshots", f"{nested} allows snapshots, so {path} cannot"),
        f"Protect {nested} instead, or delete its snapshots and:"
        f" hdfs dfsadmin -disallowSnapshot {shlex.quote(nested or '')}",
    )
    return nested is None


def _check_above(site: str, path: str, findings: Findings) -> Procedure:
    """Nothing can be renamed from staging into an encryption zone; the nearest directory that is there tells."""
    above: str = path
    status = None
    while above and status is None:
        status = yield from hdfs.status(site, above)
        above = above.rpartition("/")[0]
    if status is not None and status.get("encBit"):
        message = f"{path} on the secondary lies in an encryption zone, so nothing can be put into it from staging"
        remedy = "Let it lie outside of encryption zones on the secondary."
        findings.bad("target", path, "ENCRYPTION_ZONE", message, remedy)


def _is_above(upper: str, lower: str) -> bool:
    return lower.startswith(f"{upper.rstrip('/')}/")


def _lost(site: str, path: str, relied_on: Sequence[str]) -> Procedure:
    snapshots = yield from hdfs.list_directory(site, f"{path}/.snapshot")
    there = {entry["pathSuffix"] for entry in snapshots or ()}
    return [name for name in relied_on if name not in there]


def _check_target(site: str, path: str, allowed: Snapshottable, findings: Findings, adopts: bool) -> Procedure:
    """What stands at the path on the secondary: {} for a copy of ours, facts for what is to be adopted, else None.

    What is neither, nor an empty directory of ours, is in the way.
    """
    _check_nested(path, allowed, findings)
    status = yield from hdfs.status(site, path)
    is_ours = is_empty = is_signed = False
    if status["type"] == "DIRECTORY":
        marks = yield from hdfs.extended_attributes(site, path, OWNERSHIP)
        is_signed = OWNERSHIP in marks
        is_ours = marks.get(OWNERSHIP) == signature(data_set_id("hdfs", path))
        above = yield from hdfs.status(site, ROOT)
        page = yield from hdfs.list_page(site, path)
        is_bare = not page.entries and not (yield from hdfs.list_directory(site, f"{path}/.snapshot"))
        is_empty = is_bare and above is not None and status["owner"] == above["owner"]
        if adopts and not is_ours and not is_signed:
            return (yield from _look_at_adopted(site, path, status, findings))
    findings.judge(
        "target",
        path,
        is_ours or is_empty,
        "FOREIGN_TREE",
        (
            "a copy of ours stands there" if is_ours else "an empty directory of ours stands there",
            f"{path} on the secondary belongs to {status['owner']} and is no copy of ours; it is left untouched",
        ),
        "Move it away on the secondary, or protect the data under another path.",
    )
    return {} if is_ours else None


def _look_at_adopted(site: str, path: str, status: dict[str, Any], findings: Findings) -> Procedure:
    """Facts about a tree that is to be taken over; findings if it cannot be."""
    if status.get("ecBit"):
        message = f"{path} on the secondary is erasure coded, which a copy cannot be"
        remedy = "Move it away on the secondary, and let all of it be copied."
        findings.bad("target", path, "ERASURE_CODED", message, remedy)
    size = yield from directory_size(site, path)
    snapshots = yield from hdfs.list_directory(site, f"{path}/.snapshot")
    findings.good("target", path, f"{size['files']} files, {size['bytes']} bytes stand there and are taken over")
    return {
        **size,
        "owner": status["owner"],
        "group": status["group"],
        "permission": status["permission"],
        "snapshots": None if snapshots is None else len(snapshots),
    }
