"""How far the servers' clocks are ahead of the gateway's, measured by the smallest interval that samples allow.

A server's stamp that was made between a request sent at ``asked`` and its answer at ``done`` (gateway's clock) says
that the server is ahead by something between ``stamp - done`` and ``stamp + resolution - asked``. The truth lies in
every such interval, so samples are intersected: the result is never wider than the sample with the shortest round trip.
Where they do not meet, a clock was stepped in between, and the hull is all that can be said.

The NameNode's clock is read from the modification time of directories that it makes (measured: making, renaming and
deleting one all answer in about 3 ms, but only its own new directory has a time that nobody else can move). HBase's is
read from a cell that a RegionServer stamps.
"""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Sequence

from infra.agent.core import hdfs
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import Fire, HBaseCall, HdfsCall, Now, OperationFailed
from infra.agent.core.work import ROOT

CANARY = "understudy:canary"
CLOCK_DIRECTORY = f"{ROOT}/clock"
RESOLUTION_MS = 1.0
SAMPLES = 6
NEVER_LATE_MS = 60_000.0
HBASE_SECONDS = 60.0


class Interval(NamedTuple):
    """Between ``low`` and ``high`` milliseconds, both included."""

    low: float
    high: float


def interval_of(asked_ms: float, stamp_ms: float, done_ms: float, resolution_ms: float = RESOLUTION_MS) -> Interval:
    """What one sample says about server minus gateway.

    A gateway's clock that stepped back within the sample makes an interval that is turned round; it is put right, and
    so never narrower than the step.
    """
    low, high = stamp_ms - done_ms, stamp_ms + resolution_ms - asked_ms
    return Interval(min(low, high), max(low, high))


def combine(intervals: Sequence[Interval]) -> Interval:
    """The intersection, or the hull where the intervals do not all meet."""
    low, high = max(i.low for i in intervals), min(i.high for i in intervals)
    if low <= high:
        return Interval(low, high)
    return Interval(min(i.low for i in intervals), max(i.high for i in intervals))


def as_offset(interval: Interval) -> dict[str, float]:
    """The form of docs/agent.md: middle and half width, to a thousandth of a millisecond, rounded outwards."""
    return {
        "offset_ms": round((interval.low + interval.high) / 2, 3),
        "uncertainty_ms": round((interval.high - interval.low) / 2 + 0.001, 3),
    }


def drift_ms(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """How far two measurements are apart beyond what their uncertainties explain; 0 where they agree."""
    apart = abs(float(after["offset_ms"]) - float(before["offset_ms"]))
    return max(0.0, apart - float(before["uncertainty_ms"]) - float(after["uncertainty_ms"]))


def namenode_offset(site: str, owner: str) -> Procedure:
    """Measure the NameNode's clock; ``owner`` makes the probes' names unique.

    A sample whose answer was lost says nothing and is left out. When none is left: SAFE_MODE where the NameNode said
    that it is in safe mode, else CLOCK_UNKNOWN.
    """
    own = f"{CLOCK_DIRECTORY}/{owner}"
    intervals = []
    lost: Mapping[str, Any] = {}
    for number in range(SAMPLES):
        now = yield Now()
        path = f"{own}/{now:.3f}-{number}"
        request = HdfsCall(site, "PUT", "MKDIRS", path, (("permission", "700"),))
        (shot,) = yield Fire(now, NEVER_LATE_MS, (request,))
        if "failure" in shot:
            lost = shot["failure"]
            _raise_unless_passing(lost)
            continue
        made = yield from hdfs.status(site, path)
        if made is not None:
            intervals.append(interval_of(shot["asked_ms"], float(made["modificationTime"]), shot["done_ms"]))
    if not intervals and _is_of_safe_mode(lost):
        raise OperationFailed(
            "SAFE_MODE",
            f"the {site} NameNode is in safe mode: {lost['message']}",
            transient=True,
            remedy="Find out why (hdfs dfsadmin -safemode get), let it leave safe mode, and start the run again.",
        )
    yield from hdfs.delete(site, own)
    if not intervals:
        message = f"the clock of the {site} NameNode could not be measured: {lost.get('message', 'it told no times')}"
        raise OperationFailed("CLOCK_UNKNOWN", message, transient=True)
    return as_offset(combine(intervals))


def _is_of_safe_mode(failure: Mapping[str, Any]) -> bool:
    return bool((failure.get("detail") or {}).get("exception") == "SafeModeException")


def _raise_unless_passing(failure: Mapping[str, Any]) -> None:
    if not (failure.get("unknown") or failure.get("transient")):
        raise OperationFailed(failure["code"], failure["message"], detail=failure["detail"])


def hbase_offset(site: str) -> Procedure:
    """Measure the clock of the RegionServer that has the canary table, making the table if it is missing.

    None where HBase does not answer: its clock decides nothing, but an operator wants to know it.
    """
    request = HBaseCall(site, {"do": "clock", "table": CANARY, "samples": SAMPLES}, timeout_seconds=HBASE_SECONDS)
    try:
        try:
            result = yield request
        except OperationFailed as failure:
            if hdfs.exception_of(failure) != "TableNotFoundException":
                raise
            yield HBaseCall(site, {"do": "create_canary", "table": CANARY}, timeout_seconds=HBASE_SECONDS)
            result = yield request
    except OperationFailed:
        return None
    return {"offset_ms": float(result["offset_ms"]), "uncertainty_ms": float(result["uncertainty_ms"])}


def measure(site: str, owner: str, with_hbase: bool) -> Procedure:
    """Both clocks: ``{"namenode": offset, "hbase": offset or null}``."""
    namenode = yield from namenode_offset(site, owner)
    hbase: Any = (yield from hbase_offset(site)) if with_hbase else None
    return {"namenode": namenode, "hbase": hbase}
