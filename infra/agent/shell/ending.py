"""End other instructions: those that the control device wants to end, and the older attempts of one's own purpose."""

from __future__ import annotations

from typing import Any, Callable

from infra.agent.core.abort import ROLLED_FORWARD_ONLY
from infra.agent.core.operations import OperationFailed
from infra.agent.protocol import canonical, failure_of, outcome
from infra.agent.shell.spool import Entry, Spool, is_identifier

LOOK_PATIENCE_SECONDS = 0.5


class Ending:
    """Ends instructions of one spool; ``start`` starts an agent for an entry that may only be rolled forward."""

    def __init__(self, spool: Spool, now_ms: Callable[[], float], start: Callable[[Entry], None]) -> None:
        self._spool = spool
        self._now_ms = now_ms
        self._start = start

    def end(self, instruction_id: str) -> str:
        """Carry out ``EndInstruction``; see there for the answers."""
        if not is_identifier(instruction_id):
            raise OperationFailed("MALFORMED", f"{instruction_id[:80]!r} is not an id")
        entry = self._spool.entry(instruction_id)
        with self._spool.lock():
            if not entry.exists():
                self._spool.create(instruction_id, {"outcome.json": canonical(self._aborted(entry)), "abort": b"\n"})
                return "aborted"
        ended = entry.outcome()
        if ended is not None:
            return self._how_it_ended(entry, ended)
        entry.ask_to_abort()
        if entry.is_alive():
            return "running"
        return self._end_abandoned(entry)

    def _how_it_ended(self, entry: Entry, ended: dict[str, Any]) -> str:
        if not entry.abort_is_wanted():
            return "ended_before"
        if ended["status"] == "aborted":
            return "aborted"
        return "rolled_forward" if ended["kind"] in ROLLED_FORWARD_ONLY else "ended_before"

    def _end_abandoned(self, entry: Entry) -> str:
        lock = entry.acquire(LOOK_PATIENCE_SECONDS)
        if lock is None:
            return "running"
        with lock:
            ended = entry.outcome()
            if ended is not None:
                return self._how_it_ended(entry, ended)
            if not must_roll_forward(self._spool, entry):
                entry.end(self._aborted(entry))
                return "aborted"
        self._start(entry)
        return "running"

    def _aborted(self, entry: Entry) -> dict[str, Any]:
        instruction = entry.acceptable_instruction()
        kind = None if instruction is None else instruction.kind
        failure = failure_of("ABORTED", "ended before any agent finished it")
        return outcome(entry.id, kind, None, failure, int(self._now_ms()))


def must_roll_forward(spool: Spool, entry: Entry) -> bool:
    """Tell whether the instruction, or an older attempt in whose place it is, has begun what must come to its end."""
    instruction = entry.acceptable_instruction()
    if instruction is None or instruction.kind not in ROLLED_FORWARD_ONLY:
        return False
    return entry.has_journal() or any(
        spool.entry(older).has_journal() for older in spool.older_attempts_of(instruction)
    )
