"""Match two trees: which entry of the tree that is *wanted* is which entry of the tree that one *has*.

Where both are states of one file system (two snapshots of the source, or a head and its snapshot) inode ids are
*comparable*: the same id is the same entry wherever it stands, which settles renames, chains, swaps, moves out of
deleted directories, and an overwrite (another id) without interpreting a report. What ids leave over is matched by path
below matched directories, so a directory that was deleted and made again is kept. Elsewhere paths alone count.

The rules rest on one fact: *any* one-to-one matching that respects types gives a right plan (see ``hdfs_plan``); a
better matching only moves fewer bytes.

What the listings cannot show comes from two other sources: the snapshot difference names (by inode id) entries whose
ACL or extended attributes changed; the manifest of the base says what the copy holds: checksums, ACLs, extended
attributes, times of directories (a snapshot shows those of today), and which files were copied while they were open and
so have to be copied again.

Work files: ``same`` (wanted entries with nothing to do, with their details; the
directories again in ``same.directories``) and ``changes`` (all others, keyed by class and path: ``h`` what one has,
``w`` what is wanted, ``v`` whether it moved); ``have``, a listing, where it is asked for.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from dataclasses import dataclass, field

from infra.agent.core.hdfs_entries import (
    DIRECTORY,
    FILE,
    Entry,
    key_below,
    name_of,
    parent_of,
    path_key,
    same_attributes_listed,
    same_contents_listed,
)
from infra.agent.core.hdfs_snapshots import difference_page, is_last
from infra.agent.core.hdfs_walk import Listing
from infra.agent.core.lines import LineReader, LineWriter, encode
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.operations import SpoolSort
from infra.agent.quick_json import decode

GONE = b"0/"
KEPT = b"1/"
NEW = b"2/"
# In a line of a manifest; within a name the quotation marks would be escaped.
_IS_DIRECTORY = b'"t":"d"'
_LASTING = ("same", "same.directories", "unsorted", "have")


@dataclass(frozen=True)
class Side:
    """A tree that can be read: a site and the absolute path of its root."""

    site: str
    root: str


@dataclass(frozen=True)
class Comparison:
    """Two trees and what is known about them.

    ``prefix`` begins the names of the work files. ``have`` is None on a first copy, which compares nothing.
    ``manifest`` is the work file that holds the manifest of what one has, or None; ``times`` the one whose times the
    directories of the wanted tree have. With ``keeps_listing`` what one has is written, too. ``modified`` holds the
    inode ids that the snapshot difference names. ``open_files`` and ``distrusted_in_have`` are paths relative to the
    roots; the latter, open or known to be damaged, are put into place anew whatever is stored about them.
    ``for_manifest`` says that the wanted tree is a snapshot of the source and that the details of every entry that is
    kept are needed, not only of those that change.
    """

    prefix: str
    want: Side
    have: Side | None
    comparable: bool
    for_manifest: bool
    manifest: str | None = None
    times: str | None = None
    keeps_listing: bool = False
    open_files: frozenset[str] = frozenset()
    distrusted_in_have: frozenset[str] = frozenset()
    modified: array[int] = field(default_factory=lambda: array("Q"))

    def file(self, name: str) -> str:
        """The name of a work file."""
        return self.prefix + name

    def is_modified(self, entry: Entry) -> bool:
        """Tell whether the snapshot difference names the entry."""
        position = bisect_left(self.modified, entry["i"])
        return position < len(self.modified) and self.modified[position] == entry["i"]


def modified_ids(site: str, directory: str, older: str, newer: str) -> Procedure:
    """The sorted inode ids of what the snapshot difference calls modified; eight bytes each."""
    found = array("Q")
    page = yield from difference_page(site, directory, older, newer)
    found.extend(page.modified)
    while not is_last(page):
        page = yield from difference_page(site, directory, older, newer, page.next_path, page.next_index)
        found.extend(page.modified)
    return array("Q", sorted(found))


class _Entries:
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


class EntryReader(_Entries):
    """A manifest, or a listing that was written."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._lines = LineReader(name)

    def step(self) -> bool:
        """See ``_Entries``."""
        line = self._lines.ready()
        if line is None:
            return False
        self._take(decode(line))
        return True

    def advance(self) -> Procedure:
        """See ``_Entries``."""
        self._take((yield from self._lines.record()))


