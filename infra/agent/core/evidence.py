"""What the snapshots of a moment stand for: pure decisions over what was measured around the cut.

HDFS: a snapshot is taken under the NameNode's lock, so it stands for one instant (EXACT), open files excepted. HBase:
the regions flush one after another, so a snapshot stands for some instant between request and completion (BOUNDED). It
is EXACT where nothing was written: no counter, region, server or sequence id of the table moved from a whole RPC
time-out before the request (a put is counted before it is applied) until completion; or the table was disabled.
"""

from __future__ import annotations

from typing import Any, Mapping, Sequence

EXACT = "EXACT"
BOUNDED = "BOUNDED"
FUZZY = "FUZZY"
# Of a region's live metrics, those that must stand still when nothing is written.
STILL = ("region", "server", "open_sequence_id", "write_requests", "live")


def of_directory(open_files: Sequence[str] | None) -> dict[str, str]:
    """The grade of a directory's snapshot; ``open_files`` None means that they could not be listed."""
    if open_files is None:
        return {"grade": FUZZY, "reason": "files that were open at the cut could not be listed"}
    if open_files:
        many = f"{len(open_files)} file{'s' if len(open_files) > 1 else ''}"
        return {"grade": EXACT, "reason": f"one instant of the NameNode, except {many} open at the cut (FUZZY)"}
    return {"grade": EXACT, "reason": "one instant of the NameNode; no file was open"}


def of_table(
    snapshot_type: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    fired_at_ms: float,
    rpc_timeout_ms: float,
) -> dict[str, str]:
    """The grade of a table's snapshot from live region metrics ({"regions", "asked_ms", "done_ms"}) around it."""
    if snapshot_type == "DISABLED":
        return {"grade": EXACT, "reason": "the table was disabled"}
    bounded = {"grade": BOUNDED, "reason": "the regions were cut between request and completion"}
    if before is None or after is None:
        return bounded
    if before["done_ms"] > fired_at_ms - rpc_timeout_ms or _still(before) != _still(after):
        return bounded
    return {"grade": EXACT, "reason": "no counter, region or server of the table moved around the cut"}


def _still(metrics: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return sorted(tuple(str(region.get(name)) for name in STILL) for region in metrics["regions"])
