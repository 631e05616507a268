"""Write the source manifest: every wanted entry in the order of its tree, with what proves its copy.

It is merged from what is the same as in the base, what was kept and what is new, by the entries' ordinals. Corrections
come from the copying: where a file's stored checksum cannot be reproduced on the other cluster (it depends on how the
blocks are cut), its bytes were hashed on both sides, and that hash takes its place.
"""

from __future__ import annotations

from typing import Any

from infra.agent.core.hdfs_compare import Comparison
from infra.agent.core.hdfs_entries import FILE, Entry, TreeDigest, manifest_line
from infra.agent.core.lines import LineReader, LineWriter
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import SpoolSort


class _Stream:
    """Entries in the order of their ordinals, with the next one in sight."""

    def __init__(self, name: str, is_change: bool) -> None:
        self._reader = LineReader(name)
        self._is_change = is_change
        self._is_new = name.endswith("new")
        self.entry: Entry | None = None

    def advance(self) -> Procedure:
        """Go to the next entry."""
        record: dict[str, Any] | None = yield from self._reader.record()
        self.entry = record
        if record is not None and self._is_change:
            entry: Entry = record["w"]
            if entry["t"] == FILE and (self._is_new or record.get("R")):
                entry["w"] = True
            self.entry = entry


def write_manifest(comparison: Comparison, quotas: list[int] | None) -> Procedure:
    """Write ``manifest``, durably; returns the ``TreeDigest``."""
    corrections = yield from _read_corrections(comparison)
    streams = [
        _Stream(comparison.file("same"), is_change=False),
        _Stream(comparison.file("kept"), is_change=True),
        _Stream(comparison.file("new"), is_change=True),
    ]
    for stream in streams:
        yield from stream.advance()
    writer = LineWriter(comparison.file("manifest"))
    yield from writer.begin()
    digest = TreeDigest()
    while True:
        left = [stream for stream in streams if stream.entry is not None]
        if not left:
            break
        stream = min(left, key=_ordinal)
        entry = stream.entry
        assert entry is not None
        assert entry["n"] == writer.count, (entry["n"], writer.count)
        if corrections.next_ordinal == entry["n"]:
            entry["c"] = corrections.checksum
            yield from corrections.advance()
        if entry["p"] == "" and quotas is not None and max(quotas) >= 0:
            entry["q"] = quotas
        digest.add(entry)
        yield from writer.write(manifest_line(entry))
        yield from stream.advance()
    yield from writer.end(durable=True)
    return digest


def _ordinal(stream: _Stream) -> int:
    assert stream.entry is not None
    ordinal: int = stream.entry["n"]
    return ordinal


class Corrections:
    """Checksums that replace those of the source, by ordinal."""

    def __init__(self, name: str) -> None:
        self._reader = LineReader(name)
        self.next_ordinal = -1
        self.checksum = ""

    def advance(self) -> Procedure:
        """Go to the next correction of another entry; a repeated one is the same."""
        previous = self.next_ordinal
        while self.next_ordinal == previous:
            keyed = yield from self._reader.keyed()
            if keyed is None:
                self.next_ordinal = -2
                return
            self.next_ordinal, self.checksum = int(keyed[0]), keyed[1]["c"]


def correction_line(ordinal: int, checksum: str) -> bytes:
    """A line of the work file ``corrections``."""
    return b'%012d {"c":"%s"}\n' % (ordinal, checksum.encode("ascii"))


def _read_corrections(comparison: Comparison) -> Procedure:
    yield SpoolSort(comparison.file("corrections"), comparison.file("corrections.sorted"))
    corrections = Corrections(comparison.file("corrections.sorted"))
    yield from corrections.advance()
    return corrections
