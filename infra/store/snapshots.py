"""Snapshots of long aggregates: a load reads the newest and the few events after it, however long the past is.

A snapshot is a cache. It is what the *stored* events make of an aggregate, never what lived in memory; the chain does
not know of it; audit and replay read events alone; the table may be emptied at any time. It is believed only if

- it was made by the very code that would fold the events today (``version``), and
- its digest holds: over its bytes, its aggregate, and the chain's link of the event that it stands at. So one that
  rotted, was copied from another store, or stands at an event that this store has lost or never had, is ignored.

Whatever is not believed is folded from the first event, and a new snapshot takes its place.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, cast
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteCursor, SQLiteDatastore

from domain.stateful import Stateful
from infra.store.codec import EventCodec
from infra.store.folding import fold
from infra.store.snapshot_codec import SnapshotCodec, UnfaithfulSnapshot

EVERY = 200
"""A load reads at most about so many events besides a snapshot; shorter histories have none."""

TABLE = (
    "CREATE TABLE IF NOT EXISTS snapshots"
    " (originator_id TEXT PRIMARY KEY, originator_version INTEGER NOT NULL, made_by TEXT NOT NULL,"
    " digest BLOB NOT NULL, state BLOB NOT NULL) STRICT"
)
_CHUNK = 1_000
_log = logging.getLogger(__name__)


class Snapshot(NamedTuple):
    """An aggregate at one of its versions."""

    id: UUID
    version: int
    state: bytes


class Snapshots:
    """Loads aggregates by way of snapshots; everything happens in a transaction of the caller's."""

    def __init__(self, events: EventCodec, version: str, every: int = EVERY) -> None:
        """``version`` is any string that changes with the code of the aggregates; without one there are none."""
        self._events = events
        self._states = SnapshotCodec(events)
        self.version = version
        self.every = every

    def create_table(self, datastore: SQLiteDatastore) -> None:
        """Make the table, if it is not there."""
        with datastore.transaction(commit=True) as cursor:
            cursor.execute(TABLE)

    def load(
        self, cursor: SQLiteCursor, identity: UUID, at_most: int | None = None
    ) -> tuple[Stateful | None, Snapshot | None]:
        """Return the committed aggregate, and a snapshot of it if one is due.

        ``at_most`` bounds the events that are folded: then it is the aggregate of an earlier version.
        """
        aggregate = self._newest(cursor, identity)
        since = 0 if aggregate is None else aggregate.version
        until = None if at_most is None else since + at_most
        aggregate = fold(aggregate, self._events_of(cursor, identity, since, until))
        if aggregate is None or aggregate.version - since < self.every:
            return aggregate, None
        return aggregate, self.of(aggregate)

    def of(self, aggregate: Stateful) -> Snapshot | None:
        """Return a snapshot of an aggregate that was folded from stored events; None where there are none."""
        if not self.version:
            return None
        try:
            return Snapshot(aggregate.id, aggregate.version, self._states.encode(aggregate))
        except UnfaithfulSnapshot:
            # Its events are all there, so nothing is lost but time.
            _log.exception("%s %s cannot have a snapshot", type(aggregate).__name__, aggregate.id)
            return None

    def is_due(self, version_before: int, version: int) -> bool:
        """Tell whether one is to be made, going from one version to a later one."""
        return bool(self.version) and version_before // self.every != version // self.every

    def put(self, cursor: SQLiteCursor, snapshots: Iterable[Snapshot]) -> None:
        """Keep snapshots, in the transaction that has inserted their last events, or a later one."""
        for one in snapshots:
            link = _link(cursor, one.id, one.version)
            assert link is not None, f"{one.id} has no event {one.version}"
            digest = _digest(one, self.version, link)
            cursor.execute(
                "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?, ?)",
                (one.id.hex, one.version, self.version, digest, one.state),
            )

    def _newest(self, cursor: SQLiteCursor, identity: UUID) -> Stateful | None:
        cursor.execute("SELECT * FROM snapshots WHERE originator_id = ?", (identity.hex,))
        row = cursor.fetchone()
        if row is None or not self.version or row["made_by"] != self.version:
            return None
        kept = Snapshot(identity, row["originator_version"], row["state"])
        link = _link(cursor, identity, kept.version)
        if link is None or _digest(kept, self.version, link) != row["digest"]:
            _log.warning("the snapshot of %s is not what was written: its events are folded", identity)
            return None
        try:
            aggregate = self._states.decode(kept.state)
            assert (aggregate.id, aggregate.version) == (identity, kept.version), f"the state of {aggregate.id}"
        except Exception:  # noqa: BLE001 - logged with its traceback
            # Its digest holds, so this is a fault of the program; the events are all there.
            _log.exception("the snapshot of %s cannot be read: its events are folded", identity)
            return None
        return aggregate

    def _events_of(
        self, cursor: SQLiteCursor, identity: UUID, since: int, until: int | None
    ) -> Iterator[Stateful.Event]:
        last = (1 << 62) if until is None else until
        while True:
            cursor.execute(
                "SELECT * FROM stored_events WHERE originator_id = ? AND originator_version > ?"
                " AND originator_version <= ? ORDER BY originator_version LIMIT ?",
                (identity.hex, since, last, _CHUNK),
            )
            rows = cursor.fetchall()
            for row in rows:
                yield decoded(self._events, row)
            if len(rows) < _CHUNK:
                return
            since = rows[-1]["originator_version"]


def decoded(events: EventCodec, row: Any) -> Stateful.Event:
    """Return the event of a row of ``stored_events``."""
    stored = StoredEvent(UUID(row["originator_id"]), row["originator_version"], row["topic"], row["state"])
    return cast("Stateful.Event", events.to_domain_event(stored))


def _link(cursor: SQLiteCursor, identity: UUID, version: int) -> bytes | None:
    cursor.execute(
        "SELECT link FROM stored_events WHERE originator_id = ? AND originator_version = ?", (identity.hex, version)
    )
    row = cursor.fetchone()
    return None if row is None else bytes(row["link"])


def _digest(snapshot: Snapshot, made_by: str, link: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in (snapshot.id.bytes, snapshot.version.to_bytes(8, "big"), made_by.encode(), link, snapshot.state):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()
