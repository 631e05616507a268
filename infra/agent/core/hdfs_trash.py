"""Trash roots that a NameNode makes: nobody's change of a copy.

With ``dfs.namenode.snapshot.trashroot.enabled`` a NameNode that becomes active makes ``.Trash`` in every snapshottable
directory that has none (HDFS-15614). On the secondary that is a directory in the head which no run has put there, and
nobody else either. So one that stands there empty, with the mode that HDFS gives it, and is not in the base, is removed
before the head is compared with its base. What lies in such a directory somebody has deleted, and so changed the copy.

On the primary ``.Trash`` is part of the tree like anything else: users' files are in it.
"""

from __future__ import annotations

from infra.agent.core import hdfs
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import OperationFailed
from infra.agent.core.work import SECONDARY

TRASH = ".Trash"
MODE = "1777"


def remove_trash_root(head: str, base: str) -> Procedure:
    """Remove an empty trash root of HDFS's own making from a head; ``base`` is the frozen tree that it started from."""
    path = f"{head}/{TRASH}"
    found = yield from hdfs.status(SECONDARY, path)
    if found is None or found["type"] != "DIRECTORY" or found["permission"] != MODE:
        return
    if (yield from hdfs.status(SECONDARY, f"{base}/{TRASH}")) is not None:
        return
    if (yield from hdfs.list_page(SECONDARY, path)).entries:
        return
    try:
        yield from hdfs.delete(SECONDARY, path, recursive=False)
    except OperationFailed as failure:
        if hdfs.exception_of(failure) != "PathIsNotEmptyDirectoryException":
            raise
