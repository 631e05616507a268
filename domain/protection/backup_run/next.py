"""What a run wants done next: a function of its state alone, so that replay asks for the very same instructions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domain.instruction import Wanted
from domain.protection.backup_run import states
from domain.protection.backup_run.cleaning import ABORT, unknown_steps
from domain.protection.backup_run.manifest import recovery_point_manifest
from domain.protection.policy import REFUSE

if TYPE_CHECKING:
    from domain.protection.backup_run.run import BackupRun
    from domain.values.data_set import DataSet

CHECK_LIFETIME_SECONDS = 600

HEAD = "head"
"""What a copy was compared with when no recovery point of it is left: the copy on the secondary as it stands."""


def next_instructions(run: BackupRun) -> tuple[Wanted, ...]:
    """The instructions that the run's state asks for; empty in HELD and in the final states."""
    builders = {
        states.CHECKING: _check,
        states.ARMED: _take_snapshots,
        states.STAGING: _copy,
        states.APPLYING: _apply,
        states.FREEZING: _freeze,
        states.VERIFYING: _digest,
        states.SEALING: _seal,
        states.CLEANING: _clean,
    }
    builder = builders.get(run.state)
    return builder(run) if builder else ()


def _wire(run: BackupRun) -> list[dict[str, Any]]:
    return [data_set.to_wire() for data_set in run.data_sets]


def _check(run: BackupRun) -> tuple[Wanted, ...]:
    if run.data_sets:
        return _take_snapshots(run)
    missing = [role for role in ("primary", "secondary") if role not in run.facts]
    return tuple(
        run.wish(
            f"check-{role}",
            "CheckCluster",
            role,
            {
                "sites": run.sites,
                "role": role,
                "patterns": [pattern.to_wire() for pattern in run.plan.patterns],
                "copies_here": role == run.copier,
                "snapshot": run.snapshot,
                **_asked_besides(run, role),
            },
            lifetime_seconds=CHECK_LIFETIME_SECONDS,
        )
        for role in missing
    )


def _asked_besides(run: BackupRun, role: str) -> dict[str, Any]:
    """The primary tells sizes before a first copy; the secondary what it has lost, and what is to be taken over."""
    leaves_out = {"leaves_out_unreadable": True} if run.plan.settings.leave_out_unreadable else {}
    if role == "primary":
        return leaves_out if run.relied_on else {"sizes": True, **leaves_out}
    return {
        **leaves_out,
        **({"relied_on": list(run.relied_on)} if run.relied_on else {}),
        **({"adopts": True} if run.plan.adopts else {}),
    }


def _take_snapshots(run: BackupRun) -> tuple[Wanted, ...]:
    settings = run.plan.settings
    barrier = settings.barrier
    payload = {
        "sites": {"primary": run.sites["primary"]},
        "moment_ms": run.moment_ms,
        "fire_tolerance_ms": settings.fire_tolerance_ms,
        "warm_up_ms": settings.warm_up_seconds * 1000,
        "snapshot": run.snapshot,
        "data_sets": _wire(run),
        "barrier": None
        if barrier is None
        else {"hold": barrier.hold, "release": barrier.release, "hold_max_seconds": barrier.hold_max_seconds},
    }
    return (run.wish("snapshots", "TakeSnapshots", "primary", payload),)


def _copy(run: BackupRun) -> tuple[Wanted, ...]:
    """One instruction per data set that is not staged yet, on the primary (push) or on the secondary (pull)."""
    kind = "SendSnapshots" if run.copier == "primary" else "ReplicateSnapshots"
    wanted = []
    for data_set in run.data_sets:
        if run.copies[data_set.id].state == states.STAGED:
            continue
        base, *older = run.bases_of(data_set) or (None,)
        payload: dict[str, Any] = {
            "sites": run.sites,
            "data_set": data_set.to_wire(),
            "snapshot": run.snapshot,
            "base": base.snapshot if base else None,
            "base_is_on_source": base is not None,
            "recovery_point": base.recovery_point.hex if base else None,
            "open_files": run.snapshots[data_set.id].get("open_files", []),
            "staging": run.staging,
            "level": run.plan.settings.verification,
            "workers": run.plan.settings.workers,
        }
        if "open_listed_ms" in run.snapshots[data_set.id]:
            payload["open_listed_ms"] = run.snapshots[data_set.id]["open_listed_ms"]
        if older:
            payload["older_bases"] = [
                {"snapshot": kept.snapshot, "recovery_point": kept.recovery_point.hex} for kept in older if kept
            ]
        if run.adopts(data_set):
            payload["adopts"] = True
        if run.plan.settings.leave_out_unreadable:
            payload["leaves_out_unreadable"] = True
        wanted.append(run.wish("copy", kind, run.copier, payload, data_set=data_set.id))
    return tuple(wanted)


