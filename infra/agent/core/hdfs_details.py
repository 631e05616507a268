"""Find out what listings do not show, for what changes and for nothing else: checksums, ACLs, extended attributes.

These cost a request per entry (a checksum also a DataNode's work), so they are asked for only where the base's manifest
does not have them: for new and changed entries, and on a first copy for all. ACLs only where the listing has the ACL
bit. Extended attributes have no bit, so each new entry is asked. Requests run concurrently within a window of entries.

A pair of files whose listings leave doubt is settled by stored checksums: equal means that only attributes have to be
set. Where they are of different kinds, because blocks are cut in another way, the bytes themselves settle it. A file
that was open at the cut has no usable stored checksum; its first ``l`` bytes are hashed instead.

Reads ``changes``; writes ``gone``, ``kept`` and ``new``. Records of ``kept`` get ``R`` True when the contents must be
replaced and ``E`` True when ACL or extended attributes have to be set.
"""

from __future__ import annotations

from typing import Any

from infra.agent.core import hdfs
from infra.agent.core.hdfs_compare import GONE, Comparison, Side
from infra.agent.core.hdfs_entries import FILE, Entry, below, same_attributes_listed, same_contents_listed
from infra.agent.core.lines import LineReader, LineWriter, encode
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.operations import DigestFile, OperationFailed

WINDOW = 1000
AT_ONCE = 32
BY_BYTES = "SHA-256"


def add_details(comparison: Comparison) -> Procedure:
    """Write ``gone``, ``kept`` and ``new``."""
    details = _Details(comparison)
    writers = {name: LineWriter(comparison.file(name)) for name in ("gone", "kept", "new")}
    for writer in writers.values():
        yield from writer.begin()
    reader = LineReader(comparison.file("changes"))
    window: list[dict[str, Any]] = []
    while True:
        keyed = yield from reader.keyed()
        if keyed is not None and keyed[0].startswith(GONE):
            yield from writers["gone"].write(encode(keyed[1]))
            continue
        if keyed is not None:
            window.append(keyed[1])
        if len(window) >= WINDOW or (keyed is None and window):
            changes = yield Together((details.complete(change) for change in window), limit=AT_ONCE)
            for change in changes:
                yield from writers["kept" if "h" in change else "new"].write(encode(change))
            window.clear()
        if keyed is None:
            break
    for writer in writers.values():
        yield from writer.end()


class _Details:
    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison
        self._want = comparison.want

    def complete(self, change: dict[str, Any]) -> Procedure:
        """The change with all that is needed to plan it."""
        want: Entry = change["w"]
        have: Entry | None = change.get("h")
        if have is None:
            yield from self._attributes(self._want, want)
            yield from self._checksum(self._want, want)
            return change
        yield from self._kept_attributes(change, have, want)
        if want["t"] == FILE:
            yield from self._kept_contents(change, have, want)
        return change

    def _kept_attributes(self, change: dict[str, Any], have: Entry, want: Entry) -> Procedure:
        comparison = self._comparison
        is_untouched = (
            comparison.comparable
            and have["i"] == want["i"]
            and same_attributes_listed(have, want)
            and not comparison.is_modified(want)
        )
        change["E"] = False
        if is_untouched and (have.get("D") or not comparison.for_manifest):
            for name in ("a", "e"):
                if name in have:
                    want[name] = have[name]
            return
        yield from self._attributes(self._want, want)
        if not is_untouched:
            if not have.get("D"):
                assert comparison.have is not None
                yield from self._attributes(comparison.have, have)
            change["E"] = any(have.get(name) != want.get(name) for name in ("a", "e"))

    def _kept_contents(self, change: dict[str, Any], have: Entry, want: Entry) -> Procedure:
        comparison = self._comparison
        is_sure = (
            comparison.comparable
            and have["i"] == want["i"]
            and same_contents_listed(have, want)
            and not have.get("F")
            and not have.get("f")
            and not want.get("f")
            and not comparison.is_modified(want)
        )
        change["R"] = False
        if is_sure and (have.get("D") or not comparison.for_manifest):
            if "c" in have:
                want["c"] = have["c"]
            return
        yield from self._checksum(self._want, want)
        if not is_sure:
            change["R"] = not (yield from self._is_equal(have, want))

    def _is_equal(self, have: Entry, want: Entry) -> Procedure:
        """Tell whether both files hold the same bytes, by what is stored about them."""
        if have["l"] != want["l"] or have.get("f"):
            return False  # what is open may become anything, and what is damaged does not show it
        if want["l"] == 0:
            return True
        if not have.get("D"):
            assert self._comparison.have is not None
            try:
                yield from self._checksum(self._comparison.have, have)
            except OperationFailed as failure:
                if not failure.is_final:
                    raise
                return False  # what cannot be read is as good as different: it is replaced
        if have.get("c") == want.get("c"):
            return True
        return (yield from self._is_equal_by_bytes(have, want))

    def _is_equal_by_bytes(self, have: Entry, want: Entry) -> Procedure:
        """Compare files whose stored checksums are of different kinds, as those of other blocks are, by reading both.

        What only its bytes can prove equal is proved by them from now on: their hash becomes ``c``.
        """
        side = self._comparison.have
        if side is None or want.get("f") or "c" not in have or _kind(have["c"]) == _kind(want["c"]):
            return False
        hashes = []
        for at, entry in ((side, have), (self._want, want)):
            if entry["c"].startswith(BY_BYTES):
                hashes.append(entry["c"])
                continue
            try:
                hashes.append((yield from checksum_by_bytes(at.site, below(at.root, entry["p"]), entry["l"])))
            except OperationFailed as failure:
                if at is self._want or not failure.is_final:
                    raise
                return False
        if hashes[0] == hashes[1]:
            want["c"] = hashes[0]
        return hashes[0] == hashes[1]

    def _attributes(self, side: Side, entry: Entry) -> Procedure:
        path = below(side.root, entry["p"])
        if entry.get("A"):
            entry["a"] = yield from hdfs.acl_entries(side.site, path)
        found = yield from hdfs.extended_attributes(side.site, path)
        if found:
            entry["e"] = found

    def _checksum(self, side: Side, entry: Entry) -> Procedure:
        """Add ``c``; an empty file has none. A file that turns out to be open gets the mark ``f``."""
        if entry["t"] != FILE or entry["l"] == 0:
            return
        path = below(side.root, entry["p"])
        if not entry.get("f"):
            try:
                entry["c"] = yield from hdfs.checksum(side.site, path)
                return
            except OperationFailed as failure:
                if "under construction" not in failure.message:
                    raise
            entry["f"] = True
        entry["c"] = yield from checksum_by_bytes(side.site, path, entry["l"])


def _kind(checksum: str) -> str:
    """The algorithm, with the blocks and chunks that it depends on: equal bytes may differ in those of another kind."""
    return checksum.partition(":")[0]


def checksum_by_bytes(site: str, path: str, length: int) -> Procedure:
    """A checksum that does not depend on blocks: it costs reading the file."""
    digest = yield DigestFile(site, path, length)
    return f"{BY_BYTES}:{digest['sha256']}"
