"""What a person has to do something about whether a run succeeds or not; each of the form of a finding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domain.protection.backup_run import states
from domain.protection.backup_run.cleaning import unknown_steps

if TYPE_CHECKING:
    from domain.protection.backup_run.run import BackupRun


def alarms_of(run: BackupRun) -> list[dict[str, Any]]:
    """All of them."""
    return [*_unknown_steps(run), *_barrier(run), *_reading(run)]


def _reading(run: BackupRun) -> list[dict[str, Any]]:
    """Bytes of the newest recovery point that nobody has read for longer than the policy says."""
    found = []
    for data_set in run.data_sets:
        told = reading_of(run.verification, data_set.id)
        if told.get("overdue_bytes"):
            found.append(
                {
                    "code": "READING_BEHIND",
                    "subject": str(data_set),
                    "message": f"{told['overdue_bytes']} bytes in {told.get('overdue_files')} files on"
                    f" {run.plan.secondary} were not read for more than {run.plan.settings.read_days} days.",
                    "remedy": "Run more often, or let read_percent be more: each run reads at most"
                    f" {run.plan.settings.read_percent} % of a data set.",
                }
            )
    return found


def reading_of(verification: Any, data_set: str) -> dict[str, Any]:
    """What a verification told about what was read of a data set, and when; empty where it told nothing."""
    told: Any = verification
    for key in ("data_sets", data_set, "read"):
        told = told.get(key) if isinstance(told, dict) else None
    return told if isinstance(told, dict) else {}


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
