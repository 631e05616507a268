"""Has one instruction carried out: submits it, looks until it has ended, returns its outcome.

Not knowing is never a reason to do it under another id. A gateway that does not answer is asked again; an agent that
is gone without an outcome is started again by submitting the very same instruction, which continues from its journal.
Only a known end comes out of here: an outcome of the agent, or its refusal.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from domain.errors import Refused, Unavailable, UnderstudyError
from infra.agent.protocol import failure_of
from infra.ports.clock import Clock
from infra.ports.gateway import Seen, SubmissionRefused
from infra.workers.answers import checked_outcome
from infra.workers.gateways import Following, Gateway
from infra.workers.outgoing import Outgoing
from infra.workers.waiting import Backoff

if TYPE_CHECKING:
    from infra.workers.equipment import Equipment

_log = logging.getLogger(__name__)

LOOKS_WITHOUT_AGENT = 2
"""An agent that is seen missing so often in a row is gone; one look alone may fall between its start and its lock."""


REMEDIES = {
    "SPOOL_FULL": "Make room on the file system of the gateway's spool directory, or raise its user's quota.",
    "SPOOL_UNUSABLE": "Let the gateway's user own the spool directory, with mode 0700, on a disk that can be written.",
}


class TakenOver(UnderstudyError):
    """Another controller has taken over, and the clusters say no other: this one has to stop. Code OLD_TERM."""


class NotOurs(UnderstudyError):
    """The cluster belongs to another store, or another control device has gone on with a copy of this one."""


NOT_OURS = frozenset({"PAIR_OWNED", "OTHER_CONTROLLER"})
OUTDATED = frozenset({"OLD_TERM", "PAIR_OWNED"})
"""By what a gateway has seen: whom the clusters refuse may have been there first."""


class Reports(Protocol):
    """Whom to tell what happens on the way; each call may record something."""

    def milestone(self, name: str, facts: dict[str, Any]) -> Awaitable[None]:
        """The agent reached a named point; told once for each carrying."""

    def stalled(self, last_bytes: int, since_ms: int) -> Awaitable[None]:
        """It has moved no byte for a while; told once for each carrying."""


class Carrier:
    """Carries one instruction; used once."""

    def __init__(self, outgoing: Outgoing, gateway: Gateway, reports: Reports, equipment: Equipment) -> None:
        clock, settings = equipment.clock, equipment.settings
        self._equipment = equipment
        self._turns = equipment.turns
        self._outgoing = outgoing
        self._gateway = gateway
        self._reports = reports
        self._live = equipment.live
        self._retry = Backoff(clock, settings.retry_seconds, settings.longest_retry_seconds)
        self._restart = Backoff(clock, settings.retry_seconds, settings.longest_retry_seconds)
        self._stall = _StallWatch(clock, settings.stall_seconds)
        self._milestones: set[str] = set()
        self._told = ""

    async def carry(self) -> Mapping[str, Any]:
        """Return how the instruction ended; raises ``TakenOver``."""
        while True:
            try:
                refusal = await self._submit()
                outcome = refusal or await self._follow()
                if outcome is None:
                    _log.warning("%s: its agent is gone and is started again", self._name())
                    instruction = self._outgoing.instruction
                    self._live.agent_gone(self._outgoing.owner, instruction.cluster, instruction.step)
                    await self._restart.wait()
                    continue
                outcome = checked_outcome(outcome, self._outgoing.instruction)
                if outcome["failure"] is not None and outcome["failure"]["code"] in NOT_OURS:
                    self._equipment.standing.doubt()
                if self._outgoing.instruction.kind == "CheckCluster" and outcome["failure"] is None:
                    clock = await _reached(self._gateway.controller_clock())
                    outcome = {**outcome, "result": {**outcome["result"], "controller_clock": clock}}
                return outcome
            except _Unreachable as unreachable:
                error = unreachable.error
                if self._outgoing.fails_unreachable:
                    return failed(error.code, error.message, error.remedy)
                # Told once: a cluster that is down for a week is asked ten thousand times.
                _log.log(logging.DEBUG if str(error) == self._told else logging.WARNING, "%s: %s", self._name(), error)
                self._told = str(error)
                await self._retry.wait()

    async def _submit(self) -> Mapping[str, Any] | None:
        """Hand it over; return an outcome if the agent refused it."""
        controller = await self._evidence()
        allowance = self._turns.allowance(self._outgoing.instruction.id)
        submission = self._outgoing.submission(self._equipment.credentials, allowance, controller)
        answer = await _reached(self._gateway.submit(submission))
        if isinstance(answer, SubmissionRefused) and answer.code in OUTDATED:
            controller = await self._confirmed(answer)
            submission = self._outgoing.submission(self._equipment.credentials, allowance, controller)
            answer = await _reached(self._gateway.submit(submission))
        if isinstance(answer, SubmissionRefused):
            if answer.code in NOT_OURS:
                self._equipment.standing.doubt()
                raise self._not_ours(answer)
            if answer.code == "TOO_LATE":
                # By the gateway's clock, which may be another one than was thought: the next attempt will know it.
                await _reached(self._gateway.controller_clock())
            return failed(answer.code, answer.message, REMEDIES.get(answer.code, ""))
        return None

    async def _confirmed(self, refused: SubmissionRefused) -> dict[str, Any]:
        """What shows a gateway that knows a higher term or epoch that this one counts: the records, read anew.

        A copy of this store, or another store, may have been at the gateway, and was refused by the cluster. Where a
        record is another control device's, or where there is none that could say better, this raises ``TakenOver``
        for a term, and ``_Unreachable`` with ``NotOurs`` for an epoch.
        """
        _log.warning("%s: %s; reading whose the clusters are", self._name(), refused.message)
        self._equipment.standing.doubt()
        try:
            controller = await self._evidence()
        except _Unreachable as unreachable:
            if isinstance(unreachable.error, NotOurs) and refused.code == "OLD_TERM":
                raise _taken_over(self._gateway.cluster, f"{refused.message}; {unreachable.error.message}") from None
            raise
        if controller is None or None in controller["follows"].values():
            if refused.code in NOT_OURS:
                raise self._not_ours(refused)
            raise _taken_over(self._gateway.cluster, f"{refused.message}.")
        return {**controller, "is_confirmed": True}

    def _not_ours(self, refused: SubmissionRefused) -> _Unreachable:
        remedy = "Use that control device. If it is lost for good: 'understudy pair take-over'."
        return _Unreachable(NotOurs(refused.code, f"{self._gateway.cluster}: {refused.message}.", remedy=remedy))

    async def _evidence(self) -> dict[str, Any] | None:
        """What shows that this control device may act there; nothing is sent before, and it is waited for."""
        try:
            evidence: dict[str, Any] | None = await _reached(
                self._equipment.standing.evidence(self._outgoing, self._equipment)
            )
            return evidence
        except (NotOurs, Refused) as error:
            raise _Unreachable(error) from error
        finally:
            refused = self._equipment.standing.refused.items()
            self._live.refused({cluster: f"{error.code}: {error.message}" for cluster, error in refused})

    async def _follow(self) -> Mapping[str, Any] | None:
        """Look until it has ended; None when no agent carries it out any more."""
        missing = 0
        with self._gateway.follow(self._outgoing.instruction.id) as following:
            while True:
                seen = await self._next(following)
                for name in sorted(set(seen.milestones) - self._milestones):
                    await self._reports.milestone(name, dict(seen.milestones[name]))
                    self._milestones.add(name)
                if seen.alive or seen.outcome is not None:
                    self._live.agent_lives(self._outgoing.owner, self._outgoing.instruction.cluster)
                if seen.outcome is not None:
                    return seen.outcome
                missing = 0 if seen.alive else missing + 1
                if missing >= LOOKS_WITHOUT_AGENT:
                    return None
                await self._take_progress(seen)

    async def _next(self, following: Following) -> Seen:
        while True:
            try:
                seen = await following.next()
            except Unavailable as error:
                if self._outgoing.fails_unreachable:
                    raise _Unreachable(error) from error
                # The gateway is looked at again by itself.
                continue
            return seen

    async def _take_progress(self, seen: Seen) -> None:
        instruction = self._outgoing.instruction.id
        is_paused = self._turns.is_paused(instruction)
        stall = self._stall.take(seen.progress or {}, is_paused)
        self._turns.moves(instruction, is_paused or not self._stall.is_still)
        if self._stall.has_moved:
            self._live.moved(self._outgoing.owner, self._equipment.clock.now())
        if seen.progress is None or not self._outgoing.data_set:
            return
        self._live.progress(self._outgoing.owner, self._outgoing.data_set, seen.progress)
        if stall is not None:
            await self._reports.stalled(*stall)

    def _name(self) -> str:
        instruction = self._outgoing.instruction
        return f"run {instruction.run} {instruction.step} attempt {instruction.attempt} on {instruction.cluster}"


class Silent:
    """Nobody is told what happens on the way."""

    async def milestone(self, name: str, facts: dict[str, Any]) -> None:
        """Not told."""

    async def stalled(self, last_bytes: int, since_ms: int) -> None:
        """Not told."""


class _StallWatch:
    """Finds out, once, that neither bytes nor files have grown for a while."""

    def __init__(self, clock: Clock, stall_seconds: float) -> None:
        self._clock = clock
        self._stall_seconds = stall_seconds
        self._done = (-1, -1)
        self._since = clock.monotonic_seconds()
        self._since_ms = 0
        self._is_told = False
        self.has_moved = False

    @property
    def is_still(self) -> bool:
        """Whether nothing has moved for so long."""
        return self._clock.monotonic_seconds() - self._since >= self._stall_seconds

    def take(self, progress: Mapping[str, Any], is_paused: bool) -> tuple[int, int] | None:
        """Return the bytes and since when they have not grown, if that is news; what is paused need not move."""
        done = (int(progress.get("bytes") or 0), int(progress.get("files") or 0))
        now = self._clock.monotonic_seconds()
        self.has_moved = done != self._done and self._done >= (0, 0)
        if done != self._done or is_paused:
            self._done, self._since = done, now
            self._since_ms = int(self._clock.now().timestamp() * 1000)
        elif not self._is_told and now - self._since >= self._stall_seconds:
            self._is_told = True
            return self._done[0], self._since_ms
        return None


class _Unreachable(Exception):
    """The gateway could not be asked, or the cluster is not ours; keeps its error apart from those of the store."""

    def __init__(self, error: UnderstudyError) -> None:
        super().__init__(str(error))
        self.error = error


def _taken_over(cluster: str, message: str) -> TakenOver:
    return TakenOver(
        "OLD_TERM", f"{cluster}: {message}", remedy="Stop this control device: another one works with these clusters."
    )


async def _reached(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except Unavailable as error:
        raise _Unreachable(error) from error


def failed(code: str, message: str, remedy: str) -> dict[str, Any]:
    """The outcome of an instruction that no agent has carried out."""
    return {"status": "failed", "result": None, "failure": failure_of(code, message, remedy)}
