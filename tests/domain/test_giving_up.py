"""A run that is rolled forward in vain has a way out that a person must take, and never while an agent is at work."""

from __future__ import annotations

import pytest

from domain.errors import Refused
from domain.protection import replica as replica_states
from domain.protection.backup_run import conclude, states
from tests.domain import tables
from tests.domain.builders import failed, succeeded
from tests.domain.honest import shown
from tests.domain.voyage import Voyage

STEPS = {states.APPLYING: "apply", states.FREEZING: "freeze", states.SEALING: "seal"}


def abandon(voyage: Voyage) -> None:
    conclude.abandon(voyage.contexts(), voyage.run, voyage.around, "it never ends")


def clean_up(voyage: Voyage) -> None:
    while wishes := voyage.run.next_instructions():
        conclude.conclude(voyage.contexts(), voyage.run, voyage.around, wishes[0].id, succeeded(shown(wishes[0])))


@pytest.mark.parametrize("state", STEPS)
def test_it_leaves_a_dirty_head_that_the_next_run_heals(state: str) -> None:
    first = Voyage().to(states.COMPLETED)
    head = first.replica.head
    second = first.next().to(state)
    sent = second.send(STEPS[state])
    with pytest.raises(Refused, match="ATTEMPT_OPEN"):
        abandon(second)
    second.answer(STEPS[state], failed("NESTED_SNAPSHOTTABLE"))
    abandon(second)
    assert (second.replica.state, second.replica.head) == (replica_states.DIRTY, head)
    assert second.replica.holds == {}
    assert second.run.failure is not None
    assert second.run.failure["code"] == "GIVEN_UP"
    assert "it never ends" in second.run.failure["message"]
    (abort,) = [wanted for wanted in second.run.next_instructions() if wanted.role == "secondary"]
    assert (abort.kind, abort.payload["instructions"]) == ("Abort", [sent.id]), "what may still run is ended first"
    clean_up(second)
    assert second.run.state == states.FAILED
    assert tables.same_state(second.run, tables.rebuilt(second.run))
    third = second.next().to(states.COMPLETED)
    assert third.replica.state == replica_states.CLEAN


def test_a_verification_that_nobody_hears_of_is_given_up_although_it_may_still_read() -> None:
    voyage = Voyage().to(states.VERIFYING)
    voyage.send("verify")
    abandon(voyage)
    assert (voyage.run.state, voyage.replica.state) == (states.CLEANING, replica_states.DIRTY)


@pytest.mark.parametrize("state", [states.CHECKING, states.STAGING, states.COMPLETED])
def test_it_is_refused_where_a_run_can_be_cancelled_or_ends_by_itself(state: str) -> None:
    voyage = Voyage().to(state)
    with pytest.raises(Refused, match="NOT_IN_STATE"):
        abandon(voyage)
    assert voyage.run.state == state


def test_applying_without_what_it_needs_leaves_the_head_to_the_next_run() -> None:
    voyage = Voyage().to(states.APPLYING)
    for _ in range(7):
        voyage.answer("apply", failed("STAGING_MISSING"))
        assert voyage.run.state == states.APPLYING
    voyage.answer("apply", failed("STAGING_MISSING"))
    assert (voyage.run.state, voyage.replica.state) == (states.CLEANING, replica_states.DIRTY)
    clean_up(voyage)
    untouched = voyage.next().to(states.APPLYING)
    untouched.answer("apply", failed("FOREIGN_TREE", detail={"changed": False}))
    assert untouched.replica.state == replica_states.DIRTY, "nobody has healed it"
    clean_up(untouched)
    assert untouched.next().to(states.COMPLETED).replica.state == replica_states.CLEAN
