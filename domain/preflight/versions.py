"""What the primary's HBase writes the secondary's must be able to read: it may be newer, never of an older line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.preflight.finding import REFUSE, WARN, Facts, Finding


def check(facts: Facts) -> list[Finding]:
    """Refuse another major version, and warn of an older minor one on the secondary; silent without both versions."""
    ours, theirs = (_version(side) for _, _, side in facts.sides())
    if ours is None or theirs is None or theirs[:2] == ours[:2]:
        return []
    message = f"HBase is {_text(ours)} on {facts.names['primary']} and {_text(theirs)} on {facts.names['secondary']}"
    remedy = "Bring the secondary to the primary's version, or a later one of the same line."
    if theirs[0] != ours[0]:
        return [Finding(REFUSE, "HBASE_VERSIONS", facts.names["secondary"], f"{message}.", remedy)]
    if theirs < ours:
        message = f"{message}: the older one may not know what the newer one writes."
        return [Finding(WARN, "HBASE_OLDER", facts.names["secondary"], message, remedy)]
    return []


def _version(side: Mapping[str, Any]) -> tuple[int, ...] | None:
    """The numbers of a version such as 2.6.4-hadoop3; None for what is no version."""
    text = str((side.get("hbase") or {}).get("version") or "")
    numbers = text.partition("-")[0].split(".")
    if len(numbers) < 2 or not all(number.isdecimal() for number in numbers):
        return None
    return tuple(int(number) for number in numbers)


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
