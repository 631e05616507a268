"""Retention at work: lets recovery points go, one at a time.

Each policy's own recovery points are counted, so that a policy with few does not take those of another with many. The
next one goes when nothing is left of the one before, so a deletion that goes wrong is seen before another begins.
"""

from __future__ import annotations

from domain.protection.policy import BackupPolicy
from domain.protection.recovery_point import AVAILABLE, DAMAGED, RecoveryPoint
from domain.protection.replica import Replica
from domain.protection.retention import Decision, decide
from domain.stateful import Context
from infra.store.session import Session
from infra.workers.handlers.handler import endpoints_of


def shed_one(session: Session, context: Context, replica: Replica) -> None:
    """Let the oldest recovery point that no policy keeps go, unless one is on its way out already."""
    if replica.leaving:
        return
    for decision in _expendable(session, replica):
        point = session.load(RecoveryPoint, decision.recovery_point)
        if point.state in (AVAILABLE, DAMAGED):
            expire(session, context, replica, point, decision.reason)
            return


def _expendable(session: Session, replica: Replica) -> list[Decision]:
    """What may go, the oldest first."""
    found: list[Decision] = []
    for policy in sorted({kept.policy for kept in replica.kept.values()}):
        own = [kept for kept in replica.kept.values() if kept.policy == policy]
        keep_last = session.load(BackupPolicy, policy).settings.keep_last
        found += [d for d in decide(own, keep_last, replica.shown, replica.holds) if not d.keep]
    return sorted(found, key=lambda decision: replica.kept[decision.recovery_point].moment_ms)


def expire(session: Session, context: Context, replica: Replica, point: RecoveryPoint, reason: str) -> None:
    """Take a recovery point out of the replica and begin to remove it, in one save.

    Raises ``Conflict`` if it is held or is the head, and ``Refused`` in a state that does not allow it.
    """
    endpoints = endpoints_of(session, point.made.primary, point.made.secondary)
    replica.let_go(context, point.id)
    point.expire(context, reason, endpoints)
