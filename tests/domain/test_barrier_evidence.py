"""A barrier whose release nobody has proved is told on the run, whatever becomes of the run itself."""

from __future__ import annotations

import pytest

from domain.protection.backup_run import conclude, states
from domain.protection.policy import Barrier
from infra.store.codec import EventCodec
from infra.summaries import run_summary
from tests.domain import tables
from tests.domain.builders import failed, succeeded
from tests.domain.voyage import Voyage

STUCK = {"code": "HOOK_FAILED", "message": "it said no"}
HELD = {"held_ms": 1.0, "released_ms": None, "released": False}
RELEASED = {"held_ms": 1.0, "released_ms": 2.0, "released": True}


@pytest.fixture
def voyage() -> Voyage:
    return Voyage(barrier=Barrier("hold", "release", 30)).to(states.ARMED)


def tell_stuck(voyage: Voyage) -> None:
    wanted = voyage.wanted("snapshots")
    conclude.milestone(voyage.contexts(), voyage.run, wanted.id, "barrier_not_released", STUCK)


def test_a_result_without_a_release_is_an_alarm_that_names_the_hook(voyage: Voyage) -> None:
    voyage.answer("snapshots", succeeded({**voyage.snapshots(), "barrier": HELD}))
    (alarm,) = voyage.run.alarms
    assert (alarm["code"], alarm["subject"]) == ("BARRIER_NOT_RELEASED", "north")
    assert "Release by hand on the gateway of north: hook release." in alarm["remedy"]
    assert run_summary(voyage.run)["alarms"] == ["BARRIER_NOT_RELEASED"]
    assert voyage.run.barrier == HELD
    voyage.to(states.COMPLETED)
    assert voyage.run.alarms == [alarm]
    assert tables.same_state(voyage.run, tables.rebuilt(voyage.run))


def test_it_is_told_even_if_the_snapshots_fail(voyage: Voyage) -> None:
    for _ in range(2):
        tell_stuck(voyage)
        version = voyage.run.version
    assert voyage.run.version == version, "telling it again records nothing"
    voyage.answer("snapshots", failed("SNAPSHOT_FAILED"))
    (alarm,) = voyage.run.alarms
    assert "HOOK_FAILED: it said no" in alarm["message"]
    assert tables.same_state(voyage.run, tables.rebuilt(voyage.run))


def test_a_later_release_ends_the_alarm(voyage: Voyage) -> None:
    tell_stuck(voyage)
    assert voyage.run.alarms
    voyage.answer("snapshots", succeeded({**voyage.snapshots(), "barrier": RELEASED}))
    assert voyage.run.alarms == []


def test_a_run_without_a_barrier_has_no_alarm() -> None:
    assert Voyage().to(states.COMPLETED).run.alarms == []


def test_snapshots_that_were_stored_without_the_barriers_evidence_still_load(voyage: Voyage) -> None:
    voyage.answer("snapshots", succeeded({**voyage.snapshots(), "barrier": RELEASED}))
    (taken,) = [event for event in voyage.run.pending_events if type(event).__name__ == "SnapshotsTaken"]
    codec = EventCodec([type(voyage.run)])
    stored = codec.to_stored_event(taken)
    state = codec.transcoder.decode(stored.state)
    assert state.pop("barrier") == RELEASED
    older = type(stored)(stored.originator_id, stored.originator_version, stored.topic, codec.transcoder.encode(state))
    assert codec.to_domain_event(older).barrier is None  # type: ignore[attr-defined]
