"""Everything that a run's page shows, as plain JSON values.

id, version, state, service, policy (names), policy_revision, settings, pair, epoch, primary, secondary, direction,
moment_ms, snapshot, slot_attempt
moment_moves    [{code, from_ms, to_ms}]: other moments that the run has chosen before anything was cut
data_sets       [{id, component, name}], patterns alike; before the checks have resolved them only patterns
facts           what the checks found, by role
warnings        findings that did not refuse the run, and snapshots that copies found lost; findings: those that did
alarms          what a person has to do something about: a barrier that was not released, what was refused for good,
                that nothing moves; barrier: its evidence
snapshots       by data set: when asked for and done, evidence (grade and reason); clocks; consistency
base            the recovery point that the copies start from, or null
copies          by data set: COPYING or STAGED; staged: totals and digests of those that are; stalled
totals          sums over the data sets that are staged
forecast        how long a first copy was predicted to take, and what that rests on; null for increments
mass_change     what would be deleted or replaced, if the run was held; confirmed
applied, verification, anchor
recovery_point  its id, once the run has completed
failure         why it failed; last_failure: by step, what is being tried again, and the attempt's number
cleaning        steps that are left
durations       [{state, since (time of day), seconds}], in order; seconds of the present state is null
live            see ``infra.workers.live``
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import msgspec

from domain.protection.backup_run.run import BackupRun
from domain.values.data_set import DataSet
from infra.summaries import totals


def recorded_page(run: BackupRun) -> dict[str, Any]:
    """What the page shows of the run itself."""
    plan = run.plan
    return {
        "id": str(run.id),
        "version": run.version,
        "state": run.state,
        "service": plan.service_name,
        "policy": plan.policy_name,
        "policy_revision": plan.policy_revision,
        "settings": msgspec.to_builtins(plan.settings),
        "pair": plan.pair_name,
        "epoch": plan.epoch,
        "primary": plan.primary,
        "secondary": plan.secondary,
        "direction": plan.settings.direction,
        "moment_ms": run.moment_ms,
        "moment_moves": run.moment_moves,
        "snapshot": run.snapshot,
        "data_sets": _shown(run.data_sets),
        "patterns": _shown(plan.patterns),
        "facts": run.facts,
        "findings": run.findings,
        "warnings": [*run.warnings, *run.lost_snapshots],
        "alarms": run.alarms,
        "barrier": run.barrier,
        "snapshots": run.snapshots,
        "clocks": run.clocks,
        "consistency": run.consistency.to_json() if run.consistency else None,
        "base": msgspec.to_builtins(run.base) if run.base else None,
        "copies": {key: copy.state for key, copy in run.copies.items()},
        "staged": run.staged,
        "stalled": sorted(run.stalled),
        "totals": totals(run),
        "mass_change": run.mass_change,
        "forecast": asdict(run.forecast) if run.forecast else None,
        "confirmed": run.confirmed,
        "applied": run.applied,
        "verification": run.verification,
        "anchor": run.anchor,
        "recovery_point": str(run.recovery_point) if run.recovery_point else None,
        "failure": run.failure,
        "last_failure": {} if run.is_at_rest else _tried_again(run),
        "cleaning": list(run.to_clean),
    }


def _tried_again(run: BackupRun) -> dict[str, Any]:
    return {
        step: {**failure, "attempt": run.attempt_of(step)}
        for step, failure in run.last_failure.items()
        if step not in run.stopped
    }


def _shown(data_sets: Sequence[DataSet]) -> list[dict[str, str]]:
    return [{"id": one.id, "component": one.component, "name": one.name} for one in data_sets]


def durations(history: Sequence[dict[str, Any]], initial_state: str) -> list[dict[str, Any]]:
    """How long a run was in each state, from the times of the events that changed it."""
    entered = [(initial_state, history[0]["at"])]
    entered += [(event["facts"]["to_state"], event["at"]) for event in history if _moves_run(event)]
    spans = []
    for number, (state, since) in enumerate(entered):
        until = entered[number + 1][1] if number + 1 < len(entered) else None
        spans.append({"state": state, "since": since, "seconds": _seconds(since, until) if until else None})
    return spans


def _moves_run(event: dict[str, Any]) -> bool:
    """Whether the event changed the state of the run, not of one of its copies."""
    return "to_state" in event["facts"] and "key" not in event["facts"]


def _seconds(since: str, until: str) -> float:
    return (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds()
