"""A policy's barrier needs its hooks on the gateway of whoever is primary."""

from __future__ import annotations

from domain.preflight.finding import REFUSE, Facts, Finding


def check(facts: Facts) -> list[Finding]:
    """Refuse a run whose hooks the primary's gateway does not have (or would not run)."""
    known = (facts.primary.get("gateway") or {}).get("hooks") or ()
    return [
        Finding(
            REFUSE,
            "NO_SUCH_HOOK",
            hook,
            f"the gateway of {facts.names['primary']} has no hook {hook}.",
            "Put it into /etc/understudy/hooks.d: executable, owned by root, writable by nobody else.",
        )
        for hook in facts.hooks
        if hook not in known
    ]
