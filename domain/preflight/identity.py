"""Each cluster must carry the marker of this pair, with the identity and epoch that the run was planned for."""

from __future__ import annotations

from domain.preflight.finding import REFUSE, Facts, Finding


def check(facts: Facts) -> list[Finding]:
    """Refuse a run whose clusters say that they are something else."""
    findings = []
    for role, name, side in facts.sides():
        marker = side.get("marker") or {}
        expected = {"pair": facts.pair, "cluster": name, "identity": role.upper(), "epoch": facts.epoch}
        wrong = [f"{field} is {marker.get(field)!r}" for field, value in expected.items() if marker.get(field) != value]
        if wrong:
            findings.append(
                Finding(
                    REFUSE,
                    "MARKER_MISMATCH",
                    name,
                    f"the marker on cluster {name} does not fit: {', '.join(wrong)}.",
                    "Look at 'understudy pair show'; a cluster changes its identity only through its pair.",
                )
            )
    return findings
