"""A writer that counts on in many directories at once, so that what is in a snapshot tells at which instant it was.

Each directory has one file, and its name is the count: a rename happens at one instant of the NameNode's and leaves no
file open. When each was sent and acknowledged is remembered.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import NamedTuple

from scripts.labkit.cluster import Cluster

COUNTERS = "counters"
COUNTED = b"counted"


class Counted(NamedTuple):
    """One step of a count; times are milliseconds since the epoch."""

    sent_ms: float
    acknowledged_ms: float


class Counting:
    """Counts on from 0 in every directory in turn while it is entered."""

    def __init__(self, cluster: Cluster, directories: Sequence[str], rest_seconds: float = 0.02) -> None:
        self.steps: dict[str, list[Counted]] = {directory: [] for directory in directories}
        self._client = cluster.webhdfs("app")
        self._rest_seconds = rest_seconds
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        for directory in directories:
            self._client.write(f"{directory}/{counter(0)}", data=COUNTED)

    def __enter__(self) -> Counting:
        self._counting = self._pool.submit(self._count_on)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._pool.shutdown()
        if error is None:
            self._counting.result()

    def between(self, directory: str, earliest_ms: float, latest_ms: float) -> range:
        """The counts that a snapshot of an instant between these two can show."""
        lowest = sum(step.acknowledged_ms < earliest_ms for step in self.steps[directory])
        highest = sum(step.sent_ms <= latest_ms for step in self.steps[directory])
        return range(lowest, highest + 1)

    def _count_on(self) -> None:
        while True:
            for directory, steps in self.steps.items():
                if self._ended.wait(self._rest_seconds):
                    return
                sent_ms = time.time() * 1000
                count = len(steps)
                self._client.rename(f"{directory}/{counter(count)}", f"{directory}/{counter(count + 1)}")
                steps.append(Counted(sent_ms, time.time() * 1000))


def counter(count: int) -> str:
    """The file that shows a count."""
    return f"{COUNTERS}/{count:06}"


def count_in(names: Collection[str]) -> int:
    """The count that a tree's paths show; there must be one and no more."""
    (found,) = [name for name in names if name.startswith(f"{COUNTERS}/")]
    return int(found.partition("/")[2])
