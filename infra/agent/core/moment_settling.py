"""From what became of the requests to snapshots that are there, each with what it can stand for.

An answer tells when the request was sent and when it was answered. A lost answer is followed by a probe, never by
another request. A table's snapshot that failed for certain is tried again for a while; its times are the last try's, so
the skew of the run grows by it and the policy decides.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from infra.agent.core.clocks import NEVER_LATE_MS
from infra.agent.core.machine import Procedure
from infra.agent.core.moment_targets import DIRECTORY_KIND, Found, Target
from infra.agent.core.operations import Fire, Now, OperationFailed, SleepUntil

RETRY_WINDOW_MS = 30_000.0
RETRY_PAUSE_MS = 250.0
PROBE_PATIENCE_MS = 60_000.0
PROBE_PAUSE_MS = 500.0


class Moment(NamedTuple):
    """The moment as this gateway sees it: fired at ``at_ms`` of its clock, the NameNode's being ``offset_ms`` ahead.

    ``uncertainty_ms`` is that of the offset, ``hbase_offset_ms`` how far HBase's clock is ahead of the gateway's.
    """

    at_ms: float
    tolerance_ms: float
    offset_ms: float
    uncertainty_ms: float
    hbase_offset_ms: float

    @property
    def cluster_ms(self) -> float:
        """The moment on the NameNode's clock."""
        return self.at_ms + self.offset_ms

    def is_its_own(self, found: Found) -> bool:
        """Whether a snapshot was begun at the moment, by its server's own stamp."""
        offset_ms = self.offset_ms if found.kind == DIRECTORY_KIND else self.hbase_offset_ms
        late_ms = found.stamp_ms - (self.at_ms + offset_ms)
        slack_ms = self.uncertainty_ms + 1
        return -slack_ms <= late_ms <= self.tolerance_ms + found.patience_ms + slack_ms


class Taken(NamedTuple):
    """A snapshot that is there: what it shows was true at some instant between asked and done (NameNode's clock).

    ``by_stamps``: the times are the servers' own, because the request's answer was lost.
    """

    asked_cluster_ms: float
    done_cluster_ms: float
    server_ms: float | None
    kind: str
    attempts: int
    by_stamps: bool


def settle(target: Target, shot: dict[str, Any], moment: Moment) -> Procedure:
    """Turn one shot of ``Fire`` into ``Taken``; SNAPSHOT_FAILED, naming the data set, when there is no snapshot."""
    attempts = 1
    while "failure" in shot:
        failure = shot["failure"]
        if failure.get("unknown"):
            taken = yield from recognise(target, moment, attempts, (yield Now()) + PROBE_PATIENCE_MS)
            if taken is not None:
                return taken
        now = yield Now()
        if not target.is_worth_another_try(failure) or now + RETRY_PAUSE_MS > moment.at_ms + RETRY_WINDOW_MS:
            raise _failed(target, failure, attempts)
        yield SleepUntil(now + RETRY_PAUSE_MS)
        attempts += 1
        (shot,) = yield Fire(now, NEVER_LATE_MS, (target.call(),))
    return _answered(shot, moment, attempts)


def recognise(target: Target, moment: Moment, attempts: int, give_up_at_ms: float) -> Procedure:
    """Find a snapshot whose answer was lost, by its stamps; None when it is not there in time.

    MOMENT_MISSED for one that stands for another instant.
    """
    while True:
        found = yield from target.find()
        if found is not None:
            break
        now = yield Now()
        if now + PROBE_PAUSE_MS > give_up_at_ms:
            return None
        yield SleepUntil(now + PROBE_PAUSE_MS)
    if not moment.is_its_own(found) and attempts == 1:
        raise OperationFailed(
            "MOMENT_MISSED",
            f"{target.name}: the snapshot {target.snapshot} was begun at {found.stamp_ms:.0f} by its server's clock,"
            f" the moment was {moment.cluster_ms:.0f}",
            detail={"data_set": target.id},
        )
    now_cluster_ms = (yield Now()) + moment.offset_ms
    asked_cluster_ms = moment.cluster_ms if found.from_ms is None else found.from_ms
    return Taken(
        asked_cluster_ms=asked_cluster_ms,
        done_cluster_ms=max(asked_cluster_ms, now_cluster_ms if found.until_ms is None else found.until_ms),
        server_ms=found.stamp_ms,
        kind=found.kind,
        attempts=attempts,
        by_stamps=True,
    )


def _answered(shot: dict[str, Any], moment: Moment, attempts: int) -> Taken:
    """The times of an answered request: the HBase process's own where it tells them, for they are closer."""
    value = shot["value"]
    asked_ms, done_ms = float(shot["asked_ms"]), float(shot["done_ms"])
    if asked_ms <= value.get("asked_ms", 0.0) <= value.get("done_ms", 0.0) <= done_ms:
        asked_ms, done_ms = float(value["asked_ms"]), float(value["done_ms"])
    stamp = value.get("creation_ms")
    return Taken(
        asked_cluster_ms=asked_ms + moment.offset_ms,
        done_cluster_ms=done_ms + moment.offset_ms,
        server_ms=None if stamp is None else float(stamp),
        kind=str(value.get("type", DIRECTORY_KIND)),
        attempts=attempts,
        by_stamps=False,
    )


def _failed(target: Target, failure: dict[str, Any], attempts: int) -> OperationFailed:
    tried = "" if attempts == 1 else f" (tried {attempts} times)"
    return OperationFailed(
        "SNAPSHOT_FAILED",
        f"{target.name}: {failure['message']}{tried}",
        remedy="Nothing was kept of this moment; see what the cluster says about this data set.",
        unknown=bool(failure.get("unknown")),
        detail={**failure.get("detail", {}), "data_set": target.id},
    )
