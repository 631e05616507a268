"""Opens, closes and expires recovery points."""

from __future__ import annotations

from typing import Any

from domain.pair.pair import ClusterPair
from domain.protection.recovery_point import AVAILABLE, CLOSING, DAMAGED, EXPIRED, EXPIRING, OPENING, RecoveryPoint
from domain.protection.replica import Replica
from domain.stateful import Context
from infra.store.session import Session
from infra.workers.handlers.handler import Handler, Outcome
from infra.workers.shedding import shed_one


def holder(point: RecoveryPoint) -> str:
    """The name under which an open recovery point is held in its replica."""
    return f"open {point.id}"


def replica_of(session: Session, point: RecoveryPoint) -> Replica:
    """The replica that keeps a recovery point."""
    return session.load(Replica, Replica.identity(point.made.service, point.made.secondary))


class RecoveryPointHandler(Handler[RecoveryPoint]):
    """A recovery point wants to be opened, closed, or removed from both sides."""

    aggregate_class = RecoveryPoint

    def conclude(
        self,
        session: Session,
        context: Context,
        aggregate: RecoveryPoint,
        instruction: str,
        outcome: Outcome,
        anchor: dict[str, Any],
    ) -> None:
        """Take the outcome; what is closed is held no more, what has expired makes room for the next."""
        before = aggregate.state
        aggregate.conclude(context, instruction, dict(outcome))
        if aggregate.state == before:
            return
        replica = replica_of(session, aggregate)
        if aggregate.state in (AVAILABLE, DAMAGED):
            replica.lift(context, holder(aggregate))
            shed_one(session, context, replica)
        elif aggregate.state == EXPIRED:
            replica.gone(context, aggregate.id)
            shed_one(session, context, replica)

    def clusters(self, aggregate: RecoveryPoint) -> tuple[str, ...]:
        """Both sides while it expires or owes something to the primary; only the secondary otherwise."""
        made = aggregate.made
        needs_both = aggregate.state == EXPIRING or aggregate.owes_primary
        return (made.primary, made.secondary) if needs_both else (made.secondary,)

    def epoch(self, session: Session, aggregate: RecoveryPoint) -> int:
        """The pair's present one: a recovery point outlives changes of identity."""
        return session.load(ClusterPair, aggregate.pair_id).epoch

    def waiting_for(self, aggregate: RecoveryPoint) -> str:
        """What is being done with it."""
        words = {
            OPENING: "its copies to be made readable",
            CLOSING: "what opening made to be removed",
            EXPIRING: f"its snapshots to be removed on the {' and the '.join(aggregate.sides_left)}",
        }
        owed = "its manifest to be kept on the primary, too" if aggregate.owes_primary else ""
        return words.get(aggregate.state, owed)
