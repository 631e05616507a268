"""What clones are called in their namespace: by trial, opened for people, and opened by earlier control devices.

An opened table is called by its service, its recovery point and itself: ``shop_ba92b7ca_orders``. What stands before
the table is the instruction's ``scratch``, which the control device makes for one recovery point alone; it ends with
the first ``_`` that eight hexadecimal digits follow, the beginning of the recovery point's id. A table of another
namespace than the default, or with a dot, has its namespace before a dot, which no namespace has; a long one is cut and
gets a digest. So each name is one table's of one recovery point, and tells which: a snapshot with a living clone is
recognised by the list of tables alone.

Clones by trial are called ``<purpose>.<snapshot>``, and so are those opened without ``by_table``, as it was before.
"""

from __future__ import annotations

import hashlib
import re

from infra.agent.core.hbase_manifest import DEFAULT_NAMESPACE, parse_table
from infra.agent.core.operations import OperationFailed

SCRATCH_NAMESPACE = "understudy_scratch"
LONGEST_SCRATCH = 80
# A link's way back is a file "region.namespace=table", of at most 255 bytes (HFileLink.createBackReferenceName).
_LONGEST_NAME_BYTES = 255 - 33 - len(f"{SCRATCH_NAMESPACE}=")
_LONGEST_TABLE_BYTES = 120
_DIGEST = 40
_TABLE_DIGEST = 16
_PURPOSE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*\Z")
_SCRATCH = re.compile(r"((?!_[0-9a-f]{8})[A-Za-z0-9_-])+_(?P<point>[0-9a-f]{8,32})\Z")
_CLONE = re.compile(r"((?!_[0-9a-f]{8})[A-Za-z0-9_-])+_(?P<point>[0-9a-f]{8,32})_(?P<table>.+)\Z")
_LOOKS_CUT = re.compile(r".*-[0-9a-f]{16}\Z")


def clone_of_table(scratch: str, table: str) -> str:
    """The name of a table's clone in an opening; raises OperationFailed for a ``scratch`` that tells nothing."""
    if not _SCRATCH.match(scratch) or len(scratch) > LONGEST_SCRATCH:
        raise OperationFailed("MALFORMED", f"{scratch[:120]!r} is not a service with the id of a recovery point")
    return f"{SCRATCH_NAMESPACE}:{scratch}_{_part_of(table)}"


def clones_of_table(recovery_point: str, table: str) -> str:
    """A pattern that every clone of a table in an opening of the recovery point fits; some others may, too."""
    return f"{SCRATCH_NAMESPACE}:*_{recovery_point[:8]}*_{_part_of(table)}"


def is_clone_of_table(clone: str, recovery_point: str, table: str) -> bool:
    """Whether a name can be that of a table's clone in an opening of the recovery point."""
    found = _CLONE.match(clone.partition(":")[2])
    return found is not None and recovery_point.startswith(found["point"]) and found["table"] == _part_of(table)


def _part_of(table: str) -> str:
    """What stands for a table: no two tables have the same."""
    namespace, name = parse_table(table)
    part = name if namespace == DEFAULT_NAMESPACE and "." not in name else f"{namespace}.{name}"
    data = part.encode()
    if len(data) <= _LONGEST_TABLE_BYTES and not _LOOKS_CUT.match(part):
        return part
    beginning = data[: _LONGEST_TABLE_BYTES - _TABLE_DIGEST - 1].decode("utf-8", "ignore")
    return f"{beginning}-{hashlib.sha256(data).hexdigest()[:_TABLE_DIGEST]}"


def clone_of_snapshot(purpose: str, snapshot: str) -> str:
    """The name of a clone: its purpose (it has no dot) and its snapshot, or a digest of that if it is long."""
    if not _PURPOSE.match(purpose) or len(purpose) > LONGEST_SCRATCH:
        raise OperationFailed("MALFORMED", f"{purpose[:120]!r} cannot be the name of a table")
    name = f"{purpose}.{snapshot}"
    if len(name.encode()) > _LONGEST_NAME_BYTES:
        name = f"{purpose}.{digest_of(snapshot)}"
    return f"{SCRATCH_NAMESPACE}:{name}"


def names_in_clones(snapshot: str) -> tuple[str, ...]:
    """What may stand for a snapshot in the names of its clones, which depends on how long their purposes are."""
    may_be_long = len(snapshot.encode()) + 1 + LONGEST_SCRATCH > _LONGEST_NAME_BYTES
    return (snapshot, digest_of(snapshot)) if may_be_long else (snapshot,)


def digest_of(snapshot: str) -> str:
    """What stands for a snapshot's name that is too long to be a part of a table's."""
    return hashlib.sha256(snapshot.encode()).hexdigest()[:_DIGEST]


def parse_clone_of_snapshot(table: str) -> tuple[str, str]:
    """The purpose and the snapshot of a clone, from its name."""
    purpose, _, snapshot = table.partition(":")[2].partition(".")
    return purpose, snapshot
