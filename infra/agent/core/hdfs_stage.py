"""Stage what a plan needs: directories, files, joined pieces of large files; each checked where it lies.

The modification time is set last on every staged file. So a file whose length and time are the wanted ones was
finished, by this agent or an earlier one of the same run: staging itself is the journal, and it needs no memory. Such a
file is proved again, never copied again.

A proof is the stored checksum of the staged file, equal to that of the source. It depends on how the blocks are cut;
where the source's blocks cannot be reproduced (other bytes per checksum, a file that was itself concatenated) both
files are read and hashed, and the hash takes the checksum's place.

What staging finds out about entries is left in the work file ``details``, for the manifest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

from infra.agent.core import hdfs
from infra.agent.core.hdfs import StoragePolicy
from infra.agent.core.hdfs_asking import (
    BY_BYTES,
    ask_acl,
    ask_checksum,
    ask_extended_attributes,
    checksum_by_bytes,
    identify,
    stored_checksum,
)
from infra.agent.core.hdfs_compare import Side
from infra.agent.core.hdfs_entries import Entry, below
from infra.agent.core.hdfs_manifest import details_line
from infra.agent.core.lines import LineReader, LineWriter, for_each
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.meter import Meter
from infra.agent.core.operations import CopyRange, OperationFailed
from infra.agent.core.refusals import FOR_GOOD, about
from infra.agent.core.unreadable import refuse_unreadable

DEFAULT_PIECE_BYTES = 64 << 20
PIECES_LIMIT = 64
TRIES = 2
DIRECTORIES_AT_ONCE = 32
OWNER_ONLY = "700"
WINDOW = 1000


@dataclass(frozen=True)
class Staging:
    """Where to stage, from where, and how.

    ``root`` is the staging directory on site ``target``. ``policies`` are the target's storage policies by id.
    ``prefix`` begins the names of the work files. Pieces of large files have about ``piece_bytes``.
    """

    target: str
    root: str
    source: Side
    prefix: str
    workers: int
    policies: dict[int, StoragePolicy]
    meter: Meter
    resumed: bool
    piece_bytes: int = DEFAULT_PIECE_BYTES

    def path(self, relative: str) -> str:
        """An absolute path in staging."""
        return below(self.root, relative)


def make_directories(target: str, prepared: str, prefix: str, policies: dict[int, StoragePolicy]) -> Procedure:
    """Make the directories of the new subtrees below ``prepared``.

    Storage policies are set at once: they decide where the files' blocks go. But one that has no fallback (COLD) is set
    when its files are there: a cluster that lacks such media, as the source may do itself, could not take them at all.
    Where it has them, HDFS's mover brings the blocks there, as it does whenever that policy is set later.
    """

    def make(entry: Entry) -> Procedure:
        path = below(prepared, entry["path"])
        yield from hdfs.make_directory(target, path, OWNER_ONLY)
        if "s" in entry and policy_of(policies, entry).has_fallback:
            yield from hdfs.set_storage_policy(target, path, policy_of(policies, entry).name)

    yield from for_each(prefix + "directories", make, DIRECTORIES_AT_ONCE)


def fill(staging: Staging) -> Procedure:
    """Copy and check every file, then finish the directories; writes ``details``.

    Not before: a default ACL would be inherited by what is created below, and every creation changes the time.
    """
    found = LineWriter(staging.prefix + "details")
    yield from found.begin()
    for name in ("replaced", "copies"):
        yield from _each(staging, name, lambda entry: _stage_file(staging, entry, found), staging.workers)
    yield from _each(staging, "directories", lambda e: _finish_directory(staging, e, found), DIRECTORIES_AT_ONCE)
    yield from found.end()


def _each(staging: Staging, name: str, step: Callable[[Entry], Procedure], limit: int) -> Procedure:
    """Run a step for all entries of a work file; of new ones the extended attributes are asked before, many at once."""
    reader = LineReader(staging.prefix + name)
    while True:
        entries: list[Entry] = yield from reader.window(WINDOW)
        if not entries:
            return
        if name != "directories":
            yield from identify(staging.source, entries)
        if name != "replaced":
            yield from ask_extended_attributes(staging.source, entries)
            refuse_unreadable(entries)
        yield Together((_named(entry, step) for entry in entries), limit, keep_results=False)


def _named(entry: Entry, step: Callable[[Entry], Procedure]) -> Procedure:
    """What is refused for good is told with the file of the source that it is about."""
    try:
        yield from step(entry)
    except OperationFailed as failure:
        if failure.code not in FOR_GOOD:
            raise
        raise about(failure, entry["p"], "the secondary refuses what it is to be given") from failure


def _finish_directory(staging: Staging, entry: Entry, found: LineWriter) -> Procedure:
    """Give a directory its attributes and its time, when nothing will be put into it any more."""
    yield from ask_acl(staging.source, entry)
    yield from found.write(details_line(entry))
    path = staging.path(entry["path"])
    if "s" in entry and not policy_of(staging.policies, entry).has_fallback:
        yield from hdfs.set_storage_policy(staging.target, path, policy_of(staging.policies, entry).name)
    if entry["p"]:
        yield from set_attributes(staging.target, path, entry, entry["x"])
        yield from hdfs.set_modification_time(staging.target, path, entry["m"])


def _stage_file(staging: Staging, entry: Entry, found: LineWriter) -> Procedure:
    yield from _place(staging, entry)
    yield from found.write(details_line(entry))


def _place(staging: Staging, entry: Entry) -> Procedure:
    path = staging.path(entry["path"])
    if "c" not in entry:  # of what is new nothing is known yet
        yield from ask_acl(staging.source, entry)
    if staging.resumed:
        found = yield from hdfs.status(staging.target, path)
        is_finished = found is not None and (found["length"], found["modificationTime"]) == (entry["l"], entry["m"])
        if is_finished and (yield from _is_proved(staging, entry, path)):
            yield from staging.meter.add(entry["l"], 1)
            return
    for number in range(TRIES):
        yield from _copy(staging, entry, path, reuse=staging.resumed and number == 0)
        if (yield from _is_proved(staging, entry, path)):
            break
        yield from staging.meter.add(-entry["l"], 0)
    else:
        raise OperationFailed(
            "COPY_DAMAGED",
            f"{entry['p']} arrives with other bytes than it was sent with, {TRIES} times",
            remedy="Check the network and the DataNodes between the clusters.",
            detail={"path": entry["p"]},
        )
    yield from set_attributes(staging.target, path, entry, None)
    if "s" in entry:
        yield from hdfs.set_storage_policy(staging.target, path, policy_of(staging.policies, entry).name)
    yield from hdfs.set_modification_time(staging.target, path, entry["m"])
    yield from staging.meter.add(0, 1)


def _copy(staging: Staging, entry: Entry, path: str, reuse: bool) -> Procedure:
    """Copy a file, large ones in pieces that are joined; with ``reuse`` pieces that are there already are taken."""
    length: int = entry["l"]
    piece_bytes = _piece_bytes(staging, entry)
    if length <= piece_bytes:
        told = yield from _copy_range(staging, entry, path, 0, length)
        if told is not None and "c" not in entry and not entry.get("f"):
            entry["c"] = told
        return
    found = yield from hdfs.status(staging.target, path)
    if found is not None and found["length"] == length and reuse:
        yield from staging.meter.add(length, 0)
        return  # joined already; the proof tells whether rightly
    if found is not None:
        yield from hdfs.delete(staging.target, path)
    # HDFS joins only files of one directory, so that is done among the pieces.
    names = [staging.path(f"pieces/{entry['n']}-{number}") for number in range(-(-length // piece_bytes))]
    joined = (yield from hdfs.status(staging.target, names[0])) if reuse else None
    if joined is None or joined["length"] != length:
        pieces = (
            _copy_piece(
                staging, entry, name, number * piece_bytes, min(piece_bytes, length - number * piece_bytes), reuse
            )
            for number, name in enumerate(names)
        )
        yield Together(pieces, staging.workers, keep_results=False)
        yield from hdfs.concatenate(staging.target, names[0], names[1:], length)
    else:
        yield from staging.meter.add(length, 0)
    yield from hdfs.rename(staging.target, names[0], path)


def _copy_piece(staging: Staging, entry: Entry, name: str, offset: int, size: int, reuse: bool) -> Procedure:
    there = (yield from hdfs.status(staging.target, name)) if reuse else None
    if there is not None and there["length"] == size:
        yield from staging.meter.add(size, 0)
    else:
        yield from _copy_range(staging, entry, name, offset, size)


def _piece_bytes(staging: Staging, entry: Entry) -> int:
    """Pieces of whole blocks, about as large as wanted, and never very many."""
    block: int = entry["b"]
    length: int = entry["l"]
    wanted = max(staging.piece_bytes, -(-length // PIECES_LIMIT))
    return -(-wanted // block) * block


def _copy_range(staging: Staging, entry: Entry, path: str, offset: int, size: int) -> Procedure:
    operation = CopyRange(
        source=staging.source.site,
        source_path=below(staging.source.root, entry["p"]),
        offset=offset,
        length=size,
        target=staging.target,
        target_path=path,
        block_size=entry["b"],
        replication=entry["r"],
        permission=entry["x"],
    )

    def once() -> Procedure:
        return (yield operation)

    try:
        copied = yield from hdfs.persist(once)
    except OperationFailed as failure:
        failure.detail.setdefault("path", entry["p"])
        raise
    yield from staging.meter.add(size, 0)
    return copied.get("checksum")


def _is_proved(staging: Staging, entry: Entry, path: str) -> Procedure:
    """Tell whether the staged file holds the source's bytes; where only bytes prove it, their hash becomes ``c``."""
    if entry["l"] == 0:
        return True
    if "c" not in entry:
        yield from ask_checksum(staging.source, entry)
    wanted: str = entry["c"]
    if not wanted.startswith(BY_BYTES) and (yield from stored_checksum(staging.target, path)) == wanted:
        return True
    found = yield from checksum_by_bytes(staging.target, path, entry["l"])
    if wanted.startswith(BY_BYTES):
        return found == wanted
    source = below(staging.source.root, entry["p"])
    if found != (yield from checksum_by_bytes(staging.source.site, source, entry["l"])):
        return False
    entry["c"] = found
    return True


def set_attributes(site: str, path: str, entry: dict[str, Any], mode: str | None) -> Procedure:
    """Set owner, group, mode (unless None: it is right), ACL and extended attributes of something that has none yet."""
    yield from hdfs.set_owner(site, path, entry["o"], entry["g"])
    if entry.get("a"):
        yield from hdfs.set_acl(site, path, hdfs.full_acl(entry["a"], entry["x"]))
    if mode is not None:
        yield from hdfs.set_permission(site, path, mode)
    for name, value in sorted(entry.get("e", {}).items()):
        yield from hdfs.set_extended_attribute(site, path, name, value)


def policy_of(policies: dict[int, StoragePolicy], entry: Entry) -> StoragePolicy:
    """An entry's storage policy on the target cluster."""
    if entry["s"] not in policies:
        raise OperationFailed(
            "NO_STORAGE_POLICY",
            f"{entry['p']} has the storage policy {entry['s']}, which the secondary does not know",
            remedy="Define the same storage policies on both clusters.",
        )
    return policies[entry["s"]]
