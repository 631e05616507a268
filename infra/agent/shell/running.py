"""One instruction on its way, without any waiting: from its spool entry to its outcome.

``begin``, then ``step`` with the outcomes that came, while ``is_going``; then, when no operation can have an effect any
more, ``settle``, which sets ``ended``, or leaves it None when the instruction has to begin again. The runner (threads)
and the simulation (virtual time) drive the same object.

An abort is heeded between steps. An instruction that may only be rolled forward does not heed it once its journal has
begun, or an older attempt's has; if an operation on its way began the journal while the abort was being heeded, it
begins again from there.
"""

from __future__ import annotations

import traceback
from typing import Any, Callable, Sequence

from infra.agent.core.abort import after_older_attempts
from infra.agent.core.machine import Machine, Outcome
from infra.agent.core.operations import Operation, OperationFailed
from infra.agent.core.procedures import PROCEDURES
from infra.agent.protocol import Instruction, canonical, failure_of, outcome
from infra.agent.shell.disk import read_file
from infra.agent.shell.ending import must_roll_forward
from infra.agent.shell.reports import Log
from infra.agent.shell.spool import Entry, Spool, data_set_id
from infra.agent.shell.terms import Terms

OUTSTANDING_LIMIT = 64


class Running:
    """Carries one instruction out; the caller holds the entry's lock and performs the operations."""

    def __init__(
        self, spool: Spool, entry: Entry, instruction: Instruction, now_ms: Callable[[], float], log: Log
    ) -> None:
        self.ended: dict[str, Any] | None = None
        self._spool = spool
        self._entry = entry
        self._instruction = instruction
        self._now_ms = now_ms
        self._log = log
        self._machine: Machine | None = None
        self._abort_heeded = False
        self._fault: Exception | None = None

    @property
    def is_going(self) -> bool:
        """Tell whether there is anything to wait for."""
        return self._machine is not None and not self._machine.done and not self._abort_heeded and self._fault is None

    def begin(self) -> None:
        """Make the procedure ready to go on from its journal."""
        instruction = self._instruction
        self._abort_heeded = False
        is_over = Terms(self._spool).epoch_is_over(instruction, self._entry.controller())
        if is_over and not must_roll_forward(self._spool, self._entry):
            self._fault = OperationFailed("OLD_EPOCH", f"epoch {instruction.epoch} is over")
            return
        older = self._spool.older_attempts_of(instruction)
        procedure = PROCEDURES[instruction.kind](instruction, journal(self._entry))
        self._machine = Machine(after_older_attempts(older, procedure), OUTSTANDING_LIMIT)

    def step(self, outcomes: Sequence[Outcome] = ()) -> list[tuple[int, Operation]]:
        """Take outcomes and return the operations to start; none when it is not going any more."""
        assert self._machine is not None
        if self._entry.abort_is_wanted() and not must_roll_forward(self._spool, self._entry):
            self._abort_heeded = True
            return []
        try:
            return self._machine.step(outcomes)
        except Exception as error:  # noqa: BLE001 - a fault of a procedure ends its instruction, it must not repeat for ever
            self._fault = error
            return []

    def settle(self) -> None:
        """Decide how it ended, now that nothing is under way."""
        if self._abort_heeded:
            if must_roll_forward(self._spool, self._entry):
                self._log.write("not aborted: its journal has begun, so it is rolled forward")
                return
            self._fault = OperationFailed("ABORTED", "ended because the control device wished it")
        machine = self._machine
        fault = self._fault or (machine.failure if machine is not None else None)
        try:
            result = machine.result if fault is None and machine is not None else None
            self._end(result, None if fault is None else self._failure(fault))
        except (TypeError, ValueError) as error:  # what a procedure returned is not JSON
            self._end(None, self._failure(error))

    def _end(self, result: Any, failure: dict[str, Any] | None) -> None:
        ended = outcome(self._instruction.id, self._instruction.kind, result, failure, int(self._now_ms()))
        canonical(ended)
        self.ended = ended

    def _failure(self, fault: BaseException) -> dict[str, Any]:
        if not isinstance(fault, OperationFailed):
            self._log.write("".join(traceback.format_exception(type(fault), fault, fault.__traceback__)))
            fault = OperationFailed("INTERNAL", f"{type(fault).__name__}: {fault}", remedy=f"See {self._log.path}.")
        data_set = fault.detail.get("data_set", data_set_id(self._instruction))
        more = {"data_set": data_set, "unknown": fault.unknown, "detail": fault.detail}
        return failure_of(fault.code, fault.message, fault.remedy, **more)


def journal(entry: Entry) -> bytes:
    """The whole lines of the journal; what a crash tore is no record."""
    data = read_file(entry.work_path("journal")) or b""
    return data[: data.rfind(b"\n") + 1]
