"""Find real store files where they are, and follow them while they move.

HBase moves a file from ``data`` or ``mobdir`` to ``archive`` as soon as no live table needs it, and never back. So
``data`` is looked at before ``archive``, and a file that has gone by the time it is read is looked for again.
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Sequence

from infra.agent.core import hdfs
from infra.agent.core.hbase_layout import ARCHIVE, DATA, MOB, HFile
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.operations import OperationFailed

LISTINGS_AT_ONCE = 32
PLACES = (DATA, MOB, ARCHIVE)
_MOVES_LIMIT = 4


class Found(NamedTuple):
    """A file that is there: its path and its FileStatus."""

    file: HFile
    path: str
    status: dict[str, Any]

    @property
    def length(self) -> int:
        """In bytes."""
        length: int = self.status["length"]
        return length


def locate(site: str, root: str, files: Sequence[HFile]) -> Procedure:
    """Where files are: a dict from their relative path to ``Found``; what is nowhere is not in it."""
    directories: dict[str, list[HFile]] = {}
    for file in files:
        directories.setdefault(file.directory, []).append(file)
    found: dict[str, Found] = {}

    def look(directory: str, wanted: list[HFile]) -> Procedure:
        for place in PLACES:
            missing = {file.name: file for file in wanted if file.relative not in found}
            if not missing:
                return
            base = f"{root}/{place}/{directory}"
            for status in (yield from hdfs.list_directory(site, base)) or ():
                file = missing.get(status["pathSuffix"])
                if file is not None and status["type"] == "FILE":
                    found[file.relative] = Found(file, f"{base}/{file.name}", status)

    yield Together((look(*item) for item in directories.items()), LISTINGS_AT_ONCE, keep_results=False)
    return found


def follow(site: str, root: str, found: Found, use: Callable[[str], Procedure]) -> Procedure:
    """Run ``use(path)`` where the file is; when it has moved meanwhile, again where it is then."""
    path = found.path
    for _ in range(_MOVES_LIMIT):
        try:
            return (yield from use(path))
        except OperationFailed as failure:
            if hdfs.exception_of(failure) != "FileNotFoundException":
                raise
            there = (yield from locate(site, root, [found.file])).get(found.file.relative)
            if there is not None and there.path == path:
                raise  # something else is missing
            if there is None:
                raise OperationFailed(
                    "SOURCE_DAMAGED",
                    f"{path} has vanished although a snapshot names it",
                    remedy="Check the snapshot with `hbase snapshot info -files`; take a new one.",
                    detail={"path": path},
                ) from failure
            path = there.path
    raise OperationFailed("SOURCE_MOVES", f"{found.file.relative} moves again and again", transient=True)
