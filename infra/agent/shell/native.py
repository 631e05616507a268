"""A faster way for what is done for every file, where the cluster allows it: HDFS's own protocols in place of WebHDFS.

WebHDFS makes a DataNode open a client of its own for each file. Here blocks go from DataNode to DataNode, and requests
to the NameNode are a tenth as dear (docs/decisions/0015). Nothing depends on it: whatever is not plain (encryption,
striping, files that are open, irregular blocks, credentials other than names, ports that cannot be reached), and
whatever fails, is done over WebHDFS, which knows how to try again and what to call a failure; but for a rename whose
answer was lost, which whoever wanted it probes first. A site where it fails
again and again is left alone for a while.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
import threading
import time
from collections import OrderedDict
from dataclasses import replace
from typing import Any, Callable, Sequence, TypeVar

from infra.agent.core.hdfs import EncryptionZones, ExtendedAttributes, FileChecksum, Identify, ListPage, LocateAhead
from infra.agent.core.operations import CopyRange, HdfsCall, OperationFailed
from infra.agent.core.protobuf import ProtobufError
from infra.agent.shell.block_transfer import BlockFailed, BlockSum, BlockTransfers, NoChecksums
from infra.agent.shell.hadoop_rpc import RpcFailed
from infra.agent.shell.namenode_rpc import WHOLE, LocatedBlock, LocatedFile, NameNodeRpc, with_length

FAILURES_IN_A_ROW = 3
LEFT_ALONE_SECONDS = 60.0
CLOSE_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 0.002
LONGEST_PAUSE_SECONDS = 0.2
RENEW_SECONDS = 20.0
CRC_NAMES = {1: "CRC32", 2: "CRC32C"}
REMEMBERED_FILES = 4096
REMEMBERED_SECONDS = 60.0
WEBHDFS_BYTES = 32  # WebHDFS tells the 28 bytes of a checksum with 4 of nothing behind
SNAPSHOT = "/.snapshot/"

Result = TypeVar("Result")


class NotThisWay(Exception):
    """It has to be done over WebHDFS; the text says why."""


class Native:
    """Does over HDFS's own protocols what it can, and the rest by the given ways over WebHDFS."""

    def __init__(
        self,
        rpc: NameNodeRpc,
        blocks: BlockTransfers,
        client: str,
        cancelled: threading.Event,
        log: Callable[[str], None],
    ) -> None:
        self._rpc = rpc
        self._blocks = blocks
        self._client = client
        self._cancelled = cancelled
        self._log = log
        self._lock = threading.Lock()
        self._failures: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self._numbers = itertools.count(1)
        self._located: OrderedDict[tuple[str, str], tuple[float, LocatedFile]] = OrderedDict()

    def or_else(self, way: Callable[[Any], Result], other: Callable[[Any], Result]) -> Callable[[Any], Result]:
        """A way that falls back to another one."""

        def perform(operation: Any) -> Result:
            sites = _sites_of(operation)
            if any(time.monotonic() < self._not_before.get(site, 0.0) for site in sites):
                return other(operation)
            try:
                result = way(operation)
            except (NotThisWay, NoChecksums):
                return other(operation)
            except (RpcFailed, BlockFailed, ProtobufError) as error:
                if getattr(error, "exception", "") not in ("", "StandbyException"):
                    return other(operation)  # the NameNode was asked and has refused this: the way itself is good
                self._failed(sites, f"{operation!r:.200}: {error}")
                if isinstance(error, RpcFailed) and _may_be_done_already(operation, error):
                    reason = f"{operation.op} {operation.path}: {error}"
                    raise OperationFailed("HDFS_UNREACHABLE", reason, unknown=True, transient=True) from error
                return other(operation)
            for site in sites:
                self._failures.pop(site, None)
            return result

        return perform

    def _failed(self, sites: tuple[str, ...], reason: str) -> None:
        with self._lock:
            for site in sites:
                self._failures[site] = self._failures.get(site, 0) + 1
            given_up = [site for site in sites if self._failures[site] >= FAILURES_IN_A_ROW]
            for site in given_up:
                self._failures.pop(site)
                self._not_before[site] = time.monotonic() + LEFT_ALONE_SECONDS
        if given_up:
            self._log(f"{', '.join(given_up)}: WebHDFS alone for {LEFT_ALONE_SECONDS:.0f} s, because {reason}")

    def call(self, operation: HdfsCall) -> dict[str, Any]:
        """What a copy asks of every file and directory, as WebHDFS does it."""
        given = dict(operation.params)
        site, path = operation.site, operation.path
        if operation.user != "hdfs":
            raise NotThisWay(operation.user)
        if operation.op == "MKDIRS" and "permission" in given:
            return {"boolean": self._rpc.make_directory(site, path, int(given["permission"], 8))}
        if operation.op == "SETPERMISSION":
            self._rpc.set_permission(site, path, int(given["permission"], 8))
        elif operation.op == "SETOWNER":
            self._rpc.set_owner(site, path, given.get("owner", ""), given.get("group", ""))
        elif operation.op == "SETACL":
            self._rpc.set_acl(site, path, given["aclspec"])
        elif operation.op == "REMOVEACL":
            self._rpc.remove_acl(site, path)
        elif operation.op == "REMOVEDEFAULTACL":
            self._rpc.remove_default_acl(site, path)
        elif operation.op == "RENAME" and given.get("renameoptions") == "NONE":
            self._rpc.rename(site, path, given["destination"])
        elif operation.op == "SETTIMES" and given["accesstime"] == "-1":
            self._rpc.set_times(site, path, int(given["modificationtime"]))
        else:
            raise NotThisWay(operation.op)
        return {}

    def extended_attributes(self, operation: ExtendedAttributes) -> list[list[dict[str, str]]]:
        """Those of many paths."""
        return self._rpc.extended_attributes(operation.site, operation.paths)

    def list_page(self, operation: ListPage) -> dict[str, Any]:
        """A page of a directory's listing with the files' blocks."""
        return self._rpc.list_page(operation.site, operation.path, operation.start_after)

    def encryption_zones(self, operation: EncryptionZones) -> list[str]:
        """Those of a whole cluster."""
        return self._rpc.encryption_zones(operation.site)

    def locate_ahead(self, operation: LocateAhead) -> None:
        """Find out where the blocks of many files are, for whoever copies them or asks for their checksums next."""
        self._locate_all(operation.site, operation.paths)

    def identify(self, operation: Identify) -> list[str | None]:
        """The same, and tell the identities of the contents."""
        return [found.contents for found in self._locate_all(operation.site, operation.paths)]

    def _locate_all(self, site: str, paths: Sequence[str]) -> list[LocatedFile]:
        located = self._rpc.locate_many(site, paths)
        for path, found in zip(paths, located):
            if len(found.blocks) == 1:  # larger ones may be copied in pieces
                self._remember(site, path, found)
        return located

    def checksum(self, operation: FileChecksum) -> str:
        """The stored checksum of a file as "algorithm:hex", made of those of its blocks as HDFS's client does."""
        located = self._locate(operation.site, operation.path, 0, WHOLE)
        if not located.is_plain or not located.blocks:
            raise NotThisWay("not plain, or empty")
        if SNAPSHOT in operation.path:
            self._remember(operation.site, operation.path, located)  # it does not change, and will be copied
        left, sums = located.length, []
        for block in located.blocks:
            length = min(block.length, left)
            sums.append(self._blocks.checksum(operation.site, block, length))
            left -= length
        if left:
            raise NotThisWay("its blocks do not make up its length")
        found = _checksum_of_file(sums)
        if found is None:
            raise NotThisWay("its blocks have checksums of several kinds, or of an unknown one")
        return found

    def copy(self, operation: CopyRange) -> dict[str, Any]:
        """Copy a file, or whole blocks of it; the checksum that a whole file has at its source is told, too."""
        started = time.monotonic()
        blocks: tuple[LocatedBlock, ...] = ()
        is_whole = False
        if operation.length:
            located = self._locate(operation.source, operation.source_path, operation.offset, operation.length)
            blocks = _regular(located, operation)
            is_whole = operation.offset == 0 and operation.length == located.length
        site, path = operation.target, operation.target_path
        with self._lock:
            self._located.pop((site, path), None)  # what stood there is replaced
        client = f"{self._client}-{next(self._numbers)}"
        mode, replication = int(operation.permission, 8), operation.replication
        inode = self._rpc.create(site, path, client, mode, replication, operation.block_size)
        renewed = time.monotonic()
        last: bytes | None = None
        written: list[LocatedBlock] = []
        sums: list[BlockSum] = []
        for block in blocks:
            new = self._add_block(site, path, client, inode, last)
            sums.append(self._blocks.copy(operation.source, block, site, new))
            last = with_length(new.identity, block.length)
            written.append(replace(new, length=block.length))
            if time.monotonic() - renewed > RENEW_SECONDS:
                self._rpc.renew_lease(site, client)
                renewed = time.monotonic()
        self._cancelled.wait(FIRST_PAUSE_SECONDS)  # the DataNode tells the NameNode at the same time
        self._until(lambda: self._rpc.complete(site, path, client, inode, last), f"{path} is not closed")
        if written:
            self._remember(site, path, LocatedFile(operation.length, tuple(written), True))  # it will be checked
        checksum = _checksum_of_file(sums) if is_whole else None
        return {"bytes": operation.length, "seconds": time.monotonic() - started, "checksum": checksum}

    def _locate(self, site: str, path: str, offset: int, length: int) -> LocatedFile:
        """Where the blocks of a range are: as it was told or found a moment ago, by which this file is done with."""
        with self._lock:
            since, located = self._located.pop((site, path), (0.0, None))
        is_enough = located is not None and offset == 0 and length >= located.length
        if located is not None and is_enough and time.monotonic() - since < REMEMBERED_SECONDS:
            return located
        return self._rpc.locate(site, path, offset, length)

    def _remember(self, site: str, path: str, located: LocatedFile) -> None:
        with self._lock:
            self._located[site, path] = (time.monotonic(), located)
            if len(self._located) > REMEMBERED_FILES:
                self._located.popitem(last=False)

    def _add_block(self, site: str, path: str, client: str, inode: int, last: bytes | None) -> LocatedBlock:
        found: list[LocatedBlock] = []

        def added() -> bool:
            try:
                found.append(self._rpc.add_block(site, path, client, inode, last))
            except RpcFailed as failure:
                if failure.exception != "NotReplicatedYetException":
                    raise
            return bool(found)

        self._until(added, f"{path} gets no further block")
        return found[0]

    def _until(self, done: Callable[[], bool], what: str) -> None:
        """Ask until the NameNode has heard of the block from its DataNode, which is a matter of milliseconds."""
        give_up_at, pause_seconds = time.monotonic() + CLOSE_SECONDS, FIRST_PAUSE_SECONDS
        while not done():
            if time.monotonic() > give_up_at or self._cancelled.wait(pause_seconds):
                raise BlockFailed(what)
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)


