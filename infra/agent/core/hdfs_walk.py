"""Walk a tree of HDFS depth first, page by page.

At most two pages per level of the tree are held, and the first pages of some of the next sibling directories, which are
asked for together: a tree of many small directories is not one round trip after the other. What comes next is asked for
while what has come is worked with.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Dict

from infra.agent.core.hdfs import ListPage, Page, ask_page, page_request, status
from infra.agent.core.hdfs_entries import DIRECTORY, FILE, Entry, below, check_supported, entry_of, name_key
from infra.agent.core.hdfs_plain import is_plain
from infra.agent.core.lines import LineWriter, encode
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.operations import Ahead, HdfsCall, OperationFailed

DIRECTORIES_AHEAD = 32
ENTRIES_AHEAD = 2000

AcceptPlain = Callable[[Dict[str, Any], str], bool]
"""Takes a FileStatus with its path, or refuses it: then it comes again as an entry."""


class _Level:
    """A directory that is being walked."""

    def __init__(self, entry: Entry, policy: int, page: Page) -> None:
        self.entry = entry
        self.prefix = f"{entry['p']}/" if entry["p"] else ""
        self.policy = policy
        self.statuses = page.entries
        self.remaining = page.remaining
        self.position = 0
        self.ahead: dict[str, Page] = {}


class Walk:
    """Gives the entries below ``root`` in the order of a tree, the root itself (path "") first.

    A walk of what is to be copied is ``strict``: it raises for what cannot be copied faithfully. One that
    ``identifies`` gives files ``B``, where that is told: it takes longer.
    """

    def __init__(self, site: str, root: str, strict: bool = False, identifies: bool = False) -> None:
        self._site = site
        self._root = root
        self._strict = strict
        self._identifies = identifies
        self._levels: list[_Level] = []
        self._started = False

    def ready(self) -> Entry | None:
        """The next entry if that is a file on the page at hand, without a procedure; otherwise ``next`` has it."""
        level = self._levels[-1] if self._levels else None
        if level is None or level.position >= len(level.statuses):
            return None
        found = level.statuses[level.position]
        if found["type"] != "FILE":
            return None
        level.position += 1
        return self._entry(found, level.prefix + found["pathSuffix"], level.entry["i"], level.policy)

    @property
    def directory(self) -> Entry | None:
        """The directory whose entries are at hand, None at the beginning and at the end."""
        return self._levels[-1].entry if self._levels else None

    def take_plain(self, accept: AcceptPlain) -> None:
        """Hand over plain files (``hdfs_plain``) of the page at hand, in their order, as long as they are accepted."""
        level = self._levels[-1] if self._levels else None
        if level is None:
            return
        statuses, prefix, policy = level.statuses, level.prefix, level.policy
        for position in range(level.position, len(statuses)):
            found = statuses[position]
            if not is_plain(found, policy) or not accept(found, prefix + found["pathSuffix"]):
                return
            level.position = position + 1

    def next(self) -> Procedure:
        """The next entry, or None at the end; raises NO_SUCH_DIRECTORY when there is no root."""
        if not self._started:
            self._started = True
            return (yield from self._begin())
        while self._levels:
            level = self._levels[-1]
            if level.position < len(level.statuses):
                return (yield from self._take(level))
            if level.remaining:
                page = yield from ask_page(self._request(self._path(level), level.statuses[-1]["pathSuffix"]))
                _check_order(page.entries, after=level.statuses[-1]["pathSuffix"])
                level.statuses, level.remaining, level.position, level.ahead = page.entries, page.remaining, 0, {}
                yield from self._announce_page(level)
            else:
                self._levels.pop()
        return None

    def _begin(self) -> Procedure:
        found = yield from status(self._site, self._root)
        if found is None or found["type"] != "DIRECTORY":
            raise OperationFailed("NO_SUCH_DIRECTORY", f"{self._root} is not a directory on the {self._site} cluster")
        entry = self._entry(found, "", 0, found["storagePolicy"])
        yield from self._descend(entry, found["storagePolicy"], (yield from ask_page(self._request(self._root))))
        return entry

    def _take(self, level: _Level) -> Procedure:
        found = level.statuses[level.position]
        level.position += 1
        name = found["pathSuffix"]
        entry = self._entry(found, level.prefix + name, level.entry["i"], level.policy)
        if entry["t"] == DIRECTORY:
            if name not in level.ahead:
                yield from self._look_ahead(level)
            yield from self._descend(entry, found["storagePolicy"], level.ahead.pop(name))
        return entry

    def _entry(self, found: dict[str, Any], path: str, parent_id: int, parent_policy: int) -> Entry:
        if self._strict:
            check_supported(found, path)
        return entry_of(found, path, parent_id, parent_policy)

    def _descend(self, entry: Entry, policy: int, page: Page) -> Procedure:
        _check_order(page.entries, after="")
        level = _Level(entry, policy, page)
        self._levels.append(level)
        yield from self._announce_page(level)

    def _announce_page(self, level: _Level) -> Procedure:
        if level.remaining:
            yield Ahead(self._request(self._path(level), level.statuses[-1]["pathSuffix"]))

    def _look_ahead(self, level: _Level) -> Procedure:
        """Ask for the first pages of the directory just taken and of the next ones, as far as they are small."""
        names, next_position = _batch(level, level.position - 1)
        base = self._path(level)
        requests = [self._request(f"{base}/{name}") for name in names]
        pages = yield Together((ask_page(request) for request in requests), limit=DIRECTORIES_AHEAD)
        level.ahead.update(zip(names, pages))
        for name in _batch(level, next_position)[0]:
            yield Ahead(self._request(f"{base}/{name}"))

    def _request(self, path: str, start_after: str = "") -> HdfsCall | ListPage:
        """What asks for a page."""
        if self._identifies:
            return ListPage(self._site, path, start_after)
        return page_request(self._site, path, start_after)

    def _path(self, level: _Level) -> str:
        return below(self._root, level.entry["p"])


def _batch(level: _Level, position: int) -> tuple[list[str], int]:
    """Names of the directories from a position on that are looked into together, and the position after them."""
    names: list[str] = []
    entries = 0
    for number in range(position, len(level.statuses)):
        found = level.statuses[number]
        if found["type"] != "DIRECTORY":
            continue
        entries += found.get("childrenNum", 0)
        if names and (entries > ENTRIES_AHEAD or len(names) >= DIRECTORIES_AHEAD):
            return names, number
        names.append(found["pathSuffix"])
    return names, len(level.statuses)


def _check_order(statuses: list[dict[str, Any]], after: str) -> None:
    """Refuse a NameNode that lists in another order: everything here is merged by it."""
    previous = name_key(after)
    for found in statuses:
        key = name_key(found["pathSuffix"])
        if key <= previous:
            raise OperationFailed("LISTING_ORDER", f"{found['pathSuffix']!r} is not listed in the order of its bytes")
        previous = key


class Listing:
    """The entries of a tree as a walk gives them, numbered by ``n``.

    Files among ``open_files`` (paths relative to the root) get ``f``; the length in the listing is the one that counts.
    With ``is_cut`` (a snapshot on the cluster that is its source) the root's time is the cut, and a file that was
    modified after it was open at the cut and has been closed since: it gets ``f`` too. But not if that time is later
    than ``latest_close_ms``: then it was set by somebody, and says nothing. Inodes ``left_out`` do not come.
    """

    def __init__(
        self,
        site: str,
        root: str,
        open_files: frozenset[str],
        is_cut: bool,
        identifies: bool = False,
        latest_close_ms: float = math.inf,
        left_out: frozenset[int] = frozenset(),
    ) -> None:
        self._latest_close_ms = latest_close_ms
        self._left_out = left_out
        self._walk = Walk(site, root, strict=is_cut, identifies=identifies)
        self._open_files = open_files
        self._is_cut = is_cut
        self._cut_ms = 0
        self.count = 0

    def ready(self) -> Entry | None:
        """As ``Walk.ready``."""
        entry = self._walk.ready()
        while entry is not None and entry["i"] in self._left_out:
            entry = self._walk.ready()
        return None if entry is None else self._numbered(entry)

    @property
    def directory(self) -> Entry | None:
        """As ``Walk.directory``."""
        return self._walk.directory

    def take_plain(self, accept: Callable[[dict[str, Any], str, int], bool]) -> None:
        """As ``Walk.take_plain``, with the ordinal, and without files that get ``f``."""

        def numbered(found: dict[str, Any], path: str) -> bool:
            if found["fileId"] in self._left_out:
                return True
            if (
                self._is_late(found["modificationTime"])
                or path in self._open_files
                or not accept(found, path, self.count)
            ):
                return False
            self.count += 1
            return True

        self._walk.take_plain(numbered)

    def next(self) -> Procedure:
        """The next entry, or None at the end; raises NO_SUCH_DIRECTORY when there is no root."""
        entry = yield from self._walk.next()
        while entry is not None and entry["i"] in self._left_out:
            entry = yield from self._walk.next()
        return None if entry is None else self._numbered(entry)

    def _numbered(self, entry: Entry) -> Entry:
        if self._is_cut and self.count == 0:
            self._cut_ms = entry["m"]
        entry["n"] = self.count
        self.count += 1
        if entry["t"] == FILE and (self._is_late(entry["m"]) or entry["p"] in self._open_files):
            entry["f"] = True
        return entry

    def _is_late(self, modified_ms: int) -> bool:
        """Whether it is the time of a close after the cut."""
        return self._is_cut and self._cut_ms < modified_ms <= self._latest_close_ms


def write_listing(site: str, root: str, name: str) -> Procedure:
    """Write a ``Listing`` to a work file, with the identities of contents; returns how many entries there are."""
    listing = Listing(site, root, frozenset(), is_cut=False, identifies=True)
    writer = LineWriter(name)
    yield from writer.begin()
    while True:
        entry = listing.ready() or (yield from listing.next())
        if entry is None:
            break
        if writer.add(encode(entry)):
            yield from writer.flush()
    yield from writer.end()
    return listing.count
