"""Abort: end other instructions of this spool, known or not.

An id that this spool has never seen is remembered as aborted, so that its submission, if it is still on its way, is
refused. An instruction that may only be rolled forward (its journal has begun) is not ended but awaited.

Result: ``{"aborted": [ids], "ended_before": [ids], "rolled_forward": [ids]}``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from infra.agent.core.machine import Procedure
from infra.agent.core.operations import Now, Operation, OperationFailed, SleepUntil
from infra.agent.protocol import Instruction

POLL_MS = 200.0
PATIENCE_MS = 120_000.0

# Once the journal of such an instruction, or of an older attempt, has begun, it is brought to its end whatever happens:
# an abort is not heeded and a later epoch does not stop it; a half-changed head would have to be rebuilt byte by byte.
ROLLED_FORWARD_ONLY = frozenset(["ApplyStaged"])


@dataclass(frozen=True)
class EndInstruction(Operation):
    """Ask another instruction of this spool to end, and end it where no agent carries it out.

    Result: "aborted", "ended_before", "rolled_forward" (it came to its own end after the wish, because it may only be
    rolled forward) or "running" (ask again; an agent is started for it if it must be rolled forward and none is alive).
    """

    id: str


def abort(instruction: Instruction, journal: bytes) -> Procedure:
    """Carry out an instruction of kind Abort."""
    return (yield from end_all(instruction.payload["instructions"]))


def after_older_attempts(older: Sequence[str], procedure: Procedure) -> Procedure:
    """Run ``procedure`` once the older attempts of the same purpose have ended and can have no effect any more."""
    yield from end_all(older)
    return (yield from procedure)


def end_all(ids: Sequence[str]) -> Procedure:
    """End the instructions and tell how each of them ended."""
    ended: dict[str, list[str]] = {"aborted": [], "ended_before": [], "rolled_forward": []}
    give_up_at = (yield Now()) + PATIENCE_MS
    for wanted in ids:
        answer = yield EndInstruction(wanted)
        while answer == "running":
            now = yield Now()
            if now > give_up_at:
                raise OperationFailed("STILL_RUNNING", f"{wanted} did not end in time", transient=True)
            yield SleepUntil(now + POLL_MS)
            answer = yield EndInstruction(wanted)
        ended[answer].append(wanted)
    return ended
