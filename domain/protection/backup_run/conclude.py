"""What an outcome means for a run: the one place where agents' answers become decisions.

Everything here is a function of the run, its replica and the answer. Whether a failure is worth another attempt:
before the heads are touched, a few; afterwards, without end (later each time), because the only way is forward, but
for what is refused for good (``stopping``); a verification that fails again and again ends the run and leaves the head
to be healed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain import answers, preflight
from domain.errors import Conflict, Refused
from domain.instruction import Wanted
from domain.protection.backup_run import moments, states, stopping
from domain.protection.backup_run import next as next_step
from domain.protection.backup_run.manifest import recovery_point_manifest
from domain.protection.backup_run.mass_change import first_of, mass_change
from domain.protection.backup_run.run import BackupRun
from domain.protection.consistency import FAILED as TOO_WIDE
from domain.protection.consistency import assess
from domain.protection.grading import graded
from domain.protection.recovery_point import RecoveryPoint
from domain.protection.replica import APPLYING as REPLICA_APPLYING
from domain.protection.replica import Kept, Replica
from domain.protection.verification import wrong_with
from domain.stateful import Context
from domain.values.data_set import DataSet, data_set_from_wire

ATTEMPTS = {"check": 3, "snapshots": 1, "copy": 4, "apply": 8, "verify": 8}
"""How often a step is tried before the run fails; steps that are not named are rolled forward without end.

Verifying changes nothing, so it may end, after some ten minutes: a run that cannot be proved must not block the next.
So may applying, as long as the agent proves that nothing has been changed yet.
"""

DEAD_ENDS = frozenset({"BASE_MISSING", "EVICTED", "FILES_MISSING", "STAGING_MISSING"})
"""What applying needs is gone, so it cannot be rolled forward: after its attempts the next run heals the head."""


@dataclass(frozen=True)
class Around:
    """What a decision may need besides the run: its replica, the audit log's head, a recovery point by its id."""

    replica: Replica
    anchor: Callable[[], dict[str, Any]]
    point: Callable[[UUID], RecoveryPoint]


def milestone(context: Context, run: BackupRun, instruction: str, name: str, facts: dict[str, Any]) -> None:
    """Take a named point that an agent reached: that the moment is armed, or that the barrier does not go away."""
    if run.wants(instruction) is None:
        return
    if name == "armed" and run.state == states.CHECKING:
        run.fire("arm", context, facts=facts)
    elif name == "barrier_not_released" and run.barrier != {**facts, "released": False}:
        run.note(run.BarrierStuck, context, facts=facts)


def conclude(
    context: Context, run: BackupRun, around: Around, instruction: str, outcome: dict[str, Any]
) -> RecoveryPoint | None:
    """Take the outcome of an instruction; return the recovery point if this completed the run.

    An outcome of an instruction that the run does not want (any more) decides nothing.
    """
    wanted = run.wants(instruction)
    if wanted is None:
        return None
    if outcome["failure"] is not None:
        _failed(context, run, around, wanted, outcome["failure"])
        return None
    result = outcome["result"]
    failure = answers.failure_of(wanted, result)
    if failure is not None:
        _failed(context, run, around, wanted, failure)
        return None
    if wanted.step == "seal":
        return _complete(context, run, around, result)
    _SUCCEEDED[wanted.step.partition("-")[0]](context, run, around, wanted, result)
    return None


def _failed(context: Context, run: BackupRun, around: Around, wanted: Wanted, failure: dict[str, Any]) -> None:
    step = wanted.step.partition("-")[0]
    is_last = run.attempt_of(wanted.wire_step) >= ATTEMPTS.get(step, 1 << 30)
    final = failure["code"] in stopping.FINAL_CODES or is_last
    untouched = failure.get("detail", {}).get("changed") is False
    if failure["code"] == moments.MOMENT_MISSED and step == "snapshots" and moments.may_miss_once(run):
        run.fail_attempt(context, wanted, failure)
        moments.move_missed(context, run)
    elif step == "check" and final:
        run.refuse(context, [{**failure, "subject": wanted.cluster}])
    elif step in ("snapshots", "copy") and final:
        _give_up(context, run, around, {**failure, "data_set": failure.get("data_set") or wanted.data_set})
    elif final and (step == "verify" or (step == "apply" and untouched)):
        _give_up(context, run, around, failure)
    elif is_last and step == "apply" and failure["code"] in DEAD_ENDS:
        _give_up(context, run, around, failure, untouched=False)
    else:
        run.fail_attempt(context, wanted, failure, is_final=stopping.stops(step, failure))


def _give_up(context: Context, run: BackupRun, around: Around, failure: dict[str, Any], untouched: bool = True) -> None:
    """Fail, and give back the head: as it was if APPLY left it untouched, or DIRTY when it shows something unproved."""
    if around.replica.state == REPLICA_APPLYING and around.replica.owner == run.id:
        reason = f"run {run.id} failed: {failure['code']}"
        if run.state == states.APPLYING and untouched:
            around.replica.give_back(context, reason)
        else:
            around.replica.leave_dirty(context, reason)
    around.replica.lift(context, f"run {run.id}")
    run.fail(context, failure)


