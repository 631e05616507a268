"""The base of aggregates: what it asserts, what it remembers, what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from domain import stateful
from domain.instructing import Instructing
from domain.stateful import Part, Rule, Stateful
from tests.domain import tables
from tests.domain.builders import SPACE, Contexts


class Lamp(Stateful):
    """On or off; counts how often it was looked at."""

    INITIAL_STATE = "OFF"
    STATES = ("OFF", "ON")
    RULES = (Rule("switch", ("OFF",), "ON", "Switched"), Rule("switch", ("ON",), "OFF", "Switched"))
    ALLOWED_IN = {"Seen": ("ON",)}

    class Installed(Stateful.Created):
        """It hangs."""

    class Switched(Stateful.Moved):
        """Somebody pressed the switch."""

    class Seen(Stateful.Event):
        """Somebody looked."""

        def evolve(self, aggregate: Lamp) -> None:
            aggregate.seen += 1

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0


@pytest.fixture
def contexts() -> Contexts:
    return Contexts()


@pytest.fixture
def lamp(contexts: Contexts) -> Lamp:
    return Lamp.begin(Lamp.Installed, SPACE, contexts())


@pytest.mark.parametrize(("state", "trigger"), tables.moves(Lamp))
def test_a_trigger_may_lead_to_different_states(lamp: Lamp, contexts: Contexts, state: str, trigger: str) -> None:
    tables.check_move(lamp, lamp, state, trigger, contexts(), {})


def test_a_fact_is_recorded_where_the_table_allows_it(lamp: Lamp, contexts: Contexts) -> None:
    for state in Lamp.STATES:
        tables.check_fact(lamp, state, "Seen", contexts(), {})
    assert lamp.seen == 1


def test_events_say_who_when_and_why(lamp: Lamp, contexts: Contexts) -> None:
    context = replace(contexts(), cause="instruction-1")
    lamp.fire("switch", context)
    event: Any = lamp.pending_events[-1]
    assert (event.timestamp, event.actor, event.request_id, event.cause, event.command_id, event.code_version) == (
        context.at, "ann", context.request_id, "instruction-1", context.command_id, "1",
    )  # fmt: skip
    assert lamp.modified_on == context.at


def test_commands_are_remembered_with_the_version_that_they_led_to(
    lamp: Lamp, contexts: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stateful, "REMEMBERED_COMMANDS", 3)
    used = []
    for _ in range(5):
        used.append(contexts())
        lamp.fire("switch", used[-1])
    assert [lamp.answer_to(context.command_id) for context in used] == [None, None, 4, 5, 6]
    assert lamp.answer_to(SPACE) is None


def test_replay_does_not_ask_todays_table(lamp: Lamp, contexts: Contexts, monkeypatch: pytest.MonkeyPatch) -> None:
    lamp.fire("switch", contexts())
    lamp.note(Lamp.Seen, contexts())
    monkeypatch.setattr(Lamp, "RULES", ())
    monkeypatch.setattr(Lamp, "ALLOWED_IN", {})
    assert tables.same_state(tables.rebuilt(lamp), lamp)


def test_programmer_errors_are_found_where_the_class_is_made(lamp: Lamp, contexts: Contexts) -> None:
    with pytest.raises(AssertionError, match="no trigger 'explode'"):
        lamp.fire("explode", contexts())
    with pytest.raises(AssertionError, match="has no part"):
        lamp.part("bulb")
    with pytest.raises(AssertionError, match="internal transitions"):
        type("Internal", (Part,), {"STATES": ("A",), "INITIAL_STATE": "A", "RULES": (Rule("x", ("A",), "", "X"),)})
    with pytest.raises(AssertionError, match="must be a Moved event"):

        class NotMoved(Lamp):
            RULES = cast("Any", (Rule("switch", ("OFF",), "ON", "Seen"),))

    with pytest.raises(AssertionError, match="changes state: give it a rule"):

        class NoFact(Lamp):
            ALLOWED_IN = {"Switched": ("ON",)}


def test_an_aggregate_with_instructions_says_itself_what_it_wants(contexts: Contexts) -> None:
    class Silent(Instructing):
        class Begun(Stateful.Created):
            """It begins."""

    silent = Silent.begin(Silent.Begun, SPACE, contexts())
    with pytest.raises(NotImplementedError):
        silent.next_instructions()
    with pytest.raises(NotImplementedError):
        _ = silent.pair_id
    with pytest.raises(NotImplementedError):
        silent.cluster_of("primary")
