"""Room on the secondary for a first copy, as far as sizes are known; agents judge by percent besides."""

from __future__ import annotations

from domain.preflight.finding import REFUSE, Facts, Finding
from domain.protection.sizing import needed_bytes


def check(facts: Facts) -> list[Finding]:
    """Refuse a first copy that needs more than is free: its bytes times the replication of its files."""
    free = (facts.secondary.get("space") or {}).get("free_bytes")
    needed = needed_bytes(facts.primary.get("data_sets") or (), facts.secondary.get("data_sets") or (), facts.adopts)
    if free is None or needed <= free:
        return []
    cluster = facts.names["secondary"]
    message = f"the first copy needs {needed} bytes with all replicas, and {free} are free on {cluster}."
    remedy = f"Make room for {needed - free} bytes more, add DataNodes, or protect fewer data sets."
    return [Finding(REFUSE, "NOT_ENOUGH_SPACE", cluster, message, remedy)]
