"""Errors of the store, added to the tree of ``domain.errors``.

    UnderstudyError
    ├── Refused
    │   └── Conflict            ALREADY_EXISTS, NAME_TAKEN, STORE_CHANGED, CONTROLLER_RUNNING
    ├── Unavailable
    │   └── StoreUnavailable    STORE_FULL, STORE_IO_FAILED, STORE_BUSY, STORE_DAMAGED, STORE_OVERLOADED, STORE_CLOSED,
    │                           REBUILDING, REBUILDING_FAILED
    └── StoreUnreadable         EVENT_UNKNOWN, EVENT_TOO_NEW, EVENT_UNDECODABLE, STORE_TOO_NEW, STORE_FOREIGN

``UnfaithfulEvent`` is a programmer error and therefore outside the tree.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from eventsourcing.persistence import ConnectionPoolClosedError, IntegrityError, PersistenceError

from domain.errors import Conflict, Unavailable, UnderstudyError


class StoreUnavailable(Unavailable):
    """The store could not read or write now; whether a command that was being stored is stored is not known.

    Repeating the command with the same id is safe: it is recognised if it had been stored after all.
    """


class StoreUnreadable(UnderstudyError):
    """The store holds something that this version of the code must not guess at."""


class UnfaithfulEvent(TypeError):
    """An event would not read back as it was applied, so that replay would differ; a programmer error."""


# Low byte of SQLite's extended result code (sqlite.org/rescode.html) -> code, sentence, remedy.
_CAUSES = {
    sqlite3.SQLITE_FULL: ("STORE_FULL", "there is no space left for the event store.", "Free space on its disk."),
    sqlite3.SQLITE_IOERR: (
        "STORE_IO_FAILED",
        "the disk of the event store reports an error.",
        "Check the disk and the kernel's log.",
    ),
    sqlite3.SQLITE_READONLY: (
        "STORE_IO_FAILED",
        "the event store cannot be written.",
        "Check the owner and mode of its file and directory, and that the disk is mounted for writing.",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "STORE_IO_FAILED",
        "the event store cannot be opened.",
        "Check that its directory exists and who may read it.",
    ),
    sqlite3.SQLITE_BUSY: ("STORE_BUSY", "another process holds the event store.", "End it, then repeat the command."),
    sqlite3.SQLITE_LOCKED: ("STORE_BUSY", "the event store is held.", "Repeat the command."),
    sqlite3.SQLITE_CORRUPT: (
        "STORE_DAMAGED",
        "the file of the event store is damaged.",
        "Keep the file as it is; restore a copy, or rebuild the store from the secondary cluster.",
    ),
    sqlite3.SQLITE_NOTADB: ("STORE_DAMAGED", "the file is not an event store.", "Check the configured path."),
}
_UNKNOWN_CAUSE = ("STORE_IO_FAILED", "the event store failed.", "Check the disk and the controller's log.")


@contextmanager
def typed_errors() -> Iterator[None]:
    """Raise errors of the library and of SQLite as errors of the project's tree; let others pass."""
    try:
        yield
    except (PersistenceError, ConnectionPoolClosedError, sqlite3.Error) as error:
        raise typed(error) from error


def store_closed() -> StoreUnavailable:
    """What is told when something is asked of a store that is closed."""
    return StoreUnavailable("STORE_CLOSED", "the store is closed.", remedy="Repeat it when it is open.")


def typed(error: Exception) -> Exception:
    """Return the error of the project's tree for one of the library or of SQLite; others come back as they are."""
    if isinstance(error, ConnectionPoolClosedError):
        return store_closed()
    if not isinstance(error, (PersistenceError, sqlite3.Error)):
        return error
    if isinstance(error, (IntegrityError, sqlite3.IntegrityError)):
        return Conflict(
            "STORE_CHANGED",
            f"the store was changed by somebody else: {error}.",
            remedy="Make sure that one controller alone uses this store, then repeat the command.",
        )
    source = error if isinstance(error, sqlite3.Error) else error.__cause__
    result_code = getattr(source, "sqlite_errorcode", None)
    cause = _UNKNOWN_CAUSE if result_code is None else _CAUSES.get(result_code & 0xFF, _UNKNOWN_CAUSE)
    code, message, remedy = cause
    return StoreUnavailable(code, f"{message} ({error})", remedy=remedy)
