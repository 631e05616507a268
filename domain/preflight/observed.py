"""What the agents found themselves: rights tried, directories and tables looked at, space, limits, versions."""

from __future__ import annotations

from domain.preflight.finding import REFUSE, WARN, Facts, Finding

WARNINGS = frozenset({"NOT_REBOOT_SAFE", "NO_HOOKS", "XATTRS_UNKNOWN", "SPACE_TIGHT", "HBASE_CLOCK_UNKNOWN"})
"""Codes that an operator should know and a run can live with; every other finding that is not ok refuses the run."""


def check(facts: Facts) -> list[Finding]:
    """Turn each finding of an agent that is not ok into one of ours."""
    return [
        Finding(
            WARN if found["code"] in WARNINGS else REFUSE,
            found["code"],
            found.get("subject") or name,
            f"{found['message']} (seen from the gateway of {name})",
            found.get("remedy") or "",
        )
        for _, name, side in facts.sides()
        for found in side.get("findings") or ()
        if not found["ok"]
    ]
