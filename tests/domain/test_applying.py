"""Applying an event is total: whatever a store holds, in whatever order, it loads; and it tells what was decided."""

from __future__ import annotations

import dataclasses
from datetime import UTC
from typing import Any, get_type_hints
from uuid import UUID

import pytest
from eventsourcing.utils import get_topic
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.pair.cluster import Cluster
from domain.pair.pair import ClusterPair
from domain.protection.backup_run import states
from domain.protection.backup_run.cleaning import Cleaning
from domain.protection.backup_run.run import BackupRun
from domain.protection.consistency import Consistency
from domain.protection.pause import Pause
from domain.protection.policy import BackupPolicy
from domain.protection.recovery_point import RecoveryPoint
from domain.protection.replica import Replica
from domain.protection.service import Service
from domain.refusal import Refusal
from domain.stateful import Stateful
from tests.domain.builders import ACCOUNTS, ORDERS, failed, succeeded
from tests.domain.honest import shown
from tests.domain.tables import rebuilt, same_state
from tests.domain.voyage import Voyage

AGGREGATES = (BackupPolicy, BackupRun, Cluster, ClusterPair, Pause, RecoveryPoint, Refusal, Replica, Service)
STATED = ("originator_id", "originator_version", "originator_topic")

words = st.sampled_from(["", "primary", "secondary", "A_STATE_OF_ANOTHER_VERSION", "CLEANING", "OPENING", "k"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 99) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
st.register_type_strategy(str, words)
st.register_type_strategy(UUID, st.integers(0, 3).map(lambda number: UUID(int=number)))


def events_of(aggregate: type[Stateful], created: bool) -> list[type[Stateful.Event]]:
    return [
        one
        for name, one in sorted(vars(aggregate).items())
        if isinstance(one, type)
        and name not in ("Event", "Created", "Moved", "PartMoved")
        and issubclass(one, Stateful.Event)
        and issubclass(one, Stateful.Created) == created
    ]


def field(hint: Any) -> st.SearchStrategy[Any]:
    if hint is Any:
        return json_values
    if "Any" in str(hint):
        if "list" in str(hint):
            return st.lists(st.dictionaries(words, json_values, max_size=2), max_size=2)
        one = st.dictionaries(words | st.just("evidence"), json_values, max_size=3)
        return one | st.none() if "None" in str(hint) else one
    return st.from_type(hint)


def made(event: type[Stateful.Event], version: int) -> st.SearchStrategy[Stateful.Event]:
    """An event as the store reads it: no constructor runs."""
    hints = get_type_hints(event, include_extras=True)
    fields = {f.name: field(hints[f.name]) for f in dataclasses.fields(event) if f.name not in STATED}
    fields["timestamp"] = st.datetimes(timezones=st.just(UTC))

    def build(values: dict[str, Any]) -> Stateful.Event:
        one: Stateful.Event = object.__new__(event)
        one.__dict__.update(values, originator_id=UUID(int=9), originator_version=version)
        return one

    return st.fixed_dictionaries(fields).map(build)


@pytest.mark.parametrize("aggregate", AGGREGATES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_events_in_any_order_load(aggregate: type[Stateful], data: st.DataObject) -> None:
    (first,) = events_of(aggregate, created=True)
    event = data.draw(made(first, 1))
    event.__dict__["originator_topic"] = get_topic(aggregate)
    loaded = event.mutate(None)
    assert isinstance(loaded, Stateful)
    others = events_of(aggregate, created=False)
    for version in range(2, 2 + data.draw(st.integers(0, 8))) if others else ():
        event = data.draw(made(data.draw(st.sampled_from(others)), version))
        event.mutate(loaded)
        if hasattr(event, "to_state") and not hasattr(event, "key"):
            assert loaded.state == event.to_state, "the recorded state, known or not"


def test_a_copy_that_found_open_files_records_what_was_decided_of_them() -> None:
    voyage = Voyage().to(states.STAGING)
    voyage.copy(fuzzy=2)
    run = voyage.run
    assert run.consistency is not None
    assert (run.consistency.verdict, run.snapshots[ORDERS.id]["evidence"]["grade"]) == ("DEGRADED", "FUZZY")
    assert same_state(run, rebuilt(run))
    recorded = [event for event in run.pending_events if isinstance(event, BackupRun.CopyStaged)]
    assert isinstance(recorded[-1].consistency, Consistency)
    assert recorded[-1].consistency.verdict == "DEGRADED"


@pytest.mark.parametrize(
    ("grade", "reason"),
    [
        ("EXACT", "the copy found that 1 file was open at the cut; all others are of one instant"),
        ("BOUNDED", "the copy found that 1 file was open at the cut"),
        ("FUZZY", "it is; the copy found that 1 file was open at the cut"),
    ],
)
def test_a_copy_of_an_older_version_means_what_it_meant(grade: str, reason: str) -> None:
    voyage = Voyage().to(states.ARMED)
    taken = voyage.snapshots()
    taken["data_sets"][ACCOUNTS.id]["evidence"]["grade"] = grade
    voyage.answer("snapshots", succeeded(taken))
    voyage.copy()
    older = {"result": {"fuzzy": 1, "bytes": 1}}
    BackupRun.CopyStaged.upcast_v1_v2(older)
    (event, *_) = [one for one in voyage.run.pending_events if isinstance(one, BackupRun.CopyStaged)]
    event.__dict__.update(older)
    run = rebuilt(voyage.run)
    assert isinstance(run, BackupRun)
    assert run.consistency is not None
    (graded,) = [one for one in run.consistency.grades if one.data_set == event.key]
    assert (run.consistency.verdict, graded.grade, graded.fuzzy_files) == ("DEGRADED", "FUZZY", 1)
    assert (event.key, graded.reason) == (ACCOUNTS.id, reason)
    evidence = run.snapshots[event.key]["evidence"]
    assert (evidence["grade"], evidence["reason"]) == ("FUZZY", graded.reason)


def test_several_files_and_a_verdict_that_was_worse_already_mean_what_they_meant() -> None:
    voyage = Voyage().to(states.STAGING)
    assert voyage.run.consistency is not None
    run = voyage.run
    run.consistency = dataclasses.replace(voyage.run.consistency, verdict="FAILED")
    run.snapshots = {**run.snapshots, "unknown": {"evidence": 1}, ACCOUNTS.id: "no object"}
    event = object.__new__(BackupRun.CopyStaged)
    event.__dict__.update(result={}, key=ORDERS.id, consistency=None, fuzzy_in_v1=2)
    event.evolve(run)
    assert run.consistency is not None
    assert run.consistency.verdict == "FAILED"
    assert "2 files were open" in run.snapshots[ORDERS.id]["evidence"]["reason"]
    assert (run.snapshots["unknown"], run.snapshots[ACCOUNTS.id]) == ({"evidence": 1}, "no object")


@pytest.mark.parametrize("fuzzy", [None, "many", [1]])
def test_an_older_copy_that_tells_nothing_of_open_files_corrects_nothing(fuzzy: Any) -> None:
    state = {"result": {"fuzzy": fuzzy}}
    BackupRun.CopyStaged.upcast_v1_v2(state)
    assert state["fuzzy_in_v1"] == 0  # type: ignore[comparison-overlap]


def test_a_failure_of_an_older_version_cleans_what_it_cleaned() -> None:
    voyage = Voyage().to(states.ARMED)
    voyage.answer("snapshots", failed("MOMENT_MISSED"))
    cleaning = (voyage.run.to_clean, voyage.run.to_abort)
    event = voyage.run.pending_events[-1]
    assert isinstance(event, BackupRun.FailureFound)
    assert event.cleaning == Cleaning(tuple(cleaning[0]), cleaning[1])
    event.__dict__["cleaning"] = None
    run = rebuilt(voyage.run)
    assert isinstance(run, BackupRun)
    assert (run.to_clean, run.to_abort) == cleaning
    empty = Voyage()
    empty.run.begin_cleaning(None)
    assert empty.run.to_clean == []


def test_a_step_of_another_version_is_an_alarm_and_stands_in_nobody_s_way() -> None:
    voyage = Voyage().to(states.ARMED)
    voyage.answer("snapshots", failed("MOMENT_MISSED"))
    voyage.run.to_clean = ["sweep-primary", "remove-secondary"]
    assert [wanted.step for wanted in voyage.run.next_instructions()] == ["remove-secondary"]
    (alarm,) = voyage.run.alarms
    assert (alarm["code"], alarm["subject"]) == ("STEP_UNKNOWN", "sweep-primary")
    voyage.show("remove-secondary")
    assert voyage.run.state == states.CLEANING


def test_closing_and_expiring_of_an_older_version_end_what_they_ended() -> None:
    voyage = Voyage().to(states.COMPLETED)
    (point,) = voyage.points.values()
    seal = next(wanted for wanted in point.next_instructions() if wanted.step == "seal")
    point.instruct(voyage.contexts(), seal, "digest", 1, 1)
    point.open(voyage.contexts(), dict(point.made.endpoints), ())
    opening = next(wanted for wanted in point.next_instructions() if wanted.kind == "OpenCopies")
    point.instruct(voyage.contexts(), opening, "digest", 1, 1)
    point.close(voyage.contexts(), dict(point.made.endpoints))
    assert point.to_abort == (opening.id,)
    point.pending_events[-1].__dict__["to_abort"] = None
    older = rebuilt(point)
    assert isinstance(older, RecoveryPoint)
    assert older.to_abort == (opening.id,)
    for _ in range(2):
        wanted = older.next_instructions()[0]
        older.conclude(voyage.contexts(), wanted.id, succeeded(shown(wanted)))
    older.expire(voyage.contexts(), "old", dict(point.made.endpoints))
    assert (older.to_abort, older.sides_left) == ((seal.id,), ["primary", "secondary"])
    event = older.pending_events[-1]
    assert isinstance(event, RecoveryPoint.ExpiryIntended)
    event.__dict__["to_abort"] = None
    older.to_abort = ()
    event.evolve(older)
    assert older.to_abort == (seal.id,)
    older.primary_manifest = "WRITTEN"
    older.to_abort = ()
    event.evolve(older)
    assert older.to_abort == ()
