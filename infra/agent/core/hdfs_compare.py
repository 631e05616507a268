"""Match two trees: which entry of the tree that is *wanted* is which entry of the tree that one *has*.

Where both are states of one file system (two snapshots of the source, or a head and its snapshot) inode ids are
*comparable*: the same id is the same entry wherever it stands, which settles renames, chains, swaps, moves out of
deleted directories, and an overwrite (another id) without interpreting a report. What ids leave over is matched by path
below matched directories, so a directory that was deleted and made again is kept. Elsewhere paths alone count.

The rules rest on one fact: *any* one-to-one matching that respects types gives a right plan (see ``hdfs_plan``); a
better matching only moves fewer bytes.

Contents are the same if inode, length, time and blocks are (``block_identity``): who appends or cuts gets other blocks,
and times can be set back. Where the blocks are not told, contents are *expected* to be the same, and the manifest says
since when nobody has looked at them.

What the listings cannot show comes from two other sources: the snapshot difference names (by inode id) entries whose
ACL or extended attributes changed; the manifest of the base says what the copy holds: checksums, ACLs, extended
attributes, times of directories (a snapshot shows those of today), and which files were copied while they were open and
so have to be copied again. Where the manifest names the source's inode ids, it says all that a listing of the base
would: then what one has is read from it, and one tree is listed, not two.

Work files: ``same`` and ``moved.sorted`` (lines of the new manifest, keyed by their ordinals, of wanted entries with
nothing to do: where they stood, and along with a directory above them; the directories again in ``same.directories``)
and ``changes`` (all others, keyed by class and path: ``h`` what one has, ``w`` what is wanted, ``v`` whether it moved);
``have``, a listing, where it is asked for.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any

from infra.agent.core.hdfs_entries import (
    DIRECTORY,
    FILE,
    Entry,
    expect,
    manifest_line,
    name_of,
    parent_of,
    path_key,
    same_attributes_listed,
    same_blocks,
    same_contents_listed,
)
from infra.agent.core.hdfs_plain import Quoted, entry_line, line_of, rest_of_line
from infra.agent.core.hdfs_snapshots import difference_page, is_last
from infra.agent.core.hdfs_trees import Known, Listed, Recorded
from infra.agent.core.hdfs_walk import Listing
from infra.agent.core.lines import LineReader, LineWriter, encode
from infra.agent.core.listings import invalid
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.operations import SpoolSort, SpoolTruncate

MOST_PAGES = 1_000_000
GONE = b"0/"
KEPT = b"1/"
NEW = b"2/"
_LASTING = ("same", "same.directories", "unsorted", "have")
_DETAILS = ("c", "a", "e")


@dataclass(frozen=True)
class Side:
    """A tree that can be read: a site and the absolute path of its root."""

    site: str
    root: str


@dataclass(frozen=True)
class Comparison:
    """Two trees and what is known about them.

    ``prefix`` begins the names of the work files. ``have`` is None on a first copy, which compares nothing.
    ``manifest`` is the work file that holds the manifest of what one has, or None; only one that is as it was sealed
    stands for a listing. ``times`` is the one whose times the directories of the wanted tree have. With
    ``keeps_listing`` what one has is written, too. ``modified`` holds the inode ids that the snapshot difference names.
    ``open_files`` and ``distrusted_in_have`` are paths relative to the roots; the latter, open or known to be damaged,
    are put into place anew whatever is stored about them. ``latest_close_ms``: see ``Listing``. ``left_out`` are inode
    ids of files that are treated as if they were not there.
    ``for_manifest`` says that the wanted tree is a snapshot of the source and that the details of every entry that is
    kept are needed, not only of those that change.
    """

    prefix: str
    want: Side
    have: Side | None
    comparable: bool
    for_manifest: bool
    manifest: str | None = None
    manifest_is_sealed: bool = False
    times: str | None = None
    keeps_listing: bool = False
    open_files: frozenset[str] = frozenset()
    latest_close_ms: float = math.inf
    left_out: frozenset[int] = frozenset()
    distrusted_in_have: frozenset[str] = frozenset()
    modified: array[int] = field(default_factory=lambda: array("Q"))

    def file(self, name: str) -> str:
        """The name of a work file."""
        return self.prefix + name

    def listing(self, identifies: bool) -> Listing:
        """The wanted tree."""
        want = self.want
        return Listing(
            want.site,
            want.root,
            self.open_files,
            self.for_manifest,
            identifies,
            latest_close_ms=self.latest_close_ms,
            left_out=self.left_out,
        )

    def is_modified(self, inode_id: int) -> bool:
        """Tell whether the snapshot difference names the entry with this inode id."""
        position = bisect_left(self.modified, inode_id)
        return position < len(self.modified) and self.modified[position] == inode_id


def modified_ids(site: str, directory: str, older: str, newer: str) -> Procedure:
    """The sorted inode ids of what the snapshot difference calls modified; eight bytes each."""
    found = array("Q")
    page = yield from difference_page(site, directory, older, newer)
    found.extend(page.modified)
    asked: set[int] = set()
    while not is_last(page):
        cursor = hash((page.next_path, page.next_index))
        if cursor in asked or len(asked) >= MOST_PAGES:
            raise invalid(f"{site}: {directory}", f"the difference of {older} and {newer or 'today'} does not end")
        asked.add(cursor)
        page = yield from difference_page(site, directory, older, newer, page.next_path, page.next_index)
        found.extend(page.modified)
    return array("Q", sorted(found))


def compare(comparison: Comparison) -> Procedure:
    """List both trees and match them; returns the numbers of entries (wanted, had)."""
    matching = _Matching(comparison)
    yield from matching.run()
    return matching.want.count, matching.have.count


class _Matching:
    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison
        names = ("same", "same.directories", "moved", "unsorted", "have.rest", "want.rest", "have.left", "want.left")
        self._writers = {name: LineWriter(comparison.file(name)) for name in (*names, "have")}
        have = comparison.have
        assert have is not None
        self.want = Listed(comparison.listing(identifies=True), comparison.times)
        identifies = comparison.comparable or comparison.keeps_listing
        left_out = comparison.left_out if comparison.comparable else frozenset()
        listing = Listing(have.site, have.root, comparison.distrusted_in_have, False, identifies, left_out=left_out)
        written = self._writers["have"] if comparison.keeps_listing else None
        self.have: Listed | Recorded = Listed(listing, written=written)
        self._names = Quoted()

    def run(self) -> Procedure:
        """Write ``same`` and ``changes``."""
        comparison = self._comparison
        for writer in self._writers.values():
            yield from writer.begin()
        yield SpoolTruncate(comparison.file("moved.sorted"))  # an earlier agent may have compared with another tree
        known = yield from self._read_manifest()
        yield from self._by_path(known)
        if comparison.comparable:
            yield from self._end("have.rest", "want.rest")
            yield from self._by_id()
            yield from self._end("moved", "have.left", "want.left")
            yield from self._left_by_path()
        yield from self._end(*_LASTING)
        yield SpoolSort(comparison.file("unsorted"), comparison.file("changes"))

    def _read_manifest(self) -> Procedure:
        """Take the manifest in place of a listing if it tells as much; else returns who reads its details, if any."""
        comparison = self._comparison
        if comparison.manifest is None:
            return None
        is_whole = comparison.manifest_is_sealed and comparison.comparable and not comparison.keeps_listing
        if is_whole and comparison.for_manifest:
            recorded = Recorded(comparison.manifest, comparison.distrusted_in_have)
            if (yield from recorded.names_ids()):
                self.have = recorded
                return None
        return Known(comparison.manifest, is_of_source=comparison.comparable)

    def _end(self, *names: str) -> Procedure:
        for name in names:
            yield from self._writers[name].end(durable=name == "same")
            if name not in _LASTING:
                yield SpoolSort(self._comparison.file(name), self._comparison.file(f"{name}.sorted"))

    def _by_path(self, known: Known | None) -> Procedure:
        """Merge both trees; what is the same by path and id needs no more looking at."""
        want, have = self.want, self.have
        readers = (want, have, known.reader if known is not None else None)
        yield Together([reader.advance() for reader in readers if reader is not None], limit=3)
        while want.entry is not None or have.entry is not None:
            if have.entry is None or (want.entry is not None and want.key < have.key):
                assert want.entry is not None
                yield from self._unmatched_wanted(want.entry)
                yield from self._wanted_below(want.entry)
                if not want.step():
                    yield from want.advance()
                continue
            if known is not None:
                yield from known.add(have.entry, have.key)
            if want.entry is None or have.key < want.key:
                yield from self._unmatched_had(have.entry)
                yield from self._had_below()
            else:
                if not self._is_same_file(have.entry, want.entry):
                    yield from self._same_path(have.entry, want.entry)
                else:
                    self._add_same("same", have.entry, want.entry)
                if have.entry["t"] == want.entry["t"]:
                    self._pass_equal()
                if self._writers["same"].is_full:
                    yield from self._writers["same"].flush()
                if not want.step():
                    yield from want.advance()
            if not have.step():
                yield from have.advance()

    def _is_same_file(self, have: Entry, want: Entry) -> bool:
        """By far the most entries of most trees."""
        return want["t"] == FILE and self._comparison.comparable and self._is_same(have, want)

    def _pass_equal(self) -> None:
        """Go past the plain files that come next in both trees, as far as they are at hand and the very same."""
        want, have, names, comparison = self.want.listing, self.have, self._names, self._comparison
        directory = want.directory
        if not isinstance(have, Recorded) or directory is None or have.directory_id(directory["p"]) != directory["i"]:
            return
        lines, writer, distrusted = have.lines.at_hand, self._writers["same"], comparison.distrusted_in_have
        cut_ms = have.cut_ms

        def accept(found: dict[str, Any], path: str, ordinal: int) -> bool:
            if not lines:
                return False
            line = line_of(lines[0], found, rest_of_line(found, path, names), cut_ms)
            if line is None or comparison.is_modified(found["fileId"]) or path in distrusted:
                return False
            lines.popleft()
            writer.add(b"%012d %b" % (ordinal, line))
            return True

        before = want.count
        want.take_plain(accept)
        have.count += want.count - before

    def _add_same(self, name: str, have: Entry, want: Entry) -> None:
        """Write what has nothing to be done as it will stand in the manifest; the file may have to be flushed."""
        details: Entry = {name: have[name] for name in _DETAILS if name in have}
        expect(have, want)
        self._writers[name].add(b"%012d %b" % (want["n"], manifest_line({**want, **details})))

    def _same_path(self, have: Entry, want: Entry) -> Procedure:
        comparable = self._comparison.comparable
        if want["p"] == "":
            yield from self._pair(have, want, moved=False)
        elif comparable and self._is_same(have, want):
            self._add_same("same", have, want)
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
            and same_blocks(have, want)
            and same_attributes_listed(have, want)
            and not have.get("F")
            and not have.get("f")
            and not want.get("f")
            and (have.get("D", False) or not self._comparison.for_manifest)
            and not self._comparison.is_modified(want["i"])
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

    def _wanted_below(self, directory: Entry) -> Procedure:
        """Of a directory that has no partner by path, no entry has one: take its plain files that are at hand."""
        if directory["t"] != DIRECTORY or not self._comparison.comparable:
            return
        writer, names, up = self._writers["want.rest"], self._names, directory["i"]

        def accept(found: dict[str, Any], path: str, ordinal: int) -> bool:
            writer.add(b"%016x %b" % (found["fileId"], entry_line(found, path, names, up, ordinal)))
            return True

        self.want.listing.take_plain(accept)
        if writer.is_full:
            yield from writer.flush()

    def _had_below(self) -> Procedure:
        """The same of the other side, where a manifest tells it."""
        writer = self._writers["have.rest"]
        if isinstance(self.have, Recorded) and self._comparison.comparable:
            for inode_id, record in self.have.take_below():
                writer.add(b"%016x %b" % (inode_id, record))
        if writer.is_full:
            yield from writer.flush()

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
            elif self._is_same_file(h[1], w[1]) and name_of(h[1]["p"]) == name_of(w[1]["p"]):
                self._add_same("moved", h[1], w[1])  # along with the directory above
                if self._writers["moved"].is_full:
                    yield from self._writers["moved"].flush()
                h = yield from have.keyed()
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