def zones_unknown(operation: EncryptionZones) -> list[str]:
    """Encryption zones over WebHDFS, which has no word for them."""
    raise OperationFailed("ZONES_UNKNOWN", f"the {operation.site} NameNode does not tell its encryption zones here")


def _sites_of(operation: Any) -> tuple[str, ...]:
    return (operation.source, operation.target) if isinstance(operation, CopyRange) else (operation.site,)


def _may_be_done_already(operation: Any, failure: RpcFailed) -> bool:
    """Whether it must not be done over WebHDFS before somebody has looked: a rename of which no answer has come."""
    is_rename = isinstance(operation, HdfsCall) and operation.op == "RENAME"
    return is_rename and failure.was_sent and not failure.exception


def _regular(located: LocatedFile, operation: CopyRange) -> tuple[LocatedBlock, ...]:
    """The blocks of the range: whole ones of the wanted size, and the last one as long as is wanted of it."""
    position, end = operation.offset, operation.offset + operation.length
    if not located.is_plain:
        raise NotThisWay("encrypted, striped, or being written")
    for block in located.blocks:
        is_whole = block.length == operation.block_size or position + block.length == end
        if block.offset != position or not is_whole or block.is_corrupt or not block.nodes:
            raise NotThisWay("irregular blocks")
        position += block.length
    if position != end:
        raise NotThisWay("irregular blocks")
    return located.blocks


def _checksum_of_file(sums: Sequence[BlockSum]) -> str | None:
    """A file's stored checksum as HDFS's client makes it of those of its blocks; None if there is none like that."""
    first = sums[0]
    kinds = {(one.kind, one.bytes_per_checksum) for one in sums}
    if len(kinds) > 1 or first.kind not in CRC_NAMES:
        return None
    count = first.count if len(sums) > 1 else 0
    joined = b"".join(one.md5 for one in sums)
    digest = hashlib.md5(joined.ljust(_padded(len(joined)), b"\0")).digest()  # noqa: S324 - HDFS's, no secret
    value = (struct.pack(">IQ", first.bytes_per_checksum, count) + digest).ljust(WEBHDFS_BYTES, b"\0")
    return f"MD5-of-{count}MD5-of-{first.bytes_per_checksum}{CRC_NAMES[first.kind]}:{value.hex()}"


def _padded(size: int) -> int:
    """How long the buffer is that HDFS's client hashes: 32 bytes, doubled until the sums fit; the rest is zeros."""
    padded = 32
    while padded < size:
        padded *= 2
    return padded
