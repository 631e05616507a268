"""A procedure's work files in the spool: append, read, cut, sort, and exchange with HDFS."""

from __future__ import annotations

import errno
import hashlib
import heapq
import os
from typing import Any, BinaryIO, Iterator

from infra.agent.core.operations import (
    Download,
    OperationFailed,
    SpoolAppend,
    SpoolRead,
    SpoolSort,
    SpoolTruncate,
    Upload,
)
from infra.agent.shell.disk import Appender, Disk
from infra.agent.shell.spool import Entry
from infra.agent.shell.transfers import BUFFER_BYTES, Excluded, Transfers

SORT_MEMORY_BYTES = 32 << 20
OPEN_PIECES_LIMIT = 64


class WorkFiles:
    """The work files of one instruction; ``transfers`` may be None where nothing is exchanged with HDFS."""

    def __init__(self, entry: Entry, disk: Disk, appender: Appender, transfers: Transfers | None) -> None:
        self._entry = entry
        self._disk = disk
        self._appender = appender
        self._transfers = transfers

    def append(self, operation: SpoolAppend) -> None:
        """Carry out ``SpoolAppend``."""
        self._entry.work_path(operation.name)
        self._appender.append(operation.name, operation.data, operation.durable)

    def read(self, operation: SpoolRead) -> bytes:
        """Carry out ``SpoolRead``."""
        try:
            descriptor = os.open(self._entry.work_path(operation.name), os.O_RDONLY)
        except FileNotFoundError:
            return b""
        try:
            return os.pread(descriptor, operation.length, operation.offset)
        finally:
            os.close(descriptor)

    def truncate(self, operation: SpoolTruncate) -> None:
        """Carry out ``SpoolTruncate``."""
        self._entry.work_path(operation.name)
        self._appender.truncate(operation.name, operation.length)

    def sort(self, operation: SpoolSort, memory_bytes: int = SORT_MEMORY_BYTES) -> int:
        """Carry out ``SpoolSort``: sorted pieces of bounded size, merged; a torn last line is left out."""
        source, target = self._entry.work_path(operation.source), self._entry.work_path(operation.target)
        pieces: list[str] = []
        count = 0
        try:
            with open(source, "rb") as stream:
                for lines in _chunks(stream, memory_bytes):
                    lines.sort()
                    pieces.append(self._write_piece(f"{target}.piece{len(pieces)}", iter(lines)))
                    count = len(lines)
                    lines.clear()
            if len(pieces) == 1:
                self._replace(operation.target, pieces.pop())
                return count
            generation = 0
            while len(pieces) > OPEN_PIECES_LIMIT:
                merged = f"{target}.merged{generation}"
                first, pieces = pieces[:OPEN_PIECES_LIMIT], pieces[OPEN_PIECES_LIMIT:]
                pieces.append(self._write_piece(merged, _merge(first)))
                _remove(first)
                generation += 1
            merged_lines = _Counter(_merge(pieces))
            self._replace(operation.target, self._write_piece(f"{target}.sorted", merged_lines))
            return merged_lines.seen
        finally:
            _remove(pieces)

    def upload(self, operation: Upload) -> dict[str, Any]:
        """Carry out ``Upload``."""
        assert self._transfers is not None
        transfers, path = self._transfers, self._entry.work_path(operation.name)

        def once(excluded: Excluded) -> dict[str, Any]:
            with open(path, "rb") as stream:
                length = os.fstat(stream.fileno()).st_size
                digest = hashlib.sha256()
                for data in iter(lambda: stream.read(BUFFER_BYTES), b""):
                    digest.update(data)
                stream.seek(0)
                transfers.write_stream(operation.site, operation.path, length, stream, excluded)
            return {"bytes": length, "sha256": digest.hexdigest()}

        return transfers.persist(once)

    def download(self, operation: Download) -> dict[str, Any]:
        """Carry out ``Download``."""
        assert self._transfers is not None
        transfers, path = self._transfers, f"{self._entry.work_path(operation.name)}.download"

        def once(excluded: Excluded) -> dict[str, Any]:
            digest = hashlib.sha256()
            with open(path, "wb") as stream:

                def take(data: memoryview) -> None:
                    digest.update(data)
                    stream.write(data)

                length = transfers.read_stream(operation.site, operation.path, take, excluded)
                stream.flush()
                self._disk.flush(stream.fileno(), path)
            return {"bytes": length, "sha256": digest.hexdigest()}

        result = transfers.persist(once)
        self._replace(operation.name, path)
        return result

    def reading(self, name: str) -> BinaryIO:
        """A work file, to be read from its beginning."""
        return open(self._entry.work_path(name), "rb")

    def write_whole(self, name: str, chunks: Iterator[bytes]) -> None:
        """Replace a work file by one of this content, when all of it is written."""
        self._replace(name, self._write_piece(f"{self._entry.work_path(name)}.written", chunks))

    def _write_piece(self, path: str, lines: Iterator[bytes]) -> str:
        with open(path, "wb") as stream:
            stream.writelines(lines)
            stream.flush()
            self._disk.flush(stream.fileno(), path)
        return path

    def _replace(self, name: str, path: str) -> None:
        self._appender.forget(name)
        os.replace(path, self._entry.work_path(name))
        self._disk.flush_directory(self._entry.directory)


class _Counter:
    """Counts what passes."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self.seen = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = next(self._lines)
        self.seen += 1
        return line


def _chunks(stream: Any, memory_bytes: int) -> Iterator[list[bytes]]:
    """Lists of whole lines of about ``memory_bytes`` each."""
    lines: list[bytes] = stream.readlines(memory_bytes)
    while lines:
        if not lines[-1].endswith(b"\n"):
            lines.pop()
        yield lines
        lines = stream.readlines(memory_bytes)


def _merge(paths: list[str]) -> Iterator[bytes]:
    streams = [open(path, "rb") for path in paths]  # noqa: SIM115 - closed below, all together
    try:
        yield from heapq.merge(*streams)
    finally:
        for stream in streams:
            stream.close()


def _remove(paths: list[str]) -> None:
    for path in paths:
        if os.path.exists(path):
            os.remove(path)


def spool_failed(error: OSError) -> OperationFailed:
    """What a procedure is told when the spool's own disk fails."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OperationFailed(
            "SPOOL_FULL",
            f"the gateway's spool: {error.strerror}",
            remedy="Make room on the file system of the spool directory on the gateway, or raise its user's quota.",
        )
    return OperationFailed(
        "SPOOL_FAILED",
        f"the gateway's spool: {error.strerror or error}",
        remedy="Check the rights and the health of the spool directory on the gateway.",
    )
