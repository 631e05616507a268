"""HBase tables as data sets: ``namespace:table``, the namespace "default" when none is given; wildcards anywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from domain.components.glob import can_meet, check_length
from domain.errors import InvalidInput

NAME = "hbase"
FIELD = "table"
# HBase's own names: letters and digits of any script, and of "_-." what it allows there.
_LEGAL = re.compile(r"(?:[\w*?]+:)?[\w*?][\w.*?-]*")


def validate(table: str) -> None:
    """Raise ``InvalidInput`` unless ``table`` is a name, or a pattern of names, that HBase itself would accept."""
    if not _LEGAL.fullmatch(table) or len(table) > 400:
        raise InvalidInput("table", f"{table!r} is not a table name.", remedy="Give namespace:table or table.")
    check_length("table", table)
    if qualified(table).startswith(("hbase:", "understudy")):
        raise InvalidInput("table", f"{table!r} is a system table.", remedy="Protect tables of your application.")


def qualified(table: str) -> str:
    """The name with its namespace."""
    return table if ":" in table else f"default:{table}"


def snapshot_name(snapshot: str, table: str) -> str:
    """What a run's snapshot of a table is called: names of snapshots are global in HBase."""
    return f"{snapshot}-{qualified(table).replace(':', '.')}"


def snapshot_place(snapshot: str, table: str) -> str:
    """The name by which an agent tells that it was removed: its own."""
    return snapshot_name(snapshot, table)


def mass_change(staged: Mapping[str, Any], bytes_in_base: int) -> tuple[int, int, str]:
    """How much of the base would be lost: how many, of how many, of what.

    A compaction replaces every file of a table without changing a row, so files say nothing: bytes that are gone do.
    """
    return max(bytes_in_base - int(staged.get("bytes") or 0), 0), bytes_in_base, "bytes"


def place(table: str) -> tuple[str, ...]:
    """Where a table is: two are the same exactly when their places are."""
    return (qualified(table),)


def overlaps(first: str, second: str) -> bool:
    """Say whether some table could be in both."""
    return can_meet(qualified(first), qualified(second))
