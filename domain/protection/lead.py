"""How far ahead a moment has to lie that is to be the soonest possible: by what the newest runs of a service needed.

Nothing is risked but the run: a moment that comes before the snapshots are ordered is missed, which is told, and the
next one lies twice as far ahead. Neither a run that was planned for tomorrow nor one that could not be prepared for
hours tells anything about that: it is never further than ``MOST_MS``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

NEWEST_RUNS = 3
UNKNOWN_MS = 30_000
LEAST_MS = 500
MOST_MS = 600_000
RESERVE = 1.2
RESERVE_MS = 200
"""What an agent does between "armed" and firing takes less; the factor is for how much preparations differ."""


@dataclass(frozen=True)
class Preparation:
    """How far ahead a run's moment lay, and when after the command its snapshots were ordered (None: too late)."""

    lead_ms: int
    armed_after_ms: int | None

    @property
    def next_ms(self) -> int:
        """What it tells about the next one."""
        if self.armed_after_ms is None:
            return 2 * self.lead_ms
        return math.ceil(self.armed_after_ms * RESERVE) + RESERVE_MS


def soonest_ms(newest: Sequence[Preparation]) -> int:
    """How far ahead the next moment has to lie; ``newest`` are the newest runs that say something about it.

    The middle one of three counts, so that one slow preparation does not slow the next runs; a miss among them does.
    """
    if not newest:
        return UNKNOWN_MS
    each = sorted(one.next_ms for one in newest[:NEWEST_RUNS])
    middle = each[len(each) // 2]
    missed = max((one.next_ms for one in newest[:NEWEST_RUNS] if one.armed_after_ms is None), default=0)
    return min(MOST_MS, max(LEAST_MS, middle, missed))
