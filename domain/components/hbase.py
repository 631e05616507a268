"""HBase tables as data sets: ``namespace:table``, the namespace "default" when none is given; wildcards anywhere."""

from __future__ import annotations

import re

from domain.components.glob import can_meet
from domain.errors import InvalidInput

NAME = "hbase"
FIELD = "table"
_LEGAL = re.compile(r"(?:[A-Za-z0-9_*?]+:)?[A-Za-z0-9_*?][A-Za-z0-9_.*?-]*")


def validate(table: str) -> None:
    """Raise ``InvalidInput`` unless ``table`` is a name, or a pattern of names, that HBase itself would accept."""
    if not _LEGAL.fullmatch(table) or len(table) > 400:
        raise InvalidInput("table", f"{table!r} is not a table name.", remedy="Give namespace:table or table.")
    if qualified(table).startswith(("hbase:", "understudy")):
        raise InvalidInput("table", f"{table!r} is a system table.", remedy="Protect tables of your application.")


def qualified(table: str) -> str:
    """The name with its namespace."""
    return table if ":" in table else f"default:{table}"


def overlaps(first: str, second: str) -> bool:
    """Say whether some table could be in both."""
    return can_meet(qualified(first), qualified(second))
