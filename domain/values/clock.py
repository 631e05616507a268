"""How far one clock is ahead of another, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class ClockOffset:
    """One clock minus another, in milliseconds: the truth lies within ``offset_ms`` ± ``uncertainty_ms``."""

    offset_ms: float
    uncertainty_ms: float

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read the form that agents report; raises ``ValueError`` for a negative uncertainty."""
        offset = cls(float(value["offset_ms"]), float(value["uncertainty_ms"]))
        if offset.uncertainty_ms < 0:
            raise ValueError(f"an uncertainty cannot be negative: {value!r}")
        return offset

    @property
    def apart_ms(self) -> float:
        """The largest distance of the two clocks that the measurement allows."""
        return abs(self.offset_ms) + self.uncertainty_ms

    def with_drift_to(self, later: ClockOffset) -> float:
        """The uncertainty of the time between two measurements: the larger one, and the whole drift between them."""
        return max(self.uncertainty_ms, later.uncertainty_ms) + abs(later.offset_ms - self.offset_ms)
