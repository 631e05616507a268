"""What the command line's exit codes mean; permanent, because scripts match on them (documented in docs/cli.md)."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """0 and 2 are what every command line uses; 130 is what a shell shows for Ctrl-C."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    UNAVAILABLE = 3
    FAILED = 4
    NEEDS_A_PERSON = 5
    INTERRUPTED = 130
