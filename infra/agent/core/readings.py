"""What was read of the copies, and when: so that every byte of the newest recovery point is read within so many days.

A block that rots on the secondary shows in no listing and in no stored checksum; reading it is the only way to find out
(a DataNode does not give bytes that do not fit its checksums). So each run reads a part of what stands there: each file
has an instant of its own in every period of four fifths of ``read_days``, and the first run after it reads the file.
The last fifth is for runs that come late, and for what a run puts off: it never reads more than ``read_percent`` of a
data set's bytes for this purpose (at least ``LEAST_BYTES``, or a small copy would never be through). Where that is not
enough a file is read in pieces over several runs, the next run goes on where this one has stopped, and what has been
waiting for longer than ``read_days`` is told (``overdue``).

The memory is one small file for each data set on the secondary: when each inode was read as a whole, or when it was
first seen. An inode keeps its bytes: what a run copies is a new one. Losing the file loses no truth: everything counts
as never read then, and is read again within the time. What is read is one replica of each block.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from array import array
from bisect import bisect_right
from typing import Any

from infra.agent.core import hdfs
from infra.agent.core.machine import Procedure
from infra.agent.core.markers import write_file
from infra.agent.core.operations import Now, OperationFailed, ReadFile
from infra.agent.core.staging import PRIVATE
from infra.agent.core.work import ROOT, SECONDARY, Work
from infra.agent.protocol import canonical

READ = f"{ROOT}/read"
LEAST_BYTES = 64 << 20
MINUTE_MS = 60_000
DAY_MINUTES = 1_440
_BUCKETS = 64
_BYTEORDER = "little" if array("H", [1]).tobytes() == b"\1\0" else "big"
_MINUTE_BITS = 26
_READ_BIT = 1 << _MINUTE_BITS
_INODE_SHIFT = _MINUTE_BITS + 1
_INODE_MASK = (1 << 37) - 1


class Readings:
    """What is known of one data set's files; asked once for each file, in the order of the manifest."""

    def __init__(self, work: Work, data_set: dict[str, Any]) -> None:
        self._path = f"{READ}/{data_set['id']}"
        self._days: int = work.payload.get("read_days", 0)
        self._percent: int = work.payload.get("read_percent", 0)
        self._known = [array("Q") for _ in range(_BUCKETS)]
        self._new = [array("Q") for _ in range(_BUCKETS)]
        self._partial: list[int] | None = None
        self._resume = b""
        self._next_partial: list[int] | None = None
        self._next_resume: bytes | None = None
        self._bad: set[int] = set()
        self._now = 0
        self._left = 0
        self._oldest: int | None = None
        self._all = [0, 0]
        self._never = [0, 0]
        self._due = [0, 0]
        self._overdue = [0, 0]

    def begin(self, total_bytes: int) -> Procedure:
        """Fetch what is known; ``total_bytes`` is what the data set has."""
        if not self._days:
            return
        self._now = int((yield Now()) // MINUTE_MS)
        self._left = max(total_bytes * self._percent // 100, LEAST_BYTES)
        if (yield from hdfs.status(SECONDARY, self._path)) is None:
            return
        try:
            content = yield ReadFile(SECONDARY, self._path)
        except OperationFailed as failure:
            if not failure.is_final:
                raise
            return  # it is lost, and so written anew: nothing must fail for ever because of it
        self._load(content)

    def turn(self, key: bytes, inode: int, length: int, is_read_anyway: bool) -> tuple[int, int] | None:
        """The offset and number of bytes of a file that are to be read now; None for nothing.

        ``key`` grows from file to file. What is read anyway, as a whole, takes nothing of the share.
        """
        if not self._days:
            return None
        inode &= _INODE_MASK
        is_read, at = self._recall(inode)
        self._count(self._all, length)
        if not length:
            return None
        self._remember(inode, is_read, at)
        if not is_read:
            self._count(self._never, length)
        if is_read_anyway:
            return None
        offset = self._partial[1] if self._partial is not None and self._partial[0] == inode else 0
        if not offset and at >= self._newest_turn(inode):
            self._keep(is_read, at)
            return None
        if (not offset and key <= self._resume) or self._left <= 0 or offset >= length:
            self._put_off(is_read, at, length, key)
            return None
        count = min(length - offset, self._left)
        self._left -= count
        if offset + count < length:
            self._put_off(is_read, at, length, key)
        return offset, count

    def done(self, inode: int, length: int, offset: int = 0, count: int | None = None) -> None:
        """Bytes of a file were read and found right; all of them where ``count`` is None."""
        if not self._days or not length:
            return
        inode &= _INODE_MASK
        since = self._now
        if offset and self._partial is not None:
            since = min(since, self._partial[2])
        end = length if count is None else offset + count
        if end < length:
            self._next_partial = [inode, end, since]
            return
        if not self._recall(inode)[0]:
            self._never = [self._never[0] - 1, self._never[1] - length]
        self._remember(inode, True, since)
        self._keep(True, since)

    def failed(self, inode: int) -> None:
        """Bytes of a file could not be read: it counts as never read."""
        self._bad.add(inode & _INODE_MASK)

    def record(self) -> Procedure:
        """Keep what is known from now on."""
        if not self._days:
            return
        buckets = [self._cleaned(bucket) for bucket in self._new]
        body = zlib.compress(b"".join(bucket.tobytes() for bucket in buckets), 1)
        head = {
            "byteorder": _BYTEORDER,
            "counts": [len(bucket) for bucket in buckets],
            "partial": self._next_partial,
            "resume": (self._next_resume or b"").hex(),
            "sha256": hashlib.sha256(body).hexdigest(),
        }
        yield from hdfs.make_directory(SECONDARY, READ, PRIVATE)
        yield from write_file(SECONDARY, self._path, canonical(head) + b"\n" + body)

    def told(self) -> dict[str, Any] | None:
        """What the result says; files with bytes only are counted as never read, put off and overdue."""
        if not self._days:
            return None
        return {
            "days": self._days,
            "percent": self._percent,
            **_pair("", self._all),
            **_pair("never_", self._never),
            **_pair("due_", self._due),
            **_pair("overdue_", self._overdue),
            "oldest_ms": None if self._oldest is None else self._oldest * MINUTE_MS,
        }

    def _count(self, sums: list[int], length: int) -> None:
        sums[0] += 1
        sums[1] += length

    def _keep(self, is_read: bool, at: int) -> None:
        if is_read:
            self._oldest = at if self._oldest is None else min(self._oldest, at)

    def _put_off(self, is_read: bool, at: int, length: int, key: bytes) -> None:
        """It is a file's turn, and it has to wait for the next run."""
        self._keep(is_read, at)
        self._count(self._due, length)
        if self._now - at > self._days * DAY_MINUTES:
            self._count(self._overdue, length)
        if self._left <= 0 and self._next_resume is None:
            self._next_resume = key if key > self._resume else self._resume

    def _newest_turn(self, inode: int) -> int:
        """The newest minute, up to now, at which it was the file's turn to be read."""
        period = self._days * DAY_MINUTES * 4 // 5
        drawn = hashlib.sha256(f"read {inode}".encode("ascii")).digest()
        return self._now - (self._now - int.from_bytes(drawn[:8], "big") % period) % period

    def _recall(self, inode: int) -> tuple[bool, int]:
        """Whether it was read, and when; or when it was first seen. What is new, or from the future, is seen now."""
        bucket = self._known[inode % _BUCKETS]
        position = bisect_right(bucket, (inode << _INODE_SHIFT) | (_READ_BIT << 1) - 1) - 1
        if position < 0 or bucket[position] >> _INODE_SHIFT != inode:
            return False, self._now
        minutes = bucket[position] & (_READ_BIT - 1)
        if minutes > self._now:
            return False, self._now
        return bool(bucket[position] & _READ_BIT), minutes

    def _remember(self, inode: int, is_read: bool, at: int) -> None:
        packed = (inode << _INODE_SHIFT) | (_READ_BIT if is_read else 0) | at
        self._new[inode % _BUCKETS].append(packed)

    def _cleaned(self, bucket: array[int]) -> array[int]:
        """Sorted, the newest of each inode alone, and nothing that is damaged."""
        kept = array("Q")
        for packed in sorted(bucket):
            if packed >> _INODE_SHIFT in self._bad:
                continue
            if kept and kept[-1] >> _INODE_SHIFT == packed >> _INODE_SHIFT:
                kept[-1] = packed
            else:
                kept.append(packed)
        return kept

    def _load(self, content: bytes) -> None:
        """Take what an earlier verification has kept; anything torn or of another form counts as nothing."""
        line, _, body = content.partition(b"\n")
        try:
            head = json.loads(line.decode("utf-8"))
            if head["byteorder"] != _BYTEORDER or head["sha256"] != hashlib.sha256(body).hexdigest():
                return
            counts, partial, resume = head["counts"], head["partial"], bytes.fromhex(head["resume"])
            whole = array("Q")
            whole.frombytes(zlib.decompress(body))
        except (ValueError, KeyError, TypeError, zlib.error):
            return
        begin = 0
        for bucket, count in zip(self._known, counts):
            bucket.extend(whole[begin : begin + count])
            begin += count
        self._partial, self._resume = partial, resume


def _pair(prefix: str, sums: list[int]) -> dict[str, int]:
    return {f"{prefix}files": sums[0], f"{prefix}bytes": sums[1]}
