"""Both NameNodes must be out of safe mode: snapshots and staging are refused in it."""

from __future__ import annotations

from domain.preflight.finding import REFUSE, Facts, Finding


def check(facts: Facts) -> list[Finding]:
    """Refuse a run on a read-only cluster."""
    return [
        Finding(REFUSE, "SAFE_MODE", name, f"the NameNode of {name} is in safe mode.", "hdfs dfsadmin -safemode get")
        for _, name, side in facts.sides()
        if side.get("safe_mode")
    ]
