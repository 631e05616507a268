"""What an honest agent answers when it has done what it was asked for: by the instruction's own payload."""

from __future__ import annotations

from typing import Any

from domain.components.registry import component
from domain.instruction import Wanted
from domain.values.canonical import sha256_of


def shown(wanted: Wanted) -> dict[str, Any]:
    """The result of a wish of these kinds; of the others, what tests say themselves."""
    payload = wanted.payload
    kind = wanted.kind
    if kind == "WriteMarker":
        return {"serial": payload["serial"], "marker": {**payload["marker"], "term": 1}}
    if kind == "ApplyStaged":
        return {"data_sets": {one["id"]: {"steps": 1, "healed": False} for one in payload["data_sets"]}}
    if kind == "FreezeCopies":
        return {"data_sets": {one["id"]: {"snapshot": named(one, payload["snapshot"])} for one in payload["data_sets"]}}
    if kind == "OpenCopies":
        return {"data_sets": {one["id"]: {"readable": f"/scratch/{one['id']}"} for one in payload["data_sets"]}}
    if kind == "SealRecoveryPoint":
        return {"manifest_sha256": sha256_of(payload["manifest"]), "anchor_sha256": sha256_of(payload["anchor"])}
    if kind == "RemoveSnapshots":
        places = [place(one, payload["snapshot"]) for one in payload["data_sets"]]
        recovery_point = payload["recovery_point"]
        more = [payload["staging"], f"/.understudy/recovery-points/{recovery_point}" if recovery_point else None]
        return {"removed": places, "absent": [one for one in more if one]}
    if kind == "Abort":
        return {"aborted": payload["instructions"], "ended_before": [], "rolled_forward": []}
    return {}


def named(data_set: dict[str, Any], snapshot: str) -> str:
    """What a data set's snapshot is called."""
    kind = component(data_set["component"])
    return str(kind.snapshot_name(snapshot, data_set[kind.FIELD]))


def place(data_set: dict[str, Any], snapshot: str) -> str:
    """What an agent calls it that removes it."""
    kind = component(data_set["component"])
    return str(kind.snapshot_place(snapshot, data_set[kind.FIELD]))


def looks(component: str, at_ms: float) -> dict[str, Any]:
    """What was measured around a cut at an instant, such that it is EXACT."""
    if component == "hdfs":
        listing = {"asked_ms": at_ms - 5_000, "done_ms": at_ms - 4_990, "files": 0, "sha256": "0" * 64}
        after = {**listing, "asked_ms": at_ms + 5_000, "done_ms": at_ms + 5_010}
        return {"before": listing, "after": after, "listed": 0, "open": 0, "closed": 0, "absent": 0}
    reading = {"digest": "1" * 64, "regions": 1, "write_requests": 5, "store_files": 1}
    before = {**reading, "asked_ms": at_ms - 70_010, "done_ms": at_ms - 70_000, "rpc_timeout_ms": 60_000.0}
    after = {**reading, "asked_ms": at_ms + 5_000, "done_ms": at_ms + 5_010}
    return {"kind": "FLUSH", "before": before, "after": after, "disabled": None}
