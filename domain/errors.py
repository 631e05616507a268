"""The error tree: every error that a caller may act upon, each with a permanent code.

    UnderstudyError
    ├── Refused            the command does not fit the state or a rule; nothing was changed
    │   ├── InvalidInput   a field has a value that cannot be accepted; names the field and the remedy
    │   ├── NotFound       the named thing does not exist
    │   └── Conflict       the named thing exists already, or somebody else holds it
    └── Unavailable        a part outside could not be asked; the outcome may be unknown

Programmer errors are assertions and never part of this tree. Codes are upper case with underscores and are never
reused with another meaning: scripts and runbooks match on them.
"""

from __future__ import annotations

import re

_WORDS = {"BackupPolicy": "policy", "BackupRun": "run", "ClusterPair": "pair"}


def word_for(kind: str) -> str:
    """What the command line and the documents call a kind of thing, from the name of its class: "recovery point"."""
    return _WORDS.get(kind) or in_words(kind)


def in_words(name: str) -> str:
    """The name of a class, an event or a trigger as words: "changes confirmed", "start checking"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", name).lower()


class UnderstudyError(Exception):
    """An error with a permanent ``code``, a sentence, and, when the operator can act, a ``remedy``."""

    def __init__(self, code: str, message: str, *, remedy: str = "", field: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy
        self.field = field

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" + (f" Remedy: {self.remedy}" if self.remedy else "")


class Refused(UnderstudyError):
    """The command does not fit the present state or breaks a rule; nothing was changed."""


class InvalidInput(Refused):
    """A field holds a value that cannot be accepted; ``field`` names it."""

    def __init__(self, field: str, message: str, *, remedy: str, code: str = "INVALID_INPUT") -> None:
        super().__init__(code, f"{field}: {message}", remedy=remedy, field=field)


class NotFound(Refused):
    """The named thing does not exist; ``kind`` is its word, or the name of its class."""

    def __init__(self, kind: str, name: str, *, remedy: str = "") -> None:
        super().__init__("NOT_FOUND", f"there is no {word_for(kind)} named {name!r}.", remedy=remedy)


class Conflict(Refused):
    """The named thing exists already, or somebody else holds it."""


class Unavailable(UnderstudyError):
    """A part outside the control device could not be asked; what it did is not known."""
