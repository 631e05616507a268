"""Snapshots of HDFS directories: allow, take, look, remove, and the difference between two of them."""

from __future__ import annotations

from typing import NamedTuple

from infra.agent.core.hdfs import call, exception_of, persist, status
from infra.agent.core.listings import invalid
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import HdfsCall, OperationFailed


class DifferencePage(NamedTuple):
    """A part of a snapshot difference.

    ``modified`` holds the inode ids of what stayed but changed (contents, attributes, entries of a directory),
    ``others`` is the number of entries that were made, deleted or renamed. ``next_path`` and ``next_index`` ask for the
    next part.
    """

    modified: list[int]
    others: int
    next_path: str
    next_index: int


def snapshot_path(directory: str, snapshot: str) -> str:
    """Where the frozen tree can be read."""
    return f"{directory}/.snapshot/{snapshot}"


def allow_snapshots(site: str, directory: str) -> Procedure:
    """Make a directory snapshottable (the superuser alone may); repeating it changes nothing."""
    try:
        yield from call(site, "PUT", "ALLOWSNAPSHOT", directory)
    except OperationFailed as failure:
        if "ested snapshottable" in failure.message:
            raise OperationFailed(
                "NESTED_SNAPSHOTTABLE",
                failure.message,
                remedy="Disallow snapshots on the directory above or below that the message names.",
                detail=failure.detail,
            ) from failure
        raise


def create_snapshot(site: str, directory: str, snapshot: str) -> Procedure:
    """Take a snapshot unless one of this name is there; returns its FileStatus (modification time = the cut)."""
    path = snapshot_path(directory, snapshot)
    request = HdfsCall(site, "PUT", "CREATESNAPSHOT", directory, (("snapshotname", snapshot),))

    def once() -> Procedure:
        found = yield from status(site, path)
        if found is None:
            yield request
            found = yield from status(site, path)
        return found

    return (yield from persist(once))


def delete_snapshot(site: str, directory: str, snapshot: str) -> Procedure:
    """Remove a snapshot; returns whether it was there."""
    if (yield from status(site, snapshot_path(directory, snapshot))) is None:
        return False
    request = HdfsCall(site, "DELETE", "DELETESNAPSHOT", directory, (("snapshotname", snapshot),))

    def once() -> Procedure:
        try:
            yield request
        except OperationFailed as failure:
            if exception_of(failure) != "SnapshotException" or "does not exist" not in failure.message:
                raise

    yield from persist(once)
    return True


def difference_page(
    site: str, directory: str, older: str, newer: str, start_path: str = "", index: int = -1
) -> Procedure:
    """One ``DifferencePage`` between two snapshots; ``newer`` "" is the present state."""
    answer = yield from call(
        site,
        "GET",
        "GETSNAPSHOTDIFFLISTING",
        directory,
        (
            ("oldsnapshotname", older),
            ("snapshotname", newer),
            ("snapshotdiffstartpath", start_path),
            ("snapshotdiffindex", str(index)),
        ),
    )
    try:
        listing = answer["SnapshotDiffReportListing"]
        modified = [entry["fileId"] for entry in listing["modifyList"]]
        others = len(listing["createList"]) + len(listing["deleteList"])
        page = DifferencePage(modified, others, listing["lastPath"], listing["lastIndex"])
    except (KeyError, TypeError) as error:
        raise invalid(f"{site}: {directory}", f"{answer!r:.300} is not a snapshot difference") from error
    is_sound = isinstance(page.next_path, str) and type(page.next_index) is int
    if not is_sound or any(type(one) is not int or not 0 <= one < 1 << 63 for one in modified):
        raise invalid(f"{site}: {directory}", f"{answer!r:.300} is not a snapshot difference")
    return page


def is_last(page: DifferencePage) -> bool:
    """Tell whether no part comes after this one; pages of the root itself have an empty path too, but an index."""
    return page.next_path == "" and page.next_index == -1
