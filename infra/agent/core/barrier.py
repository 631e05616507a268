"""The barrier: hooks of the gateway's administrator that make writers stand still around the cut.

Its undo is owed before it is applied: the journal says so and a detached watchdog, which releases after
``hold_max_seconds`` whatever becomes of the agent, runs first. Every agent that starts again repeats the undo.
"""

from __future__ import annotations

from typing import Any

from infra.agent.core.machine import Procedure
from infra.agent.core.operations import Milestone, OperationFailed, RunHook, SpoolAppend, StartWatchdog
from infra.agent.protocol import Instruction, canonical

HOOK_SECONDS = 60.0


def hold(instruction: Instruction) -> Procedure:
    """Apply the barrier, if the instruction has one."""
    barrier: dict[str, Any] | None = instruction.payload["barrier"]
    if barrier is None:
        return
    yield SpoolAppend("journal", canonical({"barrier": "owed"}) + b"\n")
    yield StartWatchdog(barrier["release"], instruction.run, int(barrier["hold_max_seconds"]))
    yield RunHook(barrier["hold"], instruction.run, min(HOOK_SECONDS, float(barrier["hold_max_seconds"])))


def release(instruction: Instruction) -> Procedure:
    """Undo the barrier, if the instruction has one; the undo that fails is left to the watchdog, and told."""
    barrier: dict[str, Any] | None = instruction.payload["barrier"]
    if barrier is None:
        return
    try:
        yield RunHook(barrier["release"], instruction.run, HOOK_SECONDS)
    except OperationFailed as failure:
        yield Milestone("barrier_not_released", {"code": failure.code, "message": failure.message})
        return
    yield SpoolAppend("journal", canonical({"barrier": "released"}) + b"\n")
