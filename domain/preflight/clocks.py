"""Every clock must agree with every other to within the policy's skew, and be known well enough to say so.

The offsets are measured against each gateway: the control device's to both gateways, each gateway's to its own
NameNode and HBase. The moment is fired by the NameNode's clock whatever the gateway's says, yet clocks that are apart
mean that one of them has left the common source, and then no stamp of that cluster can be trusted.
"""

from __future__ import annotations

from domain.preflight.finding import REFUSE, Facts, Finding
from domain.values.clock import ClockOffset


def check(facts: Facts) -> list[Finding]:
    """Refuse a run whose clocks are apart, or are known too badly, for its policy."""
    findings: list[Finding] = []
    for _, name, side in facts.sides():
        measured = {f"{clock} of {name}": value for clock, value in (side.get("clocks") or {}).items() if value}
        if side.get("controller_clock"):
            measured[f"gateway of {name} against the control device"] = side["controller_clock"]
        for subject, value in measured.items():
            findings.extend(_judge(subject, ClockOffset.from_json(value), facts.max_skew_ms))
    return findings


def _judge(subject: str, offset: ClockOffset, max_skew_ms: int) -> list[Finding]:
    if 2 * offset.uncertainty_ms > max_skew_ms:
        message = f"the clock of the {subject} is known to ±{offset.uncertainty_ms:.1f} ms only; that alone exceeds"
        remedy = "Find out what makes the way to it slow, or allow a larger max_skew_ms."
        return [Finding(REFUSE, "CLOCK_UNCERTAIN", subject, f"{message} max_skew {max_skew_ms} ms.", remedy)]
    if offset.apart_ms > max_skew_ms:
        message = f"the clock of the {subject} is {offset.offset_ms:+.1f} ms (±{offset.uncertainty_ms:.1f} ms) away"
        remedy = "Let all hosts follow the same time source (chronyc tracking), then try again."
        return [Finding(REFUSE, "CLOCKS_APART", subject, f"{message}; max_skew is {max_skew_ms} ms.", remedy)]
    return []