def give_up(context: Context, run: BackupRun, around: Around, failure: dict[str, Any]) -> None:
    """Fail a run from outside (a deadline passed); see ``_give_up``."""
    _give_up(context, run, around, failure)


def cancel(context: Context, run: BackupRun, around: Around, reason: str) -> None:
    """Cancel a run and lift its holds; raises ``Refused`` once heads are being changed."""
    run.cancel(context, reason)
    around.replica.lift(context, f"run {run.id}")


def abandon(context: Context, run: BackupRun, around: Around, reason: str) -> None:
    """Give up a run that is rolled forward in vain: the head is left DIRTY, for the next run to heal.

    Raises ``Refused``: NOT_IN_STATE where a run has ended or can be cancelled, and ATTEMPT_OPEN while an agent may
    be at work on the head, because the next run would change it too. A verification only reads.
    """
    is_reading = run.state == states.VERIFYING
    if not is_reading and any(wanted.id in run.instructed for wanted in run.next_instructions()):
        raise Refused(
            "ATTEMPT_OPEN",
            f"run {run.id} is {run.state}, and nobody has told the end of the present attempt.",
            remedy="Give it up when this attempt has failed and before the next one begins.",
        )
    run.abandon(context, reason)
    around.replica.leave_dirty(context, f"run {run.id} was given up: {reason}")
    around.replica.lift(context, f"run {run.id}")


def _checked(context: Context, run: BackupRun, around: Around, wanted: Wanted, result: dict[str, Any]) -> None:
    run.note(run.ClusterChecked, context, role=wanted.role, facts=result)
    if len(run.facts) < 2:
        return
    _tell_what_the_check_found_lost(context, run, around)
    findings = preflight.judge(run)
    refusals = [f.to_json() for f in findings if f.refuses]
    if refusals:
        run.refuse(context, refusals)
        return
    data_sets = preflight.resolved_data_sets(run.facts["primary"])
    run.pass_checks(context, data_sets, [f.to_json() for f in findings])
    moments.move_if_too_soon(context, run)


def _snapshots_taken(context: Context, run: BackupRun, around: Around, wanted: Wanted, result: dict[str, Any]) -> None:
    if run.state == states.CHECKING:
        run.fire("arm", context, facts={})
    components = {data_set.id: data_set.component for data_set in run.data_sets}
    snapshots = graded(result["data_sets"], components, result["clocks"])
    consistency = assess(snapshots, result["clocks"], run.plan.settings.max_skew_ms)
    run.fire(
        "accept_snapshots",
        context,
        snapshots=snapshots,
        clocks=result["clocks"],
        consistency=consistency,
        barrier=result.get("barrier"),
    )
    if consistency.verdict == TOO_WIDE:
        failure = {
            "code": "SKEW_EXCEEDED",
            "message": f"the snapshots span {consistency.skew_ms:.0f} ms, more than the policy's"
            f" {run.plan.settings.max_skew_ms} ms.",
            "remedy": "Fewer or smaller tables per service, a flush before the moment, or a larger max_skew_ms.",
        }
        _give_up(context, run, around, failure)
        return
    base = around.replica.base
    bases = around.replica.bases_for(data_set.id for data_set in run.data_sets)
    older = tuple(kept for kept in bases if kept != base)
    for kept in (*((base,) if base else ()), *older):
        around.replica.hold(context, kept.recovery_point, f"run {run.id}")
    run.stage(context, base, older, around.replica.disturbances)


def _copied(context: Context, run: BackupRun, around: Around, wanted: Wanted, result: dict[str, Any]) -> None:
    run.finish_copy(context, wanted.data_set, result)
    _tell_lost_snapshots(context, run, around, wanted.data_set)
    if any(copy.state != states.STAGED for copy in run.copies.values()):
        return
    change = mass_change(run, around.point)
    if change is not None:
        run.fire("brake", context, **change)
        return
    begin_applying(context, run, around)


def _tell_lost_snapshots(context: Context, run: BackupRun, around: Around, key: str) -> None:
    """Tell the recovery points whose snapshot a sender has not found on the secondary."""
    (data_set,) = [one for one in run.data_sets if one.id == key]
    told = run.staged[key].get("lost") or ()
    lost = {one["recovery_point"] for one in told if one["cluster"] == "secondary"}
    for kept in run.bases_of(data_set):
        if kept.recovery_point.hex in lost:
            _tell_lost(context, run, around, kept, data_set)


def _tell_what_the_check_found_lost(context: Context, run: BackupRun, around: Around) -> None:
    """Tell the recovery points whose snapshots the check has not found; what went meanwhile is none any more."""
    copies = {value["id"]: value for value in run.facts["secondary"].get("data_sets") or ()}
    for kept in around.replica.kept.values():
        for key in sorted(set(kept.data_sets) & set(copies)):
            if kept.snapshot in copies[key].get("lost_snapshots", ()):
                _tell_lost(context, run, around, kept, data_set_from_wire(copies[key]))


