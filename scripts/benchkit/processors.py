"""How busy all cores of the machine are, whoever keeps them so: clusters, their clients and the agent share them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

POLL_SECONDS = 0.05


class Sample(NamedTuple):
    """An instant (seconds since the epoch) with the ticks of all cores since the machine's start."""

    at: float
    busy: int
    total: int


def read_ticks(line: str) -> tuple[int, int]:
    """Busy and all ticks, of the first line of /proc/stat; what waits for a disk is not busy (proc(5))."""
    ticks = [int(word) for word in line.split()[1:9]]  # what guests used is part of the first two
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, sum(ticks)


def busy_share(samples: Sequence[Sample], begins: float, ends: float) -> float:
    """The busy part (0 to 1) of the time between two instants; raises ValueError without two samples between them."""
    within = [one for one in samples if begins <= one.at <= ends]
    if len(within) < 2 or within[-1].total == within[0].total:
        raise ValueError("too short to tell how busy the processors were")
    return (within[-1].busy - within[0].busy) / (within[-1].total - within[0].total)


class Processors:
    """Looks again and again while it is entered."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Processors:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            with Path("/proc/stat").open() as file:
                self.samples.append(Sample(time.time(), *read_ticks(file.readline())))
