"""Plan how the head becomes the wanted tree: what is staged, and the steps that put it into place.

Any one-to-one matching of entries (``hdfs_compare``) gives a right plan of this shape:

1. ``out``, deepest first: the tops of what is gone, every file whose contents are replaced, and every entry that moves
   (to another directory or name) go to ``out/<seq>``. Deepest first, no path of this phase is changed by a step before.
2. ``in``, parents first: everything from ``out`` that is wanted elsewhere, and everything new from ``new``, goes to its
   wanted path. What stands there is in place already, and every free path is free, because all that was in the way has
   gone out. Chains and swaps need no thought: each passes through a name of its own.
3. ``set``: attributes of entries that were kept.
4. ``time``: modification times of directories in which a step left a trace.

A whole new subtree is staged as one entry, so a first copy is one ``in`` step. Sequence numbers are given in the order
of the trees, so the same two snapshots give the same plan: another attempt recognises what an earlier one has staged.

The plan is a work file of records in this order: ``{"do", "d" (depth), "p" (path in the head), "from"/"to" (path in
staging), …}``. Beside it: ``replaced`` and ``copies`` (files to stage, in place of others and new ones) and
``directories`` (new directories, parents first). What is new in these is as a listing shows it: its details are asked
for when it is staged, so that a first copy begins as soon as the tree is listed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.agent.core.hdfs_compare import Comparison
from infra.agent.core.hdfs_entries import DIRECTORY, FILE, Entry, depth_of, name_of, parent_of, path_key
from infra.agent.core.hdfs_plain import Quoted, new_line
from infra.agent.core.hdfs_walk import Listing
from infra.agent.core.lines import LineReader, LineWriter, encode
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import SpoolSort, SpoolTruncate

OUT = "out"
IN = "in"
SET = "set"
TIME = "time"
_PHASES = {OUT: b"1", IN: b"2", SET: b"3", TIME: b"4"}
# One directory of HDFS may not have more than about a million entries.
BUCKET = 1000
DEEPEST = 99_999
_LASTING = ("replaced", "copies", "directories")


@dataclass
class Plan:
    """What a plan does, in numbers."""

    steps: int = 0
    deleted: int = 0
    replaced: int = 0
    renamed: int = 0
    changed_attributes: int = 0
    files_moved: int = 0
    bytes_moved: int = 0
    out_count: int = 0
    new_count: int = 0


def staged(kind: str, sequence: int) -> str:
    """The path of an entry in staging; ``kind`` is "out" or "new"."""
    return f"{kind}/{sequence // BUCKET}/{sequence}"


def make_plan(comparison: Comparison) -> Procedure:
    """Write ``plan``, ``replaced``, ``copies`` and ``directories``; returns the ``Plan``."""
    planner = _Planner(comparison)
    yield from planner.run(planner.changes())
    return planner.plan


def plan_first_copy(comparison: Comparison) -> Procedure:
    """The same where nothing is there yet; returns the ``Plan`` and the number of entries."""
    for name in ("same", "moved.sorted", "gone", "kept"):
        yield SpoolTruncate(comparison.file(name))
    listing = comparison.listing(identifies=False)
    planner = _Planner(comparison)
    yield from planner.run(planner.all_of(listing))
    return planner.plan, listing.count


class _Planner:
    def __init__(self, comparison: Comparison) -> None:
        self.plan = Plan()
        self._comparison = comparison
        names = ("plan.unsorted", *_LASTING, "touched", "standing", "plan")
        self._writers = {name: LineWriter(comparison.file(name)) for name in names}
        self._names = Quoted()

    def run(self, take_entries: Procedure) -> Procedure:
        """Write everything."""
        for writer in self._writers.values():
            yield from writer.begin()
        yield from take_entries
        yield from self._times()
        for name in _LASTING:
            yield from self._writers[name].end(durable=True)
        yield from self._writers["plan.unsorted"].end()
        yield SpoolSort(self._comparison.file("plan.unsorted"), self._comparison.file("plan.sorted"))
        yield from self._strip_keys()

    def changes(self) -> Procedure:
        """Take what a comparison has found."""
        yield from self._each("gone", self._gone, _Tops())
        yield from self._each("kept", self._kept, _Tops())
        yield from self._each("new", self._new, _Tops())

    def all_of(self, listing: Listing) -> Procedure:
        """Take a whole tree as new."""
        tops = _Tops()
        while True:
            entry = yield from listing.next()
            if entry is None:
                return
            yield from self._new({"w": entry}, tops)
            self._take_plain(listing, tops)
            if self._writers["copies"].is_full:
                yield from self._writers["copies"].flush()

    def _take_plain(self, listing: Listing, tops: _Tops) -> None:
        """Take the plain files that are at hand in a new directory."""
        directory = listing.directory
        above = None if directory is None else tops.of(directory["p"])
        if directory is None or above is None:
            return
        plan, writer, names, up = self.plan, self._writers["copies"], self._names, directory["i"]

        def accept(found: dict[str, Any], path: str, ordinal: int) -> bool:
            plan.files_moved += 1
            plan.bytes_moved += found["length"]
            writer.add(new_line(found, path, names, up, ordinal, f"{above}/{found['pathSuffix']}"))
            return True

        listing.take_plain(accept)

    def _each(self, name: str, plan: Any, tops: _Tops) -> Procedure:
        reader = LineReader(self._comparison.file(name))
        while True:
            change = yield from reader.record()
            if change is None:
                return
            yield from plan(change, tops)

    def _gone(self, change: dict[str, Any], tops: _Tops) -> Procedure:
        have: Entry = change["h"]
        self.plan.deleted += 1
        if tops.above(have["p"]) is None:
            yield from self._out(have)
        if have["t"] == DIRECTORY:
            tops.push(have["p"], "")

    def _kept(self, change: dict[str, Any], tops: _Tops) -> Procedure:
        have: Entry = change["h"]
        want: Entry = change["w"]
        if want["t"] == DIRECTORY:
            yield from self._stands(have, want)
        if want["p"] == "":
            return
        if change.get("R"):
            self.plan.replaced += 1
            yield from self._out(have)
            yield from self._stage_file("replaced", want, (yield from self._in_new(want)))
            return
        if change["v"]:
            self.plan.renamed += 1
            yield from self._in(want, (yield from self._out(have)))
        attributes = _attributes_to_set(change, have, want)
        if attributes:
            self.plan.changed_attributes += 1
            yield from self._step(SET, depth_of(want["p"]), {"p": want["p"], "t": want["t"], **attributes})
        if want["t"] == DIRECTORY and have["m"] != want["m"]:
            yield from self._time(want)

    def _new(self, change: dict[str, Any], tops: _Tops) -> Procedure:
        want: Entry = change["w"]
        above = tops.above(want["p"])
        if above is None:
            path = yield from self._in_new(want)
        else:
            path = f"{above}/{name_of(want['p'])}"
        if want["t"] == DIRECTORY:
            tops.push(want["p"], path)
            yield from self._write("directories", {**want, "path": path})
            yield from self._stands(None, want)
        else:
            yield from self._stage_file("copies", want, path)

    def _out(self, have: Entry) -> Procedure:
        path = staged("out", self.plan.out_count)
        self.plan.out_count += 1
        yield from self._step(OUT, DEEPEST - depth_of(have["p"]), {"p": have["p"], "to": path})
        yield from self._writers["touched"].write(b"h%016x" % have["u"])
        return path

    def _in_new(self, want: Entry) -> Procedure:
        path = staged("new", self.plan.new_count)
        self.plan.new_count += 1
        yield from self._in(want, path)
        return path

    def _in(self, want: Entry, path: str) -> Procedure:
        yield from self._step(IN, depth_of(want["p"]), {"p": want["p"], "from": path})
        yield from self._writers["touched"].write(b"w%016x" % want["u"])

    def _stage_file(self, name: str, want: Entry, path: str) -> Procedure:
        if self._add_file(name, want, path):
            yield from self._writers[name].flush()

    def _add_file(self, name: str, want: Entry, path: str) -> bool:
        """Plan to stage a file at a path; True when what was written about it has to be flushed."""
        self.plan.files_moved += 1
        self.plan.bytes_moved += want["l"]
        return self._writers[name].add(encode({**want, "path": path}))

    def _time(self, want: Entry) -> Procedure:
        # Keyed by path: several steps leave a trace in one directory, whose time is set once.
        order = DEEPEST - depth_of(want["p"])
        key = b"%s/%05d/%s" % (_PHASES[TIME], order, path_key(want["p"]))
        step = {"do": TIME, "d": order, "p": want["p"], "m": want["m"]}
        yield from self._writers["plan.unsorted"].write_keyed(key, step)

    def _step(self, what: str, order: int, step: dict[str, Any]) -> Procedure:
        key = b"%s/%05d/%012d" % (_PHASES[what], order, self._writers["plan.unsorted"].count)
        yield from self._writers["plan.unsorted"].write_keyed(key, {"do": what, "d": order, **step})

    def _write(self, name: str, record: dict[str, Any]) -> Procedure:
        yield from self._writers[name].write(encode(record))

    def _stands(self, have: Entry | None, want: Entry) -> Procedure:
        """Remember under which ids a directory of the wanted tree can be named as one in which a step left a trace."""
        place = {"p": want["p"], "m": want["m"], "s": have is not None and have["m"] != want["m"]}
        if have is not None:
            yield from self._writers["standing"].write_keyed(b"h%016x" % have["i"], place)
        yield from self._writers["standing"].write_keyed(b"w%016x" % want["i"], place)

    def _times(self) -> Procedure:
        """Set the times of the directories in which steps leave traces, once each, where that is not done anyway."""
        touched = self._writers["touched"]
        if touched.count == 0:
            return
        yield from self._standing_unchanged()
        for name in ("touched", "standing"):
            yield from self._writers[name].end()
            yield SpoolSort(self._comparison.file(name), self._comparison.file(f"{name}.sorted"))
        ids = LineReader(self._comparison.file("touched.sorted"))
        places = LineReader(self._comparison.file("standing.sorted"))
        key = yield from ids.next()
        place = yield from places.keyed()
        while key is not None and place is not None:
            if key > place[0]:
                place = yield from places.keyed()
                continue
            if key == place[0] and place[1]["p"] and not place[1]["s"]:
                yield from self._time(place[1])
                place = yield from places.keyed()
            key = yield from ids.next()

    def _standing_unchanged(self) -> Procedure:
        """A step may leave its trace in a directory that is otherwise the same: a replaced file does."""
        reader = LineReader(self._comparison.file("same.directories"))
        while True:
            entry = yield from reader.record()
            if entry is None:
                return
            yield from self._stands(entry, entry)

    def _strip_keys(self) -> Procedure:
        reader = LineReader(self._comparison.file("plan.sorted"))
        previous = b""
        while True:
            line = yield from reader.next()
            if line is None:
                break
            if line != previous:
                self.plan.steps += 1
                yield from self._writers["plan"].write(line.partition(b" ")[2])
            previous = line
        yield from self._writers["plan"].end(durable=True)


class _Tops:
    """The directories of one class (gone, or new) on the way to where a walk is, with a text each."""

    def __init__(self) -> None:
        self._directories: list[tuple[str, str]] = []

    def push(self, path: str, text: str) -> None:
        """A directory, met in the order of a tree."""
        self._directories.append((path, text))

    def above(self, path: str) -> str | None:
        """The text of the directory right above ``path``, or None when it is not of the class."""
        while self._directories and not _is_below(path, self._directories[-1][0]):
            self._directories.pop()
        return self.of(parent_of(path)) if path else None

    def of(self, directory: str) -> str | None:
        """The text of the directory met last, if that is the one asked for."""
        if self._directories and self._directories[-1][0] == directory:
            return self._directories[-1][1]
        return None


def _is_below(path: str, directory: str) -> bool:
    return path != "" and (directory == "" or path.startswith(directory + "/"))


def _attributes_to_set(change: dict[str, Any], have: Entry, want: Entry) -> dict[str, Any]:
    """What has to be set on an entry that is kept.

    Mode ``x`` and ACL ``a`` depend on each other and come together; of what never had an ACL nothing is said about one,
    because a cluster whose ACLs are off refuses even to remove them.
    """
    attributes: dict[str, Any] = {}
    if (have["o"], have["g"]) != (want["o"], want["g"]):
        attributes.update(o=want["o"], g=want["g"])
    if have["x"] != want["x"] or have.get("A") != want.get("A") or (change.get("E") and have.get("a") != want.get("a")):
        attributes["x"] = want["x"]
        if any(entry.get(name) for entry in (have, want) for name in ("A", "a")):
            attributes["a"] = want.get("a", [])
    if change.get("E") and have.get("e") != want.get("e"):
        attributes["e"] = want.get("e", {})
    if have.get("s") != want.get("s"):
        attributes["s"] = want.get("s")
    if want["t"] == FILE and have["r"] != want["r"]:
        attributes["r"] = want["r"]
    if want["t"] == FILE and have["m"] != want["m"]:
        attributes["m"] = want["m"]
    return attributes
