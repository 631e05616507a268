"""Two sides do the same work in turn; what counts is the ratio of their times within one round."""

from __future__ import annotations

import os
import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scripts.benchkit.world import World


class BenchFailed(Exception):
    """A side did not do the work, or did it wrongly."""


@dataclass(frozen=True)
class Side:
    """What one side needed in one round; ``parts`` says where the time went, ``facts`` what else was seen."""

    seconds: float
    parts: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Round:
    """Both sides, one after the other."""

    product: Side
    rival: Side

    @property
    def ratio(self) -> float:
        """How many times as long the rival takes."""
        return self.rival.seconds / self.product.seconds


class Row(ABC):
    """One line of the table. ``goal`` is the ratio that is to be reached."""

    name: str
    work: str
    instead: str
    goal: float

    def __init__(self, world: World, is_small: bool) -> None:
        self.world = world
        self.is_small = is_small

    @abstractmethod
    def prepare(self, number: int) -> None:
        """Make data that no side has worked on; unmeasured."""

    @abstractmethod
    def product(self) -> Side:
        """Let the product do the work, and check it."""

    @abstractmethod
    def rival(self) -> Side:
        """Let the rival do the same work, and check it."""

    def finish(self) -> None:  # noqa: B027 - most rows leave nothing
        """Remove what is left of a round."""

    def close(self) -> None:  # noqa: B027
        """End what has run through all rounds."""


def measure(row: Row, runs: int, tell: Callable[[str], None]) -> list[Round]:
    """``runs`` rounds after one that only warms both sides up; who begins alternates."""
    rounds: list[Round] = []
    for number in range(runs + 1):
        row.prepare(number)
        try:
            if number % 2:
                product, rival = _on_a_quiet_disk(row.product), _on_a_quiet_disk(row.rival)
            else:
                rival = _on_a_quiet_disk(row.rival)
                product = _on_a_quiet_disk(row.product)
        finally:
            row.finish()
        found = Round(product, rival)
        label = f"round {number}" if number else "warm-up"
        tell(f"  {label}: {rival.seconds:.2f} s against {product.seconds:.2f} s, {found.ratio:.1f} times")
        if number:
            rounds.append(found)
    return rounds


def _on_a_quiet_disk(side: Callable[[], Side]) -> Side:
    """Let a side work when what others wrote is on the disk: else whoever syncs a file first waits for all of it."""
    os.sync()
    return side()


@dataclass(frozen=True)
class Spread:
    """Smallest, middle and largest of several figures."""

    least: float
    median: float
    most: float

    @classmethod
    def of(cls, figures: list[float]) -> Spread:
        """Of at least one figure."""
        return cls(min(figures), statistics.median(figures), max(figures))
