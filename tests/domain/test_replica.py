"""The replica: one owner of the head at a time, holds, and what retention may let go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid5

import pytest

from domain.errors import Conflict
from domain.protection import replica as states
from domain.protection.replica import Kept, Replica
from domain.protection.retention import decide
from tests.domain import tables
from tests.domain.builders import SPACE, Contexts


def point(number: int) -> Kept:
    return Kept(uuid5(SPACE, f"point-{number}"), SPACE, f"us-{number}", number * 1000, {"a": 1, "b": 2})


def owner(number: int) -> UUID:
    return uuid5(SPACE, f"run-{number}")


FACTS: dict[str, dict[str, Any]] = {
    "Taken": {"owner": owner(1), "base": None},
    "Released": {"kept": point(1)},
    "LeftDirty": {"reason": "it failed"},
    "HoldPlaced": {"recovery_point": SPACE, "holder": "ann"},
    "HoldLifted": {"recovery_point": SPACE, "holder": "ann"},
    "RecoveryPointLost": {"recovery_point": SPACE},
    "RecoveryPointGone": {"recovery_point": SPACE},
}


@pytest.fixture
def contexts() -> Contexts:
    return Contexts()


@pytest.fixture
def replica(contexts: Contexts) -> Replica:
    return Replica.start(contexts(), SPACE, "south")


@pytest.mark.parametrize(("state", "trigger"), tables.moves(Replica))
def test_every_trigger_in_every_state(state: str, trigger: str, replica: Replica, contexts: Contexts) -> None:
    tables.check_move(replica, replica, state, trigger, contexts(), FACTS)


@pytest.mark.parametrize(("state", "name"), tables.facts_in_states(Replica))
def test_every_fact_in_every_state(state: str, name: str, replica: Replica, contexts: Contexts) -> None:
    tables.check_fact(replica, state, name, contexts(), FACTS)


def test_every_state_can_be_reached() -> None:
    assert tables.reachable(Replica) == set(Replica.STATES)


def complete(replica: Replica, contexts: Contexts, number: int) -> None:
    replica.take(contexts(), owner(number), replica.head)
    replica.release(contexts(), point(number))


def test_the_head_has_one_owner_and_moves_with_what_is_kept(replica: Replica, contexts: Contexts) -> None:
    assert replica.base is None
    replica.take(contexts(), owner(1), None)
    version = replica.version
    replica.take(contexts(), owner(1), None)
    assert replica.version == version, "taking twice is taking once"
    with pytest.raises(Conflict, match="REPLICA_BUSY"):
        replica.take(contexts(), owner(2), None)
    replica.release(contexts(), point(1))
    assert replica.state == states.CLEAN
    assert replica.owner is None
    base: Kept | None = replica.base
    assert base == point(1)
    with pytest.raises(Conflict, match="SUPERSEDED"):
        replica.take(contexts(), owner(2), None)
    assert tables.same_state(replica, tables.rebuilt(replica))


def test_a_head_that_was_not_changed_stays_where_it_was(replica: Replica, contexts: Contexts) -> None:
    complete(replica, contexts, 1)
    replica.take(contexts(), owner(2), point(1).recovery_point)
    replica.release(contexts(), None)
    assert replica.base == point(1)


def test_a_dirty_head_keeps_its_base_and_can_be_taken(replica: Replica, contexts: Contexts) -> None:
    complete(replica, contexts, 1)
    replica.take(contexts(), owner(2), point(1).recovery_point)
    replica.leave_dirty(contexts(), "the digests differ")
    assert (replica.state, replica.owner, replica.base) == (states.DIRTY, None, point(1))
    replica.take(contexts(), owner(3), point(1).recovery_point)
    assert replica.state == states.APPLYING


def test_what_is_held_or_is_the_head_never_goes(replica: Replica, contexts: Contexts) -> None:
    for number in (1, 2):
        complete(replica, contexts, number)
    first, head = point(1).recovery_point, point(2).recovery_point
    replica.hold(contexts(), first, "ann")
    replica.hold(contexts(), first, "bob")
    version = replica.version
    replica.hold(contexts(), first, "ann")
    assert replica.version == version
    with pytest.raises(Conflict, match="held by ann, bob"):
        replica.let_go(contexts(), first)
    replica.lift(contexts(), "ann")
    with pytest.raises(Conflict, match="held by bob"):
        replica.let_go(contexts(), first)
    replica.lift(contexts(), "bob")
    assert replica.holds == {}
    with pytest.raises(Conflict, match="IS_BASE"):
        replica.let_go(contexts(), head)
    replica.let_go(contexts(), first)
    assert (list(replica.kept), replica.leaving) == ([head], {first})
    version = replica.version
    replica.let_go(contexts(), first)
    assert replica.version == version, "what is let go is let go"
    replica.gone(contexts(), first)
    replica.gone(contexts(), first)
    assert (replica.leaving, replica.version) == (set(), version + 1)


def test_what_the_copy_of_a_data_set_shows_is_its_own(replica: Replica, contexts: Contexts) -> None:
    assert (replica.shown, replica.bases_for(["a"])) == (frozenset(), ())
    for number in range(1, 6):
        complete(replica, contexts, number)
    without = replace(point(6), data_sets={"a": 1})
    replica.take(contexts(), owner(6), replica.head)
    replica.release(contexts(), without)
    assert replica.shown == {without.recovery_point, point(5).recovery_point}, "b is still where 5 left it"
    assert replica.bases_for(["a"]) == (without, point(5), point(4))
    assert replica.bases_for(["b"]) == (point(5), point(4), point(3))
    assert replica.bases_for(["a", "b"]) == (without, point(5), point(4), point(3))
    assert replica.bases_for(["c"]) == ()
    replica.let_go(contexts(), point(5).recovery_point)  # a person may: b is not in the newest any more
    assert replica.bases_for(["b"]) == (point(4), point(3), point(2))


def test_lifting_a_hold_that_was_never_placed_changes_nothing(replica: Replica, contexts: Contexts) -> None:
    version = replica.version
    replica.lift(contexts(), "nobody")
    assert replica.version == version


def test_retention_keeps_the_newest_the_head_and_what_is_held_and_says_why() -> None:
    kept = [point(number) for number in (3, 1, 5, 2, 4)]
    decisions = decide(kept, 2, {point(2).recovery_point}, {point(3).recovery_point: {"ann"}})
    assert [d.recovery_point for d in decisions] == [point(n).recovery_point for n in (5, 4, 3, 2, 1)]
    assert [d.keep for d in decisions] == [True, True, True, True, False]
    assert [d.reason.split(" ")[0] for d in decisions] == ["number", "number", "held", "a", "older"]


def test_a_head_that_was_disturbed_since_it_was_looked_at_is_not_taken(replica: Replica, contexts: Contexts) -> None:
    """Who compared with the head as it stands gave the number of disturbances; any owner since may have changed it."""
    looked_at = replica.disturbances
    replica.take(contexts(), owner(1), None)
    replica.leave_dirty(contexts(), "it failed")
    with pytest.raises(Conflict, match="SUPERSEDED"):
        replica.take(contexts(), owner(2), None, looked_at)
    replica.take(contexts(), owner(2), None, replica.disturbances)
    assert replica.owner == owner(2)


def test_a_head_that_was_dirty_is_given_back_dirty(replica: Replica, contexts: Contexts) -> None:
    replica.take(contexts(), owner(1), None)
    replica.give_back(contexts(), "nothing was changed")
    assert replica.state == states.CLEAN
    replica.take(contexts(), owner(1), None)
    replica.leave_dirty(contexts(), "it failed half-way")
    replica.take(contexts(), owner(2), None)
    assert replica.was_dirty
    replica.give_back(contexts(), "nothing was changed")
    assert replica.state == states.DIRTY
