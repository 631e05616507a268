"""Preflight: one small file per check over observed facts; nothing here asks a cluster anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from domain.preflight import clocks, data_sets, health, hooks, identity, observed, skew, space, tables, versions
from domain.preflight.data_sets import resolved_data_sets
from domain.preflight.finding import Facts, Finding

if TYPE_CHECKING:
    from domain.protection.backup_run.run import BackupRun

__all__ = ["CHECKS", "Facts", "Finding", "judge", "judge_facts", "resolved_data_sets"]

CHECKS: tuple[Callable[[Facts], list[Finding]], ...] = (
    identity.check,
    health.check,
    clocks.check,
    observed.check,
    data_sets.check,
    hooks.check,
    versions.check,
    tables.check,
    space.check,
    skew.check,
)


def judge(run: BackupRun) -> Sequence[Finding]:
    """Run every check over the facts of both clusters; refusals first."""
    plan = run.plan
    facts = Facts(
        primary=run.facts["primary"],
        secondary=run.facts["secondary"],
        names={"primary": plan.primary, "secondary": plan.secondary},
        pair=plan.pair.hex,
        epoch=plan.epoch,
        max_skew_ms=plan.settings.max_skew_ms,
        hooks=plan.settings.hooks,
        adopts=plan.adopts,
    )
    return judge_facts(facts)


def judge_facts(facts: Facts) -> Sequence[Finding]:
    """The same, outside any run."""
    findings = [finding for check in CHECKS for finding in check(facts)]
    return sorted(findings, key=lambda finding: not finding.refuses)