def _secondary(run: BackupRun) -> dict[str, Any]:
    return {"secondary": run.sites["secondary"]}


def _apply(run: BackupRun) -> tuple[Wanted, ...]:
    data_sets = []
    for data_set in run.data_sets:
        base, adopted = run.base_of(data_set), run.adopted(data_set)
        data_sets.append(
            {
                **data_set.to_wire(),
                "base": base.snapshot if base else None,
                "recovery_point": base.recovery_point.hex if base else None,
                **({"from_head": True} if run.staged[data_set.id].get("compared_with") == HEAD else {}),
                **({"as_found": adopted["fingerprint"]} if adopted else {}),
            }
        )
    payload: dict[str, Any] = {
        "sites": _secondary(run),
        "data_sets": data_sets,
        "snapshot": run.snapshot,
        "staging": run.staging,
        "head_mode": run.plan.settings.head_mode,
    }
    if run.plan.settings.changed_head == REFUSE and not run.head_was_dirty:
        payload["refuses_changed_head"] = True
    return (run.wish("apply", "ApplyStaged", "secondary", payload),)


def _freeze(run: BackupRun) -> tuple[Wanted, ...]:
    payload = {
        "sites": _secondary(run),
        "data_sets": _wire(run),
        "snapshot": run.snapshot,
        "staging": run.staging,
    }
    return (run.wish("freeze", "FreezeCopies", "secondary", payload),)


def _level(run: BackupRun) -> str:
    """The policy's level, and at least checksums of what was compared with a head that anybody might have changed."""
    level = run.plan.settings.verification
    started = {staged.get("compared_with") for staged in run.staged.values()}
    return "checksum" if HEAD in started and level in ("changed", "metadata") else level


def _proved_by(run: BackupRun, data_set: DataSet) -> dict[str, Any]:
    """The recovery point whose proof of a directory's files may stand for what has not changed since."""
    base = run.base_of(data_set)
    if base is None or not run.plan.settings.recheck_days or data_set.component != "hdfs":
        return {}
    return {"proved_by": {"snapshot": base.snapshot, "recovery_point": base.recovery_point.hex}}


def _digest(run: BackupRun) -> tuple[Wanted, ...]:
    settings = run.plan.settings
    payload: dict[str, Any] = {
        "sites": _secondary(run),
        "data_sets": [{**data_set.to_wire(), **_proved_by(run, data_set)} for data_set in run.data_sets],
        "snapshot": run.snapshot,
        "staging": run.staging,
        "level": _level(run),
        "trial_clone": run.table_for_trial(),
        "sample": {"percent": settings.sample_percent, "seed": run.id.hex},
    }
    if settings.recheck_days:
        payload["recheck_days"] = settings.recheck_days
    if settings.read_days:
        payload.update(read_days=settings.read_days, read_percent=settings.read_percent)
    return (run.wish("verify", "DigestSnapshots", "secondary", payload),)


def _seal(run: BackupRun) -> tuple[Wanted, ...]:
    payload = {
        "sites": _secondary(run),
        "recovery_point": run.recovery_point_id.hex,
        "manifest": recovery_point_manifest(run),
        "anchor": run.anchor,
        "staging": run.staging,
    }
    return (run.wish("seal", "SealRecoveryPoint", "secondary", payload),)


def _clean(run: BackupRun) -> tuple[Wanted, ...]:
    """Aborts first; what is removed must not be filled again. A step that today's code does not know is an alarm."""
    known = [step for step in run.to_clean if step not in unknown_steps(run)]
    aborts = [step for step in known if step.startswith(ABORT)]
    wanted = []
    for step in aborts or known:
        role = step.partition("-")[2]
        if step in aborts:
            payload: dict[str, Any] = {"instructions": list(run.to_abort.get(role, ()))}
            wanted.append(run.wish(step, "Abort", role, payload))
        else:
            payload = {
                "sites": {role: run.sites[role]},
                "data_sets": _wire(run),
                "snapshot": run.snapshot,
                "staging": run.staging if role == "secondary" else None,
                "recovery_point": run.recovery_point_id.hex if role == "secondary" else None,
            }
            wanted.append(run.wish(step, "RemoveSnapshots", role, payload))
    return tuple(wanted)
