"""How far the servers' clocks are ahead of the gateway's, measured by the smallest interval that samples allow.

A server's stamp that was made between a request sent at ``asked`` and its answer at ``done`` (the gateway's clock) says
that server - gateway lies in [stamp - done, stamp + resolution - asked]. The truth lies in every such interval, so the
samples are intersected; where they do not meet, a clock was stepped in between, and the hull is all that can be said.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

from infra.agent.core import hdfs
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import Fire, HBaseCall, HdfsCall, Now, OperationFailed
from infra.agent.core.work import ROOT

CANARY = "understudy:canary"
CLOCK_DIRECTORY = f"{ROOT}/clock"
RESOLUTION_MS = 1.0
SAMPLES = 6
NEVER_LATE_MS = 60_000.0


class Interval(NamedTuple):
    """Between ``low`` and ``high`` milliseconds, both included."""

    low: float
    high: float


def interval_of(asked_ms: float, stamp_ms: float, done_ms: float, resolution_ms: float = RESOLUTION_MS) -> Interval:
    """What one sample says about server minus gateway."""
    return Interval(stamp_ms - done_ms, stamp_ms + resolution_ms - asked_ms)


def combine(intervals: Sequence[Interval]) -> Interval:
    """The intersection, or the hull where the intervals do not all meet."""
    low, high = max(i.low for i in intervals), min(i.high for i in intervals)
    if low <= high:
        return Interval(low, high)
    return Interval(min(i.low for i in intervals), max(i.high for i in intervals))


def as_offset(interval: Interval) -> dict[str, float]:
    """The form of docs/agent.md: middle and half width, to a thousandth of a millisecond."""
    return {
        "offset_ms": round((interval.low + interval.high) / 2, 3),
        "uncertainty_ms": round((interval.high - interval.low) / 2, 3),
    }


def namenode_offset(site: str, owner: str) -> Procedure:
    """Measure the NameNode's clock by the stamps of directories that it makes; ``owner`` makes their names unique.

    A directory's modification time is the NameNode's clock when it was made, in whole milliseconds.
    """
    own = f"{CLOCK_DIRECTORY}/{owner}"
    intervals = []
    for number in range(SAMPLES):
        now = yield Now()
        path = f"{own}/{now:.3f}-{number}"
        request = HdfsCall(site, "PUT", "MKDIRS", path, (("permission", "700"),))
        (shot,) = yield Fire(now, NEVER_LATE_MS, (request,))
        if "failure" in shot:
            raise OperationFailed(shot["failure"]["code"], shot["failure"]["message"], detail=shot["failure"]["detail"])
        made = yield from hdfs.status(site, path)
        if made is not None:
            intervals.append(interval_of(shot["asked_ms"], float(made["modificationTime"]), shot["done_ms"]))
    yield from hdfs.delete(site, own)
    if not intervals:
        raise OperationFailed("CLOCK_UNKNOWN", "the NameNode's clock could not be measured", transient=True)
    return as_offset(combine(intervals))


def hbase_offset(site: str) -> Procedure:
    """Measure the clock of a RegionServer by a canary table; None where there is no canary (or no HBase)."""
    try:
        result = yield HBaseCall(site, {"do": "clock", "table": CANARY, "samples": SAMPLES}, timeout_seconds=60)
    except OperationFailed:
        return None
    return {"offset_ms": float(result["offset_ms"]), "uncertainty_ms": float(result["uncertainty_ms"])}


def measure(site: str, owner: str, with_hbase: bool) -> Procedure:
    """Both clocks: ``{"namenode": offset, "hbase": offset or null}``."""
    namenode = yield from namenode_offset(site, owner)
    hbase: Any = (yield from hbase_offset(site)) if with_hbase else None
    return {"namenode": namenode, "hbase": hbase}
