"""Is the head at its base? Mostly it is, and then that is shown without comparing two trees entry by entry.

Three things show it together: HDFS's own difference from the base's snapshot to now is empty, so nothing was made,
deleted, renamed, appended to or given other attributes; no file is open for writing; and the listing of the head is
what the manifest of the base says, with the blocks that the base's snapshot was seen with when it was verified. The
latter finds what that difference does not: other times, and a truncation that was appended to until the length was the
old one, even if the time was set back. Where one of them is missing, ``hdfs_heal`` compares both trees.
"""

from __future__ import annotations

from typing import Any

from infra.agent.core.block_identity import TreeIdentity
from infra.agent.core.hdfs_entries import FILE, Entry, same_attributes_listed, same_contents_listed
from infra.agent.core.hdfs_manifest import sealed_facts
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
    sealed = yield from sealed_facts(data_set["recovery_point"], data_set)
    verified = None if sealed is None else sealed.get("verified")
    blocks = verified.get("blocks") if isinstance(verified, dict) else None
    return (yield from _is_listed(head, manifest, blocks))


def open_files(head: str) -> Procedure:
    """The files below the head that are open for writing, relative to it; none where that cannot be listed."""
    try:
        paths = (yield OpenFiles(SECONDARY, head))["paths"]
    except OperationFailed as failure:
        if failure.code != "OPEN_FILES_UNKNOWN":
            raise
        paths = []
    return frozenset(path[len(head) + 1 :] for path in paths if path.startswith(f"{head}/"))


def _is_listed(head: str, manifest: str, blocks: str | None) -> Procedure:
    """Whether the head's listing is what the manifest says; the root's own attributes are the protection's.

    So are the ``blocks``, unless the head's are not told. Where they are, and those of the base are not known, the
    answer is no: then both trees have to be listed.
    """
    walk, lines, names = Walk(SECONDARY, head, identifies=True), LineReader(manifest), Quoted()
    identity = TreeIdentity()

    def accept(found: dict[str, Any], path: str) -> bool:
        if not lines.at_hand:
            return False
        line = without_moved(lines.at_hand[0])
        if beginning_of_line(line, rest_of_line(found, path, names)) is None:
            return False
        lines.at_hand.popleft()
        identity.add(found["length"], found.get("blocks"))
        return True

    while True:
        found: Entry | None = yield from walk.next()
        known: Entry | None = yield from lines.record()
        if found is None or known is None:
            return found is known and identity.told() in (None, blocks)
        if found["p"] != known["p"] or (found["p"] and not _is_same(found, known)):
            return False
        if found["t"] == FILE:
            identity.add(found["l"], found.get("B"))
        walk.take_plain(accept)


def _is_same(found: Entry, known: Entry) -> bool:
    if "a" in known:
        known["A"] = True
    return same_contents_listed(found, known) and same_attributes_listed(found, known)
