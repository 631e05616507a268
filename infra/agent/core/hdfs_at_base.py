"""Is the head at its base? Mostly it is, and then that is shown without comparing two trees entry by entry.

Three things show it together: HDFS's own difference from the base's snapshot to now is empty, so nothing was made,
deleted, renamed, appended to or given other attributes; no file is open for writing; and the listing of the head is
what the manifest of the base says, which finds what that difference does not: other times, and a truncation that was
appended to until the length was the old one. Where one of them is missing, ``hdfs_heal`` compares both trees.
"""

from __future__ import annotations

from typing import Any

from infra.agent.core.hdfs_entries import Entry, same_attributes_listed, same_contents_listed
from infra.agent.core.hdfs_plain import Quoted, beginning_of_line, rest_of_line, without_moved
from infra.agent.core.hdfs_snapshots import difference_page, is_last
from infra.agent.core.hdfs_walk import Walk
from infra.agent.core.lines import LineReader
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import OpenFiles, OperationFailed
from infra.agent.core.work import SECONDARY


def is_at_base(data_set: dict[str, Any], manifest: str) -> Procedure:
    """Whether the head is certain to be what its base's snapshot shows; ``manifest`` is the base's, a work file."""
    head = data_set["path"]
    page = yield from difference_page(SECONDARY, head, data_set["base"], "")
    if page.modified or page.others or not is_last(page):
        return False
    if (yield from open_files(head)):
        return False
    return (yield from _is_listed(head, manifest))


def open_files(head: str) -> Procedure:
    """The files below the head that are open for writing, relative to it; none where that cannot be listed."""
    try:
        paths = (yield OpenFiles(SECONDARY, head))["paths"]
    except OperationFailed as failure:
        if failure.code != "OPEN_FILES_UNKNOWN":
            raise
        paths = []
    return frozenset(path[len(head) + 1 :] for path in paths if path.startswith(f"{head}/"))


def _is_listed(head: str, manifest: str) -> Procedure:
    """Whether the head's listing is what the manifest says; the root's own attributes are the protection's."""
    walk, lines, names = Walk(SECONDARY, head), LineReader(manifest), Quoted()

    def accept(found: dict[str, Any], path: str) -> bool:
        if not lines.at_hand:
            return False
        line = without_moved(lines.at_hand[0])
        if beginning_of_line(line, rest_of_line(found, path, names)) is None:
            return False
        lines.at_hand.popleft()
        return True

    while True:
        found: Entry | None = yield from walk.next()
        known: Entry | None = yield from lines.record()
        if found is None or known is None:
            return found is known
        if found["p"] != known["p"] or (found["p"] and not _is_same(found, known)):
            return False
        walk.take_plain(accept)


def _is_same(found: Entry, known: Entry) -> bool:
    if "a" in known:
        known["A"] = True
    return same_contents_listed(found, known) and same_attributes_listed(found, known)
