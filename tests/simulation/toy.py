"""Toy clusters and toy procedures: every kind of instruction, on clusters that are little more than a dictionary.

For tests of the control device itself, where what an agent answers and when has to be said by the test. The effects go
through the agent's machine, spool and executor, so agents can be killed anywhere here, too.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from infra.agent.core.machine import Procedure
from infra.agent.core.operations import HdfsCall, Milestone, Now, OperationFailed, Progress, SleepUntil, SpoolAppend
from infra.agent.core.procedures import PROCEDURES
from infra.agent.protocol import Instruction, canonical, hbase_snapshot_name
from tests.domain.honest import looks

STEP_MS = 500.0
"""How long a toy copy takes for each of its steps."""


class ToyCluster:
    """Paths with values. ``created`` counts how often each path was made: twice is once too often."""

    def __init__(self, data: dict[str, str] | None = None) -> None:
        self.values: dict[str, Any] = {f"/data/{name}": value for name, value in (data or {}).items()}
        self.created: Counter[str] = Counter()

    def call(self, method: str, op: str, path: str, params: dict[str, str], user: str) -> dict[str, Any]:
        """GET a value or None, PUT one where there is none, SET one, DELETE one, LIST paths."""
        if op == "LIST":
            return {"paths": sorted(name for name in self.values if name.startswith(path))}
        if op == "PUT" and path not in self.values:
            self.values[path] = params["value"]
            self.created[path] += 1
        elif op == "SET":
            self.values[path] = params["value"]
        elif op == "DELETE":
            self.values.pop(path, None)
        return {"value": self.values.get(path)}


def _do(site: str, op: str, path: str, value: str = "") -> Procedure:
    answer = yield HdfsCall(site, "POST", op, path, (("value", value),))
    return answer["value"] if op != "LIST" else answer["paths"]


def _name(data_set: dict[str, Any]) -> str:
    return str(data_set.get("path") or data_set.get("table"))


def _snapshot_of(data_set: dict[str, Any], snapshot: str) -> str:
    return hbase_snapshot_name(snapshot, data_set["table"]) if "table" in data_set else snapshot


def _removed_as(data_set: dict[str, Any], snapshot: str) -> str:
    return f"{data_set['path']}/.snapshot/{snapshot}" if "path" in data_set else _snapshot_of(data_set, snapshot)


def sha(value: str | None) -> str:
    """A digest of a value."""
    return hashlib.sha256(str(value).encode()).hexdigest()


def _clocks() -> dict[str, Any]:
    offset = {"offset_ms": 0.0, "uncertainty_ms": 0.5}
    return {"namenode": offset, "hbase": offset}


def check_cluster(instruction: Instruction, journal: bytes) -> Procedure:
    """The newest marker, and the patterns as they are."""
    role = instruction.payload["role"]
    markers = yield from _do(role, "LIST", "/marker/")
    marker = (yield from _do(role, "GET", markers[-1])) if markers else None
    return {
        "clocks": _clocks(),
        "marker": None if marker is None else json.loads(marker),
        "safe_mode": False,
        "data_sets": instruction.payload["patterns"],
        "findings": [],
    }


def show_owner(instruction: Instruction, journal: bytes) -> Procedure:
    """Toy clusters are nobody's."""
    nobody = {"owner": None, "seen_ms": None, "marker": None}
    yield Now()
    return {"sites": dict.fromkeys(instruction.payload["sites"], nobody)}


def write_marker(instruction: Instruction, journal: bytes) -> Procedure:
    """Write once."""
    (role,) = instruction.payload["sites"]
    marker = canonical(instruction.payload["marker"]).decode()
    path = f"/marker/{instruction.payload['serial']}"
    if (yield from _do(role, "PUT", path, marker)) != marker:
        raise OperationFailed("MARKER_MISMATCH", "another marker is there")
    return {"serial": instruction.payload["serial"], "marker": instruction.payload["marker"]}


