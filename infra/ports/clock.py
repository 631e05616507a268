"""The port of time: the one place from which the control plane learns what time it is, and waits."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Two clocks and a way to wait.

    ``now`` is for what is recorded and for deadlines that were recorded; it may step. ``monotonic_seconds`` is for
    intervals; it never goes back.
    """

    def now(self) -> datetime:
        """The time of day, in UTC."""

    def monotonic_seconds(self) -> float:
        """Seconds from an arbitrary origin."""

    async def sleep_until(self, monotonic_seconds: float) -> None:
        """Wait until ``monotonic_seconds`` says so; returns at once if it does already."""
