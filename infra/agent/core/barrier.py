"""The barrier: hooks of the gateway's administrator that make writers stand still around the cut.

Its undo is owed before it is applied: the journal says so, and a detached watchdog, which releases after
``hold_max_seconds`` whatever becomes of the agent, runs first. Every agent that starts again repeats the undo, so a
hook that releases must do no harm when nothing is held.
"""

from __future__ import annotations

from typing import Any

from infra.agent.core.machine import Procedure
from infra.agent.core.operations import Milestone, Now, OperationFailed, RunHook, SleepUntil, StartWatchdog
from infra.agent.core.work import Journal

RECORD = "barrier"
OWED = "owed"
RELEASED = "released"
RELEASE_SECONDS = 60.0
RELEASE_TRIES = 3
PAUSE_MS = 2_000.0


class Barrier:
    """The barrier of one instruction; ``hooks`` is None where the policy has none, and then nothing happens."""

    def __init__(self, hooks: dict[str, Any] | None, run: str, journal: Journal) -> None:
        self._hooks = hooks
        self._run = run
        self._journal = journal
        self.held_ms: float | None = None
        self.released_ms: float | None = None

    @property
    def wanted(self) -> bool:
        """Whether writers are to be held."""
        return self._hooks is not None

    @property
    def hold_max_ms(self) -> float:
        """How long it may stand."""
        return 0.0 if self._hooks is None else float(self._hooks["hold_max_seconds"]) * 1000

    @property
    def is_owed(self) -> bool:
        """Whether it may stand and nobody has proved its release."""
        return bool(self._journal.newest(RECORD) == OWED)

    def hold(self) -> Procedure:
        """Apply it. A hook that fails may have held something, so its undo stays owed."""
        if self._hooks is None:
            return
        seconds = int(self._hooks["hold_max_seconds"])
        yield from self._journal.write({RECORD: OWED})
        yield StartWatchdog(self._hooks["release"], self._run, seconds)
        self.held_ms = yield Now()
        self.released_ms = None
        yield RunHook(self._hooks["hold"], self._run, float(seconds))

    def release(self) -> Procedure:
        """Undo it if that is owed; what fails is told as a milestone and left to the watchdog and the next agent."""
        if self._hooks is None or not self.is_owed:
            return
        for number in range(1, RELEASE_TRIES + 1):
            try:
                yield RunHook(self._hooks["release"], self._run, RELEASE_SECONDS)
                break
            except OperationFailed as failure:
                if number == RELEASE_TRIES:
                    yield Milestone("barrier_not_released", {"code": failure.code, "message": failure.message})
                    return
                yield SleepUntil((yield Now()) + PAUSE_MS)
        self.released_ms = yield Now()
        yield from self._journal.write({RECORD: RELEASED})

    def told(self) -> dict[str, Any] | None:
        """What the result says about it; None without a barrier. Times are the gateway's."""
        if self._hooks is None:
            return None
        return {"held_ms": self.held_ms, "released_ms": self.released_ms, "released": not self.is_owed}
