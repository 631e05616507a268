"""Which files were open at the cut: named, because a snapshot does not freeze them.

With capture of open files off (Hadoop's default) such a file goes on growing inside the snapshot. Two listings are
taken, one while warming up and one right after the cut (docs/decisions/0004):

- what is open in the second one is FUZZY, unless the snapshot does not have it (it was created after the cut);
- what is open in the first one alone was closed in between. Its modification time inside the snapshot is the close, by
  the NameNode's own clock: it is whole if that lies between the first listing and the cut, and FUZZY if it lies between
  the cut and the second listing.

A file that was opened and closed between both listings around the cut is in neither. Its modification time inside the
snapshot lies after the cut, so the one who copies the snapshot sees it. A time that is later than the second listing
(``open_listed_ms``, by the NameNode's clock) cannot be that of a close: who closed later is in that listing. Somebody
has set it.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple, Sequence

from infra.agent.core import hdfs
from infra.agent.core.hdfs_snapshots import snapshot_path
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.operations import Now, OpenFiles, OperationFailed
from infra.agent.core.work import PRIMARY
from infra.agent.names import is_absolute_path

AT_ONCE = 16


class Listing(NamedTuple):
    """Absolute paths that were open at some instant between ``asked_ms`` and ``done_ms`` (gateway's clock)."""

    asked_ms: float
    done_ms: float
    paths: frozenset[str]


def list_open(directories: Sequence[str], quick: bool = False) -> Procedure:
    """A ``Listing`` of what is open below the directories, in one request; None where it cannot be told.

    With ``quick`` also where it would take seconds.
    """
    if not directories:
        return Listing(0.0, 0.0, frozenset())
    asked_ms = yield Now()
    try:
        listed = yield OpenFiles(PRIMARY, common_directory(directories), quick)
    except OperationFailed:
        return None
    if not all(is_absolute_path(path) for path in listed["paths"]):
        return None  # no file has such a name, so nobody knows what the list is worth
    below = tuple(f"{directory}/" for directory in directories)
    paths = frozenset(path for path in listed["paths"] if path.startswith(below))
    return Listing(asked_ms, (yield Now()), paths)


def told(listing: Listing | None, directory: str) -> dict[str, Any] | None:
    """A listing as evidence: when it was asked for, and how many files below a directory it had, with their digest."""
    if listing is None:
        return None
    below = sorted(path for path in listing.paths if path.startswith(f"{directory}/"))
    digest = hashlib.sha256("\0".join(below).encode("utf-8", "surrogatepass")).hexdigest()
    return {"asked_ms": listing.asked_ms, "done_ms": listing.done_ms, "files": len(below), "sha256": digest}


class Became(NamedTuple):
    """What became of the files that were listed as open: names of those that were so at the cut, and counts."""

    opened: list[str]
    listed: int
    absent: int

    def told(self) -> dict[str, int]:
        """The counts."""
        closed = self.listed - len(self.opened) - self.absent
        return {"listed": self.listed, "open": len(self.opened), "closed": closed, "absent": self.absent}


def common_directory(directories: Sequence[str]) -> str:
    """The deepest directory that all the directories lie in; the directory itself when there is one."""
    split = [directory.split("/") for directory in directories]
    common = []
    for names in zip(*split):
        if len(set(names)) > 1:
            break
        common.append(names[0])
    return "/".join(common) or "/"


def open_at_cut(
    directory: str,
    snapshot: str,
    cut_ms: float,
    before: Listing | None,
    after: Listing,
    listed_ms: float,
    offset_ms: float,
) -> Procedure:
    """``Became``; the paths of those that were open at the cut are relative to the directory, and sorted.

    ``cut_ms`` is the snapshot's own time on the NameNode's clock, which is ``offset_ms`` ahead of the gateway's;
    ``listed_ms`` on the same clock is later than the end of the second listing.
    """
    prefix = f"{directory}/"
    since_ms = None if before is None else before.asked_ms + offset_ms
    listed = after.paths | (before.paths if before is not None else frozenset())
    names = sorted(path[len(prefix) :] for path in listed if path.startswith(prefix))
    root = snapshot_path(directory, snapshot)
    found = yield Together((hdfs.status(PRIMARY, f"{root}/{name}") for name in names), AT_ONCE)
    files = [(name, one) for name, one in zip(names, found) if one is not None and one["type"] == "FILE"]
    opened = [
        name
        for name, status in files
        if f"{prefix}{name}" in after.paths or not _was_closed(status["modificationTime"], since_ms, cut_ms, listed_ms)
    ]
    return Became(opened, len(names), len(names) - len(files))


def _was_closed(modified_ms: float, since_ms: float | None, cut_ms: float, listed_ms: float) -> bool:
    """Whether a file that was open at ``since_ms`` and not at ``listed_ms`` was closed before the cut."""
    return (since_ms is not None and since_ms <= modified_ms < cut_ms) or modified_ms > listed_ms
