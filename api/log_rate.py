"""A bound on what the log takes: what repeats faster than anybody reads is counted, and the count is told.

Whoever can make the control device log a line (by a request without a token, or by making it run out of something)
must not be able to fill its disk. Lines that say the same of the same actor share a window of ``WINDOW_SECONDS``; in
each of them so many are written, fewer of those that carry a traceback.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TextIO

WINDOW_SECONDS = 10.0
LINES = 100
FAULTS = 10
MOST_KEYS = 1_000
_OTHERS = ("", 0, "others", "")

Key = tuple[str, int, str, str]


@dataclass
class _Window:
    began: float
    written: int = 0
    left_out: int = 0


class LogRate:
    """Decides which records are written, and tells of those that were not."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[Key, _Window] = {}

    def takes(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be written; one that is not is counted."""
        key = _key(record)
        if key not in self._windows and len(self._windows) >= MOST_KEYS:
            key = _OTHERS
        window = self._windows.setdefault(key, _Window(self._clock()))
        if window.written >= (FAULTS if record.exc_info else LINES):
            window.left_out += 1
            return False
        window.written += 1
        return True

    def left_out(self, *, at_end: bool = False) -> Iterator[logging.LogRecord]:
        """Close the windows that are over (all of them ``at_end``); a record for each that left something out."""
        now = self._clock()
        over = [key for key, window in self._windows.items() if at_end or now - window.began >= WINDOW_SECONDS]
        for key in over:
            window = self._windows.pop(key)
            if window.left_out:
                name, level, message, actor = key
                told = logging.LogRecord(name, level, "", 0, "lines like the ones before were left out", (), None)
                vars(told).update({"left_out": window.left_out, "like": message, "actor": actor})
                yield told


def _key(record: logging.LogRecord) -> Key:
    return record.name, record.levelno, str(record.msg)[:80], str(getattr(record, "actor", ""))


class LimitedHandler(logging.StreamHandler[TextIO]):
    """Writes to a stream what ``LogRate`` takes."""

    def __init__(self, stream: TextIO, rate: LogRate | None = None) -> None:
        super().__init__(stream)
        self._rate = rate or LogRate()

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record unless there are too many like it; first what was left out of windows that are over."""
        for told in self._rate.left_out():
            super().emit(told)
        if self._rate.takes(record):
            super().emit(record)

    def close(self) -> None:
        """Tell what was left out last."""
        for told in self._rate.left_out(at_end=True):
            super().emit(told)
        super().close()
