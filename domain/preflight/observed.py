"""What the agents found themselves: rights tried, directories and tables looked at, space, limits, versions."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from domain.preflight.finding import REFUSE, WARN, Facts, Finding

WARNINGS = frozenset(
    {
        "CHECKSUMS_DIFFER", "COPROCESSORS", "HBASE_CLOCK_UNKNOWN", "HBASE_UNSETTLED", "LEFT_OUT", "NO_ACLS",
        "NOT_REBOOT_SAFE", "OPEN_FILES_UNKNOWN", "SPACE_TIGHT", "SPOOL_TIGHT",
    }
)  # fmt: skip
"""Codes that an operator should know and a run can live with; every other finding that is not ok refuses the run."""


ABOUT_TARGETS = frozenset({"snapshots", "target"})
"""Checks of the secondary that are about paths: what a pattern meets there may be no data set of the run at all."""


def check(facts: Facts) -> list[Finding]:
    """Turn each finding of an agent that is not ok into one of ours."""
    wanted = {value.get("path") for value in facts.primary.get("data_sets") or ()}
    return [
        Finding(
            WARN if found["code"] in WARNINGS else REFUSE,
            found["code"],
            found.get("subject") or name,
            f"{found['message']} (seen from the gateway of {name})",
            found.get("remedy") or "",
        )
        for role, name, side in facts.sides()
        for found in side.get("findings") or ()
        if not found["ok"] and (role == "primary" or _concerns(found, wanted))
    ]


def _concerns(found: Mapping[str, Any], wanted: Set[str | None]) -> bool:
    return found.get("check") not in ABOUT_TARGETS or found.get("subject") in wanted
