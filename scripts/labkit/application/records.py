"""A record: a line of a file or the value of a row, whose content follows from its number and its size.

So the log needs only the two numbers, and a reader can tell a damaged record from a whole one.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

_HEAD = re.compile(rb"(\d{10}) (\d{7}) ")
OVERHEAD_BYTES = 20  # number, blank, size, blank, line feed


class Record(NamedTuple):
    """``sequence`` is the number of the operation that wrote it; ``size`` counts all its bytes, line feed included."""

    sequence: int
    size: int


class DamagedRecord(Exception):
    """Bytes that no operation wrote; the message says where they begin."""


def render(record: Record) -> bytes:
    """The record's bytes: ASCII, one line."""
    assert record.size >= OVERHEAD_BYTES, "a record has room for its own numbers"
    seed = hashlib.sha256(b"%d" % record.sequence).hexdigest().encode()
    filling = record.size - OVERHEAD_BYTES
    payload = (seed * (filling // len(seed) + 1))[:filling]
    return b"%010d %07d %s\n" % (record.sequence, record.size, payload)


def parse(content: bytes, *, may_be_torn: bool = False) -> tuple[Record, ...]:
    """The records of a file or of a value; raises DamagedRecord.

    ``may_be_torn`` drops an incomplete last record, as in a file that was copied while it was being written.
    """
    records: list[Record] = []
    position = 0
    while position < len(content):
        head = _HEAD.match(content, position)
        record = Record(int(head[1]), int(head[2])) if head else None
        end = position + record.size if record else len(content)
        if record is None or record.size < OVERHEAD_BYTES or content[position:end] != render(record):
            if may_be_torn and _is_torn(content[position:], record):
                break
            raise DamagedRecord(
                f"after {len(records)} records, at byte {position}: {content[position : position + 40]!r}"
            )
        records.append(record)
        position = end
    return tuple(records)


def _is_torn(rest: bytes, record: Record | None) -> bool:
    if record is None:
        return len(rest) < OVERHEAD_BYTES - 1
    return len(rest) < record.size and render(record).startswith(rest)
