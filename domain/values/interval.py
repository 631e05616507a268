"""A stretch of time between two instants, both included."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """From ``from_ms`` until ``until_ms``, milliseconds since the epoch on one clock; ``ValueError`` if reversed."""

    from_ms: float
    until_ms: float

    def __post_init__(self) -> None:
        if not self.from_ms <= self.until_ms:
            raise ValueError(f"an interval does not end before it begins: {self}")

    @property
    def length_ms(self) -> float:
        """How long it is."""
        return self.until_ms - self.from_ms

    def widened(self, by_ms: float) -> Interval:
        """Longer by ``by_ms`` at both ends: what it is when each end is known to that only."""
        assert by_ms >= 0, by_ms
        return Interval(self.from_ms - by_ms, self.until_ms + by_ms)

    @staticmethod
    def around(intervals: Iterable[Interval]) -> Interval:
        """The shortest one that holds all of them; there must be one."""
        found = list(intervals)
        return Interval(min(i.from_ms for i in found), max(i.until_ms for i in found))
