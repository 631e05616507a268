"""Take over a directory on the secondary that somebody else has filled, with DistCp for example.

What stands there is compared with the source as it stands, and nothing of it is changed before a person has seen what
it would lose: ``losses``, a work file that lies in staging beside the plan, with a line for every entry that would be
deleted or replaced. Days may pass until then, so the listing that was compared has a *fingerprint*, and the head is
changed only while it still has that one, when it is closed to all others (but superusers) already: nothing is deleted
that was not in the list.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from infra.agent.core import hdfs
from infra.agent.core.hdfs_compare import Comparison
from infra.agent.core.hdfs_entries import DIRECTORY, FILE, Entry
from infra.agent.core.hdfs_ownership import OWNERSHIP, signature
from infra.agent.core.hdfs_walk import write_listing
from infra.agent.core.lines import LineReader, LineWriter, damaged, encode
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import OperationFailed, ReadFile
from infra.agent.core.work import SECONDARY, Work
from infra.agent.protocol import Instruction, canonical

LOSSES = "losses"
PAGE_BYTES = 256 << 10
_SEEN = ("p", "t", "l", "m", "o", "g", "x", "i")
_TOLD = ("p", "t", "l", "m", "o")
_KINDS = {FILE: "files", DIRECTORY: "directories"}


def can_be_adopted(data_set: dict[str, Any]) -> Procedure:
    """Tell whether a directory stands at the data set's path that is nobody's copy, or ours already."""
    found = yield from hdfs.status(SECONDARY, data_set["path"])
    if found is None or found["type"] != "DIRECTORY":
        return False
    marks = yield from hdfs.extended_attributes(SECONDARY, data_set["path"], OWNERSHIP)
    return marks.get(OWNERSHIP) in (None, signature(data_set["id"]))


def take_stock(comparison: Comparison) -> Procedure:
    """Write ``losses`` from what the plan was made of; returns counts, and the fingerprint of what was compared."""
    counts = {
        f"{fate}_{what}": 0
        for fate in ("deleted", "replaced", "equal")
        for what in ("files", "directories", "bytes")
        if (fate, what) != ("replaced", "directories")
    }
    writer = LineWriter(comparison.file(LOSSES))
    yield from writer.begin()
    for name in ("gone", "kept"):
        reader = LineReader(comparison.file(name))
        while True:
            change = yield from reader.record()
            if change is None:
                break
            have: Entry = change["h"]
            fate = "deleted" if name == "gone" else "replaced" if change.get("R") else "equal"
            counts[f"{fate}_{_KINDS[have['t']]}"] += 1
            counts[f"{fate}_bytes"] += have.get("l", 0)
            if fate != "equal":
                yield from writer.write(encode({"do": fate, **{key: have[key] for key in _TOLD if key in have}}))
    yield from writer.end(durable=True)
    whole, listed = yield from _fingerprints(comparison.file("have"))
    return {**counts, "fingerprint": whole or listed}


def list_losses(instruction: Instruction, journal: bytes) -> Procedure:
    """Carry out ListLosses; raises NO_LIST where the run's staging has none (any more), BAD_OFFSET within a line."""
    payload = instruction.payload
    path = f"{payload['staging']}/{payload['data_set']['id']}/{LOSSES}"
    status = yield from hdfs.status(SECONDARY, path)
    if status is None:
        raise OperationFailed("NO_LIST", f"{path} is not there", remedy="It is kept until the run has ended.")
    offset, length = payload["offset"], status["length"]
    if offset >= length:
        return {"losses": [], "next": None}
    if offset and (yield ReadFile(SECONDARY, path, offset - 1, 1)) != b"\n":
        message = f"no line of the list begins at its byte {offset}"
        raise OperationFailed("BAD_OFFSET", message, remedy="Give 0, or what the page before calls 'next'.")
    data = yield ReadFile(SECONDARY, path, offset, min(PAGE_BYTES, length - offset))
    whole = data[: data.rfind(b"\n") + 1]
    if not whole:
        raise damaged(path, f"a line of more than {PAGE_BYTES} bytes")
    after = offset + len(whole)
    return {"losses": [json.loads(line) for line in whole.splitlines()], "next": after if after < length else None}


def check_as_found(work: Work, data_set: dict[str, Any]) -> Procedure:
    """Raise HEAD_CHANGED unless the head still is what was compared; its root does not count, snapshots change it."""
    if not (yield from can_be_adopted(data_set)):
        raise _changed(data_set["path"])
    name = work.work_file(data_set, "as-found")
    yield from write_listing(SECONDARY, data_set["path"], name)
    if data_set["as_found"] not in (yield from _fingerprints(name)):
        raise _changed(data_set["path"])


def _fingerprints(listing: str) -> Procedure:
    """What a listing shows, with the identities of contents and without them.

    The former is None unless all are told: over WebHDFS alone it is up to chance of which files they are.
    """
    whole, listed = hashlib.sha256(), hashlib.sha256()
    is_told = True
    reader = LineReader(listing)
    while True:
        entry = yield from reader.record()
        if entry is None:
            return whole.hexdigest() if is_told else None, listed.hexdigest()
        if entry["p"]:
            seen = {key: entry[key] for key in _SEEN if key in entry}
            listed.update(canonical(seen) + b"\n")
            if "B" in entry:
                seen["B"] = entry["B"]
            elif entry.get("l"):
                is_told = False
            whole.update(canonical(seen) + b"\n")


def _changed(path: str) -> OperationFailed:
    return OperationFailed(
        "HEAD_CHANGED",
        f"{path} on the secondary is not what it was when it was compared with the source; it is left untouched",
        remedy="Stop what writes there (a DistCp that runs by itself?), then start the run again: it compares anew.",
        detail={"path": path},
    )
