"""How far apart the snapshots will be, as far as that can be told before: by the regions of the tables.

Regions are flushed one after another while a snapshot is taken. Measured on two cores: 0.3 s for 4 regions and 1.15 s
for 64, up to 2.2 s where HBase's small files wait for the only DataNode. It is a guess, so it only warns; the run's
own measurement decides.
"""

from __future__ import annotations

from domain.preflight.finding import WARN, Facts, Finding

FIRST_MS = 1_000
PER_REGION_MS = 15


def check(facts: Facts) -> list[Finding]:
    """Warn when the largest table will probably take longer than the policy allows."""
    tables = [
        (int(value["regions_count"]), str(value["table"]))
        for value in facts.primary.get("data_sets") or ()
        if value.get("component") == "hbase" and "regions_count" in value
    ]
    if not tables:
        return []
    regions, table = max(tables)
    predicted_ms = predict_ms(regions)
    if predicted_ms <= facts.max_skew_ms:
        return []
    message = f"{table} has {regions} regions: its snapshot will probably take {predicted_ms / 1000:.1f} s, more than"
    return [
        Finding(
            WARN,
            "SKEW_LIKELY",
            table,
            f"{message} max_skew ({facts.max_skew_ms} ms) allows.",
            "Allow a larger max_skew_ms, merge regions, or let a barrier hold the writers.",
        )
    ]


def predict_ms(regions: int) -> int:
    """How long a snapshot of so many regions takes from request to completion."""
    return FIRST_MS + PER_REGION_MS * regions
