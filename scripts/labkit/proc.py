"""What Linux says about processes in ``/proc``: identity, state, memory, environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class ProcessFacts:
    """One process at one look. ``started_ticks`` (since boot) tells it from a later one with the same pid.

    ``state`` is the kernel's letter for the first thread: R, S or D at work, T stopped by a signal, Z ended. A process
    that is being killed shows Z while its other threads still hold its ports, so ``alive`` looks at their number too.
    """

    pid: int
    state: str
    threads: int
    started_ticks: int

    @property
    def alive(self) -> bool:
        return self.state not in ("Z", "X") or self.threads > 1

    @property
    def paused(self) -> bool:
        return self.state in ("T", "t")

    @property
    def uptime_seconds(self) -> float:
        since_boot = float((_PROC / "uptime").read_text().split()[0])
        return since_boot - self.started_ticks / _TICKS_PER_SECOND


def boot_id() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def look_at(pid: int) -> ProcessFacts | None:
    """The process with this pid, or None."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in parentheses, which may itself hold blanks and parentheses.
    fields = text[text.rindex(")") + 2 :].split()
    return ProcessFacts(pid, fields[0], int(fields[17]), int(fields[19]))


def resident_bytes(pid: int) -> int:
    """The memory that the process holds, 0 when it has ended."""
    try:
        return int((_PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE_BYTES
    except (FileNotFoundError, ProcessLookupError):
        return 0


def pids_with_variable(name: str, value: str) -> Iterator[int]:
    """Every living process whose environment has the variable with this value; needs root to see other users'."""
    wanted = f"{name}={value}".encode()
    for entry in _PROC.iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if wanted in environment.split(b"\0"):
            yield int(entry.name)
