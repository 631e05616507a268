"""Aggregates for the store's tests: shapes that a codec gets wrong, and a counter that says who counted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, IntEnum, StrEnum
from typing import Any
from uuid import UUID, uuid4, uuid5

from domain.errors import Refused
from domain.stateful import Context, Rule, Stateful
from infra.store.read_models import AggregateView
from infra.store.store import StoreContents

AT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
_NAMESPACE = UUID("5f5a6c3e-55a8-4c0a-9f0e-0c1b4a2d9e11")


class Grade(StrEnum):
    EXACT = "EXACT"
    FUZZY = "FUZZY"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Shape(Enum):
    ROUND = "round"


@dataclass(frozen=True)
class Point:
    label: str
    at: datetime
    grade: Grade


@dataclass(frozen=True)
class Area:
    owner: UUID
    points: tuple[Point, ...]
    inner: Area | None = None


class Sample(Stateful):
    """Every shape of value that events may hold."""

    class Taken(Stateful.Created):
        area: Area | None
        pair: tuple[int, str]
        by_id: dict[UUID, tuple[Point, ...]]
        by_grade: dict[Grade, int]
        level: Level
        shape: Shape
        ratio: float
        flag: bool
        raw: bytes
        plain: dict[str, Any]
        names: list[str]
        note: str = "none"

    def __init__(self) -> None:
        super().__init__()
        self.taken = 1


class Counter(Stateful):
    """Counts while OPEN; ``CLOSED`` is its end."""

    INITIAL_STATE = "OPEN"
    STATES = ("OPEN", "CLOSED")
    RULES = (Rule("close", ("OPEN",), "CLOSED", "Closed"), Rule("reopen", ("CLOSED",), "OPEN", "Reopened"))
    ALLOWED_IN = {"Counted": ("OPEN",), "Renamed": ("OPEN", "CLOSED")}

    def __init__(self) -> None:
        super().__init__()
        self.total = 0
        self.name = ""

    class Begun(Stateful.Created):
        name: str

        def evolve(self, aggregate: Counter) -> None:
            aggregate.name = self.name

    class Counted(Stateful.Event):
        amount: int

        def evolve(self, aggregate: Counter) -> None:
            aggregate.total += self.amount
            # A broken event, for the tests: applying must be total, and here it raises half-way.
            if self.amount == BREAKS_WHILE_APPLIED:
                raise ZeroDivisionError("broken while applied")

    class Renamed(Stateful.Event):
        name: str

        def evolve(self, aggregate: Counter) -> None:
            aggregate.name = self.name

    class Closed(Stateful.Moved):
        pass

    class Reopened(Stateful.Moved):
        pass

    def count(self, context: Context, amount: int) -> int:
        if amount == 0:
            raise Refused("NOTHING_TO_COUNT", "the amount is 0.")
        self.note(self.Counted, context, amount=amount)
        return self.total


BREAKS_WHILE_APPLIED = 666


def counter_id(name: str) -> UUID:
    return uuid5(_NAMESPACE, name)


def a_context(command_id: UUID | None = None) -> Context:
    return Context(command_id or uuid4(), AT, "tester", "request-1", "", "1.0")


CONTENTS = StoreContents(
    aggregate_classes=(Counter, Sample),
    views=(
        AggregateView(
            Counter,
            summarise=lambda counter: {"total": counter.total, "size": {"big": counter.total > 100}},
            name_of=lambda counter: counter.name or None,
            is_open=lambda counter: counter.state == "OPEN",
        ),
    ),
)
