"""What the demonstration writes: numbered sections, commands as they are typed, findings."""

from __future__ import annotations

import shutil
import sys
import time

_BOLD, _DIM, _RED, _PLAIN = ("\033[1m", "\033[2m", "\033[31m", "\033[0m") if sys.stdout.isatty() else ("",) * 4


class Teller:
    """Counts the sections and the time."""

    def __init__(self) -> None:
        self._number = 0
        self._began = time.monotonic()

    def section(self, title: str, *explanation: str) -> None:
        """Begin a section."""
        self._number += 1
        width = min(shutil.get_terminal_size().columns, 100)
        at = f"{time.monotonic() - self._began:.0f} s"
        head = f"── {self._number}. {title} "
        print(f"\n{_BOLD}{head}{'─' * max(width - len(head) - len(at) - 1, 2)} {at}{_PLAIN}")
        for line in explanation:
            print(line)
        print(flush=True)

    def command(self, words: str) -> None:
        """Show a command as a person types it."""
        print(f"{_BOLD}$ {words}{_PLAIN}", flush=True)

    def note(self, text: str) -> None:
        """Say something that is not the product's own output."""
        print(f"{_DIM}{text}{_PLAIN}", flush=True)

    def problem(self, text: str) -> None:
        """Say what went wrong."""
        print(f"{_RED}{text}{_PLAIN}", file=sys.stderr, flush=True)

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self._began
