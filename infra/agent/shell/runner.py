"""Carry one instruction out with threads: under its lock, from its journal, to its outcome.

The order is the safety: take the lock; end older attempts of the same purpose and wait for their locks; run the
procedure; let every operation come to its end; record the outcome; let go of the lock. So at no time do two agents act
for one purpose, and an outcome is never followed by an effect of its instruction.
"""

from __future__ import annotations

from typing import Any, Callable, Protocol, Sequence

from infra.agent.core.machine import Outcome
from infra.agent.core.operations import Operation
from infra.agent.protocol import Instruction, WireError, failure_of, outcome
from infra.agent.shell.locks import boot_id
from infra.agent.shell.reports import Log
from infra.agent.shell.running import Running
from infra.agent.shell.spool import Entry, Spool

ABORT_POLL_SECONDS = 0.25
LOCK_PATIENCE_SECONDS = 2.0


class Performer(Protocol):
    """What carries operations out."""

    def start(self, number: int, operation: Operation) -> None:
        """Begin an operation; its outcome comes from ``wait``."""

    def wait(self, timeout_seconds: float) -> Sequence[Outcome]:
        """The outcomes that have come; none when the time is over before any."""

    def stop(self) -> None:
        """Cut waiting and copying short, and return when no operation can have an effect any more."""


MakePerformer = Callable[[Instruction, Entry, Log], Performer]


def run(
    spool: Spool,
    entry: Entry,
    now_ms: Callable[[], float],
    make_performer: MakePerformer,
    locked: Callable[[bool], None],
) -> bool:
    """Carry the entry's instruction out; False when another agent does.

    ``locked`` is told whether this agent holds the lock as soon as it is known.
    """
    lock = entry.acquire(LOCK_PATIENCE_SECONDS)
    locked(lock is not None)
    if lock is None:
        return False
    with lock:
        lock.write_holder(boot_id())
        if entry.has_instruction() and entry.outcome() is None:
            log = Log(entry.path("log"))
            ended = _carry_out(spool, entry, now_ms, make_performer, log)
            entry.end(ended)
            log.write(f"ended: {ended['status']}")
    return True


def _carry_out(
    spool: Spool, entry: Entry, now_ms: Callable[[], float], make_performer: MakePerformer, log: Log
) -> dict[str, Any]:
    """The outcome of the entry's instruction; one that cannot be accepted fails before any operation."""
    try:
        instruction = entry.instruction()
    except WireError as error:
        log.write(f"refused: {error}")
        return outcome(entry.id, None, None, failure_of(error.code, error.message), int(now_ms()))
    assert instruction is not None, entry.id
    log.write(f"started {instruction.kind}, {'going on from' if entry.has_journal() else 'without'} a journal")
    running = Running(spool, entry, instruction, now_ms, log)
    while running.ended is None:
        _drive(running, make_performer(instruction, entry, log))
    return running.ended


def _drive(running: Running, performer: Performer) -> None:
    running.begin()
    outcomes: Sequence[Outcome] = ()
    try:
        while running.is_going:
            for number, operation in running.step(outcomes):
                performer.start(number, operation)
            if running.is_going:
                outcomes = performer.wait(ABORT_POLL_SECONDS)
    finally:
        performer.stop()
    running.settle()
