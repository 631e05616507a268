"""The patterns of a service must stand for something, and what they stand for must be disjoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.preflight.finding import REFUSE, Facts, Finding
from domain.values.data_set import DataSet, data_set_from_wire


def resolved_data_sets(facts: Mapping[str, Any]) -> tuple[DataSet, ...]:
    """The data sets that the primary's agent resolved the patterns to, in order."""
    return tuple(sorted(data_set_from_wire(value) for value in facts.get("data_sets") or ()))


def check(facts: Facts) -> list[Finding]:
    """Refuse a run of nothing, and one that would copy something twice."""
    data_sets = resolved_data_sets(facts.primary)
    if not data_sets:
        message = "the service's patterns stand for no directory and no table."
        return [Finding(REFUSE, "NOTHING_TO_BACK_UP", facts.names["primary"], message, "Look at 'service show'.")]
    findings = []
    for number, one in enumerate(data_sets):
        for other in data_sets[number + 1 :]:
            if one.overlaps(other):
                message = f"{one} and {other} overlap once the patterns are resolved."
                findings.append(Finding(REFUSE, "OVERLAP", str(one), message, "Narrow one of the patterns."))
    return findings
