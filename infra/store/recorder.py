"""The library's application recorder for SQLite, with dense positions and the chain in the same row.

Invariant: in one transaction an event gets its position, its link, and whatever the caller writes alongside (read
models, open work); all of it is stored, or nothing. Positions are 1, 2, 3 … without a gap, because one writing
transaction at a time reads the head and goes on from it.

The column is called ``rowid`` because the library's statements ask for the position under that name; as the declared
primary key it is stable, where the implicit one may be renumbered by VACUUM.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from eventsourcing.persistence import Notification, StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteCursor

from infra.store.chain import GENESIS, Anchor, ChainedEvent, next_link

Alongside = Callable[[SQLiteCursor, int], None]
"""Called in the inserting transaction with its cursor and the position of the first event."""

_TABLE = """
    CREATE TABLE IF NOT EXISTS stored_events (
        rowid INTEGER PRIMARY KEY,
        originator_id TEXT NOT NULL,
        originator_version INTEGER NOT NULL,
        topic TEXT NOT NULL,
        state BLOB NOT NULL,
        link BLOB NOT NULL,
        UNIQUE (originator_id, originator_version)
    ) STRICT
"""
_INSERT = (
    "INSERT INTO stored_events (rowid, originator_id, originator_version, topic, state, link) VALUES (?,?,?,?,?,?)"
)


class ChainedRecorder(SQLiteApplicationRecorder):
    """Stores and selects events; also the ``ChainReader`` of its store."""

    def construct_create_table_statements(self) -> list[str]:
        """Return the statement for the one table of events."""
        return [_TABLE]

    def _insert_events(
        self,
        c: SQLiteCursor,
        stored_events: Sequence[StoredEvent],
        *,
        alongside: Alongside | None = None,
        **_: Any,
    ) -> Sequence[int]:
        position, link = _head(c)
        first_position = position + 1
        rows: list[tuple[Any, ...]] = []
        for stored in stored_events:
            assert isinstance(stored.originator_id, UUID)
            position += 1
            link = next_link(link, position, _notification(position, stored))
            originator = stored.originator_id.hex
            rows.append((position, originator, stored.originator_version, stored.topic, stored.state, link))
        c.executemany(_INSERT, rows)
        if alongside is not None:
            alongside(c, first_position)
        return list(range(first_position, position + 1))

    def head(self) -> Anchor:
        """Return the newest position and its link; position 0 with the link of the empty chain before any event."""
        with self.datastore.transaction(commit=False) as cursor:
            return _head(cursor)

    def chained_events(self, after: int, limit: int) -> Sequence[ChainedEvent]:
        """Return at most ``limit`` events whose position is greater than ``after``, in order, with their links."""
        with self.datastore.transaction(commit=False) as cursor:
            cursor.execute("SELECT * FROM stored_events WHERE rowid > ? ORDER BY rowid LIMIT ?", (after, limit))
            return [ChainedEvent(row["rowid"], _event_of(row), row["link"]) for row in cursor.fetchall()]


def _head(cursor: SQLiteCursor) -> Anchor:
    cursor.execute("SELECT rowid, link FROM stored_events ORDER BY rowid DESC LIMIT 1")
    row = cursor.fetchone()
    return Anchor(0, GENESIS) if row is None else Anchor(row["rowid"], row["link"])


def _notification(position: int, stored: StoredEvent) -> Notification:
    return Notification(stored.originator_id, stored.originator_version, stored.topic, stored.state, id=position)


def _event_of(row: Any) -> Notification | None:
    try:
        return Notification(
            UUID(row["originator_id"]), row["originator_version"], row["topic"], row["state"], id=row["rowid"]
        )
    except ValueError:
        return None
