"""Carries backup runs from PLANNED to their end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from domain.instruction import Wanted
from domain.pair.pair import ClusterPair
from domain.protection.backup_run import conclude, states
from domain.protection.backup_run.conclude import Around
from domain.protection.backup_run.run import SNAPSHOT_GRACE_MS, BackupRun
from domain.protection.policy import BackupPolicy
from domain.protection.recovery_point import RecoveryPoint
from domain.protection.replica import Replica
from domain.stateful import Context
from domain.values.limits import BYTES_IN_MEGABYTE
from infra.agent.protocol import BULK_KINDS
from infra.store.session import Session
from infra.workers.handlers.handler import Handler, Outcome
from infra.workers.sharing import Demand
from infra.workers.shedding import shed_one


def around(session: Session, run: BackupRun, anchor: dict[str, Any]) -> Around:
    """What decisions about a run need besides it."""
    replica = session.load(Replica, Replica.identity(run.plan.service, run.plan.secondary))
    return Around(replica, lambda: anchor, lambda point: session.load(RecoveryPoint, point))


def instant(milliseconds: float) -> datetime:
    """Milliseconds since the epoch as a time of day."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


class RunHandler(Handler[BackupRun]):
    """A run wants one step after the other; some steps take no cluster, and one waits for its turn."""

    aggregate_class = BackupRun

    def advance(self, session: Session, context: Context, aggregate: BackupRun, began: datetime) -> None:
        """Begin the checks, give up at the deadline, or take the replica when it is the run's turn."""
        if aggregate.state == states.PLANNED:
            kept = around(session, aggregate, {}).replica.kept.values()
            aggregate.start_checking(context, [point.snapshot for point in kept])
        deadline = self.deadline(aggregate, began)
        if deadline is not None and context.at >= deadline:
            conclude.give_up(context, aggregate, around(session, aggregate, {}), _too_late(aggregate))
        elif aggregate.is_ready_to_apply:
            conclude.begin_applying(context, aggregate, around(session, aggregate, {}))

    def deadline(self, aggregate: BackupRun, began: datetime) -> datetime | None:
        """When waiting for the snapshots has no point any more.

        A controller that was off must ask before it gives up: what it waits for may be in the gateway's spool.
        """
        deadline_ms = aggregate.deadline_ms()
        if deadline_ms is None:
            return None
        if aggregate.snapshots_may_exist:
            return max(instant(deadline_ms), began + timedelta(milliseconds=SNAPSHOT_GRACE_MS))
        return instant(deadline_ms)

    def milestone(
        self, context: Context, aggregate: BackupRun, instruction: str, name: str, facts: dict[str, Any]
    ) -> None:
        """The primary's agent holds the snapshot instruction."""
        conclude.milestone(context, aggregate, instruction, name, facts)

    def stalled(self, context: Context, aggregate: BackupRun, wanted: Wanted, last_bytes: int, since_ms: int) -> None:
        """A copy does not move."""
        if wanted.data_set:
            aggregate.note_copy_stall(context, wanted.data_set, wanted.id, last_bytes, since_ms)

    def conclude(
        self,
        session: Session,
        context: Context,
        aggregate: BackupRun,
        instruction: str,
        outcome: Outcome,
        anchor: dict[str, Any],
    ) -> None:
        """Take the outcome; a run that completes brings its recovery point, and one that is too many goes."""
        surroundings = around(session, aggregate, anchor)
        point = conclude.conclude(context, aggregate, surroundings, instruction, dict(outcome))
        if point is not None:
            session.add(point)
            shed_one(session, context, surroundings.replica)

    def clusters(self, aggregate: BackupRun) -> tuple[str, ...]:
        """Both sides."""
        return (aggregate.plan.primary, aggregate.plan.secondary)

    def epoch(self, session: Session, aggregate: BackupRun) -> int:
        """The epoch that the run was planned in, until heads are changed: a later one refuses it.

        Afterwards, and for cleaning up, the present one: what was begun is brought to its end in any epoch.
        """
        if aggregate.state in states.BEFORE_APPLYING:
            return aggregate.plan.epoch
        return session.load(ClusterPair, aggregate.pair_id).epoch

    def demand(self, session: Session, aggregate: BackupRun, wanted: Wanted) -> Demand | None:
        """A copy takes of both clusters, a verification of the secondary alone; by what the policy says today."""
        if wanted.kind not in BULK_KINDS:
            return None
        plan = aggregate.plan
        settings = session.load(BackupPolicy, plan.policy).settings
        rate = settings.megabytes_per_second
        return Demand(
            id=wanted.id,
            owner=aggregate.id,
            about=wanted.data_set or wanted.wire_step,
            service=plan.service,
            service_name=plan.service_name,
            policy=plan.policy,
            cluster=wanted.cluster,
            clusters=tuple(dict.fromkeys(site["cluster"] for site in wanted.payload["sites"].values())),
            workers=settings.workers,
            bytes_per_second=None if rate is None else rate * BYTES_IN_MEGABYTE,
            was_sent=wanted.id in aggregate.instructed,
        )

    def fails_unreachable(self, aggregate: BackupRun, wanted: Wanted) -> bool:
        """A check that cannot be made has failed; it changes nothing, so nothing can be left over."""
        return wanted.kind == "CheckCluster"

    def waiting_for(self, aggregate: BackupRun) -> str:
        """What the run waits for."""
        if aggregate.is_ready_to_apply:
            return "its turn: another run is changing the copies on the secondary"
        words = {
            states.CHECKING: "the checks of both clusters",
            states.ARMED: f"the moment, {instant(aggregate.moment_ms).isoformat()}",
            states.STAGING: "copies to be staged and checked",
            states.HELD: "a person's confirmation of what would be deleted or replaced",
            states.APPLYING: "the staged changes to be applied",
            states.FREEZING: "the copies to be frozen",
            states.VERIFYING: "the secondary's digests",
            states.SEALING: "manifest and anchor to be sealed",
            states.CLEANING: "both sides to be cleaned up",
        }
        return words.get(aggregate.state, "")


def _too_late(run: BackupRun) -> dict[str, Any]:
    moment = instant(run.moment_ms).isoformat()
    if run.snapshots_may_exist:
        return {
            "code": "SNAPSHOTS_UNKNOWN",
            "message": f"nobody could tell whether the primary took the snapshots of {moment}.",
            "remedy": "See why the primary's gateway cannot be reached; what it may have left is removed.",
        }
    return {
        "code": "MOMENT_MISSED",
        "message": f"the checks were not done before {moment}.",
        "remedy": "See what the checks waited for; choose a later moment.",
    }
