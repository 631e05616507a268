"""The disk under the spool: what is durable, and what a crash may tear.

Three guarantees are built here and nowhere else. ``replace`` is atomic: a reader sees the old file or the new one,
whole. An ``append`` that asked to be durable is on the disk when it returns, together with everything appended before
it to any file of the same ``Appender``. A line torn by a crash is dropped before the next append, so that two lines
are never glued together.

The simulation puts its own ``Disk`` in place, which remembers what was not yet flushed.
"""

from __future__ import annotations

import os
import threading

CHUNK_BYTES = 1 << 20


class Disk:
    """The operating system's files, with their flushes."""

    def flush(self, descriptor: int, path: str) -> None:
        """Put the file's bytes on the disk."""
        os.fsync(descriptor)

    def flush_directory(self, path: str) -> None:
        """Put a directory's entries on the disk, so that a new or renamed file is found after a crash."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def write(self, descriptor: int, data: bytes, path: str) -> None:
        """Write all of ``data`` to an open file."""
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def create(self, path: str, data: bytes, mode: int = 0o600) -> None:
        """Write a new file (or over an unfinished one) and flush it; the caller flushes the directory."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        try:
            self.write(descriptor, data, path)
            self.flush(descriptor, path)
        finally:
            os.close(descriptor)

    def replace(self, path: str, data: bytes, mode: int = 0o600) -> None:
        """Give ``path`` new content atomically and durably."""
        temporary = f"{path}.new"
        self.create(temporary, data, mode)
        os.replace(temporary, path)
        self.flush_directory(os.path.dirname(path))


def read_file(path: str) -> bytes | None:
    """The whole content, or None where there is no such file."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def whole_lines_bytes(descriptor: int) -> int:
    """How many bytes of the file are whole lines; what lies beyond was torn by a crash."""
    end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - CHUNK_BYTES)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


class Appender:
    """Appends to files of one directory, from many threads; each append is one undivided piece of its file."""

    def __init__(self, disk: Disk, directory: str) -> None:
        self._disk = disk
        self._directory = directory
        self._lock = threading.Lock()
        self._open: dict[str, int] = {}
        self._unflushed: set[str] = set()

    def append(self, name: str, data: bytes, durable: bool) -> None:
        """Append ``data``; if ``durable``, everything appended so far is on the disk afterwards."""
        with self._lock:
            self._disk.write(self._descriptor(name), data, self._path(name))
            self._unflushed.add(name)
            if durable:
                self._flush_all()

    def truncate(self, name: str, length: int) -> None:
        """Cut the file to ``length`` bytes, creating it if need be, durably."""
        with self._lock:
            descriptor = self._descriptor(name)
            os.ftruncate(descriptor, min(length, os.fstat(descriptor).st_size))
            self._unflushed.add(name)
            self._flush_all()

    def flush(self) -> None:
        """Put everything appended so far on the disk."""
        with self._lock:
            self._flush_all()

    def forget(self, name: str) -> None:
        """Let go of a file that somebody is about to replace."""
        with self._lock:
            self._unflushed.discard(name)
            descriptor = self._open.pop(name, None)
            if descriptor is not None:
                os.close(descriptor)

    def close(self) -> None:
        """Flush and let go of every file."""
        with self._lock:
            self._flush_all()
            for descriptor in self._open.values():
                os.close(descriptor)
            self._open.clear()

    def abandon(self) -> None:
        """Let go of every file without a flush, as a killed process does."""
        with self._lock:
            for descriptor in self._open.values():
                os.close(descriptor)
            self._open.clear()
            self._unflushed.clear()

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name)

    def _descriptor(self, name: str) -> int:
        if name not in self._open:
            path = self._path(name)
            is_new = not os.path.exists(path)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            if is_new:
                self._disk.flush_directory(self._directory)
            else:
                os.ftruncate(descriptor, whole_lines_bytes(descriptor))
            self._open[name] = descriptor
        return self._open[name]

    def _flush_all(self) -> None:
        # In the order of their names: which file is flushed first must not decide anything.
        for name in sorted(self._unflushed):
            self._disk.flush(self._open[name], self._path(name))
        self._unflushed.clear()
