"""Trees as streams of entries, each in the order of a tree with the next entry in sight.

A tree is read as it is listed (``Listed``), from a manifest or a listing that was written (``EntryReader``), or from
the manifest of a recovery point that stands for a listing of the source's snapshot (``Recorded``).
"""

from __future__ import annotations

import re
from typing import Iterator

from infra.agent.core.checked_records import entry_in
from infra.agent.core.hdfs_entries import (
    DIRECTORY,
    FILE,
    Entry,
    key_below,
    known_since,
    parent_of,
    path_key,
    same_blocks,
    same_contents_listed,
)
from infra.agent.core.hdfs_plain import line_below
from infra.agent.core.hdfs_walk import Listing
from infra.agent.core.lines import LineReader, LineWriter, damaged, encode
from infra.agent.core.machine import Procedure

# In a line of a manifest; within a name the quotation marks would be escaped.
_IS_DIRECTORY = b'"t":"d"'
_NAMES_ID = b'"I":'
_LENGTH = re.compile(rb'"l":(\d+)')  # files alone have one


class Entries:
    """Entries in the order of a tree with the next one in sight: ``entry`` (None at the end) and its ``key``."""

    def __init__(self) -> None:
        self.entry: Entry | None = None
        self.key = b""
        self._parent = ""
        self._parent_key = b""

    def step(self) -> bool:
        """Go to the next entry if it is at hand; False where ``advance``, a procedure, has to do it."""
        raise NotImplementedError

    def advance(self) -> Procedure:
        """Go to the next entry."""
        raise NotImplementedError

    def _take(self, entry: Entry | None) -> None:
        self.entry = entry
        if entry is None:
            return
        parent, _, name = entry["p"].rpartition("/")
        if parent != self._parent:
            self._parent, self._parent_key = parent, path_key(parent)
        self.key = key_below(self._parent_key, name)


class EntryReader(Entries):
    """A manifest, or a listing that was written."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._lines = LineReader(name)

    def step(self) -> bool:
        """See ``Entries``."""
        line = self._lines.ready()
        if line is None:
            return False
        self._take(entry_in(line, self._name))
        return True

    def advance(self) -> Procedure:
        """See ``Entries``."""
        line = yield from self._lines.next()
        self._take(None if line is None else entry_in(line, self._name))


class Recorded(Entries):
    """What one has as the manifest of its recovery point tells it, with all details."""

    def __init__(self, manifest: str, distrusted: frozenset[str]) -> None:
        super().__init__()
        self._name = manifest
        self.lines = LineReader(manifest)
        self.cut_ms = 0
        self.count = 0
        self._distrusted = distrusted
        self._above: list[tuple[str, int]] = []

    def names_ids(self) -> Procedure:
        """Whether the manifest says which inodes of the source its entries are."""
        yield from self.lines.fill()
        return bool(self.lines.at_hand) and _NAMES_ID in self.lines.at_hand[0]

    def step(self) -> bool:
        """See ``Entries``."""
        line = self.lines.ready()
        if line is None:
            return False
        self._take(self._entry(entry_in(line, self._name)))
        return True

    def advance(self) -> Procedure:
        """See ``Entries``."""
        line = yield from self.lines.next()
        self._take(None if line is None else self._entry(entry_in(line, self._name)))

    def directory_id(self, path: str) -> int:
        """The inode id of a directory on the way to the entry in sight, or that entry itself; 0 for any other path."""
        while self._above and self._above[-1][0] != path and not path.startswith(f"{self._above[-1][0]}/"):
            if not self._above[-1][0]:
                break
            self._above.pop()
        return self._above[-1][1] if self._above and self._above[-1][0] == path else 0

    def take_below(self) -> Iterator[tuple[int, bytes]]:
        """The plain files at hand right in the directory in sight: inode id and record of each; they are read then."""
        directory = self.entry
        if directory is None or directory["t"] != DIRECTORY or self._distrusted:
            return
        while self.lines.at_hand:
            found = line_below(self.lines.at_hand[0], directory["p"], directory["i"], self.cut_ms)
            if found is None:
                return
            self.lines.at_hand.popleft()
            self.count += 1
            yield found

    def _entry(self, known: Entry) -> Entry:
        path = known["p"]
        if "I" not in known:
            raise damaged(self._name, f"{path!r:.200} has no inode id, though others have one")
        if not path:
            self.cut_ms = known["m"]
        if known["t"] == FILE:
            known["K"] = known_since(known, self.cut_ms)
        known.update(i=known.pop("I"), u=self.directory_id(parent_of(path)) if path else 0, D=True)
        if "a" in known:
            known["A"] = True
        for name in ("w", "q"):
            known.pop(name, None)
        if known["t"] == DIRECTORY:
            self._above.append((path, known["i"]))
        else:
            if known.pop("f", False):
                known["F"] = True
            if path in self._distrusted:
                known["f"] = True
        self.count += 1
        return known


class Listed(Entries):
    """A tree as it is listed. With ``times``, a manifest, directories have the times that they have there."""

    def __init__(self, listing: Listing, times: str | None = None, written: LineWriter | None = None) -> None:
        super().__init__()
        self.listing = listing
        self._times = _DirectoryTimes(times) if times is not None else None
        self._written = written

    @property
    def count(self) -> int:
        """How many entries have come."""
        return self.listing.count

    def step(self) -> bool:
        """See ``Entries``."""
        entry = None if self._written is not None else self.listing.ready()
        if entry is None:
            return False
        self._take(entry)
        return True

    def advance(self) -> Procedure:
        """See ``Entries``."""
        entry = yield from self.listing.next()
        self._take(entry)
        if entry is None:
            return
        if self._times is not None and entry["t"] == DIRECTORY:
            yield from self._times.give(entry, self.key)
        if self._written is not None:
            yield from self._written.write(encode(entry))


class _DirectoryTimes:
    """The times of a manifest's directories, asked for in the order of the tree."""

    def __init__(self, manifest: str) -> None:
        self._name = manifest
        self._lines = LineReader(manifest)
        self._key = b""
        self._directory: Entry | None = {}

    def give(self, entry: Entry, key: bytes) -> Procedure:
        """Give an entry the time that it has in the manifest, if it is there."""
        while self._directory is not None and (not self._directory or self._key < key):
            line = yield from self._lines.next()
            if line is None:
                self._directory = None
            elif _IS_DIRECTORY in line:
                self._directory = entry_in(line, self._name)
                self._key = path_key(self._directory["p"])
        if self._directory is not None and self._key == key:
            entry["m"] = self._directory["m"]


