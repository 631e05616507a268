"""The SQLite file under the store: one datastore that writes, one that only reads.

Both are the library's ``SQLiteDatastore`` with these faults of it (9.5.6) covered:

- Its pool takes a lock for a writer and keeps it for ever when the connection then cannot be had. Here no connection
  is asked for as a writer's, so that lock is never taken; a lock of our own, held by ``with``, orders the writers.
- A commit that fails (disk full, I/O error) leaves its transaction open in the pooled connection, and each later
  ``BEGIN`` fails. Here a transaction is always ended, and a connection that cannot even roll back is closed.
- It starts a writing transaction as a reader, which can fail half-way with SQLITE_BUSY. Here it begins IMMEDIATE.
- It is configured from the process environment by ``Application``. Here nothing reads the environment.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path

from eventsourcing.persistence import IntegrityError, InterfaceError, OperationalError
from eventsourcing.sqlite import SQLiteConnection, SQLiteConnectionPool, SQLiteCursor, SQLiteDatastore

from infra.store.errors import StoreUnreadable

FORMAT_VERSION = 1
_APPLICATION_ID = 0x55445354  # "UDST", shown by file(1)
_BUSY_TIMEOUT_SECONDS = 10
CONNECTIONS = 8


class _Pool(SQLiteConnectionPool):
    """Connections that carry the settings of the store, whatever thread they are made in."""

    def __init__(self, uri: str, settings: tuple[str, ...]) -> None:
        self._settings = settings
        super().__init__(db_name=uri, pool_size=CONNECTIONS, max_overflow=0, pool_timeout=_BUSY_TIMEOUT_SECONDS)

    def _create_connection(self) -> SQLiteConnection:
        try:
            connection = sqlite3.connect(
                self.db_name,
                uri=True,
                check_same_thread=False,
                isolation_level=None,
                timeout=_BUSY_TIMEOUT_SECONDS,
            )
            connection.row_factory = sqlite3.Row
            for setting in self._settings:
                connection.execute(f"PRAGMA {setting}")
        except sqlite3.Error as error:
            raise InterfaceError(error) from error
        return SQLiteConnection(connection, max_age=None)


class _Datastore(SQLiteDatastore):
    def __init__(self, uri: str, settings: tuple[str, ...]) -> None:
        self.pool = _Pool(uri, settings)
        self.single_row_tracking = True
        self.originator_id_type = "uuid"
        self._writing: AbstractContextManager[object] = threading.Lock()

    @contextmanager
    def get_connection(self, *, commit: bool) -> Iterator[SQLiteConnection]:
        """Lend a connection; never as a writer's, so that the pool's own writer lock is never taken."""
        connection = self.pool.get_connection()
        try:
            yield connection
        finally:
            self.pool.put_connection(connection)

    @contextmanager
    def transaction(self, *, commit: bool) -> Iterator[SQLiteCursor]:
        """Run one transaction; whatever happens, it is ended when this returns.

        Raises the library's ``IntegrityError`` and ``OperationalError`` for SQLite's errors.
        """
        with self._writing if commit else nullcontext(), self.get_connection(commit=commit) as connection:
            try:
                cursor = connection.cursor()
                cursor.execute("BEGIN IMMEDIATE" if commit else "BEGIN")
                with cursor:
                    yield cursor
                if commit:
                    connection.commit()
            except sqlite3.IntegrityError as error:
                raise IntegrityError(error) from error
            except sqlite3.Error as error:
                raise OperationalError(error) from error
            finally:
                _end(connection)


def _end(connection: SQLiteConnection) -> None:
    """Leave no transaction behind: after a commit this does nothing."""
    try:
        connection.rollback()
    except sqlite3.Error:
        # The error that led here is being raised. The pool drops a closed connection and makes a new one.
        connection.close()


class WritingDatastore(_Datastore):
    """The one datastore that may change the file; creates it, readable by its owner alone.

    WAL, ``synchronous=FULL`` (a committed transaction survives a power cut) and foreign keys. ``durable=False`` is
    for simulation alone: a crash of the machine may lose commits, a crash of the process may not.
    """

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        synchronous = "FULL" if durable else "OFF"
        super().__init__(_uri(path, "rw"), ("journal_mode=WAL", f"synchronous={synchronous}", "foreign_keys=ON"))
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        if path.stat().st_size > 0:
            # With another connection: the settings of this one would already change the file of another program.
            with closing(_Datastore(_uri(path, "ro"), ())) as looking:
                _require_ours(looking, or_empty=True)
        with self.transaction(commit=True) as cursor:
            cursor.execute(f"PRAGMA application_id={_APPLICATION_ID}")
            cursor.execute(f"PRAGMA user_version={FORMAT_VERSION}")


class ReadingDatastore(_Datastore):
    """A datastore that cannot change the file; safe to use from many threads at once."""

    def __init__(self, path: Path) -> None:
        super().__init__(_uri(path, "ro"), ("query_only=ON",))
        _require_ours(self, or_empty=False)


def _uri(path: Path, mode: str) -> str:
    return f"{path.resolve().as_uri()}?mode={mode}"


def _require_ours(datastore: _Datastore, *, or_empty: bool) -> None:
    """Raise ``StoreUnreadable`` unless the file is an event store of a known format, or has no table yet."""
    with datastore.transaction(commit=False) as cursor:
        cursor.execute(
            "SELECT (SELECT application_id FROM pragma_application_id) AS application_id,"
            " (SELECT user_version FROM pragma_user_version) AS version,"
            " (SELECT count(*) FROM sqlite_master) AS tables"
        )
        row = cursor.fetchone()
    if or_empty and row["application_id"] == 0 and row["tables"] == 0:
        return
    if row["application_id"] != _APPLICATION_ID:
        raise StoreUnreadable(
            "STORE_FOREIGN", "the file is a database of another program.", remedy="Check the configured path."
        )
    if row["version"] > FORMAT_VERSION:
        raise StoreUnreadable(
            "STORE_TOO_NEW",
            f"the store has format {row['version']}; this code knows format {FORMAT_VERSION}.",
            remedy="Use the version of Understudy that wrote it, or a newer one.",
        )
