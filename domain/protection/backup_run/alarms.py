"""What a person has to do something about whether a run succeeds or not; each of the form of a finding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domain.protection.backup_run import states
from domain.protection.backup_run.cleaning import unknown_steps

if TYPE_CHECKING:
    from domain.protection.backup_run.run import BackupRun


def alarms_of(run: BackupRun) -> list[dict[str, Any]]:
    """All of them."""
    return [*_unknown_steps(run), *_barrier(run)]


def _unknown_steps(run: BackupRun) -> list[dict[str, Any]]:
    unknown = unknown_steps(run)
    if run.state != states.CLEANING or not unknown:
        return []
    return [
        {
            "code": "STEP_UNKNOWN",
            "subject": ", ".join(unknown),
            "message": "the cleaning was begun by another version of Understudy; this one does not know the step.",
            "remedy": "Bring the run to its end with the version that began it.",
        }
    ]


def _barrier(run: BackupRun) -> list[dict[str, Any]]:
    hooks = run.plan.settings.barrier
    if hooks is None or run.barrier.get("released") is not False:
        return []
    why = f" ({run.barrier['code']}: {run.barrier['message']})" if "code" in run.barrier else ""
    return [
        {
            "code": "BARRIER_NOT_RELEASED",
            "subject": run.plan.primary,
            "message": f"writers may still be held: nobody has proved that the barrier was released{why}.",
            "remedy": f"Release by hand on the gateway of {run.plan.primary}: hook {hooks.release}."
            f" The gateway's watchdog tries it {hooks.hold_max_seconds} s after the barrier was set.",
        }
    ]
