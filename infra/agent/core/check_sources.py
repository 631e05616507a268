"""What the gateway that copies finds out beforehand about the trees that it will copy, and about what receives them."""

from __future__ import annotations

from typing import Any, Sequence

from infra.agent.core import hdfs
from infra.agent.core.check_directories import resolve
from infra.agent.core.findings import Findings
from infra.agent.core.hdfs_survey import Survey, check_zones
from infra.agent.core.hdfs_trial import Trial
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.operations import Now, OperationFailed
from infra.agent.core.work import PRIMARY, SCRATCH, SECONDARY
from infra.agent.protocol import Instruction

AT_ONCE = 8
SURVEY_MS = 1_500.0
"""How long all trees together are looked into: a check must not take as long as a copy."""


def check_sources(instruction: Instruction, patterns: Sequence[dict[str, Any]], findings: Findings) -> Procedure:
    """Look into the primary's directories for a short while, and try on the secondary what is met there."""
    if not patterns:
        return
    policies = yield from hdfs.storage_policies(SECONDARY)
    zones = yield from _zones()
    resolved = yield Together((resolve(PRIMARY, pattern["path"]) for pattern in patterns), AT_ONCE)
    paths = sorted({path for one in resolved for path in one})
    for path in paths:
        check_zones(path, zones, findings)
    give_up_at: float = (yield Now()) + SURVEY_MS
    looks = (_look(instruction, path, n, policies, give_up_at, findings) for n, path in enumerate(paths))
    surveys: list[Survey] = yield Together(looks, AT_ONCE)
    extent = "all" if all(survey.is_complete for survey in surveys) else "not all, for want of time"
    entries = sum(survey.entries for survey in surveys)
    cluster: str = instruction.payload["sites"][PRIMARY]["cluster"]
    findings.good("directory", cluster, f"{entries} entries were looked at beforehand, {extent}")


def _zones() -> Procedure:
    """All encryption zones of the primary; none where it does not tell them here: the survey, or the copy, will."""
    try:
        return (yield hdfs.EncryptionZones(PRIMARY))
    except OperationFailed as failure:
        if not failure.is_final:
            raise
        return []


def _look(
    instruction: Instruction,
    path: str,
    number: int,
    policies: dict[int, hdfs.StoragePolicy],
    give_up_at: float,
    findings: Findings,
) -> Procedure:
    trial = Trial(f"{SCRATCH}/{instruction.id}-trial-{number}", policies)
    survey = Survey(PRIMARY, path, findings, instruction.payload.get("leaves_out_unreadable", False), trial)
    try:
        yield from survey.run(give_up_at)
    except OperationFailed as failure:
        findings.failed("directory", path, "what lies in it could not be looked at", failure)
        survey.is_complete = False
    yield from trial.end()
    return survey
