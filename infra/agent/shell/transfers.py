"""Reading, writing, copying and hashing files of HDFS, surviving DataNodes that die and come back.

A transfer that broke is done again from its start, with pauses, leaving out the node that failed while there are
others. It is given up when ``transfer_seconds`` pass without any progress, or, for a source that answers but breaks
at the same place ``SAME_PLACE_LIMIT`` times, as SOURCE_DAMAGED: that is what a block looks like of which no replica
passes its checksum (the DataNode notices while it is sending and can only break off).

A target gets its exact length announced, so a DataNode never takes half of it for the whole: what is left of a broken
try is a shorter file, which the next try replaces.
"""

from __future__ import annotations

import hashlib
import io
import threading
import time
from typing import Any, BinaryIO, Callable, NamedTuple, TypeVar

from infra.agent.core.operations import CopyRange, DigestFile, OperationFailed, ReadFile, WriteFile
from infra.agent.shell.datanodes import DataNodes, NodeFailed, Reading
from infra.agent.shell.throttle import Throttle
from infra.agent.shell.webhdfs import Limits

BUFFER_BYTES = 1 << 20
MAXIMUM_READ_BYTES = 64 << 20
SAME_PLACE_LIMIT = 3

Result = TypeVar("Result")


class Excluded(NamedTuple):
    """The nodes that failed, to be left out while there are others."""

    reading: set[str]
    writing: set[str]


