"""The patterns of a service must stand for something that can be protected, and for nothing twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.errors import InvalidInput
from domain.preflight.finding import REFUSE, Facts, Finding
from domain.values.data_set import FEWER, MOST_DATA_SETS, TOO_MANY, DataSet, data_set_from_wire, overlapping


def resolved_data_sets(facts: Mapping[str, Any]) -> tuple[DataSet, ...]:
    """The data sets that the primary's agent resolved the patterns to, in order; raises ``InvalidInput``."""
    return tuple(sorted(data_set_from_wire(value) for value in facts.get("data_sets") or ()))


def check(facts: Facts) -> list[Finding]:
    """Refuse a run of nothing, of what cannot be protected, and one that would copy something twice."""
    cluster = facts.names["primary"]
    try:
        data_sets = resolved_data_sets(facts.primary)
    except InvalidInput as error:
        message = f"a pattern stands for what cannot be protected: {error.message}"
        return [Finding(REFUSE, "UNFIT_NAME", cluster, message, "Narrow the pattern, or rename what it stands for.")]
    if not data_sets:
        message = "the service's patterns stand for no directory and no table."
        return [Finding(REFUSE, "NOTHING_TO_BACK_UP", cluster, message, "Look at 'service show'.")]
    if len(data_sets) > MOST_DATA_SETS:
        message = f"the service's patterns stand for {len(data_sets)} data sets, more than {MOST_DATA_SETS}."
        return [Finding(REFUSE, TOO_MANY, cluster, message, FEWER)]
    return [
        Finding(
            REFUSE,
            "OVERLAP",
            str(one),
            f"{one} and {other} overlap once the patterns are resolved.",
            "Narrow one of the patterns.",
        )
        for one, other in sorted(overlapping(data_sets))
    ]
