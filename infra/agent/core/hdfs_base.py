"""What a copy of a directory starts from: which of the offered recovery points both clusters still have.

A snapshot can be deleted by whoever may. As long as both clusters have one of the offered recovery points, the copy
starts from the newest such: the head is healed to it, and inode ids tell what has changed since. Else everything is
compared in full, by path, length, time and checksum: with the secondary's snapshot of the newest that it still has, or,
when it has none, with the head as it stands. Where no head of ours stands it is a first copy; unless what stands there
is to be adopted: then it is compared as a head is.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

from infra.agent.core import hdfs
from infra.agent.core.hdfs_adopt import can_be_adopted
from infra.agent.core.hdfs_compare import Side
from infra.agent.core.hdfs_ownership import is_signed
from infra.agent.core.hdfs_snapshots import snapshot_path
from infra.agent.core.machine import Procedure
from infra.agent.core.work import PRIMARY, SECONDARY

BASE, FROZEN, HEAD, NOTHING = "base", "frozen", "head", "nothing"


class Start(NamedTuple):
    """The tree that is compared with the source (None: a first copy), and why.

    ``snapshot`` and ``recovery_point`` are those of the chosen base ("" and None without one), ``lost`` are the offered
    ones that a cluster has lost.
    """

    have: Side | None
    compared_with: str
    snapshot: str
    recovery_point: str | None
    lost: list[dict[str, str]]

    def told(self) -> dict[str, Any]:
        """What the instruction's result says of it."""
        return {"base": self.recovery_point, "compared_with": self.compared_with, "lost": self.lost}


def choose_start(
    bases: Sequence[dict[str, Any]], data_set: dict[str, Any], on_source: bool, adopts: bool = False
) -> Procedure:
    """A ``Start``; unless ``on_source`` nothing is taken to be on the primary."""
    sites = (PRIMARY, SECONDARY) if on_source else (SECONDARY,)
    lost: list[dict[str, str]] = []
    frozen: Start | None = None
    whole: Start | None = None
    for base in bases:
        path = snapshot_path(data_set["path"], base["snapshot"])
        having = []
        for site in sites:
            if (yield from hdfs.status(site, path)) is not None:
                having.append(site)
            else:
                lost.append({**base, "cluster": site})
        if SECONDARY in having and frozen is None:
            frozen = Start(Side(SECONDARY, path), FROZEN, base["snapshot"], base["recovery_point"], lost)
        if len(having) == 2 and whole is None:
            whole = Start(Side(PRIMARY, path), BASE, base["snapshot"], base["recovery_point"], lost)
    found = whole or frozen
    if found is None and (yield from (can_be_adopted if adopts else is_signed)(data_set)):
        found = Start(Side(SECONDARY, data_set["path"]), HEAD, "", None, lost)
    return found or Start(None, NOTHING, "", None, lost)
