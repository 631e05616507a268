"""Waiting: for a while that grows, and until a time of day."""

from __future__ import annotations

from datetime import datetime

from infra.ports.clock import Clock

LONGEST_STEP_SECONDS = 30.0


class Backoff:
    """Delays that grow from ``first_seconds`` to ``longest_seconds``, by ``growth`` each; ``reset`` begins anew."""

    def __init__(self, clock: Clock, first_seconds: float, longest_seconds: float, growth: float = 2.0) -> None:
        self._clock = clock
        self._first = first_seconds
        self._longest = longest_seconds
        self._growth = growth
        self._next = first_seconds

    def reset(self) -> None:
        """The next delay is the first one again."""
        self._next = self._first

    def next_seconds(self) -> float:
        """The delay to wait now; the next one is longer."""
        delay = self._next
        self._next = min(delay * self._growth, self._longest)
        return delay

    async def wait(self) -> None:
        """Wait for the next delay."""
        await self._clock.sleep_until(self._clock.monotonic_seconds() + self.next_seconds())


async def wait_until(clock: Clock, at: datetime) -> None:
    """Wait until a time of day, in steps, so that a clock that is set is noticed."""
    while (left := (at - clock.now()).total_seconds()) > 0:
        await clock.sleep_until(clock.monotonic_seconds() + min(left, LONGEST_STEP_SECONDS))