def take_snapshots(instruction: Instruction, journal: bytes) -> Procedure:
    """At the moment, or never; a snapshot that is there already was taken by an earlier life of this agent."""
    payload = instruction.payload
    yield Milestone("armed", {"clocks": _clocks()})
    if not journal:
        yield SleepUntil(payload["moment_ms"])
        now = yield Now()
        if now > payload["moment_ms"] + payload["fire_tolerance_ms"]:
            raise OperationFailed("MOMENT_MISSED", f"{now - payload['moment_ms']} ms late")
        yield SpoolAppend("journal", b"fired\n")
    taken: dict[str, Any] = {}
    for data_set in payload["data_sets"]:
        path = f"/snapshots{_name(data_set)}@{payload['snapshot']}"
        value = yield from _do("primary", "GET", f"/data/{_name(data_set)}")
        if value is None:
            raise OperationFailed("NO_SUCH_DIRECTORY", _name(data_set))
        yield from _do("primary", "PUT", path, value)
        at = float(payload["moment_ms"])
        taken[data_set["id"]] = {
            "snapshot": _snapshot_of(data_set, payload["snapshot"]),
            "asked_ms": at,
            "done_ms": at + 1,
            "server_ms": at,
            "asked_cluster_ms": at,
            "done_cluster_ms": at + 1,
            "open_files": [],
            "evidence": {"grade": "EXACT", "reason": "a toy", "looks": looks(data_set["component"], at)},
            "attempts": 1,
        }
    return {"data_sets": taken, "clocks": {"before": _clocks(), "after": _clocks()}}


def send(instruction: Instruction, journal: bytes) -> Procedure:
    """Put the snapshot's value into staging, in a few steps that take their time."""
    payload = instruction.payload
    data_set = payload["data_set"]
    for step in range(len(journal.splitlines()), 3):
        now = yield Now()
        yield SleepUntil(now + STEP_MS)
        yield Progress({"step": "copy", "data_set": data_set["id"], "bytes": step, "bytes_total": 3})
        yield SpoolAppend("journal", b"%d\n" % step)
    value = yield from _do("primary", "GET", f"/snapshots{_name(data_set)}@{payload['snapshot']}")
    if value is None:
        raise OperationFailed("SOURCE_DAMAGED", "the snapshot is gone")
    yield from _do("secondary", "PUT", f"{payload['staging']}/{data_set['id']}", value)
    return {
        "files": 1, "directories": 0, "bytes": len(value), "bytes_moved": len(value), "files_moved": 1, "deleted": 0,
        "renamed": 0, "changed_attributes": 0, "entries_in_base": 1, "full": payload["base"] is None,
        "replaced": 0, "content_digest": sha(value), "metadata_digest": sha(value), "manifest_sha256": sha(value),
    }  # fmt: skip


def apply(instruction: Instruction, journal: bytes) -> Procedure:
    """Let the heads show what is staged."""
    payload = instruction.payload
    if not journal:
        yield SpoolAppend("journal", b"begun\n")
    for data_set in payload["data_sets"]:
        value = yield from _do("secondary", "GET", f"{payload['staging']}/{data_set['id']}")
        yield from _do("secondary", "SET", f"/data/{_name(data_set)}", value)
    return {"data_sets": {d["id"]: {"steps": 1, "healed": False, "missing": 0} for d in payload["data_sets"]}}


def freeze(instruction: Instruction, journal: bytes) -> Procedure:
    """Snapshots of the heads."""
    payload = instruction.payload
    for data_set in payload["data_sets"]:
        value = yield from _do("secondary", "GET", f"/data/{_name(data_set)}")
        yield from _do("secondary", "PUT", f"/snapshots{_name(data_set)}@{payload['snapshot']}", value)
    names = {d["id"]: _snapshot_of(d, payload["snapshot"]) for d in payload["data_sets"]}
    return {"data_sets": {key: {"snapshot": name, "server_ms": 0.0} for key, name in names.items()}}


