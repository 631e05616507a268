"""One rate for all transfers of an agent: whoever has moved some bytes waits until they are paid for.

The rate holds over any stretch of time but for ``BURST_SECONDS`` of it. A slow rate is not served in large pieces: each
stream gets its share about once a second, so no DataNode waits for a byte until it loses patience (a minute).
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import Callable, Iterator

BURST_SECONDS = 0.25
ROUND_SECONDS = 1.0
SMALLEST_PIECE_BYTES = 1 << 10


class Throttle:
    """Paces any number of threads; ``wait`` waits so many seconds, or shorter when the instruction ends."""

    def __init__(self, wait: Callable[[float], object], seconds: Callable[[], float] = time.monotonic) -> None:
        self._wait = wait
        self._seconds = seconds
        self._lock = threading.Lock()
        self._bytes_per_second: int | None = None
        self._streams = 0
        self._paid_until = float("-inf")

    def set_rate(self, bytes_per_second: int | None) -> None:
        """Go so fast from now on; None: as fast as it goes."""
        with self._lock:
            self._bytes_per_second = bytes_per_second

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Count a stream while it is open."""
        with self._lock:
            self._streams += 1
        try:
            yield
        finally:
            with self._lock:
                self._streams -= 1

    def piece(self, wanted_bytes: int) -> int:
        """How much of the wanted a stream should move at once."""
        with self._lock:
            rate = self._bytes_per_second
            if rate is None:
                return wanted_bytes
            share = int(rate * ROUND_SECONDS / max(1, self._streams))
            return min(wanted_bytes, max(SMALLEST_PIECE_BYTES, share))

    def pay(self, moved_bytes: int) -> None:
        """Wait until what has been moved may have been moved at this rate."""
        with self._lock:
            rate = self._bytes_per_second
            if rate is None:
                return
            now = self._seconds()
            self._paid_until = max(self._paid_until, now - BURST_SECONDS) + moved_bytes / rate
            left = self._paid_until - now
        if left > 0:
            self._wait(left)
