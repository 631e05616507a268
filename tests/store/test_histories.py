"""A store of another version loads: with states, steps and codes that today's code does not know."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from domain.protection.backup_run import states
from domain.protection.backup_run.run import BackupRun
from domain.protection.recovery_point import RecoveryPoint
from domain.stateful import Stateful
from infra.store.codec import EventCodec
from infra.summaries import CONTENTS, VIEWS
from tests.domain.builders import Contexts, failed, steady_pair, succeeded
from tests.domain.honest import shown
from tests.domain.voyage import Voyage

CODEC = EventCodec(CONTENTS.aggregate_classes)
WORDS = {"to_state", "from_state", "step", "code", "role", "key", "reason"}


def failed_run() -> Voyage:
    voyage = Voyage().to(states.STAGING)
    voyage.answer("copy", failed("HDFS"))
    voyage.answer("copy", failed("EVICTED"))
    while wishes := voyage.run.next_instructions():
        voyage.show(wishes[0].wire_step)
    return voyage


def histories() -> dict[str, Stateful]:
    voyage = Voyage().to(states.COMPLETED)
    (point,) = voyage.points.values()
    point.expire(voyage.contexts(), "old", dict(point.made.endpoints))
    while wishes := point.next_instructions():
        point.conclude(voyage.contexts(), wishes[0].id, succeeded(shown(wishes[0])))
    everything = (voyage.run, point, voyage.replica, voyage.service, voyage.policy, steady_pair(Contexts()))
    return {type(one).__name__: one for one in everything} | {"a run that failed": failed_run().run}


@pytest.mark.parametrize("name", sorted(histories()))
def test_words_that_nobody_knows_any_more_load_and_can_be_listed(name: str) -> None:
    loaded: Any = None
    for event in histories()[name].pending_events:
        stored = CODEC.to_stored_event(event)
        state = json.loads(stored.state)
        renamed = {key: f"{value}_OF_OLD" for key, value in state.items() if key in WORDS and isinstance(value, str)}
        read: Any = CODEC.to_domain_event(replace(stored, state=json.dumps(state | renamed).encode()))
        loaded = read.mutate(loaded)
    assert loaded.state.endswith("_OF_OLD") or not any(hasattr(e, "to_state") for e in histories()[name].pending_events)
    (view,) = [one for one in VIEWS if isinstance(loaded, one.aggregate_class)]
    assert view.summarise(loaded)
    assert not hasattr(loaded, "next_instructions") or loaded.next_instructions() == ()


def without(event: Any, *fields: str, version: int | None = None) -> Any:
    """The event as an older version has stored it."""
    stored = CODEC.to_stored_event(event)
    state = {key: value for key, value in json.loads(stored.state).items() if key not in (*fields, "class_version")}
    if version is not None:
        state["class_version"] = version
    return CODEC.to_domain_event(replace(stored, state=json.dumps(state).encode()))


def test_a_store_from_before_events_carried_decisions_tells_the_same_verdicts() -> None:
    voyage = Voyage().to(states.STAGING)
    voyage.copy(fuzzy=3)
    voyage.answer("apply", failed("EVICTED", detail={"changed": False}))
    loaded: Any = None
    for event in voyage.run.pending_events:
        if isinstance(event, BackupRun.CopyStaged):
            loaded = without(event, "consistency", "fuzzy_in_v1").mutate(loaded)
        elif isinstance(event, BackupRun.FailureFound):
            loaded = without(event, "cleaning").mutate(loaded)
        else:
            loaded = event.mutate(loaded)
    assert loaded.consistency == voyage.run.consistency
    assert loaded.consistency.verdict == "DEGRADED"
    assert loaded.snapshots == voyage.run.snapshots
    assert (loaded.to_clean, loaded.to_abort) == (voyage.run.to_clean, voyage.run.to_abort)
    assert loaded.next_instructions() == voyage.run.next_instructions()


def test_a_recovery_point_that_expired_before_its_sides_were_recorded_has_expired() -> None:
    point = histories()["RecoveryPoint"]
    loaded: Any = None
    for event in point.pending_events:
        older = isinstance(event, RecoveryPoint.ExpiryIntended)
        loaded = (without(event, "sides", "to_abort") if older else event).mutate(loaded)
    assert (loaded.state, loaded.sides_left) == ("EXPIRED", [])
