"""Start an agent that outlives the one who started it.

Two forks and a session of its own: no terminal, no parent, standard streams closed, so that neither the end of the SSH
connection nor the end of its session's processes reaches it. The starter waits until the new agent says whether it
holds the instruction's lock, so that "accepted" means that somebody works on it.

A starter without threads has the new agent go on in the forked process itself (``Begin``): the program is loaded
already, which is most of what a short instruction would take (0.45 s of 0.5 s). One with threads starts the program
anew (``own_program``), because only the forking thread is there after a fork, and the locks of the others stay taken.

(A host whose logind has KillUserProcesses=yes ends detached processes at logout; lingering switches that off. The
instruction then simply is not alive, and submitting it again or ``adopt`` goes on with it.)
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import Callable, Sequence

from infra.agent.shell.spool import Entry, Spool
from infra.agent.version import ROOT, archive_path

LOCKED = b"locked\n"
HELD_BY_ANOTHER = b"held\n"
START_TRIES = 3
HIGHEST_DESCRIPTOR = 4096

Begin = Callable[[Spool, Entry, int], None]
"""Carries the entry's instruction out; the number is the pipe on which to say whether it holds the lock."""


def own_command() -> list[str]:
    """The command that starts this agent again."""
    archive = archive_path()
    return [sys.executable, "-I", archive] if archive is not None else [sys.executable, "-m", "infra.agent"]


def own_program(command: Sequence[str]) -> Begin:
    """Begin by starting the program again with ``command``."""

    def begin(spool: Spool, entry: Entry, report_to: int) -> None:
        words = [*command, "run", "--spool", spool.root, "--report-to", str(report_to), entry.id]
        os.set_inheritable(report_to, True)
        # Descriptors above 2 are closed by it, all but the report's.
        os.execv(words[0], words)  # noqa: S606 - this program itself, with words built here

    return begin


def start_detached(spool: Spool, entry: Entry, begin: Begin) -> bool:
    """Start an agent for the entry; True when it holds the lock, False when another one did already.

    One that ends before it says so may have been killed: it is started again, a few times.
    """
    for _ in range(START_TRIES):
        answer = _start(spool, entry, begin)
        if answer in (LOCKED, HELD_BY_ANOTHER):
            return answer == LOCKED
    raise OSError(f"the agent of {entry.id} did not start, see {entry.path('log')}")


def _start(spool: Spool, entry: Entry, begin: Begin) -> bytes:
    """What the new agent says before it goes to work; nothing when it ended before."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _become(spool, entry, begin, writer)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as stream:
        return stream.read()


def _become(spool: Spool, entry: Entry, begin: Begin, writer: int) -> None:
    """In the child: leave the session, fork again, and become the new agent; never returns."""
    exit_code = 70
    try:
        os.setsid()
        if os.fork() == 0:
            os.umask(0o077)
            os.chdir("/" if archive_path() is not None else ROOT)
            nothing = os.open(os.devnull, os.O_RDONLY)
            log = os.open(entry.path("log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(nothing, 0)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.closerange(3, writer)
            os.closerange(writer + 1, HIGHEST_DESCRIPTOR)
            signal.alarm(0)  # the starter's limit is not the agent's
            begin(spool, entry, writer)
        exit_code = 0
    except Exception:  # noqa: BLE001 - the last place where a fault can be told
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(exit_code)
