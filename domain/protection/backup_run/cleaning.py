"""What a run that has failed or was cancelled has to clean up: decided once, recorded, and crossed off step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from domain.protection.backup_run.run import BackupRun

ROLES = ("primary", "secondary")
ABORT = "abort-"
REMOVE = "remove-"
"""The steps, each with a role behind it."""


@dataclass(frozen=True)
class Cleaning:
    """The steps, aborts before removals; ``to_abort``: for each role the instructions that may still be at work."""

    steps: tuple[str, ...]
    to_abort: dict[str, tuple[str, ...]]


def cleaning_of(run: BackupRun) -> Cleaning:
    """What may be running or left over: nothing before the data sets are known."""
    if not run.data_sets:
        return Cleaning((), {})
    to_abort = {role: run.sent_to(run.cluster_of(role)) for role in ROLES}
    aborts = [f"{ABORT}{role}" for role in ROLES if to_abort[role]]
    return Cleaning((*aborts, *(f"{REMOVE}{role}" for role in ROLES)), to_abort)


def unknown_steps(run: BackupRun) -> list[str]:
    """What is left of the cleaning by the words of another version, so that nothing here can carry it out."""
    known = {f"{what}{role}" for what in (ABORT, REMOVE) for role in ROLES}
    return [step for step in run.to_clean if step not in known]