def _tell_lost(context: Context, run: BackupRun, around: Around, kept: Kept, data_set: DataSet) -> None:
    remedy = "Use another recovery point. The next ones do not need it."
    _damage(context, run, around, kept, data_set, "SNAPSHOT_MISSING", f"{kept.snapshot} is lost", remedy)


def _damage(
    context: Context, run: BackupRun, around: Around, kept: Kept, data_set: DataSet, code: str, what: str, remedy: str
) -> None:
    """Tell a recovery point what the run has found out about it on the secondary."""
    message = f"{data_set}: {what} on {run.plan.secondary}, as run {run.id} found."
    failure = {"code": code, "message": message, "remedy": remedy, "data_set": data_set.id}
    around.point(kept.recovery_point).find_damage(context, failure)


def begin_applying(context: Context, run: BackupRun, around: Around) -> None:
    """Take the replica and begin to change the heads; wait for the turn, or give up when superseded.

    Waiting is no state of its own: the run stays STAGING with every copy staged, and is asked again when the replica
    is released.
    """
    looked_at_head = any(staged.get("compared_with") == next_step.HEAD for staged in run.staged.values())
    disturbances = run.disturbances if looked_at_head else None
    try:
        around.replica.take(context, run.id, run.base.recovery_point if run.base else None, disturbances)
    except Conflict as conflict:
        if conflict.code == "REPLICA_BUSY":
            return
        _give_up(context, run, around, {"code": conflict.code, "message": conflict.message, "remedy": conflict.remedy})
        return
    run.apply(context, around.replica.was_dirty)


def _applied(context: Context, run: BackupRun, around: Around, wanted: Wanted, result: dict[str, Any]) -> None:
    run.fire("freeze", context, result=result)


def _frozen(context: Context, run: BackupRun, around: Around, wanted: Wanted, result: dict[str, Any]) -> None:
    run.fire("verify", context, result=result)


def _digested(context: Context, run: BackupRun, around: Around, wanted: Wanted, result: dict[str, Any]) -> None:
    verified = result.get("data_sets")
    verified = verified if isinstance(verified, dict) else {}
    _tell_damage(context, run, around, verified)
    for data_set in run.data_sets:
        wrong = wrong_with(run.staged[data_set.id], verified.get(data_set.id), wanted.payload["level"])
        if wrong is not None:
            failure = {
                "code": wrong[0],
                "message": f"{data_set}: {wrong[1]}.",
                "remedy": "No recovery point was changed. The next run heals the copy and sends again what is damaged.",
                "data_set": data_set.id,
            }
            _give_up(context, run, around, failure)
            return
    run.fire("seal", context, result=result, anchor=around.anchor())


def _tell_damage(context: Context, run: BackupRun, around: Around, verified: dict[str, Any]) -> None:
    """Tell the recovery points whose blocks this run shares that some of these cannot be read."""
    for data_set in run.data_sets:
        base = run.base_of(data_set)
        told = verified.get(data_set.id)
        paths = [str(path) for path in (told.get("damaged_in_base") if isinstance(told, dict) else None) or ()]
        if base is None or not paths:
            continue
        remedy = "Use another recovery point. The next run copies again what is damaged, for its own one."
        _damage(context, run, around, base, data_set, "COPY_DAMAGED", f"{first_of(paths)} cannot be read", remedy)


def _complete(context: Context, run: BackupRun, around: Around, result: dict[str, Any]) -> RecoveryPoint:
    manifest = recovery_point_manifest(run)
    run.complete(context, result)
    kept = Kept(
        recovery_point=run.recovery_point_id,
        policy=run.plan.policy,
        snapshot=run.snapshot,
        moment_ms=run.moment_ms,
        data_sets={data_set.id: int(run.staged[data_set.id].get("bytes") or 0) for data_set in run.data_sets},
    )
    around.replica.release(context, kept)
    around.replica.lift(context, f"run {run.id}")
    return RecoveryPoint.establish(
        context,
        run.recovery_point_id,
        run=run.id,
        service=run.plan.service,
        pair=run.plan.pair,
        primary=run.plan.primary,
        secondary=run.plan.secondary,
        endpoints=run.plan.endpoints,
        snapshot=run.snapshot,
        moment_ms=run.moment_ms,
        data_sets=run.data_sets,
        manifest_sha256=result["manifest_sha256"],
        evidence=manifest,
        anchor=run.anchor,
    )


def _cleaned(context: Context, run: BackupRun, around: Around, wanted: Wanted, result: dict[str, Any]) -> None:
    run.cross_off(context, wanted.step, result)


_SUCCEEDED: dict[str, Callable[[Context, BackupRun, Around, Wanted, dict[str, Any]], None]] = {
    "check": _checked,
    "snapshots": _snapshots_taken,
    "copy": _copied,
    "apply": _applied,
    "freeze": _frozen,
    "verify": _digested,
    "abort": _cleaned,
    "remove": _cleaned,
}
