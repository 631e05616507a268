"""How far ahead a moment has to lie that is to be the soonest possible: by what the newest runs of a service needed.

Nothing is risked but the run: a moment that comes before the snapshots are ordered is missed, and the next run's lies
twice as far ahead. Where the caller named no instant, the run itself may choose another one before anything is cut:
when its checks took so long that the snapshots can hardly be ordered any more, and once after a miss. Neither a run
that was planned for tomorrow nor one that could not be prepared for hours tells anything about how far ahead the next
one has to be: it is never further than ``MOST_MS``.
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


ORDERING_LEAST_SHARE = 0.2
"""Ordering the snapshots takes a part of what the checks took: with less time than this share, it is hopeless."""

ORDERING_SHARE = 0.6
"""And with this share it is on the safe side."""

LONGEST_ORDERING_MS = 60_000
"""What has taken longer was waited for, by a control device that was off or a gateway that was."""


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


def is_too_soon(ahead_ms: int, checks_ms: int) -> bool:
    """Whether the snapshots can hardly be ordered before a moment so far ahead, the checks having taken so long."""
    return ahead_ms < math.ceil(checks_ms * ORDERING_LEAST_SHARE) + RESERVE_MS


def after_checks_ms(checks_ms: int) -> int:
    """How far ahead another moment lies that is chosen when the checks have been answered."""
    return min(MOST_MS, max(LEAST_MS, math.ceil(checks_ms * ORDERING_SHARE) + RESERVE_MS))


def after_miss_ms(ordering_ms: int, pause_ms: int) -> int:
    """How far ahead another moment lies after a miss: ordering has taken so long, and begins again after a pause."""
    return pause_ms + 2 * min(max(ordering_ms, 0), LONGEST_ORDERING_MS) + LEAST_MS
