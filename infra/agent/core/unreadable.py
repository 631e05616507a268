"""Files that the superuser may not read: who copies is the superuser, so they cannot be copied.

HDFS has an extended attribute for that, which can be set on a file, even by its owner, and never be removed. Such a
file ends a copy, unless the policy says that it is to be left out. Then it is treated as if it were not there: in no
plan, no manifest and no digest, and not on the secondary, from which an earlier copy of it is taken away (the recovery
points that have it keep it). How many were left out, and which, is told, and sealed with the recovery point.
"""

from __future__ import annotations

from typing import Any, Sequence

from infra.agent.core.hdfs import UNREADABLE_MARK
from infra.agent.core.hdfs_asking import ask_extended_attributes
from infra.agent.core.hdfs_compare import Comparison
from infra.agent.core.hdfs_entries import Entry
from infra.agent.core.lines import LineReader
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import OperationFailed

UNREADABLE = "UNREADABLE"
REMEDY = (
    "Copy the file within the cluster and put the copy in its place (the attribute cannot be removed), or leave such"
    " files out: understudy policy add … --leave-out-unreadable."
)
TOLD = 20
WINDOW = 1000


class Unreadable(OperationFailed):
    """Some files of the source may not be read; ``ids`` are their inodes, ``paths`` those of as many as are told."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.ids = frozenset(entry["i"] for entry in entries)
        self.paths = [entry["p"] for entry in entries[:TOLD]]
        more = f" and {len(entries) - 1} more" if len(entries) > 1 else ""
        super().__init__(
            UNREADABLE,
            f"{self.paths[0]}{more} has the attribute {UNREADABLE_MARK}, so the superuser, who copies, may not read it",
            REMEDY,
            detail={"path": self.paths[0], "paths": self.paths},
        )


def refuse_unreadable(entries: Sequence[Entry]) -> None:
    """Raise ``Unreadable`` if there are such files among entries whose extended attributes were asked for."""
    found = [entry for entry in entries if entry.get("z")]
    if found:
        raise Unreadable(found)


def find_unreadable(comparison: Comparison) -> Procedure:
    """Raise ``Unreadable`` for all such files that a plan is going to copy as new ones; nothing is copied before."""
    reader = LineReader(comparison.file("copies"))
    found: list[Entry] = []
    while True:
        entries: list[Entry] = yield from reader.window(WINDOW)
        if not entries:
            break
        yield from ask_extended_attributes(comparison.want, entries)
        found += [{"p": entry["p"], "i": entry["i"], "z": True} for entry in entries if entry.get("z")]
    refuse_unreadable(found)


def told(left_out: dict[str, Any] | None) -> dict[str, Any]:
    """What a copy's result says of them; nothing where there are none."""
    return {} if not left_out else {"left_out": {"files": len(left_out["ids"]), "paths": left_out["paths"]}}