def count_files(manifest: str) -> Procedure:
    """How many bytes and files a manifest has."""
    lines = LineReader(manifest)
    total_bytes = files = 0
    while True:
        yield from lines.fill()
        if not lines.at_hand:
            return total_bytes, files
        for line in lines.at_hand:
            length = _LENGTH.search(line)
            if length is not None:
                total_bytes += int(length[1])
                files += 1
        lines.at_hand.clear()


class Known:
    """A manifest that tells of another tree's entries what no listing shows.

    ``is_of_source``: that tree is the source's snapshot which the manifest was written of, so its inodes are the same.
    """

    def __init__(self, manifest: str, is_of_source: bool) -> None:
        self.reader = EntryReader(manifest)
        self._is_of_source = is_of_source
        self._cut_ms = 0

    def add(self, entry: Entry, key: bytes) -> Procedure:
        """Go on to where an entry is or would be, and give the entry what the manifest has."""
        reader = self.reader
        while reader.entry is not None and reader.key < key:
            if not reader.step():
                yield from reader.advance()
        found = reader.entry if reader.key == key else None
        _add_details(entry, found)
        if not entry["p"] and found is not None:
            self._cut_ms = found["m"]
        if entry["t"] == FILE and not self._is_of_source:
            entry.pop("c", None)  # somebody may have put other bytes into that place
        elif entry["t"] == FILE and found is not None and not entry.get("F"):
            entry["K"] = known_since(found, self._cut_ms)
            if not same_blocks(found, entry):  # what was copied of it then is not what it holds now
                entry["F"] = True
            elif "B" in found:
                entry["B"] = found["B"]


def _add_details(entry: Entry, known: Entry | None) -> None:
    """Give an entry the details that the manifest has, if it has the entry.

    A storage policy and a directory's time are among them: snapshots list those of today. Where the
    manifest disagrees with the listing, and where it says that the file was copied while it was open, nothing is known
    about what the copy holds: the mark ``F`` without a checksum makes the file be copied again.
    """
    details: Entry = known or {}
    entry["D"] = True
    for name in ("a", "e"):
        if name in details:
            entry[name] = details[name]
    if details:
        entry.pop("s", None)
        if "s" in details:
            entry["s"] = details["s"]
    if entry["t"] != FILE:
        entry["m"] = details.get("m", entry["m"])
        return
    if details.get("f"):
        entry["F"] = True
        entry["c"] = details.get("c")
    elif not details or not same_contents_listed(entry, details):
        entry["F"] = True
    elif "c" in details:
        entry["c"] = details["c"]
