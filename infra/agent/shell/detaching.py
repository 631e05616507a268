"""Start an agent that outlives the one who started it.

Two forks and a session of its own: no terminal, no parent, standard streams closed, so that neither the end of the SSH
connection nor the end of its session's processes reaches it. The starter waits until the new agent says whether it
holds the instruction's lock, so that "accepted" means that somebody works on it.

(A host whose logind has KillUserProcesses=yes ends detached processes at logout; lingering switches that off. The
instruction then simply is not alive, and submitting it again or ``adopt`` goes on with it.)
"""

from __future__ import annotations

import os
import sys
from typing import Sequence

from infra.agent.shell.spool import Entry, Spool
from infra.agent.version import ROOT, archive_path

LOCKED = b"locked\n"
HELD_BY_ANOTHER = b"held\n"
START_TRIES = 3


def own_command() -> list[str]:
    """The command that starts this agent again."""
    archive = archive_path()
    return [sys.executable, "-I", archive] if archive is not None else [sys.executable, "-m", "infra.agent"]


def start_detached(spool: Spool, entry: Entry, command: Sequence[str]) -> bool:
    """Start ``run`` for the entry; True when the new agent holds the lock, False when another one did already.

    One that ends before it says so may have been killed: it is started again, a few times.
    """
    for _ in range(START_TRIES):
        answer = _start(spool, entry, command)
        if answer in (LOCKED, HELD_BY_ANOTHER):
            return answer == LOCKED
    raise OSError(f"the agent of {entry.id} did not start, see {entry.path('log')}")


def _start(spool: Spool, entry: Entry, command: Sequence[str]) -> bytes:
    """What the new agent says before it goes to work; nothing when it ended before."""
    reader, writer = os.pipe()
    words = [*command, "run", "--spool", spool.root, "--report-to", str(writer), entry.id]
    child = os.fork()
    if child == 0:
        _become(words, writer, entry)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as stream:
        return stream.read()


def _become(words: Sequence[str], writer: int, entry: Entry) -> None:
    """In the child: leave the session, fork again, and become the new agent; never returns."""
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
            os.set_inheritable(writer, True)
            # Descriptors above 2 are closed by it, all but the writer.
            os.execv(words[0], list(words))  # noqa: S606 - this program itself, with words built here
    finally:
        os._exit(70)
