"""Write the source manifest: every wanted entry in the order of its tree, with what proves its copy.

It is merged, by the entries' ordinals, from what is the same as in the base, what was kept and what was staged, when
that is done. What staging has found out about an entry (``details``) counts: the details of what is new; and, where a
file's stored checksum cannot be reproduced on the other cluster because it depends on how the blocks are cut, the hash
of its bytes on both sides.
"""

from __future__ import annotations

import json
from typing import Any

from infra.agent.core.hdfs_compare import Comparison
from infra.agent.core.hdfs_entries import Entry, TreeDigest, manifest_line
from infra.agent.core.lines import LineReader, LineWriter, encode
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.operations import OperationFailed, ReadFile, SpoolSort
from infra.agent.core.work import RECOVERY_POINTS, SECONDARY

_DETAILS = ("c", "a", "e", "f", "B")


def sealed_facts(recovery_point: str | None, data_set: dict[str, Any]) -> Procedure:
    """What was sealed with a recovery point about a data set, and the name of its snapshot as ``"sealed_snapshot"``.

    None where that cannot be read, or is not as it is sealed today: then it proves nothing.
    """
    try:
        content = yield ReadFile(SECONDARY, f"{RECOVERY_POINTS}/{recovery_point}/manifest.json")
        sealed = json.loads(content.decode("utf-8"))
        (found,) = [one for one in sealed["data_sets"] if one["id"] == data_set["id"]]
        return {**found, "sealed_snapshot": sealed.get("snapshot")}
    except OperationFailed as failure:
        if not failure.is_final:
            raise
        return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def is_sealed(recovery_point: str | None, data_set: dict[str, Any], sha256: str) -> Procedure:
    """Whether a source manifest of this SHA-256 is the one that was sealed with the recovery point."""
    sealed = yield from sealed_facts(recovery_point, data_set)
    copied = None if sealed is None else sealed.get("copied")
    return isinstance(copied, dict) and copied.get("manifest_sha256") == sha256


class _Stream:
    """Entries in the order of their ordinals, with the next one in sight."""

    def __init__(self, comparison: Comparison, name: str) -> None:
        self._reader = LineReader(comparison.file(name))
        self._name = name
        self.entry: Entry | None = None

    def advance(self) -> Procedure:
        """Go to the next entry."""
        record: dict[str, Any] | None = yield from self._reader.record()
        while self._name == "kept" and record is not None and record.get("R"):
            record = yield from self._reader.record()  # it is among the replaced
        self.entry = record["w"] if self._name == "kept" and record is not None else record
        if self.entry is not None and self._name in ("replaced", "copies"):
            self.entry["w"] = True


class _Lines:
    """Lines of the manifest that are written already, keyed by their ordinals, with the next one in sight."""

    def __init__(self, name: str) -> None:
        self._reader = LineReader(name)
        self.ordinal = -1
        self.line = b""

    def step(self) -> bool:
        """Go to the next line if it is at hand; False where ``advance`` has to do it."""
        line = self._reader.ready()
        if line is None:
            return False
        self._take(line)
        return True

    def advance(self) -> Procedure:
        """Go to the next line; its ordinal is -1 at the end."""
        self._take((yield from self._reader.next()) or b"-1 ")

    def _take(self, line: bytes) -> None:
        ordinal, _, self.line = line.partition(b" ")
        self.ordinal = int(ordinal)


def write_manifest(comparison: Comparison, quotas: list[int] | None) -> Procedure:
    """Write ``manifest``, durably; returns the ``TreeDigest``."""
    details = yield from _read_details(comparison)
    written = [_Lines(comparison.file(name)) for name in ("same", "moved.sorted")]
    streams = [_Stream(comparison, name) for name in ("kept", "replaced", "copies", "directories")]
    yield Together([each.advance() for each in written] + [each.advance() for each in streams], limit=1)
    writer = LineWriter(comparison.file("manifest"))
    yield from writer.begin()
    digest = TreeDigest()
    while True:
        lines = next((one for one in written if one.ordinal == writer.count), None)
        if lines is not None:
            yield from _pass_on(lines, writer, digest)
            continue
        left = [stream for stream in streams if stream.entry is not None]
        if not left:
            break
        stream = min(left, key=_ordinal)
        entry = stream.entry
        assert entry is not None
        assert entry["n"] == writer.count, (entry["n"], writer.count)
        if details.next_ordinal == entry["n"]:
            entry.update(details.details)
            yield from details.advance()
        if entry["p"] == "" and quotas is not None and max(quotas) >= 0:
            entry["q"] = quotas
        digest.add(entry)
        yield from writer.write(manifest_line(entry))
        yield from stream.advance()
    assert all(lines.ordinal < 0 for lines in written), "lines of another plan"
    yield from writer.end(durable=True)
    return digest


def _pass_on(lines: _Lines, writer: LineWriter, digest: TreeDigest) -> Procedure:
    """Write all that follow one another of the lines that are written already."""
    while lines.ordinal == writer.count:
        digest.add_line(lines.line)
        if writer.add(lines.line):
            yield from writer.flush()
        if not lines.step():
            yield from lines.advance()


def _ordinal(stream: _Stream) -> int:
    assert stream.entry is not None
    ordinal: int = stream.entry["n"]
    return ordinal


class Details:
    """What staging has found out, by ordinal."""

    def __init__(self, name: str) -> None:
        self._reader = LineReader(name)
        self.next_ordinal = -1
        self.details: dict[str, Any] = {}

    def advance(self) -> Procedure:
        """Go to the next entry's."""
        keyed = yield from self._reader.keyed()
        self.next_ordinal, self.details = (-1, {}) if keyed is None else (int(keyed[0]), keyed[1])


def details_line(entry: Entry) -> bytes:
    """A line of the work file ``details``."""
    return b"%012d %s" % (entry["n"], encode({name: entry[name] for name in _DETAILS if name in entry}))


def _read_details(comparison: Comparison) -> Procedure:
    yield SpoolSort(comparison.file("details"), comparison.file("details.sorted"))
    details = Details(comparison.file("details.sorted"))
    yield from details.advance()
    return details
