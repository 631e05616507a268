"""Another moment for a run whose caller named none: when the checks took long, and once after a miss."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain.protection.backup_run import conclude, states
from domain.protection.backup_run.run import CHECK_GRACE_MS
from domain.protection.lead import LEAST_MS, LONGEST_ORDERING_MS, MOST_MS, after_checks_ms, after_miss_ms, is_too_soon
from tests.domain import tables
from tests.domain.builders import NOW, SPACE, failed, succeeded
from tests.domain.voyage import CLOCKS, MOMENT_MS, Voyage

MISSED = failed("MOMENT_MISSED")


def at_ms(seconds: float) -> int:
    """So long after NOW; the moment is 60 s after it."""
    return int((NOW + timedelta(seconds=seconds)).timestamp() * 1000)


def checked(is_free: bool = True, *, took_seconds: float) -> Voyage:
    """A run whose checks began at NOW and were answered so long after it."""
    voyage = Voyage()
    voyage.run = voyage.plan(SPACE, moment_is_free=is_free)
    voyage.run.start_checking(voyage.contexts(at=NOW))
    for role in ("primary", "secondary"):
        context = voyage.contexts(at=NOW + timedelta(seconds=took_seconds))
        voyage.answer(f"check-{role}", succeeded(voyage.facts(role)), context)
    return voyage


def miss(voyage: Voyage, seconds: float) -> None:
    """The agent says, so long after NOW, that it came too late."""
    voyage.answer("snapshots", MISSED, voyage.contexts(at=NOW + timedelta(seconds=seconds)))


def test_a_moment_that_can_be_kept_is_kept() -> None:
    run = checked(took_seconds=40).run
    assert (run.moment_ms, run.moment_moves) == (MOMENT_MS, [])


@pytest.mark.parametrize("took_seconds", [55, 59, 90])
def test_a_free_moment_is_chosen_anew_when_the_checks_took_long(took_seconds: float) -> None:
    run = checked(took_seconds=took_seconds).run
    assert run.moment_ms == at_ms(took_seconds) + after_checks_ms(int(took_seconds * 1000))
    assert run.moment_moves == [{"code": "CHECKS_TOOK_LONG", "from_ms": MOMENT_MS, "to_ms": run.moment_ms}]
    (wanted,) = run.next_instructions()
    assert (wanted.payload["moment_ms"], wanted.payload["snapshot"]) == (run.moment_ms, run.snapshot)
    assert run.snapshot.endswith(run.id.hex[:12])
    assert run.state == states.CHECKING
    assert tables.same_state(run, tables.rebuilt(run))


def test_a_moment_that_was_named_is_never_moved() -> None:
    voyage = checked(is_free=False, took_seconds=59)
    assert (voyage.run.moment_ms, voyage.run.moment_moves) == (MOMENT_MS, [])
    miss(voyage, 61)
    assert (voyage.run.state, voyage.run.failure["code"]) == (states.CLEANING, "MOMENT_MISSED")


@pytest.mark.parametrize("armed_after_seconds", [None, 3])
def test_a_missed_moment_is_chosen_anew_once(armed_after_seconds: int | None) -> None:
    voyage = checked(took_seconds=40)
    first = voyage.send("snapshots")
    named = voyage.run.snapshot
    if armed_after_seconds is not None:
        context = voyage.contexts(at=NOW + timedelta(seconds=40 + armed_after_seconds))
        conclude.milestone(context, voyage.run, first.id, "armed", {"clocks": CLOCKS})
        assert voyage.run.armed_at is not None
    miss(voyage, 61)
    run = voyage.run
    assert (run.state, run.failure, run.armed_at) == (states.CHECKING, None, None)
    ordering_ms = 21_000 if armed_after_seconds is None else 1000 * armed_after_seconds
    assert run.moment_ms == at_ms(61) + after_miss_ms(ordering_ms, 2_000)
    assert run.snapshot != named
    second = voyage.send("snapshots")
    assert (second.attempt, second.payload["moment_ms"]) == (2, run.moment_ms)
    assert second.not_before is not None
    assert int(second.not_before.timestamp() * 1000) < run.moment_ms
    assert second.id != first.id
    conclude.conclude(voyage.contexts(), run, voyage.around, first.id, MISSED)
    assert run.state == states.CHECKING, "the first one has nothing to say any more"
    conclude.milestone(voyage.contexts(), run, second.id, "armed", {"clocks": CLOCKS})
    assert run.state == states.ARMED
    miss(voyage, 200)
    assert (run.state, run.failure["code"]) == (states.CLEANING, "MOMENT_MISSED")
    assert set(run.to_abort["primary"]) == {first.id, second.id}
    assert tables.same_state(run, tables.rebuilt(run))


def test_both_may_happen_and_the_recovery_point_is_of_the_moment_that_was_kept() -> None:
    voyage = checked(took_seconds=59)
    miss(voyage, 100)
    assert [move["code"] for move in voyage.run.moment_moves] == ["CHECKS_TOOK_LONG", "MOMENT_MISSED"]
    voyage.arm()
    voyage.snap()
    voyage.to(states.SEALING)
    point = voyage.seal()
    assert point.made.moment_ms == voyage.run.moment_ms == point.made.evidence["moment_ms"] != MOMENT_MS
    assert voyage.replica.kept[point.id].moment_ms == voyage.run.moment_ms


def test_another_failure_of_the_snapshots_moves_nothing() -> None:
    voyage = checked(took_seconds=40)
    voyage.answer("snapshots", failed("SNAPSHOT_FAILED"))
    assert (voyage.run.state, voyage.run.moment_moves) == (states.CLEANING, [])


def test_checks_of_a_free_moment_are_waited_for_longer() -> None:
    voyage = Voyage()
    named, free = (voyage.plan(SPACE, moment_is_free=is_free) for is_free in (False, True))
    tolerance_ms = voyage.policy.settings.fire_tolerance_ms
    assert named.deadline_ms() == MOMENT_MS + tolerance_ms + CHECK_GRACE_MS
    assert free.deadline_ms() == int(free.created_on.timestamp() * 1000) + MOST_MS
    ready = checked(took_seconds=40).run
    assert ready.deadline_ms() == MOMENT_MS + tolerance_ms + CHECK_GRACE_MS


@pytest.mark.parametrize(
    ("ahead_ms", "checks_ms", "expected"),
    [(1_200, 5_000, False), (1_199, 5_000, True), (-1, 0, True), (200, 0, False), (199, 0, True)],
)
def test_how_soon_is_too_soon(ahead_ms: int, checks_ms: int, expected: bool) -> None:
    assert is_too_soon(ahead_ms, checks_ms) == expected


def test_how_far_ahead_another_moment_lies() -> None:
    assert after_checks_ms(10_000) == 6_200
    assert after_checks_ms(10) == LEAST_MS
    assert after_checks_ms(10**7) == MOST_MS
    assert after_miss_ms(3_000, 2_000) == 2_000 + 6_000 + LEAST_MS
    assert after_miss_ms(-5, 2_000) == 2_000 + LEAST_MS
    assert after_miss_ms(10**9, 0) == 2 * LONGEST_ORDERING_MS + LEAST_MS