def digest(instruction: Instruction, journal: bytes) -> Procedure:
    """Compare the frozen snapshots with what was staged."""
    payload = instruction.payload
    verdicts = {}
    for data_set in payload["data_sets"]:
        expected = yield from _do("secondary", "GET", f"{payload['staging']}/{data_set['id']}")
        found = yield from _do("secondary", "GET", f"/snapshots{_name(data_set)}@{payload['snapshot']}")
        is_equal = found == expected
        verdict = {"verdict": "EQUAL" if is_equal else "DIFFERENT", "expected": sha(expected), "found": sha(found)}
        verdicts[data_set["id"]] = {
            "content": {**verdict, "proved": "bytes"},
            "metadata": verdict,
            "manifest_sha256": sha(expected),
            "differences": [] if found == expected else [_name(data_set)],
            "files_read": 1,
            "bytes_read": 1,
        }
    return {"data_sets": verdicts, "trial_clone": None}


def seal(instruction: Instruction, journal: bytes) -> Procedure:
    """Keep the manifest; staging is not needed any more."""
    payload = instruction.payload
    (role,) = payload["sites"]
    manifest = canonical(payload["manifest"]).decode()
    yield from _do(role, "PUT", f"/recovery-points/{payload['recovery_point']}", manifest)
    for path in (yield from _do(role, "LIST", payload["staging"])) if payload["staging"] else ():
        yield from _do(role, "DELETE", path)
    return {"manifest_sha256": sha(manifest), "anchor_sha256": sha(canonical(payload["anchor"]).decode())}


def remove(instruction: Instruction, journal: bytes) -> Procedure:
    """Absent is as good as removed."""
    payload = instruction.payload
    (role,) = payload["sites"]
    doomed = [f"/snapshots{_name(d)}@{payload['snapshot']}" for d in payload["data_sets"]]
    if payload["staging"]:
        doomed += yield from _do(role, "LIST", payload["staging"])
    if payload["recovery_point"]:
        doomed.append(f"/recovery-points/{payload['recovery_point']}")
    for path in doomed:
        yield from _do(role, "DELETE", path)
    named = [_removed_as(data_set, payload["snapshot"]) for data_set in payload["data_sets"]]
    more = [payload["staging"]] if payload["staging"] else []
    if payload["recovery_point"]:
        more.append(f"/.understudy/recovery-points/{payload['recovery_point']}")
    return {"removed": [*named, *more], "absent": []}


def open_copies(instruction: Instruction, journal: bytes) -> Procedure:
    """Copies under scratch names."""
    payload = instruction.payload
    readable = {}
    for data_set in payload["data_sets"]:
        value = yield from _do("secondary", "GET", f"/snapshots{_name(data_set)}@{payload['snapshot']}")
        path = f"/scratch/{payload['scratch']}/{data_set['id']}"
        yield from _do("secondary", "PUT", path, value)
        readable[data_set["id"]] = {"readable": path, "seconds": 0.1}
    return {"data_sets": readable}


def close_copies(instruction: Instruction, journal: bytes) -> Procedure:
    """Remove them."""
    removed = yield from _do("secondary", "LIST", f"/scratch/{instruction.payload['scratch']}/")
    for path in removed:
        yield from _do("secondary", "DELETE", path)
    return {"removed": removed}


TOYS: dict[str, Callable[[Instruction, bytes], Procedure]] = {
    "CheckCluster": check_cluster,
    "ShowOwner": show_owner,
    "WriteMarker": write_marker,
    "TakeSnapshots": take_snapshots,
    "SendSnapshots": send,
    "ReplicateSnapshots": send,
    "ApplyStaged": apply,
    "FreezeCopies": freeze,
    "DigestSnapshots": digest,
    "SealRecoveryPoint": seal,
    "RemoveSnapshots": remove,
    "OpenCopies": open_copies,
    "CloseCopies": close_copies,
}


@contextmanager
def toys(**others: Callable[[Instruction, bytes], Procedure]) -> Iterator[None]:
    """Let agents carry out toys in place of the real procedures; ``others`` replace some of them by kind."""
    before = dict(PROCEDURES)
    PROCEDURES.update({**TOYS, **others})
    try:
        yield
    finally:
        PROCEDURES.clear()
        PROCEDURES.update(before)
