"""Aggregates whose state changes only by recorded events, decided by one table of rules.

The invariant: the attributes of an aggregate are a function of its events alone. A command reads the table and the
guards, then records an event; applying the event changes the state. Applying is total: it consults neither table nor
guard, so a history loads under a table that has changed since.

The ordering rule: an event's ``originator_version`` and its position in the store give the order. Times are recorded
facts; a clock that steps back changes no decision.

The machines are built with ``transitions``, one per class and never one per instance (a machine bound to each
instance leaks and takes part in snapshots). ``_change_state`` of a transition is the one place that is overridden:
changing state *is* recording an event that carries ``from_state`` and ``to_state``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Self, cast
from uuid import UUID

from eventsourcing.domain import Aggregate
from transitions import EventData, Machine, MachineError
from transitions.core import Transition

from domain.errors import Refused, in_words, word_for

REMEMBERED_COMMANDS = 1_000


@dataclass(frozen=True)
class Context:
    """Who asked for a command, when, and because of what; copied into every event that the command records.

    ``at`` is UTC. ``cause`` is the id of the instruction or event that led to the command, or empty for a person's
    own wish. ``command_id`` identifies the command: repeating it changes nothing and returns the first answer.
    ``digest`` says what the id stands for where the caller chose it (see ``domain.command_key``), else it is empty.
    """

    command_id: UUID
    at: datetime
    actor: str
    request_id: str
    cause: str
    code_version: str
    digest: str = ""


class Rule(NamedTuple):
    """One line of a table of rules: ``trigger`` takes any of ``sources`` to ``target`` by recording ``event``."""

    trigger: str
    sources: tuple[str, ...]
    target: str
    event: str


class _RecordingTransition(Transition):
    """A transition that changes state by recording an event, and in no other way."""

    def _change_state(self, event_data: EventData) -> None:
        event_data.kwargs["record"](event_data.event.name, self.source, self.dest)


class _RecordingMachine(Machine):
    transition_cls = _RecordingTransition


def _build_machine(states: Iterable[str], initial: str, rules: Iterable[Rule]) -> _RecordingMachine:
    for rule in rules:
        assert rule.target, f"{rule.trigger}: internal transitions record no change of state"
    return _RecordingMachine(
        model=None,
        states=list(states),
        initial=initial,
        transitions=[[rule.trigger, list(rule.sources), rule.target] for rule in rules],
        auto_transitions=False,
        send_event=True,
    )


def _sources_of(rules: Iterable[Rule], trigger: str) -> set[str]:
    return {source for rule in rules if rule.trigger == trigger for source in rule.sources}


class Part:
    """An entity inside an aggregate with a table of its own, such as one copy of a run or one member of a pair.

    Its state, too, changes only by events of the aggregate (``PartMoved``), which carry the part's ``key``.
    """

    INITIAL_STATE = "ACTIVE"
    STATES = cast("tuple[str, ...]", ("ACTIVE",))
    RULES = cast("tuple[Rule, ...]", ())
    _machine = cast("Any", None)

    def __init__(self, key: str) -> None:
        self.key = key
        self.state: str = self.INITIAL_STATE

    def __init_subclass__(cls) -> None:
        cls._machine = _build_machine(cls.STATES, cls.INITIAL_STATE, cls.RULES)

    @classmethod
    def sources_of(cls, trigger: str) -> set[str]:
        """The states in which ``trigger`` applies."""
        return _sources_of(cls.RULES, trigger)


class Stateful(Aggregate):
    """The base of all aggregates.

    A subclass states ``INITIAL_STATE``, ``STATES``, ``RULES`` (transitions) and ``ALLOWED_IN`` (event class name →
    states in which that fact, which does not change the state, may be recorded).
    """

    # Casts in place of annotations: an annotation in its body makes the library turn the class into a dataclass,
    # whose generated __init__ would then skip this one.
    INITIAL_STATE = "ACTIVE"
    STATES = cast("tuple[str, ...]", ("ACTIVE",))
    RULES = cast("tuple[Rule, ...]", ())
    ALLOWED_IN = cast("Mapping[str, tuple[str, ...]]", {})
    _machine = cast("Any", None)

    def __init__(self) -> None:
        self.state: str = self.INITIAL_STATE
        self.remembered_commands: dict[UUID, int] = {}

    class Event(Aggregate.Event):
        """What every event carries besides id, version and ``timestamp`` (the command's ``at``).

        ``GETS_SOMEWHERE``: whether what the aggregate waits for has come nearer by it.
        """

        GETS_SOMEWHERE = True

        command_id: UUID
        actor: str
        request_id: str
        cause: str
        code_version: str

        def apply(self, aggregate: Stateful) -> None:
            """Change the aggregate; total, so it never refuses and never asks the table."""
            aggregate.remember(self)
            self.evolve(aggregate)

        def evolve(self, aggregate: Any) -> None:
            """Set the attributes that this event states; subclasses override it."""

    class Created(Event, Aggregate.Created):
        """The first event of an aggregate; subclasses add what is fixed for good."""

    class PartMoved(Event):
        """An event that changes the state of one part, found by ``key`` through the aggregate's ``part``."""

        key: str
        from_state: str
        to_state: str

        def apply(self, aggregate: Stateful) -> None:
            """Take the recorded state, whatever today's table says."""
            aggregate.remember(self)
            aggregate.part(self.key).state = self.to_state
            self.evolve(aggregate)

    class Moved(Event):
        """An event that changes the state; it says from where and to where, so that history explains itself."""

        from_state: str
        to_state: str

        def apply(self, aggregate: Stateful) -> None:
            """Take the recorded state, whatever today's table says."""
            aggregate.remember(self)
            aggregate.state = self.to_state
            self.evolve(aggregate)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for rule in cls.RULES:
            assert issubclass(getattr(cls, rule.event), Stateful.Moved), f"{rule.event} must be a Moved event"
        for name in cls.ALLOWED_IN:
            event = getattr(cls, name)
            assert not issubclass(event, (Stateful.Moved, Stateful.PartMoved)), f"{name} changes state: give it a rule"
        cls._machine = _build_machine(cls.STATES, cls.INITIAL_STATE, cls.RULES)

    @classmethod
    def begin(cls, event_class: type[Stateful.Created], identity: UUID, context: Context, **facts: Any) -> Self:
        """Create an aggregate by recording its first event."""
        return cls._create(event_class=event_class, id=identity, **_stamps(context), **facts)

    def fire(self, trigger: str, context: Context, **facts: Any) -> None:
        """Move by ``trigger`` and record its event with ``facts``; raise ``Refused`` where the table has no rule."""
        self._fire(self, str(self.id), trigger, context, facts)

    def fire_part(self, part: Part, trigger: str, context: Context, **facts: Any) -> None:
        """Move one part by ``trigger``; the event carries the part's key besides ``facts``."""
        self._fire(part, part.key, trigger, context, {"key": part.key, **facts})

    def _fire(self, mover: Stateful | Part, key: str, trigger: str, context: Context, facts: dict[str, Any]) -> None:
        name = f"{word_for(type(mover).__name__)} {key}"
        assert trigger in mover._machine.events, f"{name} has no trigger {trigger!r}"

        def record(trigger: str, source: str, target: str) -> None:
            rule = next(r for r in mover.RULES if r.trigger == trigger and source in r.sources and r.target == target)
            self.trigger_event(
                getattr(self, rule.event), **_stamps(context), from_state=source, to_state=target, **facts
            )

        try:
            mover._machine.events[trigger].trigger(mover, record=record)
        except MachineError:
            raise Refused(
                "NOT_IN_STATE",
                f"{name} is {mover.state}: '{in_words(trigger)}' is not possible in this state.",
                remedy=f"It is possible in {', '.join(sorted(mover.sources_of(trigger)))}.",
            ) from None

    def note(self, event_class: type[Stateful.Event], context: Context, **facts: Any) -> None:
        """Record a fact that leaves the state as it is; raise ``Refused`` where the table does not allow it."""
        allowed = self.ALLOWED_IN[event_class.__name__]
        if self.state not in allowed:
            raise Refused(
                "NOT_IN_STATE",
                f"{word_for(type(self).__name__)} {self.id} is {self.state}:"
                f" '{in_words(event_class.__name__)}' is not possible in this state.",
                remedy=f"It is possible in {', '.join(allowed)}.",
            )
        self.trigger_event(event_class, **_stamps(context), **facts)

    def part(self, key: str) -> Part:
        """Return the part with this key, or a new one: applying asks for it, and never refuses.

        Aggregates with parts override it.
        """
        raise AssertionError(f"{type(self).__name__} has no part {key!r}")

    def remember(self, event: Stateful.Event) -> None:
        """Keep the command's id with the version it led to; bounded, the oldest go first."""
        self.remembered_commands[event.command_id] = event.originator_version
        if len(self.remembered_commands) > REMEMBERED_COMMANDS:
            del self.remembered_commands[next(iter(self.remembered_commands))]

    def answer_to(self, command_id: UUID) -> int | None:
        """Return the version that a repeated command led to the first time, or None if it is new."""
        return self.remembered_commands.get(command_id)

    @classmethod
    def sources_of(cls, trigger: str) -> set[str]:
        """The states in which ``trigger`` applies."""
        return _sources_of(cls.RULES, trigger)


def _stamps(context: Context) -> dict[str, Any]:
    return {
        "timestamp": context.at,
        "command_id": context.command_id,
        "actor": context.actor,
        "request_id": context.request_id,
        "cause": context.cause,
        "code_version": context.code_version,
    }
