"""The gateway's clock."""

from __future__ import annotations

import time


def system_clock_ms() -> float:
    """The gateway's clock in milliseconds since the epoch."""
    return time.time() * 1000
