"""Every state against every trigger and fact: each pair is in the table, or is refused and changes nothing.

The tables themselves (``RULES``, ``ALLOWED_IN``) are the specification; what is checked is that nothing moves besides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from domain.errors import Refused
from domain.stateful import Context, Part, Stateful

Facts = Mapping[str, Mapping[str, Any]]


def triggers(machine: type[Stateful] | type[Part]) -> list[str]:
    """The triggers of a table, each once."""
    return sorted({rule.trigger for rule in machine.RULES})


def moves(machine: type[Stateful] | type[Part]) -> list[tuple[str, str]]:
    """Every pair of state and trigger."""
    return [(state, trigger) for state in machine.STATES for trigger in triggers(machine)]


def facts_in_states(machine: type[Stateful]) -> list[tuple[str, str]]:
    """Every pair of state and fact that may be recorded somewhere."""
    return [(state, name) for state in machine.STATES for name in sorted(machine.ALLOWED_IN)]


def check_move(
    aggregate: Stateful, mover: Stateful | Part, state: str, trigger: str, context: Context, facts: Facts
) -> None:
    """Pull a trigger in a state and compare what happens with the table."""
    mover.state = state
    rules = [r for r in mover.RULES if r.trigger == trigger and state in r.sources]
    assert len(rules) <= 1, f"{trigger} in {state} is ambiguous"
    pull = pulling(aggregate, mover, trigger, context, facts)
    if not rules:
        refused(aggregate, pull)
        assert mover.state == state
        return
    before = len(aggregate.pending_events)
    pull()
    (event,) = aggregate.pending_events[before:]
    assert type(event).__name__ == rules[0].event
    assert (event.from_state, event.to_state) == (state, rules[0].target)  # type: ignore[attr-defined]
    assert mover.state == rules[0].target
    assert aggregate.answer_to(context.command_id) == aggregate.version


def pulling(
    aggregate: Stateful, mover: Stateful | Part, trigger: str, context: Context, facts: Facts
) -> Callable[[], None]:
    """The call that pulls a trigger with the facts of its event."""
    event = next(r.event for r in mover.RULES if r.trigger == trigger)
    if isinstance(mover, Part):
        return lambda: aggregate.fire_part(mover, trigger, context, **facts.get(event, {}))
    return lambda: aggregate.fire(trigger, context, **facts.get(event, {}))


def check_fact(aggregate: Stateful, state: str, name: str, context: Context, facts: Facts) -> None:
    """Note a fact in a state and compare what happens with the table."""
    aggregate.state = state

    def note() -> None:
        aggregate.note(getattr(aggregate, name), context, **facts.get(name, {}))

    if state not in aggregate.ALLOWED_IN[name]:
        refused(aggregate, note)
        return
    before = len(aggregate.pending_events)
    note()
    (event,) = aggregate.pending_events[before:]
    assert type(event).__name__ == name
    assert aggregate.state == state


def refused(aggregate: Stateful, call: Callable[[], None]) -> None:
    """The call is refused because of the state, and nothing has changed."""
    before = (aggregate.version, len(aggregate.pending_events), aggregate.state)
    with pytest.raises(Refused) as refusal:
        call()
    assert refusal.value.code == "NOT_IN_STATE"
    assert refusal.value.remedy
    assert (aggregate.version, len(aggregate.pending_events), aggregate.state) == before


def reachable(machine: type[Stateful] | type[Part]) -> set[str]:
    """The states that the table leads to from the initial one."""
    found = {machine.INITIAL_STATE}
    while True:
        more = {r.target for r in machine.RULES if set(r.sources) & found} - found
        if not more:
            return found
        found |= more


def rebuilt(aggregate: Stateful) -> Stateful:
    """The aggregate as its recorded events alone make it."""
    copy: Stateful | None = None
    for event in aggregate.pending_events:
        copy = event.mutate(copy)
    assert copy is not None
    return copy


def same_state(first: Stateful, second: Stateful) -> bool:
    """Whether two aggregates hold the same; parts are compared by what they hold."""
    return bool(_plain(first) == _plain(second))


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        return vars(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Stateful):
        return {name: _plain(item) for name, item in vars(value).items() if name != "_pending_events"}
    return value
