"""The commands of the agent's program: read standard input, answer on standard output, one JSON object a line."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, BinaryIO, Sequence

from infra.agent.core.operations import StartWatchdog
from infra.agent.protocol import MAXIMUM_BYTES, WireError, canonical
from infra.agent.shell.admission import admit
from infra.agent.shell.clock import system_clock_ms
from infra.agent.shell.detaching import Begin, start_detached
from infra.agent.shell.gateway import facts
from infra.agent.shell.hooks import Hooks
from infra.agent.shell.looking import REQUEST_MAXIMUM_BYTES, forget, look
from infra.agent.shell.spool import Spool, SpoolUnusable
from infra.agent.shell.watchdog import READY, watch


class Commands:
    """The commands over one spool; ``command`` is how this agent is started again."""

    def __init__(self, spool: Spool, command: Sequence[str], source: BinaryIO, sink: BinaryIO) -> None:
        self._spool = spool
        self._command = command
        self._source = source
        self._sink = sink

    def submit(self) -> None:
        """Admit each line's submission and see to it that an agent carries it out, until the input ends."""
        begin = self._begin()
        for line in iter(lambda: self._source.readline(MAXIMUM_BYTES + 1), b""):
            self._submit(line, begin)
            while len(line) > MAXIMUM_BYTES and not line.endswith(b"\n"):
                line = self._source.readline(MAXIMUM_BYTES + 1)  # the rest of what was refused is no submission

    def _submit(self, line: bytes, begin: Begin) -> None:
        try:
            admitted = admit(line, self._spool, system_clock_ms)
        except WireError as error:
            self.answer({"refused": error.code, "message": error.message})
            return
        except SpoolUnusable as error:
            self.answer({"refused": error.code, "message": str(error)})
            return
        entry = admitted.entry
        attached = admitted.known
        if entry.outcome() is None and not entry.is_alive():
            start_detached(self._spool, entry, begin)
        self.answer({"accepted": entry.id, "attached": attached})

    def look(self) -> None:
        """Answer each line of ids with a line per id, until the input ends."""
        for line in iter(lambda: self._source.readline(REQUEST_MAXIMUM_BYTES + 1), b""):
            try:
                answers: list[dict[str, Any]] = look(line, self._spool)
            except WireError as error:
                answers = [{"refused": error.code, "message": error.message}]
            for answer in answers:
                self.answer(answer)

    def forget(self) -> None:
        """Remove entries that are over."""
        try:
            self._spool.open()
            self.answer(forget(self._source.read(REQUEST_MAXIMUM_BYTES + 1), self._spool, system_clock_ms))
        except WireError as error:
            self.answer({"refused": error.code, "message": error.message})
        except SpoolUnusable as error:
            self.answer({"refused": error.code, "message": str(error)})

    def clock(self) -> None:
        """Answer each line at once with this host's clock."""
        for _ in iter(lambda: self._source.readline(4096), b""):
            self._sink.write(b"%.3f\n" % system_clock_ms())
            self._sink.flush()

    def facts(self) -> None:
        """Tell the facts about this gateway."""
        try:
            self._spool.open()
        except SpoolUnusable as error:
            self.answer({"refused": error.code, "message": str(error)})
            return
        self.answer(facts(self._spool, Hooks()))

    def adopt(self) -> None:
        """Start an agent for every unfinished instruction that has none."""
        begin = self._begin()
        try:
            self._spool.open()
        except SpoolUnusable as error:
            self.answer({"refused": error.code, "message": str(error)})
            return
        with self._spool.lock(), contextlib.suppress(OSError):  # tidying is a help; a full disk must not end adopting
            self._spool.tidy()
        for entry in self._spool.entries():
            if not entry.has_ended() and not entry.is_alive() and entry.has_instruction():
                self.answer({"adopted": entry.id, "started": start_detached(self._spool, entry, begin)})

    def watchdog(self, instruction_id: str, operation: StartWatchdog) -> None:
        """Leave a process behind that watches over a barrier; what is worth telling goes to standard error."""
        if os.fork() != 0:
            self._sink.write(READY)
            self._sink.flush()
            return
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)  # whoever started it waits for the end of its output
        watch(self._spool.entry(instruction_id), Hooks(), operation, lambda line: print(line, file=sys.stderr))

    def _begin(self) -> Begin:
        from infra.agent.shell.carrying import in_this_program  # loads all of the agent: most commands do without

        return in_this_program(self._command)

    def answer(self, value: dict[str, Any]) -> None:
        """Write one line."""
        self._sink.write(canonical(value) + b"\n")
        self._sink.flush()


def standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """The standard streams as bytes."""
    return sys.stdin.buffer, sys.stdout.buffer


@contextlib.contextmanager
def ending_quietly() -> Any:
    """A reader that went away (the SSH connection) is no error of ours."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
