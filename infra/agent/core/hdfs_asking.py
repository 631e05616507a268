"""Ask for what a listing does not show of an entry: its checksum ``c``, its ACL ``a``, its extended attributes ``e``.

ACLs only where the listing has the ACL bit. Extended attributes have no bit, so every entry is asked, many of them in
one operation. A file that was open at the cut has no usable stored checksum; its first ``l`` bytes are hashed instead.
"""

from __future__ import annotations

from typing import Iterable, Iterator, Sequence

from infra.agent.core import hdfs
from infra.agent.core.hdfs_compare import Side
from infra.agent.core.hdfs_entries import FILE, Entry, below
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.operations import DigestFile, OperationFailed

BY_BYTES = "SHA-256"
PATHS_AT_ONCE = 125
BLOCKS_AT_ONCE = 1000  # a very large file is told alone
BATCHES_AT_ONCE = 8


def ask_extended_attributes(side: Side, entries: Sequence[Entry]) -> Procedure:
    """Give each entry ``e``, if it has any, and ``z`` True if the superuser may not read it."""
    batches = [entries[begin : begin + PATHS_AT_ONCE] for begin in range(0, len(entries), PATHS_AT_ONCE)]
    asked = (
        hdfs.extended_attributes_of(side.site, tuple(below(side.root, entry["p"]) for entry in batch), marks=True)
        for batch in batches
    )
    answers = yield Together(asked, BATCHES_AT_ONCE)
    for batch, found in zip(batches, answers):
        for entry, attributes in zip(batch, found):
            if attributes.pop(hdfs.UNREADABLE_MARK, None) is not None:
                entry["z"] = True
            if attributes:
                entry["e"] = attributes


def locate_ahead(side: Side, entries: Sequence[Entry]) -> Procedure:
    """Have the blocks of files looked up together that are asked for or copied next; only of those with one block."""
    paths = [below(side.root, entry["p"]) for entry in entries if 0 < entry["l"] <= entry["b"] and not entry.get("f")]
    batches = [tuple(paths[begin : begin + PATHS_AT_ONCE]) for begin in range(0, len(paths), PATHS_AT_ONCE)]
    yield Together((_locate(side.site, batch) for batch in batches), BATCHES_AT_ONCE, keep_results=False)


def _locate(site: str, paths: tuple[str, ...]) -> Procedure:
    yield hdfs.LocateAhead(site, paths)


def identify(side: Side, entries: Sequence[Entry]) -> Procedure:
    """Give each file that has contents ``B``, as far as that is told; those that are copied next are located by it."""
    batches = list(_batches(entry for entry in entries if entry["l"] > 0 and not entry.get("f") and _is_asked(entry)))
    requests = (hdfs.Identify(side.site, tuple(below(side.root, entry["p"]) for entry in batch)) for batch in batches)
    answers = yield Together((hdfs.ask(request) for request in requests), BATCHES_AT_ONCE)
    for batch, identities in zip(batches, answers):
        for entry, identity in zip(batch, identities):
            if identity is not None:
                entry["B"] = identity


def _is_asked(entry: Entry) -> bool:
    """Whether a file is not identified yet, or will be copied whole by what is told."""
    return "B" not in entry or bool(entry["l"] <= entry["b"])


def _batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    batch: list[Entry] = []
    blocks = 0
    for entry in entries:
        count = -(-entry["l"] // entry["b"])
        if batch and (len(batch) == PATHS_AT_ONCE or blocks + count > BLOCKS_AT_ONCE):
            yield batch
            batch, blocks = [], 0
        batch.append(entry)
        blocks += count
    if batch:
        yield batch


def ask_acl(side: Side, entry: Entry) -> Procedure:
    """Give an entry ``a``, if it has one."""
    if entry.get("A"):
        entry["a"] = yield from hdfs.acl_entries(side.site, below(side.root, entry["p"]))


def ask_checksum(side: Side, entry: Entry) -> Procedure:
    """Give a file ``c``; an empty one has none. A file that turns out to be open gets the mark ``f``.

    Of what HDFS stores no checksum of, the bytes are hashed.
    """
    if entry["t"] != FILE or entry["l"] == 0:
        return
    path = below(side.root, entry["p"])
    if not entry.get("f"):
        try:
            entry["c"] = yield from hdfs.checksum(side.site, path)
            return
        except OperationFailed as failure:
            if failure.code != hdfs.NO_CHECKSUM:
                if "under construction" not in failure.message:
                    raise
                entry["f"] = True
    entry["c"] = yield from checksum_by_bytes(side.site, path, entry["l"])


def stored_checksum(site: str, path: str) -> Procedure:
    """What HDFS stores about a file, None if that is nothing."""
    try:
        return (yield from hdfs.checksum(site, path))
    except OperationFailed as failure:
        if failure.code != hdfs.NO_CHECKSUM:
            raise
        return None


def checksum_by_bytes(site: str, path: str, length: int) -> Procedure:
    """A checksum that does not depend on blocks: it costs reading the file."""
    digest = yield DigestFile(site, path, length)
    return f"{BY_BYTES}:{digest['sha256']}"
