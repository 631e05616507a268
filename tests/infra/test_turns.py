"""Turns: who begins, in which order, and what makes others begin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from domain.values.limits import Limits, Window
from infra.workers.sharing import Demand, Share
from infra.workers.turns import Held, Turns

MONDAY = datetime(2026, 11, 23, 7, 59, 30, tzinfo=UTC)


class SetClock:
    """Says what it was set to."""

    def __init__(self) -> None:
        self.instant = MONDAY

    def now(self) -> datetime:
        return self.instant

    def monotonic_seconds(self) -> float:
        return self.instant.timestamp()

    async def sleep_until(self, monotonic_seconds: float) -> None:
        self.instant += timedelta(seconds=max(0.0, monotonic_seconds - self.monotonic_seconds()))


class Office:
    """Turns, and who was called."""

    def __init__(self, limits: Mapping[str, Limits]) -> None:
        self.clock = SetClock()
        self.called: list[str] = []
        self.turns = Turns(self.clock)
        self.turns.take_rules(limits, [])

    def ask(self, demand: Demand) -> bool:
        """Whether it may run now."""
        return self.turns.ask(demand, lambda: self.called.append(demand.id))

    def end(self, demand: Demand) -> None:
        """It has ended; in these tests each has an owner of its own."""
        self.turns.keep(demand.owner, (), ())


def demand(name: str, *, was_sent: bool = False) -> Demand:
    """``a1`` is the first of service a; it copies from north to south."""
    service, owner = UUID(int=ord(name[0])), UUID(bytes=name.encode().rjust(16))
    clusters = ("north", "south")
    return Demand(name, owner, "d", service, name[0], service, "north", clusters, 16, None, was_sent)


def test_who_waits_is_served_by_service_and_then_by_time() -> None:
    office = Office({"north": Limits(agents=2)})
    a1, a2, a3, b1, c1 = (demand(name) for name in ("a1", "a2", "a3", "b1", "c1"))
    assert [office.ask(one) for one in (a1, a2, a3, b1, c1)] == [True, True, False, False, False]
    assert office.turns.shown(b1.owner)["queued"] == {"d": "agents on cluster north (limit 2)"}
    office.end(a1)
    assert office.called == ["b1"], "a3 waits longer, but its service runs one already"
    office.end(b1)
    office.end(a2)
    assert office.called == ["b1", "c1", "a3"]


def test_who_does_not_ask_any_more_gets_no_turn() -> None:
    office = Office({"north": Limits(agents=1)})
    a1, b1, b2, c1 = (demand(name) for name in ("a1", "b1", "b2", "c1"))
    b2 = replace(b2, owner=b1.owner)
    assert [office.ask(one) for one in (a1, b1, c1)] == [True, False, False]
    office.turns.keep(b1.owner, {b1.id, b2.id}, {b2.id})
    office.end(a1)
    assert office.called == ["c1"]
    assert not office.ask(b2)
    office.end(c1)
    assert office.called == ["c1", "b2"]
    office.turns.keep(b2.owner, {b1.id, b2.id}, ())
    assert office.turns.running_of(b2.owner) == {b2.id}, "what runs stays"


def test_asking_again_keeps_the_place() -> None:
    office = Office({"north": Limits(agents=1)})
    a1, b1, c1 = (demand(name) for name in ("a1", "b1", "c1"))
    assert [office.ask(one) for one in (a1, b1, c1, b1)] == [True, False, False, False]
    office.end(a1)
    assert office.called == ["b1"]
    assert office.ask(b1)


def test_after_a_start_what_was_sent_counts_first_and_others_wait_for_all_that_was_open() -> None:
    office = Office({"north": Limits(agents=2)})
    a1, b1, c1 = demand("a1"), demand("b1", was_sent=True), demand("c1", was_sent=True)
    office.turns.expect([a1.owner, b1.owner, c1.owner])
    assert not office.ask(a1)
    office.turns.arrived(a1.owner)
    assert office.turns.shown(a1.owner)["queued"] == {"d": "what was under way when the control device started"}
    for sent in (b1, c1):
        assert office.ask(sent)
        office.turns.arrived(sent.owner)
    assert office.called == []
    office.end(b1)
    assert office.called == ["a1"]


def test_what_does_not_move_lets_another_begin_and_counts_again_when_it_moves() -> None:
    office = Office({"north": Limits(agents=1, workers=4)})
    a1, b1, c1 = (demand(name) for name in ("a1", "b1", "c1"))
    assert [office.ask(one) for one in (a1, b1)] == [True, False]
    office.turns.moves("a1", False)
    assert office.called == ["b1"]
    assert office.turns.share("a1") == Share(1, 999_999)
    assert office.turns.share("b1") == Share(3, None)
    office.turns.moves("a1", True)
    assert office.turns.share("a1") == Share(2, None)
    office.end(b1)
    assert not office.ask(c1)


def test_a_pause_gives_nothing_to_who_runs_and_keeps_who_waits_until_it_ends() -> None:
    limits = {"north": Limits(agents=1)}
    office = Office(limits)
    a1, b1 = demand("a1"), demand("b1")
    office.ask(a1)
    held = [Held(scope, "ann", 0, "why") for scope in ("service:a", "service:b")]
    office.turns.take_rules(limits, held)
    assert office.turns.share("a1") == Share(0, None)
    assert office.turns.is_paused("a1")
    assert not office.ask(b1)
    assert office.turns.shown(b1.owner)["queued"] == {"d": "service b to be resumed, paused by ann: why"}
    office.turns.take_rules(limits, held[:1])
    assert office.called == ["b1"], "what is paused keeps nobody else"
    office.turns.take_rules(limits, [])
    assert office.turns.share("a1") == Share(16, None)


def test_a_window_begins_and_ends_for_what_is_under_way() -> None:
    window = Window.parse("mon 08:00-09:00 workers=2 bandwidth=1")
    office = Office({"north": Limits(windows=(window,))})
    office.ask(demand("a1"))
    found = []
    for minutes in (0, 1, 61):
        office.clock.instant = MONDAY + timedelta(minutes=minutes)
        found.append(office.turns.share("a1"))
    assert found == [Share(16, None), Share(2, 999_999), Share(16, None)]


def test_a_window_that_ends_lets_others_begin_while_one_looks() -> None:
    window = Window.parse("mon 07:00-08:00 workers=1")
    office = Office({"north": Limits(windows=(window,))})
    a1, a2 = demand("a1"), demand("a2")
    a2 = replace(a2, owner=a1.owner, about="e")
    assert [office.ask(one) for one in (a1, a2)] == [True, False]
    assert office.turns.shown(a1.owner)["queued"] == {"e": "workers of cluster north (limit 1)"}
    office.clock.instant += timedelta(minutes=1)
    shown = office.turns.shown(a1.owner)
    assert (sorted(shown["allowed"]), shown["queued"], office.called) == (["d", "e"], {}, ["a2"])


def test_what_does_not_count_does_not_count_for_its_service_either() -> None:
    office = Office({"north": Limits(agents=1)})
    a1, a2, a3, b1, b2 = (demand(name) for name in ("a1", "a2", "a3", "b1", "b2"))
    office.ask(a1)
    office.turns.moves("a1", False)
    assert [office.ask(one) for one in (a2, b1, a3, b2)] == [True, False, False, False]
    office.turns.moves("a2", False)
    assert office.called == ["b1"]
    office.end(b1)
    assert office.called == ["b1", "a3"], "a's two do not move, so a3 is not behind"


def test_other_settings_of_a_policy_hold_for_what_is_under_way() -> None:
    office = Office({})
    one = demand("a1")
    assert office.ask(one)
    assert office.turns.allowance("a1") == {"workers": 16, "bytes_per_second": None}
    assert office.ask(replace(one, workers=3))
    assert office.turns.allowance("a1") == {"workers": 3, "bytes_per_second": None}
    office.end(one)
    assert office.turns.allowance("a1") is None