class Transfers:
    """Carries out the operations that move bytes."""

    def __init__(
        self, nodes: DataNodes, cancelled: threading.Event, limits: Limits, throttle: Throttle | None = None
    ) -> None:
        self._nodes = nodes
        self._cancelled = cancelled
        self._limits = limits
        self._throttle = throttle or Throttle(cancelled.wait)

    def read(self, operation: ReadFile) -> bytes:
        """Carry out ``ReadFile``."""

        def once(excluded: Excluded) -> bytes:
            content = io.BytesIO()
            with self._nodes.reading(
                operation.site, operation.path, operation.offset, operation.length, excluded.reading
            ) as source:
                length = _announced(source, operation.path)
                if length > MAXIMUM_READ_BYTES:
                    raise OperationFailed(
                        "TOO_LARGE", f"{operation.path}: {length} bytes are too many to be read at once"
                    )
                self._pour(source, length, content.write)
            return content.getvalue()

        return b"" if operation.length == 0 else self.persist(once)

    def write(self, operation: WriteFile) -> None:
        """Carry out ``WriteFile``."""
        params = (("permission", operation.permission),)

        def once(excluded: Excluded) -> None:
            size = len(operation.data)
            with self._nodes.writing(operation.site, operation.path, size, params, excluded.writing) as target:
                target.write(memoryview(operation.data))
                target.finish()

        self.persist(once)

    def digest(self, operation: DigestFile) -> dict[str, Any]:
        """Carry out ``DigestFile``."""

        def once(excluded: Excluded) -> dict[str, Any]:
            digest = hashlib.sha256()
            if operation.length:
                with self._nodes.reading(
                    operation.site, operation.path, operation.offset, operation.length, excluded.reading
                ) as source:
                    _check_announced(source, operation.length, operation.path)
                    self._pour(source, operation.length, digest.update)
            return {"sha256": digest.hexdigest(), "bytes": operation.length}

        return self.persist(once)

    def copy(self, operation: CopyRange) -> dict[str, Any]:
        """Carry out ``CopyRange``."""
        started = time.monotonic()
        length = operation.length
        params = (
            ("blocksize", str(operation.block_size)),
            ("replication", str(operation.replication)),
            ("permission", operation.permission),
        )

        def fill(source: Reading, excluded: Excluded) -> None:
            _check_announced(source, length, operation.source_path)
            with self._nodes.writing(
                operation.target, operation.target_path, length, params, excluded.writing
            ) as target:
                self._pour(source, length, target.write)
                target.finish()

        def once(excluded: Excluded) -> None:
            if length == 0:
                with self._nodes.writing(
                    operation.target, operation.target_path, 0, params, excluded.writing
                ) as target:
                    target.finish()
                return
            with self._nodes.reading(
                operation.source, operation.source_path, operation.offset, length, excluded.reading
            ) as source:
                fill(source, excluded)

        self.persist(once)
        return {"bytes": length, "seconds": time.monotonic() - started, "checksum": None}

    def read_stream(self, site: str, path: str, take: Callable[[memoryview], Any], excluded: Excluded) -> int:
        """Read a whole file once into ``take``; returns the number of bytes."""
        with self._nodes.reading(site, path, 0, None, excluded.reading) as source:
            length = _announced(source, path)
            self._pour(source, length, take)
            return length

    def write_stream(self, site: str, path: str, length: int, stream: BinaryIO, excluded: Excluded) -> None:
        """Write ``length`` bytes of a local file to a new file once."""
        with self._nodes.writing(site, path, length, (("permission", "600"),), excluded.writing) as target:
            left = length
            with self._throttle.stream():
                while left:
                    data = stream.read(self._throttle.piece(min(BUFFER_BYTES, left)))
                    assert data, "the local file became shorter while it was sent"
                    target.write(memoryview(data))
                    left -= len(data)
                    self._throttle.pay(len(data))
            target.finish()

    def persist(self, once: Callable[[Excluded], Result]) -> Result:
        """Repeat ``once`` until it succeeds or there is no sense in it any more."""
        excluded = Excluded(set(), set())
        farthest = -1
        same_place = 0
        pause_seconds = self._limits.first_pause_seconds
        give_up_at = time.monotonic() + self._limits.transfer_seconds
        while True:
            try:
                return once(excluded)
            except NodeFailed as failed:
                if failed.position > farthest:
                    farthest = failed.position
                    same_place = 0
                    pause_seconds = self._limits.first_pause_seconds
                    give_up_at = time.monotonic() + self._limits.transfer_seconds
                if failed.answered and not failed.writing:
                    same_place += 1
                    if same_place >= SAME_PLACE_LIMIT:
                        raise _damaged(failed) from failed
                if time.monotonic() + pause_seconds > give_up_at:
                    raise failed.failure from failed
                if failed.node:
                    (excluded.writing if failed.writing else excluded.reading).add(failed.node)
            if self._cancelled.wait(pause_seconds):
                raise OperationFailed("ABORTED", "given up because the instruction ends")
            pause_seconds = min(2 * pause_seconds, self._limits.longest_pause_seconds)

    def _pour(self, source: Reading, length: int, take: Callable[[memoryview], Any]) -> None:
        """Pass exactly ``length`` bytes on."""
        buffer = memoryview(bytearray(min(BUFFER_BYTES, max(length, 1))))
        left = length
        with self._throttle.stream():
            while left:
                count = source.into(buffer[: self._throttle.piece(min(left, BUFFER_BYTES))])
                if count == 0:
                    source.check_is_whole(length)
                take(buffer[:count])
                left -= count
                self._throttle.pay(count)
                if self._cancelled.is_set():
                    raise OperationFailed("ABORTED", "given up because the instruction ends")


def _announced(source: Reading, path: str) -> int:
    if source.announced_bytes is None:
        raise OperationFailed("HDFS", f"{path}: the DataNode does not tell how much it sends")
    return source.announced_bytes


def _check_announced(source: Reading, expected_bytes: int, path: str) -> None:
    """A file that is shorter than it has to be will not grow by trying again."""
    announced = source.announced_bytes
    if announced is not None and announced < expected_bytes:
        raise OperationFailed(
            "SOURCE_DAMAGED",
            f"{path} has only {announced} of the {expected_bytes} bytes that are wanted from it",
            detail={"path": path, "expected_bytes": expected_bytes, "found_bytes": announced},
        )


def _damaged(failed: NodeFailed) -> OperationFailed:
    return OperationFailed(
        "SOURCE_DAMAGED",
        f"cannot be read past byte {failed.position}: {failed.failure.message}",
        remedy="Look for corrupt blocks with `hdfs fsck PATH -list-corruptfileblocks` on that cluster.",
        detail={"node": failed.node, "position": failed.position, **failed.failure.detail},
    )
