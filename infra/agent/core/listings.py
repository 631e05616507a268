"""What a NameNode answers about files and directories, checked before anything is done with it.

A NameNode may be broken, or somebody else's: a name in its listing becomes part of a path on the other cluster, and a
listing that does not move on would be asked for without end. Whatever does not fit is LISTING_INVALID, which no other
try makes better.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any, NamedTuple

from infra.agent.core.hdfs_entries import name_key
from infra.agent.core.operations import OperationFailed
from infra.agent.names import is_name

_fields = itemgetter(
    "pathSuffix",
    "type",
    "owner",
    "group",
    "permission",
    "length",
    "modificationTime",
    "fileId",
    "blockSize",
    "replication",
    "storagePolicy",
)
_TYPES = (str, str, str, str, str, int, int, int, int, int, int)
_REMEDY = (
    "Nothing was changed. Ask the NameNode itself (hdfs dfs -ls); if it lists what is not so, it is not to be trusted."
)


class Page(NamedTuple):
    """One page of a directory's listing, in HDFS's own order, and how many entries are still to come."""

    entries: list[dict[str, Any]]
    remaining: int


def invalid(where: str, what: str) -> OperationFailed:
    """The failure of an answer that cannot be right."""
    message = f"{where}: {what}"
    return OperationFailed("LISTING_INVALID", message[:1000], remedy=_REMEDY)


def status_of(answer: Any, where: str) -> dict[str, Any]:
    """The FileStatus in an answer to GETFILESTATUS; raises LISTING_INVALID."""
    found = answer.get("FileStatus")
    if not _is_status(found):
        raise invalid(where, f"{found!r:.300} is not the status of a file or directory")
    status: dict[str, Any] = found
    return status


def page_of(answer: Any, where: str, after: str) -> Page:
    """The ``Page`` in an answer to LISTSTATUS_BATCH, all of it behind the name ``after``; raises LISTING_INVALID.

    A file is listed as itself, without a name, as the only entry.
    """
    try:
        listing = answer["DirectoryListing"]
        entries, remaining = listing["partialListing"]["FileStatuses"]["FileStatus"], listing["remainingEntries"]
    except (KeyError, TypeError) as error:
        raise invalid(where, f"{answer!r:.300} is not a listing") from error
    if not isinstance(entries, list) or type(remaining) is not int or remaining < 0:
        raise invalid(where, f"{answer!r:.300} is not a listing")
    if remaining and not entries:
        raise invalid(where, f"a page is empty, though {remaining} entries are to come")
    behind = name_key(after) if after else None
    for found in entries:
        if not _is_status(found):
            raise invalid(where, f"{found!r:.300} is not the status of a file or directory")
        name = found["pathSuffix"]
        if not is_name(name):
            if name == "" and found["type"] == "FILE" and len(entries) == 1 and not remaining and behind is None:
                continue
            raise invalid(where, f"{name!r:.300} cannot be the name of a file or directory")
        if behind is not None and name_key(name) <= behind:
            raise invalid(where, f"{name!r:.300} is listed after {after!r:.300}: the listing does not move on")
    return Page(entries, remaining)


def _is_status(found: Any) -> bool:
    try:
        return (
            tuple(map(type, _fields(found))) == _TYPES
            and found["length"] >= 0
            and found["blockSize"] >= 0
            and found["replication"] >= 0
            and type(found.get("childrenNum", 0)) is int
        )
    except (KeyError, TypeError, AttributeError):
        return False