class _Listed(_Entries):
    """A tree as it is listed. With ``times``, a manifest, directories have the times that they have there."""

    def __init__(self, listing: Listing, times: str | None = None, written: LineWriter | None = None) -> None:
        super().__init__()
        self.listing = listing
        self._times = _DirectoryTimes(times) if times is not None else None
        self._written = written

    def step(self) -> bool:
        """See ``_Entries``."""
        entry = None if self._written is not None else self.listing.ready()
        if entry is None:
            return False
        self._take(entry)
        return True

    def advance(self) -> Procedure:
        """See ``_Entries``."""
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
                self._directory = json.loads(line)
                assert self._directory is not None
                self._key = path_key(self._directory["p"])
        if self._directory is not None and self._key == key:
            entry["m"] = self._directory["m"]


def compare(comparison: Comparison) -> Procedure:
    """List both trees and match them; returns the numbers of entries (wanted, had)."""
    matching = _Matching(comparison)
    yield from matching.run()
    return matching.want.listing.count, matching.have.listing.count


class _Matching:
    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison
        names = ("same", "same.directories", "unsorted", "have.rest", "want.rest", "have.left", "want.left", "have")
        self._writers = {name: LineWriter(comparison.file(name)) for name in names}
        want, have = comparison.want, comparison.have
        assert have is not None
        listing = Listing(want.site, want.root, comparison.open_files, comparison.for_manifest)
        self.want = _Listed(listing, comparison.times)
        listing = Listing(have.site, have.root, comparison.distrusted_in_have, False)
        self.have = _Listed(listing, written=self._writers["have"] if comparison.keeps_listing else None)

    def run(self) -> Procedure:
        """Write ``same`` and ``changes``."""
        comparison = self._comparison
        for writer in self._writers.values():
            yield from writer.begin()
        yield from self._by_path()
        if comparison.comparable:
            yield from self._end("have.rest", "want.rest")
            yield from self._by_id()
            yield from self._end("have.left", "want.left")
            yield from self._left_by_path()
        yield from self._end(*_LASTING)
        yield SpoolSort(comparison.file("unsorted"), comparison.file("changes"))

    def _end(self, *names: str) -> Procedure:
        for name in names:
            yield from self._writers[name].end(durable=name == "same")
            if name not in _LASTING:
                yield SpoolSort(self._comparison.file(name), self._comparison.file(f"{name}.sorted"))

    def _by_path(self) -> Procedure:
        """Merge the listings; what is the same by path and id needs no more looking at."""
        comparison, want, have = self._comparison, self.want, self.have
        known = EntryReader(comparison.manifest) if comparison.manifest is not None else None
        yield Together([reader.advance() for reader in (want, have, known) if reader is not None], limit=3)
        while want.entry is not None or have.entry is not None:
            if have.entry is None or (want.entry is not None and want.key < have.key):
                assert want.entry is not None
                yield from self._unmatched_wanted(want.entry)
                if not want.step():
                    yield from want.advance()
                continue
            if known is not None:
                while known.entry is not None and known.key < have.key:
                    if not known.step():
                        yield from known.advance()
                _add_details(have.entry, known.entry if known.key == have.key else None)
            if want.entry is None or have.key < want.key:
                yield from self._unmatched_had(have.entry)
            else:
                if not self._is_same_file(have.entry, want.entry):
                    yield from self._same_path(have.entry, want.entry)
                elif self._add_same(have.entry, want.entry):
                    yield from self._writers["same"].flush()
                if not want.step():
                    yield from want.advance()
            if not have.step():
                yield from have.advance()

    def _is_same_file(self, have: Entry, want: Entry) -> bool:
        """By far the most entries of most trees."""
        return want["t"] == FILE and self._comparison.comparable and self._is_same(have, want)

    def _add_same(self, have: Entry, want: Entry) -> bool:
        """Write what has nothing to be done; True when that has to be flushed."""
        details: Entry = {name: have[name] for name in ("c", "a", "e") if name in have}
        return self._writers["same"].add(encode({**want, **details}))

    def _same_path(self, have: Entry, want: Entry) -> Procedure:
        comparable = self._comparison.comparable
        if want["p"] == "":
            yield from self._pair(have, want, moved=False)
        elif comparable and self._is_same(have, want):
            if self._add_same(have, want):
                yield from self._writers["same"].flush()
            if want["t"] == DIRECTORY:
                yield from self._writers["same.directories"].write(encode({name: want[name] for name in "pmi"}))
        elif not comparable and have["t"] == want["t"]:
            yield from self._pair(have, want, moved=False)
        else:
            yield from self._unmatched_had(have)
            yield from self._unmatched_wanted(want)

    def _is_same(self, have: Entry, want: Entry) -> bool:
        return (
            have["i"] == want["i"]
            and have["u"] == want["u"]
            and same_contents_listed(have, want)
            and same_attributes_listed(have, want)
            and not have.get("F")
            and not have.get("f")
            and not want.get("f")
            and (have.get("D", False) or not self._comparison.for_manifest)
            and not self._comparison.is_modified(want)
        )

    def _unmatched_had(self, have: Entry) -> Procedure:
        """An entry without a partner by path: to be matched by id where ids mean something, else gone."""
        if self._comparison.comparable:
            yield from self._writers["have.rest"].write_keyed(b"%016x" % have["i"], have)
        else:
            yield from self._single(have, None)

    def _unmatched_wanted(self, want: Entry) -> Procedure:
        """The same of the other side: to be matched by id, else new."""
        if self._comparison.comparable:
            yield from self._writers["want.rest"].write_keyed(b"%016x" % want["i"], want)
        else:
            yield from self._single(None, want)

    def _by_id(self) -> Procedure:
        """Merge what is left by inode id."""
        have = LineReader(self._comparison.file("have.rest.sorted"))
        want = LineReader(self._comparison.file("want.rest.sorted"))
        h = yield from have.keyed()
        w = yield from want.keyed()
        while h is not None or w is not None:
            if w is None or (h is not None and h[0] < w[0]):
                yield from self._writers["have.left"].write(path_key(h[1]["p"]) + b" " + have.encoded)
                h = yield from have.keyed()
            elif h is None or w[0] < h[0]:
                yield from self._writers["want.left"].write(path_key(w[1]["p"]) + b" " + want.encoded)
                w = yield from want.keyed()
            else:
                moved = h[1]["u"] != w[1]["u"] or name_of(h[1]["p"]) != name_of(w[1]["p"])
                pair = have.encoded, want.encoded, b"true" if moved else b"false"
                change = b'%s%s {"h":%s,"w":%s,"v":%s}' % (KEPT, path_key(w[1]["p"]), *pair)
                yield from self._writers["unsorted"].write(change)
                h = yield from have.keyed()
                w = yield from want.keyed()

    def _left_by_path(self) -> Procedure:
        """Merge what ids left over by path, below directories that are matched where they stand."""
        have = LineReader(self._comparison.file("have.left.sorted"))
        want = LineReader(self._comparison.file("want.left.sorted"))
        matched = _Above()
        h = yield from have.keyed()
        w = yield from want.keyed()
        while h is not None or w is not None:
            if w is None or (h is not None and h[0] < w[0]):
                yield from self._single(h[1], None)
                h = yield from have.keyed()
            elif h is None or w[0] < h[0]:
                yield from self._single(None, w[1])
                w = yield from want.keyed()
            else:
                yield from self._left_pair(h[1], w[1], matched)
                h = yield from have.keyed()
                w = yield from want.keyed()

    def _left_pair(self, have: Entry, want: Entry, matched: _Above) -> Procedure:
        is_below_matched = have["u"] == want["u"] or matched.is_parent_of(want["p"])
        if is_below_matched and have["t"] == want["t"]:
            if want["t"] == DIRECTORY:
                matched.push(want["p"])
            else:
                have["F"] = True  # another inode: the listing says nothing about its contents
            yield from self._pair(have, want, moved=False)
        else:
            yield from self._single(have, None)
            yield from self._single(None, want)

    def _pair(self, have: Entry, want: Entry, moved: bool) -> Procedure:
        change = {"h": have, "w": want, "v": moved}
        yield from self._writers["unsorted"].write_keyed(KEPT + path_key(want["p"]), change)

    def _single(self, have: Entry | None, want: Entry | None) -> Procedure:
        if have is not None:
            yield from self._writers["unsorted"].write_keyed(GONE + path_key(have["p"]), {"h": have})
        if want is not None:
            yield from self._writers["unsorted"].write_keyed(NEW + path_key(want["p"]), {"w": want})


class _Above:
    """The matched directories on the way to where a walk is."""

    def __init__(self) -> None:
        self._paths: list[str] = []

    def push(self, path: str) -> None:
        """A matched directory, met in the order of a tree."""
        while self._paths and not path.startswith(self._paths[-1] + "/"):
            self._paths.pop()
        self._paths.append(path)

    def is_parent_of(self, path: str) -> bool:
        """Tell whether the directory above ``path`` was matched."""
        parent = parent_of(path)
        while self._paths and self._paths[-1] != parent and not parent.startswith(self._paths[-1] + "/"):
            self._paths.pop()
        return bool(self._paths) and self._paths[-1] == parent


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
