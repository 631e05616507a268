"""What CheckCluster finds out about directories: patterns resolved, snapshots allowed, and whose tree is in the way."""

from __future__ import annotations

import fnmatch
import re
from typing import Any, Sequence

from infra.agent.core import hdfs
from infra.agent.core.findings import Findings
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import OperationFailed

OURS = "us-"
MOST_SNAPSHOTS = 65_536


def resolve_directories(site: str, patterns: Sequence[dict[str, Any]], findings: Findings) -> Procedure:
    """The directories that patterns stand for, each in wire form without id; findings for what is missing or unfit."""
    resolved: list[dict[str, Any]] = []
    for pattern in patterns:
        paths = yield from _expand(site, pattern["path"])
        message = f"there is no directory {pattern['path']}"
        findings.add("directory", pattern["path"], bool(paths), "NO_SUCH_DIRECTORY", "exists", message, "Correct it.")
        for path in paths:
            found = yield from hdfs.status(site, path)
            if found is None or found["type"] != "DIRECTORY":
                findings.add("directory", path, False, "NO_SUCH_DIRECTORY", "", f"{path} is no directory")
                continue
            _refuse_unholdable(path, found, findings)
            resolved.append({"component": "hdfs", "path": path})
    return resolved


def _refuse_unholdable(path: str, found: dict[str, Any], findings: Findings) -> None:
    for field, code, what in (
        ("encBit", "ENCRYPTION_ZONE", "lies in an encryption zone"),
        ("ecBit", "ERASURE_CODED", "is erasure coded"),
    ):
        if found.get(field):
            message = f"{path} {what}, which staging cannot hold yet"
            findings.add("directory", path, False, code, "", message, "Take it out of the service.")


def _expand(site: str, pattern: str) -> Procedure:
    """Every path that fits, component by component; sorted."""
    paths = [""]
    for part in pattern.split("/")[1:]:
        if not re.search(r"[*?]", part):
            paths = [f"{path}/{part}" for path in paths]
            continue
        matching = []
        expression = re.compile(fnmatch.translate(part.replace("[", "[[]")))
        for path in paths:
            entries = yield from hdfs.list_directory(site, path or "/")
            matching += [
                f"{path}/{entry['pathSuffix']}"
                for entry in entries or ()
                if entry["type"] == "DIRECTORY" and expression.match(entry["pathSuffix"])
            ]
        paths = matching
    found = []
    for path in sorted(paths):
        if (yield from hdfs.status(site, path)) is not None:
            found.append(path)
    return found


def check_snapshottable(site: str, paths: Sequence[str], findings: Findings, required: bool) -> Procedure:
    """Are snapshots allowed (if ``required``), nothing snapshottable above or below, and room for another one?"""
    answer = yield from hdfs.call(site, "GET", "GETSNAPSHOTTABLEDIRECTORYLIST", "/")
    listed = {_full_path(entry): entry for entry in answer.get("SnapshottableDirectoryList") or ()}
    for path in paths:
        nested = next((p for p in listed if p.startswith(f"{path}/") or path.startswith(f"{p.rstrip('/')}/")), None)
        findings.add(
            "snapshots",
            path,
            nested is None,
            "NESTED_SNAPSHOTTABLE",
            "no snapshottable directory above or below",
            f"{nested} allows snapshots, so {path} cannot",
            f"hdfs dfsadmin -disallowSnapshot {nested} (after its snapshots are deleted), or protect that directory.",
        )
        if not required:
            continue
        findings.add(
            "snapshots",
            path,
            path in listed,
            "NOT_SNAPSHOTTABLE",
            "snapshots are allowed",
            f"{path} does not allow snapshots",
            f"hdfs dfsadmin -allowSnapshot {path}",
        )
        count = int(listed.get(path, {}).get("snapshotNumber", 0))
        remedy = "Delete snapshots that nobody needs."
        findings.add(
            "snapshots", path, count < MOST_SNAPSHOTS, "TOO_MANY_SNAPSHOTS", f"{count} snapshots", remedy=remedy
        )


def _full_path(entry: dict[str, Any]) -> str:
    parent = str(entry["parentFullPath"]).rstrip("/")
    return f"{parent}/{entry['dirStatus']['pathSuffix']}"


def check_target_path(site: str, path: str, findings: Findings) -> Procedure:
    """Is the secondary's path free, or ours (it has a snapshot of ours)? Patterns are judged by APPLY."""
    if re.search(r"[*?]", path):
        return
    found = yield from hdfs.status(site, path)
    free = found is None
    if found is not None and found["type"] == "DIRECTORY":
        entries = yield from hdfs.list_page(site, path)
        free = not entries.entries or (yield from _has_snapshot_of_ours(site, path))
    findings.add(
        "target",
        path,
        free,
        "FOREIGN_TREE",
        "free, or a copy of ours",
        f"{path} holds data that is no copy of ours; it is left untouched",
        "Move it away on the secondary, or protect the data under another path.",
    )


def _has_snapshot_of_ours(site: str, path: str) -> Procedure:
    try:
        entries = yield from hdfs.list_directory(site, f"{path}/.snapshot")
    except OperationFailed:
        return False
    return any(entry["pathSuffix"].startswith(OURS) for entry in entries or ())
