"""How much of a gateway's workers an instruction may take now, as the control device last said.

The allowance is a file of the instruction's spool: it came with the submission, and each look may bring another one.
Who hears nothing of the control device keeps the last one. Zero workers means paused: what is in flight comes to its
end, and nothing that moves or reads data in bulk is begun until there are some again.
"""

from __future__ import annotations

import json
from collections import deque
from typing import Callable, NamedTuple

from infra.agent.core.hdfs import FileChecksum
from infra.agent.core.operations import CopyRange, DigestFile, Operation, ReadFile
from infra.agent.protocol import BULK_KINDS, Instruction
from infra.agent.shell.disk import read_file
from infra.agent.shell.spool import Entry

READ_AGAIN_SECONDS = 1.0
LARGE_READ_BYTES = 1 << 20
SLOWEST_STREAM_BYTES_PER_SECOND = 64 << 10
"""A rate is not divided among more streams than get so much each: DataNodes drop a stream that is silent for long."""


class Allowance(NamedTuple):
    """``workers`` None: as many as there are. ``bytes_per_second`` None: as fast as it goes."""

    workers: int | None = None
    bytes_per_second: int | None = None

    @property
    def width(self) -> int | None:
        """How many operations in bulk may be under way at once."""
        if self.bytes_per_second is None:
            return self.workers
        streams = max(1, self.bytes_per_second // SLOWEST_STREAM_BYTES_PER_SECOND)
        return streams if self.workers is None else min(self.workers, streams)


UNLIMITED = Allowance()


def read_allowance(entry: Entry) -> Allowance:
    """What the spool says now; unlimited where nobody has said anything."""
    data = read_file(entry.path("allowance.json"))
    return UNLIMITED if data is None else Allowance(**json.loads(data.decode("utf-8")))


def is_bulk(operation: Operation) -> bool:
    """Tell whether the operation moves or reads data, or makes DataNodes read it, rather than names."""
    if isinstance(operation, ReadFile):
        return operation.length is not None and operation.length > LARGE_READ_BYTES
    return isinstance(operation, (CopyRange, DigestFile, FileChecksum))


class Pace:
    """Holds operations in bulk back while too many are under way; used by one thread.

    Only the kinds of instruction that move or read data are paced: what takes a snapshot or changes a head is not.
    ``workers`` is how many threads there are, so a wider allowance holds nothing back.
    """

    def __init__(
        self,
        entry: Entry,
        instruction: Instruction,
        workers: int,
        seconds: Callable[[], float],
        set_rate: Callable[[int | None], None],
    ) -> None:
        self._entry = entry
        self._is_paced = instruction.kind in BULK_KINDS
        self._workers = workers
        self._seconds = seconds
        self._set_rate = set_rate
        self._read_at = float("-inf")
        self._allowance = UNLIMITED
        self._waiting: deque[tuple[int, Operation]] = deque()
        self._under_way: set[int] = set()

    def holds(self, number: int, operation: Operation) -> bool:
        """Take an operation that is to wait for its turn; False for one that anybody may begin now."""
        if not self._is_paced or not is_bulk(operation):
            return False
        self._waiting.append((number, operation))
        return True

    def ended(self, number: int) -> None:
        """Take the end of any operation."""
        self._under_way.discard(number)

    def ready(self) -> list[tuple[int, Operation]]:
        """The operations whose turn it is now, in the order in which they came."""
        if not self._is_paced:
            return []
        self._refresh()
        width = self._allowance.width
        found = []
        while self._waiting and (width is None or width >= self._workers or len(self._under_way) < width):
            number, operation = self._waiting.popleft()
            self._under_way.add(number)
            found.append((number, operation))
        return found

    def _refresh(self) -> None:
        now = self._seconds()
        if now - self._read_at < READ_AGAIN_SECONDS:
            return
        self._read_at = now
        self._allowance = read_allowance(self._entry)
        self._set_rate(self._allowance.bytes_per_second)
