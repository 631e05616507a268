"""How fast something grows, from what was told about it: bytes over the last seconds."""

from __future__ import annotations

from collections import deque

WINDOW_SECONDS = 15.0


class RateMeter:
    """The rate over a sliding window. Times are those of whoever counts, so late news does not distort it."""

    def __init__(self, window_seconds: float = WINDOW_SECONDS) -> None:
        self._window_ms = window_seconds * 1000
        self._samples: deque[tuple[float, int]] = deque()

    def take(self, at_ms: float, amount: int) -> None:
        """Take a reading; one that goes back (an attempt began anew) starts the window again."""
        if self._samples and (at_ms <= self._samples[-1][0] or amount < self._samples[-1][1]):
            if amount >= self._samples[-1][1]:
                return
            self._samples.clear()
        self._samples.append((at_ms, amount))
        while len(self._samples) > 2 and at_ms - self._samples[1][0] >= self._window_ms:
            self._samples.popleft()

    @property
    def per_second(self) -> float | None:
        """The rate, or None before there are two readings."""
        if len(self._samples) < 2:
            return None
        (first_ms, first), (last_ms, last) = self._samples[0], self._samples[-1]
        return (last - first) / (last_ms - first_ms) * 1000

    def seconds_for(self, amount: int) -> float | None:
        """How long this much more takes at the present rate, or None when nobody can tell."""
        rate = self.per_second
        return amount / rate if rate else None
