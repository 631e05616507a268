"""One controller at a time, and each start with a higher number than all before.

The lock is held by the process, through the kernel: it goes with the process however that ends, and no stale pid can
be mistaken for a holder. The term is what makes a paused controller that wakes up harmless: the agents refuse a term
lower than the highest they have seen.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from eventsourcing.sqlite import SQLiteDatastore

from domain.errors import Conflict


class ControllerLock:
    """An exclusive lock file beside the database (``<name>.lock``), from construction to ``release``.

    The file stays when the lock is released: removing it would let two processes lock two files of the same name. It
    must lie on a local file system, as the database must.
    """

    def __init__(self, database: Path) -> None:
        """Take the lock; raise ``Conflict`` CONTROLLER_RUNNING, naming the holder's pid."""
        path = database.with_name(database.name + ".lock")
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise Conflict(
                "CONTROLLER_RUNNING",
                f"a controller with pid {holder or 'unknown'} is running on {database}.",
                remedy="Use that one, or end it first.",
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the lock up."""
        os.close(self._descriptor)


def next_term(datastore: SQLiteDatastore) -> int:
    """Raise the term by one, durably, and return it; the first is 1. Call it while holding the lock."""
    with datastore.transaction(commit=True) as cursor:
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS controller"
            " (only INTEGER PRIMARY KEY CHECK (only = 1), term INTEGER NOT NULL) STRICT"
        )
        cursor.execute("INSERT INTO controller VALUES (1, 1) ON CONFLICT (only) DO UPDATE SET term = term + 1")
        cursor.execute("SELECT term FROM controller")
        return int(cursor.fetchone()[0])
