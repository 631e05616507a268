"""What the snapshots of a moment stand for: pure decisions over what was measured around the cut.

HDFS: a snapshot is taken under the NameNode's lock, so it stands for one instant (EXACT), open files excepted. HBase:
the regions flush one after another, so a snapshot stands for some instant between request and completion (BOUNDED). It
is EXACT where nothing was written: no counter, store file, region, server or sequence id of the table moved from a
whole RPC time-out before the request (a put is counted before it is applied) until completion; or the table was
disabled all the time: its state was read before the request and after completion, and the time at which the catalogue
says that it was set is the same. A snapshot that skips the flush leaves out what was not flushed yet: FUZZY.
"""

from __future__ import annotations

import hashlib
from typing import Any, Mapping, Sequence

from infra.agent.protocol import canonical

EXACT = "EXACT"
BOUNDED = "BOUNDED"
FUZZY = "FUZZY"
# Of a region's live metrics, those that stand still when nothing is written.
STILL = ("region", "start", "end", "server", "open_sequence_id", "live", "write_requests", "store_files")


def of_directory(open_files: Sequence[str] | None) -> dict[str, str]:
    """The grade of a directory's snapshot; ``open_files`` None means that they could not be listed."""
    if open_files is None:
        return {"grade": FUZZY, "reason": "files that were open at the cut could not be listed"}
    if open_files:
        many = "1 file that was" if len(open_files) == 1 else f"{len(open_files)} files that were"
        return {"grade": EXACT, "reason": f"one instant of the NameNode, except {many} open at the cut (FUZZY)"}
    return {"grade": EXACT, "reason": "one instant of the NameNode; no file was open"}


def still_digest(metrics: Mapping[str, Any]) -> str:
    """A digest of everything in a table's live region metrics that moves when something is written."""
    regions = [{name: region.get(name) for name in STILL} for region in metrics["regions"]]
    return hashlib.sha256(canonical(sorted(regions, key=lambda region: str(region["region"])))).hexdigest()


COUNTED = ("write_requests", "store_files")
_LISTED_OF_A_READING = (
    "digest", "asked_ms", "done_ms", "rpc_timeout_ms", "state", "state_since_ms", "regions", *COUNTED,
)  # fmt: skip


def counts(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """How much a reading saw: regions, and of all of them the write requests and store files."""
    sums = {name: sum(_number(region.get(name)) for region in metrics["regions"]) for name in COUNTED}
    return {"regions": len(metrics["regions"]), **sums}


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def looks_at_table(
    kind: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, disabled: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What a table's grade rests on, of bounded size: whoever has it comes to the grade again."""
    readings = {"before": before, "after": after, "disabled": disabled}
    return {"kind": kind, **{name: _bounded(reading) for name, reading in readings.items()}}


def _bounded(reading: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if reading is None:
        return None
    return {
        name: value[:100] if isinstance(value, str) else value
        for name, value in ((name, reading.get(name)) for name in _LISTED_OF_A_READING)
        if value is not None
    }


def looks_at_directory(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, became: Any) -> Any:
    """What a directory's grade rests on: two listings, as digests, and what became of the files in them.

    ``became`` counts all that were listed, and of those that are in the snapshot: open at the cut, closed before it.
    """
    return {"before": before, "after": after, **became}


def of_table(
    kind: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    asked_ms: float,
    done_ms: float,
    disabled: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """The grade of a table's snapshot of ``kind`` that was taken between asked and done.

    ``before`` and ``after`` are readings ``{"digest", "asked_ms", "done_ms", "state", "state_since_ms"}``, ``before``
    with ``rpc_timeout_ms`` (hbase.rpc.timeout) besides; ``disabled`` is one from shortly before the request, of a table
    that was disabled then. All times but ``state_since_ms`` are of one clock.
    """
    if kind == "SKIPFLUSH":
        return {"grade": FUZZY, "reason": "the snapshot leaves out what was not flushed"}
    if kind == "DISABLED":
        return _of_disabled(disabled, after, asked_ms, done_ms)
    if before is None or before["done_ms"] > asked_ms - before["rpc_timeout_ms"]:
        reason = "regions are cut one after another between request and completion, and nobody looked early enough"
    elif after is None or after["asked_ms"] < done_ms:
        reason = "nothing is known of the table after the snapshot"
    elif before["digest"] != after["digest"]:
        reason = "regions are cut one after another between request and completion, and the table was in use"
    else:
        return {"grade": EXACT, "reason": "no counter, store file, region or server of the table moved around the cut"}
    return {"grade": BOUNDED, "reason": reason}


def _of_disabled(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, asked_ms: float, done_ms: float
) -> dict[str, str]:
    """The grade of a snapshot that HBase took as that of a disabled table: nobody can write to one."""
    if before is None or before["done_ms"] > asked_ms:
        reason = "the table was disabled, and nobody has seen before the request that it was"
    elif after is None or after["asked_ms"] < done_ms:
        reason = "the table was disabled, and nothing is known of it after the snapshot"
    elif before.get("state_since_ms") is None or _state(before) != _state(after):
        reason = "the table was disabled, and its state has changed between the looks before and after the snapshot"
    else:
        reason = "the table was disabled from before the request until after completion: nobody could write to it"
        return {"grade": EXACT, "reason": reason}
    return {"grade": BOUNDED, "reason": reason}


def _state(reading: Mapping[str, Any]) -> tuple[Any, Any]:
    return reading.get("state"), reading.get("state_since_ms")
