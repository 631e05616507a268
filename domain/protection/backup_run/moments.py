"""Another moment for a run whose caller named none: chosen before anything is cut, so the run's evidence is all of it.

An instant that was named is kept or missed: other things may be done at it. What was asked for as "now" or "soonest"
means any moment soon. The run's id holds no moment, so the command that is sent again still means this very run.
"""

from __future__ import annotations

from datetime import datetime

from domain.instructing import FIRST_DELAY_SECONDS
from domain.protection.backup_run.run import BackupRun
from domain.protection.lead import after_checks_ms, after_miss_ms, is_too_soon
from domain.stateful import Context

CHECKS_TOOK_LONG = "CHECKS_TOOK_LONG"
MOMENT_MISSED = "MOMENT_MISSED"


def move_if_too_soon(context: Context, run: BackupRun) -> None:
    """Choose another moment if the checks took so long that the present one would be missed."""
    now_ms = _milliseconds(context.at)
    checks_ms = now_ms - _milliseconds(run.checking_since or context.at)
    if run.plan.moment_is_free and is_too_soon(run.moment_ms - now_ms, checks_ms):
        run.move_moment(context, CHECKS_TOOK_LONG, now_ms + after_checks_ms(checks_ms))


def may_miss_once(run: BackupRun) -> bool:
    """Whether a moment that is missed is chosen anew: once, and only where nobody named an instant."""
    return run.plan.moment_is_free and all(move["code"] != MOMENT_MISSED for move in run.moment_moves)


def move_missed(context: Context, run: BackupRun) -> None:
    """Choose another moment for one that was missed: an agent that has missed it has removed whatever it had cut.

    Where the snapshots had been ordered in time (an agent died when it should have fired), that tells how long ordering
    takes; else nothing tells but how long ago it began.
    """
    now_ms = _milliseconds(context.at)
    ordering_ms = _milliseconds(run.armed_at or context.at) - _milliseconds(run.ordering_since or context.at)
    run.move_moment(context, MOMENT_MISSED, now_ms + after_miss_ms(ordering_ms, FIRST_DELAY_SECONDS * 1000))


def _milliseconds(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)
