"""Copy one store file into staging and prove it there; large ones in parallel pieces that are joined.

Staging is the journal: a file under its final name in it is whole; it is proved again, never copied again. The proof is
the stored checksum, equal to that of the source; where the source's blocks cannot be reproduced both files are read and
hashed, and that hash takes the checksum's place in the manifest.
"""

from __future__ import annotations

from typing import NamedTuple

from infra.agent.core import hdfs
from infra.agent.core.hbase_entries import Entry
from infra.agent.core.hbase_files import Found, follow
from infra.agent.core.hdfs_asking import BY_BYTES, checksum_by_bytes
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.meter import Meter
from infra.agent.core.operations import CopyRange, OperationFailed
from infra.agent.core.work import PRIMARY, SECONDARY

PIECES_LIMIT = 64
TRIES = 2


class Staging(NamedTuple):
    """``root`` is the data set's staging on the secondary; ``source_root`` is HBase's root on the primary."""

    root: str
    source_root: str
    workers: int
    piece_bytes: int
    meter: Meter

    def staged(self, number: int) -> str:
        """Where the store file of an ordinal is staged."""
        return staged_file(self.root, number)


def staged_file(root: str, number: int) -> str:
    """Where the store file of an ordinal is staged."""
    return f"{root}/files/{number}"


def stage_file(staging: Staging, number: int, entry: Entry, found: Found) -> Procedure:
    """Stage one file; returns the checksum that takes the place of the source's stored one, or None."""
    path = staging.staged(number)
    copied = yield from _has_length(path, entry["l"])
    if copied:
        yield from staging.meter.add(entry["l"], 0)
    for _ in range(TRIES):
        if not copied:
            yield from _copy(staging, number, entry, found)
        proof = yield from _proof(staging, entry, found, path)
        if proof is not None:
            yield from staging.meter.add(0, 1)
            return proof or None
        yield from hdfs.delete(SECONDARY, path)
        yield from staging.meter.add(-entry["l"], 0)
        copied = False
    raise OperationFailed(
        "COPY_DAMAGED",
        f"{entry['p']} arrives with other bytes than it was sent with, {TRIES} times",
        remedy="Check the network and the DataNodes between the clusters.",
        detail={"path": entry["p"]},
    )


def _copy(staging: Staging, number: int, entry: Entry, found: Found) -> Procedure:
    length: int = entry["l"]
    path = staging.staged(number)
    size = piece_size(staging.piece_bytes, length, entry["b"])
    if length <= size:
        yield from _copy_range(staging, entry, found, path, 0, length)
        return
    names = [f"{staging.root}/pieces/{number}-{piece}" for piece in range(-(-length // size))]

    def copy_piece(piece: int) -> Procedure:
        offset = piece * size
        piece_length = min(size, length - offset)
        if (yield from _has_length(names[piece], piece_length)):
            yield from staging.meter.add(piece_length, 0)  # the proof of the whole tells whether rightly
        else:
            yield from _copy_range(staging, entry, found, names[piece], offset, piece_length)

    if not (yield from _has_length(names[0], length)):
        yield Together((copy_piece(piece) for piece in range(len(names))), staging.workers, keep_results=False)
        yield from hdfs.concatenate(SECONDARY, names[0], names[1:], length)
    # Joined elsewhere, so that a file under its final name is always whole.
    yield from hdfs.rename(SECONDARY, names[0], path)


def piece_size(wanted_bytes: int, length: int, block_bytes: int) -> int:
    """Pieces of whole blocks, about as large as wanted, and never very many."""
    wanted = max(wanted_bytes, -(-length // PIECES_LIMIT))
    return -(-wanted // block_bytes) * block_bytes


def _copy_range(staging: Staging, entry: Entry, found: Found, target: str, offset: int, length: int) -> Procedure:
    def copy_from(path: str) -> Procedure:
        operation = CopyRange(
            source=PRIMARY,
            source_path=path,
            offset=offset,
            length=length,
            target=SECONDARY,
            target_path=target,
            block_size=entry["b"],
            replication=entry["r"],
            permission=entry["x"],
        )

        def once() -> Procedure:
            return (yield operation)

        return (yield from hdfs.persist(once))

    try:
        yield from follow(PRIMARY, staging.source_root, found, copy_from)
    except OperationFailed as failure:
        failure.detail.setdefault("path", entry["p"])
        if "QuotaExceeded" in hdfs.exception_of(failure):
            failure.code = "NO_SPACE"
            failure.remedy = "Raise the quota of the secondary's staging directory, or make room on the secondary."
        raise
    yield from staging.meter.add(length, 0)


def _proof(staging: Staging, entry: Entry, found: Found, path: str) -> Procedure:
    """None: other bytes. "": the stored checksums agree. Else: the hash of both files' bytes."""
    if entry["l"] == 0:
        return ""
    wanted: str = entry["c"]
    if (yield from hdfs.checksum(SECONDARY, path)) == wanted:
        return ""
    try:
        staged = yield from checksum_by_bytes(SECONDARY, path, entry["l"])
    except OperationFailed as failure:
        if failure.code != "SOURCE_DAMAGED":
            raise
        return None  # a block of the copy does not fit its checksums
    if wanted.startswith(BY_BYTES):
        return "" if staged == wanted else None
    source = yield from follow(
        PRIMARY, staging.source_root, found, lambda there: checksum_by_bytes(PRIMARY, there, entry["l"])
    )
    return staged if staged == source else None


def _has_length(path: str, length: int) -> Procedure:
    status = yield from hdfs.status(SECONDARY, path)
    return status is not None and status["length"] == length
