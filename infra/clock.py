"""The machine's own clock."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime


class SystemClock:
    """The ``Clock`` of production."""

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return datetime.now(UTC)

    def monotonic_seconds(self) -> float:
        """Seconds from an arbitrary origin."""
        return time.monotonic()

    async def sleep_until(self, monotonic_seconds: float) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(max(0.0, monotonic_seconds - time.monotonic()))
