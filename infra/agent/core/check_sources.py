"""What the gateway that copies finds out beforehand about the trees that it will copy, and about what receives them."""

from __future__ import annotations

from typing import Any, Sequence

from infra.agent.core import hdfs
from infra.agent.core.check_directories import resolve
from infra.agent.core.findings import Findings
from infra.agent.core.hdfs_survey import Survey, check_zones
from infra.agent.core.hdfs_trial import Trial
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.operations import OperationFailed
from infra.agent.core.work import PRIMARY, SCRATCH, SECONDARY
from infra.agent.protocol import Instruction

AT_ONCE = 4
MOST_SURVEYED = 64


def check_sources(instruction: Instruction, patterns: Sequence[dict[str, Any]], findings: Findings) -> Procedure:
    """Look into the primary's directories for a short while, and try on the secondary what is met there."""
    policies = yield from hdfs.storage_policies(SECONDARY)
    zones = yield from _zones()
    found = yield Together((resolve(PRIMARY, pattern["path"]) for pattern in patterns), AT_ONCE)
    paths = sorted({path for one in found for path in one})
    for path in paths:
        check_zones(path, zones, findings)
    surveyed = (
        _look(instruction, path, number, policies, findings) for number, path in enumerate(paths[:MOST_SURVEYED])
    )
    yield Together(surveyed, AT_ONCE, keep_results=False)


def _zones() -> Procedure:
    """All encryption zones of the primary; none where it does not tell them here: the survey, or the copy, will."""
    try:
        return (yield hdfs.EncryptionZones(PRIMARY))
    except OperationFailed as failure:
        if not failure.is_final:
            raise
        return []


def _look(
    instruction: Instruction, path: str, number: int, policies: dict[int, hdfs.StoragePolicy], findings: Findings
) -> Procedure:
    trial = Trial(f"{SCRATCH}/{instruction.id}-trial-{number}", policies)
    survey = Survey(PRIMARY, path, findings, instruction.payload.get("leaves_out_unreadable", False), trial)
    try:
        yield from survey.run()
    except OperationFailed as failure:
        findings.failed("directory", path, "what lies in it could not be looked at", failure)
    else:
        extent = "all" if survey.is_complete else "not all, for want of time"
        findings.good("directory", path, f"{survey.entries} entries were looked at beforehand, {extent}")
    yield from trial.end()
