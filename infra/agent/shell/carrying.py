"""The command that carries an instruction out: what ``submit`` and ``adopt`` start detached.

It stands apart from the other commands because it needs all of the agent; those that do not begin anything load little.
"""

from __future__ import annotations

import os
from typing import Any, Sequence

from infra.agent.shell.assembly import make_executor
from infra.agent.shell.clock import system_clock_ms
from infra.agent.shell.detaching import HELD_BY_ANOTHER, LOCKED, Begin, own_program, start_detached
from infra.agent.shell.runner import run
from infra.agent.shell.spool import Entry, Spool, is_identifier


def carry_out(spool: Spool, instruction_id: str, command: Sequence[str], report_to: int | None) -> dict[str, Any]:
    """Carry one instruction out to its outcome, which is returned.

    ``command`` is how this agent is started again; ``report_to`` is a pipe on which to say whether this agent has the
    instruction's lock.
    """
    if not is_identifier(instruction_id) or not spool.entry(instruction_id).exists():
        return {"refused": "NOT_FOUND", "message": f"no instruction {instruction_id[:80]!r} in this spool"}
    entry = spool.entry(instruction_id)

    def locked(is_ours: bool) -> None:
        if report_to is not None:
            os.write(report_to, LOCKED if is_ours else HELD_BY_ANOTHER)
            os.close(report_to)

    def start(other: Entry) -> None:
        start_detached(spool, other, own_program(command))  # this process has threads

    if not run(spool, entry, system_clock_ms, lambda *parts: make_executor(spool, start, *parts), locked):
        return {"refused": "HELD", "message": "another agent carries it out"}
    return entry.outcome() or {}


def in_this_program(command: Sequence[str]) -> Begin:
    """Begin without starting the program again; for a starter that has no threads."""

    def begin(spool: Spool, entry: Entry, report_to: int) -> None:
        carry_out(spool, entry.id, command, report_to)

    return begin
