"""Faults of the event-sourcing library (9.5.6): each is shown to exist, and shown not to reach this store.

A test that fails in its first half says that a new version of the library has mended the fault, and that the cover
here can go.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Snapshot
from eventsourcing.persistence import (
    ConnectionUnavailableError,
    IntegrityError,
    JSONTranscoder,
    OperationalError,
)
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore

from infra.store.codec import EventCodec
from infra.store.database import WritingDatastore
from infra.store.store import open_store
from tests.contracts.store_means import begun
from tests.store.aggregates import CONTENTS, Grade, Sample, a_context
from tests.store.test_codec import FACTS


def take_all(datastore: SQLiteDatastore, stack: contextlib.ExitStack) -> None:
    while not datastore.pool._is_use_full:
        stack.enter_context(datastore.get_connection(commit=False))


def test_a_writer_that_got_no_connection_does_not_lock_out_the_next(tmp_path: Path) -> None:
    theirs = SQLiteDatastore(str(tmp_path / "theirs.db"), pool_size=1, max_overflow=0, pool_timeout=0)
    ours = WritingDatastore(tmp_path / "ours.db")
    ours.pool.pool_timeout = 0
    for datastore in (theirs, ours):
        with contextlib.ExitStack() as stack:
            take_all(datastore, stack)
            with pytest.raises(ConnectionUnavailableError), datastore.transaction(commit=True):
                pass
    with pytest.raises(ConnectionUnavailableError, match="writer"), theirs.transaction(commit=True):
        pass
    with ours.transaction(commit=True) as cursor:
        cursor.execute("CREATE TABLE written (x)")


def fail_to_commit(datastore: SQLiteDatastore) -> None:
    with datastore.transaction(commit=True) as cursor:
        cursor.execute("CREATE TABLE parent (x PRIMARY KEY)")
        cursor.execute("CREATE TABLE child (x REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
    with datastore.transaction(commit=False) as cursor:
        connection = cursor.sqlite_cursor.connection
    connection.execute("PRAGMA foreign_keys=ON")
    with pytest.raises(IntegrityError), datastore.transaction(commit=True) as cursor:
        cursor.execute("INSERT INTO child VALUES (1)")


def test_a_commit_that_fails_leaves_no_transaction_open(tmp_path: Path) -> None:
    theirs = SQLiteDatastore(str(tmp_path / "theirs.db"), pool_size=1)
    fail_to_commit(theirs)
    with pytest.raises(sqlite3.OperationalError, match="within a transaction"), theirs.transaction(commit=True):
        pass
    ours = WritingDatastore(tmp_path / "ours.db")
    fail_to_commit(ours)
    with ours.transaction(commit=True) as cursor:
        cursor.execute("INSERT INTO parent VALUES (1)")


def test_a_connection_that_cannot_roll_back_is_replaced(tmp_path: Path) -> None:
    datastore = WritingDatastore(tmp_path / "store.db")
    with pytest.raises(OperationalError), datastore.transaction(commit=True) as cursor:
        cursor.sqlite_cursor.connection.close()
    with datastore.transaction(commit=True) as cursor:
        cursor.execute("CREATE TABLE written (x)")


async def test_growth_is_announced_though_sqlite_has_no_subscription(tmp_path: Path) -> None:
    datastore = SQLiteDatastore(str(tmp_path / "theirs.db"))
    with pytest.raises(NotImplementedError):
        SQLiteApplicationRecorder(datastore).subscribe()
    store = open_store(tmp_path / "store.db", CONTENTS)
    waiting = asyncio.create_task(store.queries.wait_for(1))
    await begun(store, "a")
    assert await waiting == 1
    await store.close()


def test_the_process_environment_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSISTENCE_MODULE", "eventsourcing.sqlite")
    monkeypatch.setenv("SQLITE_DBNAME", str(tmp_path / "environment.db"))
    monkeypatch.setenv("COMPRESSOR_TOPIC", "zlib")
    theirs: Application[UUID] = Application(
        env={"SQLITE_DBNAME": str(tmp_path / "given.db"), "PERSISTENCE_MODULE": "eventsourcing.sqlite"}
    )
    theirs.close()
    assert (tmp_path / "environment.db").exists() != (tmp_path / "given.db").exists()
    environment_was_read = theirs.mapper.compressor is not None
    assert environment_was_read
    asyncio.run(open_store(tmp_path / "ours.db", CONTENTS, inline=True).close())
    assert (tmp_path / "ours.db").exists()


def test_an_enumeration_comes_back_as_one() -> None:
    sample = Sample.begin(Sample.Taken, uuid4(), a_context(), **FACTS)
    snapshot = Snapshot(sample.id, 1, sample.modified_on, "", {"grade": Grade.EXACT})
    transcoder = JSONTranscoder()
    theirs = transcoder.decode(transcoder.encode(snapshot.state))
    assert type(theirs["grade"]) is str
    codec = EventCodec([Sample])
    [event] = sample.pending_events
    ours = codec.to_domain_event(codec.to_stored_event(event))
    assert [type(grade) for grade in ours.by_grade] == [Grade]  # type: ignore[attr-defined]
