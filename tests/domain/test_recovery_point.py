"""A recovery point: sealed on the primary, too, opened, closed, expired; never expired while open, never half open."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid5

import pytest

from domain.errors import Refused
from domain.protection import recovery_point as states
from domain.protection.recovery_point import RecoveryPoint
from tests.domain import tables
from tests.domain.builders import DATA_SETS, ENDPOINTS, SPACE, Contexts, endpoints, failed, succeeded
from tests.domain.honest import shown
from tests.domain.test_pair import FACTS as INSTRUCTING_FACTS

IDENTITY = UUID("00000000-0000-4000-8000-00000000000a")
FACTS: dict[str, dict[str, Any]] = {
    **INSTRUCTING_FACTS,
    "OpeningStarted": {"endpoints": ENDPOINTS},
    "Opened": {"readable": {"a": {"readable": "/a", "seconds": 1.0}}},
    "ClosingStarted": {"endpoints": ENDPOINTS, "failure": None},
    "ExpiryIntended": {"endpoints": ENDPOINTS, "reason": "old"},
    "SideExpired": {"role": "primary"},
    "DamageFound": {"failure": {"code": "COPY_DAMAGED"}},
    "DamageNoted": {"failure": {"code": "COPY_DAMAGED"}},
    "PrimaryGivenUp": {"failure": {"code": "MARKER_MISMATCH"}},
}


@pytest.fixture
def contexts() -> Contexts:
    return Contexts()


@pytest.fixture
def owing(contexts: Contexts) -> RecoveryPoint:
    """A recovery point as its run has left it."""
    return RecoveryPoint.establish(
        contexts(),
        IDENTITY,
        run=uuid5(SPACE, "run"),
        service=uuid5(SPACE, "service"),
        pair=SPACE,
        primary="north",
        secondary="south",
        endpoints=ENDPOINTS,
        snapshot="us-1",
        moment_ms=1_000,
        data_sets=DATA_SETS,
        manifest_sha256="0" * 64,
        evidence={"version": 1, "service": "shop"},
        anchor={"position": 7},
    )


@pytest.fixture
def point(owing: RecoveryPoint, contexts: Contexts) -> RecoveryPoint:
    """One whose primary has what it was owed."""
    conclude(owing, contexts, succeeded())
    return owing


def conclude(point: RecoveryPoint, contexts: Contexts, outcome: dict[str, Any]) -> None:
    wanted = point.next_instructions()[0]
    is_plain = outcome["failure"] is None and not outcome["result"]
    point.conclude(contexts(), wanted.id, succeeded(shown(wanted)) if is_plain else outcome)


@pytest.mark.parametrize(("state", "trigger"), tables.moves(RecoveryPoint))
def test_every_trigger_in_every_state(state: str, trigger: str, point: RecoveryPoint, contexts: Contexts) -> None:
    tables.check_move(point, point, state, trigger, contexts(), FACTS)


@pytest.mark.parametrize(("state", "name"), tables.facts_in_states(RecoveryPoint))
def test_every_fact_in_every_state(state: str, name: str, point: RecoveryPoint, contexts: Contexts) -> None:
    point.sides_left = ["primary", "secondary"]
    tables.check_fact(point, state, name, contexts(), FACTS)


def test_every_state_can_be_reached() -> None:
    assert tables.reachable(RecoveryPoint) == set(RecoveryPoint.STATES)


def test_it_is_opened_and_closed_under_the_same_names_each_time(point: RecoveryPoint, contexts: Contexts) -> None:
    named = {"scratch": "shop_00000000", "by_table": True}
    for _ in range(2):
        point.open(contexts(), ENDPOINTS, (IDENTITY,))
        (wanted,) = point.next_instructions()
        assert (wanted.kind, wanted.cluster, set(wanted.payload["sites"])) == ("OpenCopies", "south", {"secondary"})
        assert wanted.payload == {**wanted.payload, **named}
        conclude(point, contexts, succeeded())
        assert (point.state, point.readable) == (states.OPEN, shown(wanted)["data_sets"])
        with pytest.raises(Refused, match="NOT_IN_STATE"):
            point.expire(contexts(), "old", ENDPOINTS)
        point.close(contexts(), ENDPOINTS)
        (wanted,) = point.next_instructions()
        assert (wanted.kind, wanted.payload) == ("CloseCopies", {**wanted.payload, **named})
        conclude(point, contexts, succeeded())
        assert (point.state, point.readable, point.next_instructions()) == (states.AVAILABLE, {}, ())
    assert tables.same_state(point, tables.rebuilt(point))


def test_what_was_opened_before_the_event_told_its_names_is_asked_for_and_closed_as_it_was(
    point: RecoveryPoint, contexts: Contexts
) -> None:
    """Event for event what an earlier control device recorded, and then the very payloads that it sent."""
    data_sets = [data_set.to_wire() for data_set in DATA_SETS]
    sites = {"secondary": ENDPOINTS["south"].to_site("south")}
    for number in (1, 2):
        scratch = f"understudy_scratch_000000000000_{number}"
        point.fire("open", contexts(), endpoints=ENDPOINTS)
        (opening,) = point.next_instructions()
        assert opening.payload == {"sites": sites, "data_sets": data_sets, "snapshot": "us-1", "scratch": scratch}
        conclude(point, contexts, succeeded())
        point.close(contexts(), ENDPOINTS)
        (closing,) = point.next_instructions()
        assert closing.payload == {"sites": sites, "data_sets": data_sets, "scratch": scratch}
        conclude(point, contexts, succeeded())
    point.open(contexts(), ENDPOINTS, ())
    assert point.next_instructions()[0].payload["scratch"] == "shop_00000000"
    assert tables.same_state(point, tables.rebuilt(point))


def test_recovery_points_of_like_ids_are_opened_under_other_names(point: RecoveryPoint, contexts: Contexts) -> None:
    point.open(contexts(), ENDPOINTS, (IDENTITY, UUID("00000000-00ff-4000-8000-000000000000")))
    assert point.next_instructions()[0].payload["scratch"] == "shop_00000000" + "000"


def test_an_opening_that_fails_is_cleaned_up_and_says_why(point: RecoveryPoint, contexts: Contexts) -> None:
    point.open(contexts(), ENDPOINTS, ())
    conclude(point, contexts, failed("WRONG_OWNER"))
    assert (point.state, point.next_instructions()[0].kind) == (states.CLOSING, "CloseCopies")
    conclude(point, contexts, succeeded())
    assert point.state == states.AVAILABLE
    assert point.failure is not None
    assert point.failure["code"] == "WRONG_OWNER"
    point.open(contexts(), ENDPOINTS, ())
    assert point.failure is None


def test_an_opening_that_is_given_up_is_ended_before_its_copies_are_removed(
    point: RecoveryPoint, contexts: Contexts
) -> None:
    point.open(contexts(), ENDPOINTS, ())
    (opening,) = point.next_instructions()
    point.instruct(contexts(), opening, "digest", 1, 2)
    point.close(contexts(), ENDPOINTS)
    (abort,) = point.next_instructions()
    assert (abort.kind, abort.payload) == ("Abort", {"instructions": [opening.id]})
    conclude(point, contexts, succeeded())
    assert [wanted.kind for wanted in point.next_instructions()] == ["CloseCopies"]
    conclude(point, contexts, succeeded())
    assert point.state == states.AVAILABLE
    assert tables.same_state(point, tables.rebuilt(point))


def test_it_expires_on_both_sides(point: RecoveryPoint, contexts: Contexts) -> None:
    point.refuse_if_gone()
    elsewhere = {**ENDPOINTS, "north": endpoints("elsewhere")}
    point.expire(contexts(), "old", elsewhere)
    with pytest.raises(Refused, match="NOT_AVAILABLE"):
        point.refuse_if_gone()
    primary, secondary = point.next_instructions()
    assert primary.payload["sites"]["primary"]["namenodes"] == ["http://elsewhere:9870"]
    assert primary.payload["recovery_point"] == secondary.payload["recovery_point"] == IDENTITY.hex
    point.conclude(contexts(), secondary.id, succeeded(shown(secondary)))
    assert point.next_instructions() == (primary,)
    point.conclude(contexts(), primary.id, failed("HDFS"))
    (again,) = point.next_instructions()
    assert (again.attempt, again.not_before is not None) == (2, True)
    point.conclude(contexts(), primary.id, succeeded(shown(primary)))
    assert point.state == states.EXPIRING, "an outcome that is not wanted any more decides nothing"
    point.conclude(contexts(), again.id, succeeded(shown(again)))
    assert (point.state, point.is_at_rest, point.pair_id) == (states.EXPIRED, True, SPACE)
    assert tables.same_state(point, tables.rebuilt(point))


def test_the_primary_is_owed_manifest_and_anchor_until_it_has_them(owing: RecoveryPoint, contexts: Contexts) -> None:
    (wanted,) = owing.next_instructions()
    assert (wanted.kind, wanted.cluster, set(wanted.payload["sites"])) == ("SealRecoveryPoint", "north", {"primary"})
    assert (wanted.payload["manifest"], wanted.payload["anchor"]) == (owing.made.evidence, {"position": 7})
    assert wanted.payload["staging"] is None
    assert not owing.is_at_rest
    conclude(owing, contexts, failed("NO_SPACE"))
    (again,) = owing.next_instructions()
    assert (again.attempt, again.not_before is not None, owing.owes_primary) == (2, True, True)
    conclude(owing, contexts, succeeded())
    assert (owing.primary_manifest, owing.state, owing.is_at_rest) == (states.WRITTEN, states.AVAILABLE, True)
    assert owing.next_instructions() == ()
    assert tables.same_state(owing, tables.rebuilt(owing))


def test_a_debt_to_the_primary_stands_in_nobodys_way(owing: RecoveryPoint, contexts: Contexts) -> None:
    owing.open(contexts(), ENDPOINTS, ())
    opening, seal = owing.next_instructions()
    assert (opening.kind, seal.kind) == ("OpenCopies", "SealRecoveryPoint")
    owing.conclude(contexts(), opening.id, succeeded(shown(opening)))
    assert owing.next_instructions() == (seal,)
    owing.close(contexts(), ENDPOINTS)
    assert [wanted.kind for wanted in owing.next_instructions()] == ["CloseCopies", "SealRecoveryPoint"]
    owing.conclude(contexts(), seal.id, succeeded(shown(seal)))
    assert (owing.state, owing.primary_manifest) == (states.CLOSING, states.WRITTEN)


def test_a_primary_that_is_none_any_more_is_owed_nothing(owing: RecoveryPoint, contexts: Contexts) -> None:
    conclude(owing, contexts, failed("MARKER_MISMATCH"))
    assert (owing.primary_manifest, owing.state, owing.is_at_rest) == (states.GIVEN_UP, states.AVAILABLE, True)
    assert owing.primary_failure is not None
    assert owing.primary_failure["code"] == "MARKER_MISMATCH"
    assert tables.same_state(owing, tables.rebuilt(owing))


def test_what_may_still_write_on_the_primary_is_ended_before_it_is_cleaned(
    owing: RecoveryPoint, contexts: Contexts
) -> None:
    (seal,) = owing.next_instructions()
    owing.instruct(contexts(), seal, "digest", 1, 2)
    owing.expire(contexts(), "old", ENDPOINTS)
    abort, secondary = owing.next_instructions()
    assert (abort.kind, abort.cluster, abort.payload) == ("Abort", "north", {"instructions": [seal.id]})
    assert secondary.kind == "RemoveSnapshots"
    owing.conclude(contexts(), seal.id, succeeded(shown(seal)))
    assert owing.primary_manifest == states.OWED, "what it says now decides nothing"
    owing.conclude(contexts(), abort.id, failed("STILL_RUNNING"))
    (abort, _) = owing.next_instructions()
    owing.conclude(contexts(), abort.id, succeeded(shown(abort)))
    assert [wanted.kind for wanted in owing.next_instructions()] == ["RemoveSnapshots", "RemoveSnapshots"]
    for wanted in owing.next_instructions():
        owing.conclude(contexts(), wanted.id, succeeded(shown(wanted)))
    assert (owing.state, owing.is_at_rest) == (states.EXPIRED, True)
    assert tables.same_state(owing, tables.rebuilt(owing))


def test_nothing_is_ended_on_a_primary_that_was_never_asked(owing: RecoveryPoint, contexts: Contexts) -> None:
    owing.expire(contexts(), "old", ENDPOINTS)
    assert [wanted.kind for wanted in owing.next_instructions()] == ["RemoveSnapshots", "RemoveSnapshots"]


def test_damage_is_final_and_forbids_everything_but_expiry(point: RecoveryPoint, contexts: Contexts) -> None:
    for _ in range(2):
        point.find_damage(contexts(), {"code": "COPY_DAMAGED"})
        version = point.version
    assert (point.state, point.failure) == (states.DAMAGED, {"code": "COPY_DAMAGED"})
    assert point.version == version
    with pytest.raises(Refused, match="NOT_AVAILABLE"):
        point.refuse_if_gone()
    with pytest.raises(Refused, match="NOT_IN_STATE"):
        point.open(contexts(), ENDPOINTS, ())
    point.expire(contexts(), "damaged", ENDPOINTS)
    point.find_damage(contexts(), {"code": "COPY_DAMAGED"})
    assert point.state == states.EXPIRING


def test_damage_that_is_found_while_it_is_open_is_told_when_it_is_closed(
    point: RecoveryPoint, contexts: Contexts
) -> None:
    point.open(contexts(), ENDPOINTS, ())
    conclude(point, contexts, succeeded())
    for _ in range(2):
        point.find_damage(contexts(), {"code": "COPY_DAMAGED"})
    assert point.state == states.OPEN
    point.close(contexts(), ENDPOINTS)
    conclude(point, contexts, succeeded({"removed": []}))
    assert (point.state, point.failure) == (states.DAMAGED, {"code": "COPY_DAMAGED"})
    assert tables.same_state(point, tables.rebuilt(point))


@pytest.mark.parametrize(("code", "state"), [("SNAPSHOT_MISSING", states.DAMAGED), ("CLONE_HANGS", states.AVAILABLE)])
def test_what_cannot_be_opened_because_a_snapshot_is_gone_is_damaged(
    code: str, state: str, point: RecoveryPoint, contexts: Contexts
) -> None:
    point.open(contexts(), ENDPOINTS, ())
    conclude(point, contexts, failed(code))
    assert point.state == states.CLOSING
    conclude(point, contexts, succeeded({"removed": []}))
    assert point.state == state
    assert point.failure is not None
    assert point.failure["code"] == code
