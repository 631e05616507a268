"""What TakeSnapshots says about one data set: times on both clocks, open files, grade and reason."""

from __future__ import annotations

import math
from typing import Any, Mapping, NamedTuple

from infra.agent.core import evidence
from infra.agent.core.machine import Procedure
from infra.agent.core.moment_settling import Moment, Taken
from infra.agent.core.moment_targets import HDFS, Target
from infra.agent.core.open_files import Listing, open_at_cut, told
from infra.agent.core.operations import OperationFailed

BY_STAMPS = "the request's answer was lost, the times are the servers' own stamps"


class After(NamedTuple):
    """What is known once all snapshots are there; listings and readings that could not be had are None.

    ``ahead_ms`` is the most that the NameNode's clock may have been ahead of the gateway's.
    """

    opened_before: Listing | None
    opened_after: Listing | None
    quiet: Mapping[str, Any]
    disabled: Mapping[str, Any]
    readings: Mapping[str, Any]
    ahead_ms: float


def result_of(target: Target, taken: Taken, moment: Moment, after: After) -> Procedure:
    """One entry of the result's ``data_sets``; SNAPSHOT_FAILED when the snapshot is gone again."""
    opened: list[str] | None = []
    listed_ms: float | None = None
    server_ms = taken.server_ms
    asked_ms, done_ms = taken.asked_cluster_ms - moment.offset_ms, taken.done_cluster_ms - moment.offset_ms
    if target.component == HDFS or server_ms is None:
        server_ms = yield from _stamp_ms(target)
    if target.component == HDFS:
        opened = None
        became: Any = {}
        if after.opened_after is not None:
            listed_ms = after.opened_after.done_ms + after.ahead_ms
            seen = yield from open_at_cut(
                target.name,
                target.snapshot,
                server_ms,
                after.opened_before,
                after.opened_after,
                listed_ms,
                moment.offset_ms,
            )
            opened, became = seen.opened, seen.told()
        grade = evidence.of_directory(opened)
        before = None if after.opened_after is None else told(after.opened_before, target.name)
        looks = evidence.looks_at_directory(before, told(after.opened_after, target.name), became)
    else:
        quiet, disabled = after.quiet.get(target.id), after.disabled.get(target.id)
        looks = evidence.looks_at_table(taken.kind, quiet, after.readings.get(target.id), disabled)
        grade = evidence.of_table(
            taken.kind,
            quiet,
            after.readings.get(target.id),
            asked_ms,
            done_ms,
            disabled,
        )
    if taken.by_stamps:
        grade = {**grade, "reason": f"{grade['reason']}; {BY_STAMPS}"}
    return {
        "snapshot": target.snapshot,
        "asked_ms": asked_ms,
        "done_ms": done_ms,
        "server_ms": server_ms,
        "asked_cluster_ms": taken.asked_cluster_ms,
        "done_cluster_ms": taken.done_cluster_ms,
        "open_files": opened or [],
        **({} if listed_ms is None else {"open_listed_ms": math.ceil(listed_ms)}),
        "evidence": {**grade, "looks": looks},
        "attempts": taken.attempts,
    }


def _stamp_ms(target: Target) -> Procedure:
    """The server's own stamp: of a directory's snapshot the cut, of a table's when the master began with it."""
    found = yield from target.find()
    if found is None:
        message = f"{target.name}: the snapshot {target.snapshot} was taken and is gone again"
        raise OperationFailed("SNAPSHOT_FAILED", message, detail={"data_set": target.id})
    return found.stamp_ms
