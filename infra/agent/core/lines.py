"""Work files of the spool as streams of lines: written and read in large pieces, so memory stays flat.

A line is bytes without a newline; a *record* is a JSON object as a line; a *keyed* line is a sort key, one space, and a
record. SpoolSort orders keyed lines by their keys because a space is lower than any byte of a key.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, Iterable

from infra.agent.core.machine import Procedure, Together
from infra.agent.core.operations import OperationFailed, SpoolAppend, SpoolRead, SpoolTruncate
from infra.agent.quick_json import decode, encoder

PIECE_BYTES = 1 << 19
# Longer than any that is written: an entry with the longest path, ACL and extended attributes, twice.
LONGEST_LINE_BYTES = 16 << 20
_encode = encoder(sort_keys=False, allow_nan=True)


def encode(record: dict[str, Any]) -> bytes:
    """A record as one line; the order of its members is kept."""
    return _encode(record).encode("utf-8")


class LineWriter:
    """Writes a work file from its beginning."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0
        self._lines: list[bytes] = []
        self._bytes = 0

    def begin(self) -> Procedure:
        """Empty the file."""
        yield SpoolTruncate(self.name)

    def write(self, line: bytes) -> Procedure:
        """Add a line."""
        if self.add(line):
            yield from self.flush()

    def add(self, line: bytes) -> bool:
        """Add a line where a procedure for each would take longer than the work; True when ``flush`` is due."""
        self.count += 1
        self._lines.append(line)
        self._bytes += len(line)
        return self._bytes >= PIECE_BYTES

    @property
    def is_full(self) -> bool:
        """Whether ``flush`` is due."""
        return self._bytes >= PIECE_BYTES

    def write_keyed(self, key: bytes, record: dict[str, Any]) -> Procedure:
        """Add a keyed line."""
        yield from self.write(key + b" " + encode(record))

    def end(self, durable: bool = False) -> Procedure:
        """Write what is left; with ``durable`` the file survives a power failure from here on."""
        if self._lines or durable:
            yield from self.flush(durable)

    def flush(self, durable: bool = False) -> Procedure:
        """Write what was added."""
        data = b"".join(line + b"\n" for line in self._lines)
        self._lines.clear()
        self._bytes = 0
        yield SpoolAppend(self.name, data, durable)


class LineReader:
    """Reads a work file line by line; a file that is not there has no lines.

    ``encoded`` is the record last read, as it stands in the file: who passes it on unchanged need not encode it.
    ``at_hand`` are the next lines, as far as they were read already: who takes one off its left has read it.
    """

    def __init__(self, name: str) -> None:
        self.encoded = b""
        self.at_hand: deque[bytes] = deque()
        self._name = name
        self._offset = 0
        self._rest = b""

    def ready(self) -> bytes | None:
        """The next line if it was read already, without a procedure; otherwise ``next`` has it."""
        return self.at_hand.popleft() if self.at_hand else None

    def next(self) -> Procedure:
        """The next line, or None at the end; a torn last line is not one."""
        if not self.at_hand:
            yield from self.fill()
        return self.at_hand.popleft() if self.at_hand else None

    def fill(self) -> Procedure:
        """Have the next line at hand, unless there is none."""
        while not self.at_hand:
            data = yield SpoolRead(self._name, self._offset, PIECE_BYTES)
            if not data:
                return
            self._offset += len(data)
            *lines, self._rest = (self._rest + data).split(b"\n")
            if len(self._rest) > LONGEST_LINE_BYTES:
                raise damaged(self._name, f"a line of more than {LONGEST_LINE_BYTES} bytes")
            self.at_hand.extend(lines)

    def record(self) -> Procedure:
        """The next record, or None at the end."""
        line = yield from self.next()
        if line is None:
            return None
        self.encoded = line
        return self._decoded(line)

    def keyed(self) -> Procedure:
        """The next (key, record), or None at the end."""
        line = yield from self.next()
        if line is None:
            return None
        key, _, self.encoded = line.partition(b" ")
        return key, self._decoded(self.encoded)

    def _decoded(self, line: bytes) -> Any:
        try:
            record = decode(line)
        except (ValueError, RecursionError) as error:
            raise damaged(self._name, f"{line[:80]!r} is not a record") from error
        if not isinstance(record, dict):
            raise damaged(self._name, f"{line[:80]!r} is not a record")
        return record

    def window(self, size: int) -> Procedure:
        """The next records, at most ``size`` of them; an empty list at the end."""
        records: list[Any] = []
        while len(records) < size:
            record = yield from self.record()
            if record is None:
                break
            records.append(record)
        return records


def damaged(name: str, what: str) -> OperationFailed:
    """The failure of a file, here or on a cluster, that cannot be what an agent wrote."""
    return OperationFailed(
        "LINES_DAMAGED",
        f"{name}: {what}",
        remedy="Nothing is done by what it says. Look who writes below /.understudy, then start the run again.",
        detail={"file": name},
    )


def for_each(name: str, step: Callable[[Any], Procedure], limit: int, window: int = 1000) -> Procedure:
    """Run ``step(record)`` for every record of a work file, ``limit`` at once, with one window of them in memory."""
    reader = LineReader(name)
    while True:
        records: Iterable[Any] = yield from reader.window(window)
        if not records:
            return
        yield Together((step(record) for record in records), limit, keep_results=False)
