"""The watchdog of a barrier: a process of its own that releases it whatever becomes of the agent.

It is started before the barrier is applied and knows all that it needs from its command line, so nothing that happens
to the agent, to its journal or to the control device keeps it from releasing. It looks at the instruction's spool once
a second and releases

- when the barrier has stood for as long as it may,
- or at once when the instruction has ended (it was aborted) and its journal does not say that it was released;

it ends without doing anything when the journal says so. A hook that fails is run again, later each time. A restart of
the gateway ends the watchdog; then the agent that is started again repeats the undo, since the journal owes it.
"""

from __future__ import annotations

import json
import subprocess
import time
from typing import Callable, Sequence

from infra.agent.core.operations import OperationFailed, RunHook, StartWatchdog
from infra.agent.shell.disk import read_file
from infra.agent.shell.hooks import Hooks
from infra.agent.shell.spool import Entry
from infra.agent.version import ROOT, archive_path

READY = b"watching\n"
START_SECONDS = 30.0
POLL_SECONDS = 1.0
HOOK_SECONDS = 60.0
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 300.0
TRIES = 100


class WatchdogStarter:
    """Carries out ``StartWatchdog``: returns when the watchdog watches."""

    def __init__(self, command: Sequence[str], spool_root: str, entry: Entry) -> None:
        self._command = list(command)
        self._spool_root = spool_root
        self._entry = entry

    def start(self, operation: StartWatchdog) -> None:
        """Start it; WATCHDOG_FAILED when it does not say that it watches, and then nothing may be held."""
        words = [
            *(*self._command, "watchdog", "--spool", self._spool_root),
            *("--hook", operation.name, "--argument", operation.argument),
            *("--after", str(operation.after_seconds), self._entry.id),
        ]
        if self._started(words) != READY:
            raise OperationFailed(
                "WATCHDOG_FAILED",
                "the process that would release the barrier did not start, so nothing is held",
                remedy=f"See {self._entry.path('log')} on the gateway.",
            )

    def _started(self, words: Sequence[str]) -> bytes:
        """What the new process says before it leaves its own child behind to watch."""
        with open(self._entry.path("log"), "ab") as log:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/" if archive_path() is not None else ROOT,
            )
        try:
            return process.communicate(timeout=START_SECONDS)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return b""


def watch(
    entry: Entry,
    hooks: Hooks,
    operation: StartWatchdog,
    log: Callable[[str], None],
    seconds: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Watch until the barrier is released; False when it could not be, although it was tried for a long time."""
    release_at = seconds() + operation.after_seconds
    while seconds() < release_at and entry.exists() and entry.outcome() is None:
        if is_released(entry):
            return True
        sleep(POLL_SECONDS)
    pause_seconds = FIRST_PAUSE_SECONDS
    for _ in range(TRIES):
        if is_released(entry):
            return True
        try:
            hooks.run(RunHook(operation.name, operation.argument, HOOK_SECONDS))
        except OperationFailed as failure:
            log(f"watchdog: {failure}; tried again in {pause_seconds:.0f} s")
            sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
        else:
            log(f"watchdog: released the barrier with {operation.name}")
            return True
    log(f"watchdog: gives up, {operation.name} never succeeded")
    return False


def is_released(entry: Entry) -> bool:
    """Whether the newest word of the journal about the barrier is that it was released."""
    data = read_file(entry.work_path("journal")) or b""
    for line in reversed(data[: data.rfind(b"\n") + 1].splitlines()):
        said = json.loads(line).get("barrier")
        if said is not None:
            return bool(said == "released")
    return False
