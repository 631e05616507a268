"""The aggregate of a backup run.

Invariant: a run is COMPLETED only with the evidence for it (snapshots at the moment, every copy staged and checked,
heads applied and frozen, digests equal, manifest and anchor read back). Between the first change of a head and its
frozen snapshot the run goes forward only; before that it can fail or be cancelled, and leaves nothing behind.

Ordering rule: the instruction of a step is committed before it is sent (``Instructed``); the step's own event is
recorded from its outcome; what an outcome means depends on the state, so an outcome that comes twice or too late
decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from domain.errors import Refused
from domain.instruction import Wanted
from domain.protection.backup_run import next as next_step
from domain.protection.backup_run import states, stopping
from domain.protection.backup_run.alarms import alarms_of
from domain.protection.backup_run.cleaning import Cleaning, cleaning_of
from domain.protection.backup_run.events import RunEvents
from domain.protection.backup_run.history import steps_of_cleaning_v1
from domain.protection.backup_run.states import Copy
from domain.protection.consistency import Consistency, with_copy, with_left_out
from domain.protection.lead import MOST_MS
from domain.protection.policy import BackupPolicy
from domain.protection.replica import BASES_OFFERED, Kept
from domain.protection.service import Service
from domain.protection.sizing import Forecast, Rates, forecast, size_of
from domain.stateful import Context, Part
from domain.values.data_set import DataSet
from domain.values.endpoints import Endpoints

CHECK_GRACE_MS = 60_000
SNAPSHOT_GRACE_MS = 3_600_000


class BackupRun(RunEvents):
    """One execution of a policy for one moment."""

    INITIAL_STATE = states.PLANNED
    STATES = states.STATES
    RULES = states.RULES
    ALLOWED_IN = {
        "ClusterChecked": (states.CHECKING,),
        "ChecksPassed": (states.CHECKING,),
        "BarrierStuck": (states.CHECKING, states.ARMED),
        "CopyStalled": (states.STAGING,),
        "ChangesConfirmed": (states.HELD,),
        "SideCleaned": (states.CLEANING,),
        "Instructed": states.OPEN,
        "AttemptFailed": states.OPEN,
        "Stalled": states.OPEN,
        "RetryRequested": states.OPEN,
        "SpoolsForgotten": states.ENDED,
    }

    def __init__(self) -> None:
        super().__init__()
        self.plan: BackupRun.Planned
        self.moment_ms = 0
        self.moment_moves: list[dict[str, Any]] = []
        self.checking_since: datetime | None = None
        self.ordering_since: datetime | None = None
        self.relied_on: tuple[str, ...] = ()
        self.armed_at: datetime | None = None
        self.head_was_dirty = False
        self.facts: dict[str, dict[str, Any]] = {}
        self.findings: list[dict[str, Any]] = []
        self.warnings: list[dict[str, Any]] = []
        self.data_sets: tuple[DataSet, ...] = ()
        self.snapshots: dict[str, Any] = {}
        self.clocks: dict[str, Any] = {}
        self.consistency: Consistency | None = None
        self.barrier: dict[str, Any] = {}
        self.base: Kept | None = None
        self.older: tuple[Kept, ...] = ()
        self.disturbances = 0
        self.copies: dict[str, Copy] = {}
        self.staged: dict[str, dict[str, Any]] = {}
        self.stalled: dict[str, str] = {}
        self.mass_change: dict[str, Any] | None = None
        self.confirmed = False
        self.applied: dict[str, Any] = {}
        self.verification: dict[str, Any] = {}
        self.anchor: dict[str, Any] = {}
        self.recovery_point: UUID | None = None
        self.failure: dict[str, Any] | None = None
        self.cancelled = False
        self.to_clean: list[str] = []
        self.to_abort: dict[str, tuple[str, ...]] = {}

    @staticmethod
    def identity(policy: UUID, moment_ms: int, slot_attempt: int) -> UUID:
        """The id of a policy's run for a moment: planning the same slot twice meets itself in the store."""
        return uuid5(policy, f"run:{moment_ms}:{slot_attempt}")

    @staticmethod
    def identity_of_wish(policy: UUID, command_id: UUID) -> UUID:
        """The id of a run that was asked for without a moment: the same wish, repeated later, is the same run."""
        return uuid5(policy, f"wish:{command_id}")

    @classmethod
    def plan_for(
        cls,
        context: Context,
        identity: UUID,
        *,
        service: Service,
        policy: BackupPolicy,
        epoch: int,
        primary: str,
        secondary: str,
        endpoints: dict[str, Endpoints],
        moment_ms: int,
        slot_attempt: int = 1,
        direction: str | None = None,
        rates: Rates | None = None,
        limit_bytes_per_second: int | None = None,
        moment_is_free: bool = False,
    ) -> BackupRun:
        """Freeze policy, roles and endpoints into a new run; ``direction`` is for this run in place of the policy's."""
        settings = policy.settings if direction is None else replace(policy.settings, direction=direction)
        settings.validate()
        return cls.begin(
            cls.Planned,
            identity,
            context,
            service=service.id,
            service_name=service.name,
            policy=policy.id,
            policy_name=policy.name,
            policy_revision=policy.revision,
            settings=settings,
            pair=service.pair,
            pair_name=service.pair_name,
            epoch=epoch,
            primary=primary,
            secondary=secondary,
            endpoints=endpoints,
            patterns=service.data_sets,
            moment_ms=moment_ms,
            slot_attempt=slot_attempt,
            adopts=service.adopts,
            rates=rates,
            limit_bytes_per_second=limit_bytes_per_second,
            moment_is_free=moment_is_free,
        )

    @property
    def snapshot(self) -> str:
        """The name of this run's snapshots on both clusters: readable, sortable, unique."""
        moment = datetime.fromtimestamp(self.moment_ms / 1000, UTC)
        return f"us-{moment:%Y%m%dT%H%M%S}Z-{self.id.hex[:12]}"

    @property
    def recovery_point_id(self) -> UUID:
        """The id that this run's recovery point has, or would have."""
        return self.recovery_point_of(self.id)

    @staticmethod
    def recovery_point_of(run: UUID) -> UUID:
        """The id of a run's recovery point."""
        return uuid5(run, "recovery-point")

    @property
    def copier(self) -> str:
        """The role whose agent moves the bytes."""
        return "primary" if self.plan.settings.direction == "push" else "secondary"

    @property
    def staging(self) -> str:
        """The run's directory in the secondary's staging; it lies below the epoch, which fences it."""
        return f"/.understudy/incoming/{self.plan.epoch}/{self.id.hex}"

    @property
    def sites(self) -> dict[str, Any]:
        """Both clusters as instructions name them."""
        return {
            "primary": self.plan.endpoints[self.plan.primary].to_site(self.plan.primary),
            "secondary": self.plan.endpoints[self.plan.secondary].to_site(self.plan.secondary),
        }

    def cluster_of(self, role: str) -> str:
        """The name of the cluster that has a role in this run."""
        return self.plan.primary if role == "primary" else self.plan.secondary

    def bases_of(self, data_set: DataSet) -> tuple[Kept, ...]:
        """The recovery points that a data set's copy may start from; the first is what it shows."""
        bases = (*((self.base,) if self.base else ()), *self.older)
        return tuple(kept for kept in bases if data_set.id in kept.data_sets)[:BASES_OFFERED]

    def base_of(self, data_set: DataSet) -> Kept | None:
        """The recovery point that a data set's copy starts from; None when there is none.

        Once it is staged its sender has told which one it was: clusters may have lost snapshots.
        """
        bases = self.bases_of(data_set)
        staged = self.staged.get(data_set.id, {})
        if "base" in staged:
            return next((kept for kept in bases if kept.recovery_point.hex == staged["base"]), None)
        return next(iter(bases), None)

    @property
    def forecast(self) -> Forecast | None:
        """How long a first copy was predicted to take; None before the check, and for increments."""
        size = size_of(self.facts.get("primary", {}).get("data_sets") or ())
        if size is None:
            return None
        return forecast(size, self.plan.rates, self.plan.limit_bytes_per_second, is_most=self.plan.adopts)

    def adopts(self, data_set: DataSet) -> bool:
        """Whether what somebody else has put at the data set's place on the secondary is to be taken over."""
        return self.plan.adopts and not self.bases_of(data_set)

    def adopted(self, data_set: DataSet) -> dict[str, Any] | None:
        """What the copy told about a tree that is taken over: counts, and the fingerprint of what was compared."""
        told: dict[str, Any] | None = self.staged.get(data_set.id, {}).get("adopted")
        return told

    @property
    def lost_snapshots(self) -> list[dict[str, Any]]:
        """What the copies could not start from because somebody deleted a snapshot; of the form of a finding."""
        return [
            {
                "code": "SNAPSHOT_MISSING",
                "subject": str(data_set),
                "message": f"{lost['snapshot']} is lost on {self.cluster_of(lost['cluster'])};"
                f" {self._started_from(data_set)}.",
                "remedy": "Find out who deleted it: snapshots whose names begin with us- belong to recovery points.",
            }
            for data_set in self.data_sets
            for lost in self.staged.get(data_set.id, {}).get("lost") or ()
        ]

    def _started_from(self, data_set: DataSet) -> str:
        """What a staged copy was compared with, as a part of a sentence."""
        base = self.base_of(data_set)
        point = f"recovery point {base.recovery_point}" if base else ""
        words = {
            "base": f"the copy started from {point}",
            "frozen": f"the copy started from {point}, compared in full",
            "head": "the copy was compared in full, as it stands",
            "nothing": "all of it was copied",
        }
        compared_with = self.staged[data_set.id].get("compared_with")
        return words.get(str(compared_with), f"the copy was compared with {compared_with}")

    def table_for_trial(self) -> str | None:
        """The table whose clone is tried out: one drawn of those whose turn it is; None if there is none.

        Drawn, because moments come at regular intervals: counting by them would choose the same table for ever.
        """
        tables = sorted(d.name for d in self.data_sets if d.component == "hbase" and self._is_due_for_trial(d))
        if not tables or not self.plan.settings.trial_clone:
            return None
        return tables[uuid5(self.plan.policy, str(self.moment_ms)).int % len(tables)]

    def _is_due_for_trial(self, table: DataSet) -> bool:
        """Whether a table's own instant in every period of ``trial_clone_hours`` lies between its base and the moment.

        So it is each table's turn once in a period, in the first run after that instant, and nothing has to be
        remembered. Of those whose turn comes in the same run one is drawn, so many runs try more tables than few.
        """
        base, period_ms = self.base_of(table), self.plan.settings.trial_clone_hours * 3_600_000
        if base is None or not period_ms:
            return True
        since_ms = (self.moment_ms - UUID(hex=table.id).int) % period_ms
        return self.moment_ms - since_ms > base.moment_ms

    @property
    def pair_id(self) -> UUID:
        """The pair that the run belongs to."""
        return self.plan.pair

    @property
    def is_ready_to_apply(self) -> bool:
        """Whether everything is in staging, and nobody needs to confirm it any more."""
        if self.state == states.HELD:
            return self.confirmed
        return self.state == states.STAGING and all(copy.state == states.STAGED for copy in self.copies.values())

    @property
    def alarms(self) -> list[dict[str, Any]]:
        """What a person has to do something about; of the form of a finding."""
        return [*alarms_of(self), *stopping.alarms(self), *super().alarms]

    @property
    def patience_seconds(self) -> int:
        """What the policy says."""
        return self.plan.settings.patience_seconds

    @property
    def waits_since(self) -> datetime:
        """Since when it has got nowhere; before the moment a run waits for that, as it should."""
        since = super().waits_since
        if self.state not in (states.PLANNED, states.CHECKING, states.ARMED):
            return since
        return max(since, datetime.fromtimestamp(self.moment_ms / 1000, UTC))

    @property
    def way_on(self) -> str:
        """Where a run waits for a person's word, removing an obstacle is not enough."""
        if self.stopped:
            return f"Do what the alarm STOPPED says; then: understudy run retry {self.id}."
        if self.state == states.HELD and not self.confirmed:
            return f"Let it go on: understudy run confirm {self.id}. Or end it: understudy run cancel {self.id}."
        return super().way_on

    def part(self, key: str) -> Part:
        """The copy of the data set with this id."""
        return self.copies.setdefault(key, Copy(key))

    def next_instructions(self) -> tuple[Wanted, ...]:
        """What should be done now; see ``next``."""
        return next_step.next_instructions(self)

    def deadline_ms(self) -> int | None:
        """When waiting for the snapshots has no point any more; None where nothing is waited for.

        Once the snapshot instruction may have reached the primary, the snapshots may exist although nobody has said
        so yet: then the run waits longer.
        """
        if self.state not in (states.PLANNED, states.CHECKING, states.ARMED):
            return None
        if self.snapshots_may_exist:
            return self.moment_ms + SNAPSHOT_GRACE_MS
        too_late_ms = self.moment_ms + self.plan.settings.fire_tolerance_ms + CHECK_GRACE_MS
        if self.plan.moment_is_free and not self.data_sets:
            return max(too_late_ms, int(self.created_on.timestamp() * 1000) + MOST_MS)
        return too_late_ms

    @property
    def snapshots_may_exist(self) -> bool:
        """Whether the snapshot instruction was sent, or may have been."""
        return bool(self.data_sets) and any(wanted.id in self.instructed for wanted in self.next_instructions())

    def start_checking(self, context: Context, relied_on: Sequence[str] = ()) -> None:
        """Begin; the secondary is asked, too, whether it still has these snapshots of recovery points."""
        self.fire("start_checking", context, relied_on=tuple(relied_on))

    def pass_checks(self, context: Context, data_sets: Sequence[DataSet], warnings: Sequence[dict[str, Any]]) -> None:
        """Record that nothing speaks against the run, and which data sets its patterns stand for."""
        self.note(self.ChecksPassed, context, data_sets=tuple(sorted(data_sets)), warnings=list(warnings))

    def move_moment(self, context: Context, code: str, moment_ms: int) -> None:
        """Take another moment; the caller knows that nothing was cut. ``code`` is the reason, see ``MomentMoved``."""
        self.fire("move_moment", context, code=code, before_ms=self.moment_ms, moment_ms=moment_ms)

    def refuse(self, context: Context, findings: Sequence[dict[str, Any]]) -> None:
        """End the run before anything was done anywhere."""
        assert findings, "a refusal names what speaks against the run"
        self.fire("refuse", context, findings=list(findings))

    def stage(self, context: Context, base: Kept | None, older: tuple[Kept, ...], disturbances: int) -> None:
        """Begin the copies, starting from what the replica's head shows, or from older recovery points."""
        self.fire("stage", context, base=base, older=older, disturbances=disturbances)

    def finish_copy(self, context: Context, key: str, result: dict[str, Any]) -> None:
        """Record that a data set is staged, and the grades from now on if the copy says something about them.

        It may have found files that were open at the cut, or have left some out.
        """
        fuzzy = int(result.get("fuzzy") or 0)
        left_out = int((result.get("left_out") or {}).get("files") or 0)
        corrected = None
        if self.consistency is not None and (fuzzy or left_out):
            corrected = with_left_out(with_copy(self.consistency, key, fuzzy), key, left_out)
        self.fire_part(self.copies[key], "finish", context, result=result, consistency=corrected)

    def apply(self, context: Context, was_dirty: bool) -> None:
        """Begin to change the heads; the caller took the replica, which was dirty or not, in the same save."""
        self.fire("apply", context, was_dirty=was_dirty)

    def complete(self, context: Context, result: dict[str, Any]) -> None:
        """End with a recovery point; the caller saves it together with this."""
        self.fire("complete", context, recovery_point=self.recovery_point_id, result=result)

    def confirm(self, context: Context) -> None:
        """Let a run that was held because of a mass change go on; confirming twice is confirming once."""
        if self.state != states.HELD:
            message = f"run {self.id} is {self.state}: nobody needs to confirm it."
            raise Refused("NOT_IN_STATE", message, remedy="Only a run that is HELD waits for a person.")
        if not self.confirmed:
            self.note(self.ChangesConfirmed, context)

    def retry(self, context: Context) -> None:
        """Let a run go on that was refused for good, when a person has done something about it."""
        if not self.stopped:
            message = f"run {self.id} is {self.state}, and nothing that it wants was refused for good."
            raise Refused("NOT_STOPPED", message, remedy="What failed otherwise is tried again by itself.")
        self.note(self.RetryRequested, context)

    def note_copy_stall(self, context: Context, key: str, instruction: str, last_bytes: int, since_ms: int) -> None:
        """Record, once for each instruction, that a copy does not move; a copy that is over does not stall."""
        copy = self.copies.get(key)
        if self.state != states.STAGING or copy is None or copy.state == states.STAGED:
            return
        if self.stalled.get(key) != instruction:
            self.note(
                self.CopyStalled, context, key=key, instruction=instruction, last_bytes=last_bytes, since_ms=since_ms
            )

    def fail(self, context: Context, failure: dict[str, Any]) -> None:
        """Give the run up and clean both sides; ends at once when nothing was begun anywhere."""
        self.fire(
            "fail",
            context,
            code=failure["code"],
            message=failure["message"],
            remedy=failure.get("remedy") or "",
            data_set=failure.get("data_set") or "",
            cleaning=cleaning_of(self),
        )
        self._end_if_clean(context)

    def cancel(self, context: Context, reason: str) -> None:
        """Give the run up because a person wants it so; raises ``Refused`` once heads are being changed."""
        self.fire("cancel", context, reason=reason, cleaning=cleaning_of(self))
        self._end_if_clean(context)

    def abandon(self, context: Context, reason: str) -> None:
        """Give up rolling forward because a person wants it so; raises ``Refused`` in any other state."""
        message = f"a person gave the run up: {reason}"
        remedy = "The next run heals the copies on the secondary. The last recovery point is untouched."
        facts = {"code": "GIVEN_UP", "message": message, "remedy": remedy, "data_set": ""}
        self.fire("abandon", context, **facts, cleaning=cleaning_of(self))
        self._end_if_clean(context)

    def cross_off(self, context: Context, step: str, result: dict[str, Any]) -> None:
        """Record one finished step of the cleaning, and the end after the last."""
        self.note(self.SideCleaned, context, step=step, result=result)
        self._end_if_clean(context)

    def _end_if_clean(self, context: Context) -> None:
        if not self.to_clean:
            self.fire("end_cancelled" if self.cancelled else "end_failed", context)

    def begin_cleaning(self, cleaning: Cleaning | None) -> None:
        """Note what is to be cleaned; applied by the events that lead to CLEANING (None: one of an older version)."""
        if cleaning is None and self.data_sets:
            to_abort = {role: self.sent_to(self.cluster_of(role)) for role in ("primary", "secondary")}
            cleaning = Cleaning(steps_of_cleaning_v1(to_abort), to_abort)
        if cleaning is not None:
            self.to_abort = cleaning.to_abort
            self.to_clean = list(cleaning.steps)

    def take_grades(self, consistency: Consistency) -> None:
        """Take grades and verdict, and keep the evidence of each snapshot in step; applied by ``CopyStaged``.

        So page, list and manifest all say the same.
        """
        self.consistency = consistency
        told = {grade.data_set: {"grade": grade.grade, "reason": grade.reason} for grade in consistency.grades}
        self.snapshots = {key: _graded(snapshot, told.get(key)) for key, snapshot in self.snapshots.items()}


def _graded(snapshot: Any, told: dict[str, str] | None) -> Any:
    """A data set's snapshot with another grade; whatever has no evidence of the known form stays as it is."""
    if told is None or not isinstance(snapshot, dict) or not isinstance(snapshot.get("evidence"), dict):
        return snapshot
    return {**snapshot, "evidence": {**snapshot["evidence"], **told}}
