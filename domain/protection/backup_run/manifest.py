"""The manifest of a recovery point: everything that a person, or a new control device, needs to use it.

It is written beside the copies on the secondary, so it must stand alone: no id in it is explained only elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from domain.protection.backup_run.run import BackupRun

VERSION = 1


def recovery_point_manifest(run: BackupRun) -> dict[str, Any]:
    """The JSON object of the run's recovery point; a function of the run's state."""
    plan = run.plan
    assert run.consistency is not None
    return {
        "version": VERSION,
        "recovery_point": run.recovery_point_id.hex,
        "run": run.id.hex,
        "pair": plan.pair.hex,
        "pair_name": plan.pair_name,
        "epoch": plan.epoch,
        "service": plan.service_name,
        "policy": plan.policy_name,
        "policy_revision": plan.policy_revision,
        "primary": plan.primary,
        "secondary": plan.secondary,
        "moment_ms": run.moment_ms,
        "snapshot": run.snapshot,
        "consistency": run.consistency.to_json(),
        "data_sets": [
            {
                **data_set.to_wire(),
                "snapshot": run.snapshots[data_set.id],
                "copied": run.staged[data_set.id],
                "verified": run.verification["data_sets"][data_set.id],
            }
            for data_set in run.data_sets
        ],
        "level": plan.settings.verification,
        "trial_clone": run.verification.get("trial_clone"),
        "clocks": run.clocks,
    }
