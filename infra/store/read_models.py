"""Tables that are kept beside the events, in the transaction that inserts them, and rebuilt from them at will.

Two are built in, both derived from aggregates: ``aggregates`` (one row each: kind, name, state, summary) and
``open_work`` (one row while the aggregate still has something to do: what a controller reads first after a crash).
Others are ``Projection`` objects over single events.

Invariants: each read model is a function of the events alone; ``tracking`` says up to which position and by which
version of the code it was made, and a model that is behind, or was made by another version, is rebuilt when the store
is opened. ``open_work.since_position`` is the first event of the command that made the aggregate open.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple, Protocol, cast
from uuid import UUID

import msgspec
from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteCursor, SQLiteDatastore

from domain.errors import Conflict
from domain.stateful import Stateful
from infra.store.codec import EventCodec
from infra.store.repository import fold

AGGREGATES = "aggregates"
_TRACKING = (
    "CREATE TABLE IF NOT EXISTS tracking"
    " (name TEXT PRIMARY KEY, version TEXT NOT NULL, position INTEGER NOT NULL) STRICT"
)
_CHUNK = 1_000


class Projection(Protocol):
    """A read model over single events.

    ``tables`` are dropped and ``ddl`` is run when it is rebuilt; raise ``version`` when either, or ``apply``, changes.
    """

    @property
    def name(self) -> str:
        """A permanent name."""

    @property
    def version(self) -> str:
        """Another value makes the store rebuild it when it is opened."""

    @property
    def tables(self) -> Sequence[str]:
        """The names of its tables."""

    @property
    def ddl(self) -> Sequence[str]:
        """Statements that create the tables and their indexes."""

    def apply(self, cursor: SQLiteCursor, event: Stateful.Event, position: int) -> None:
        """Take one event into the tables."""


@dataclass(frozen=True)
class AggregateView:
    """What the built-in read model shows of one class of aggregates.

    ``summarise`` returns plain JSON values. ``name_of`` returns a name that is unique in its class, or None (also for
    one that no longer counts). ``is_open`` says whether a controller still has something to do for it.
    """

    aggregate_class: type[Stateful]
    summarise: Callable[[Any], dict[str, Any]]
    name_of: Callable[[Any], str | None] = lambda aggregate: None
    is_open: Callable[[Any], bool] = lambda aggregate: False


class Change(NamedTuple):
    """One command's change of one aggregate; ``first_index`` counts the events of the transaction from 0."""

    aggregate_id: UUID
    first_index: int
    is_open: bool


class AggregateRow(NamedTuple):
    """An aggregate as the built-in read model shows it."""

    id: str
    kind: str
    name: str | None
    version: int
    state: str
    summary: str


class ReadModels:
    """Keeps all read models; used inside writing transactions alone."""

    def __init__(
        self, codec: EventCodec, views: Iterable[AggregateView], views_version: str, projections: Iterable[Projection]
    ) -> None:
        self._codec = codec
        self._views = {view.aggregate_class: view for view in views}
        self._aggregates = _AggregateTables(views_version)
        self._projections = {projection.name: projection for projection in projections}
        assert AGGREGATES not in self._projections, f"{AGGREGATES} is built in"

    def is_open(self, aggregate: Stateful) -> bool:
        """Return whether a controller still has something to do for the aggregate."""
        view = self._views.get(type(aggregate))
        return view is not None and view.is_open(aggregate)

    def rows_of(self, aggregates: Iterable[Stateful]) -> list[AggregateRow]:
        """Return the aggregates as they will be shown; call it before the transaction."""
        return [self._row_of(aggregate) for aggregate in aggregates]

    def record(
        self,
        cursor: SQLiteCursor,
        first_position: int,
        events: Sequence[Stateful.Event],
        changes: Iterable[Change],
        rows: Iterable[AggregateRow],
    ) -> None:
        """Take a transaction's events into all read models; raise ``Conflict`` for a name that is taken."""
        begun_at: dict[str, int] = {}
        work: list[tuple[str, int, bool]] = []
        for change in changes:
            identity, position = change.aggregate_id.hex, first_position + change.first_index
            begun_at.setdefault(identity, position)
            work.append((identity, position, change.is_open))
        self._aggregates.put_open_work(cursor, work)
        for row in rows:
            self._aggregates.put(cursor, row, begun_at[row.id])
        for projection in self._projections.values():
            for offset, event in enumerate(events):
                projection.apply(cursor, event, first_position + offset)
        cursor.execute("UPDATE tracking SET position = ?", (first_position + len(events) - 1,))

    def bring_up_to_date(self, datastore: SQLiteDatastore) -> list[str]:
        """Rebuild what is missing, behind or made by another version; return the names of what was rebuilt."""
        with datastore.transaction(commit=True) as cursor:
            cursor.execute(_TRACKING)
            head = _head(cursor)
            cursor.execute("SELECT name, version, position FROM tracking")
            present = {row["name"]: (row["version"], row["position"]) for row in cursor.fetchall()}
            models: dict[str, Projection | _AggregateTables] = {AGGREGATES: self._aggregates, **self._projections}
            for name in present.keys() - models.keys():
                cursor.execute("DELETE FROM tracking WHERE name = ?", (name,))
            outdated = [name for name, model in models.items() if present.get(name) != (model.version, head)]
            for name in outdated:
                self._rebuild(cursor, name, head)
            return outdated

    def rebuild(self, datastore: SQLiteDatastore, name: str) -> None:
        """Make one read model anew from the events, in one transaction."""
        with datastore.transaction(commit=True) as cursor:
            self._rebuild(cursor, name, _head(cursor))

    def _rebuild(self, cursor: SQLiteCursor, name: str, head: int) -> None:
        model = self._aggregates if name == AGGREGATES else self._projections[name]
        for table in model.tables:
            cursor.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in model.ddl:
            cursor.execute(statement)
        if isinstance(model, _AggregateTables):
            self._rebuild_aggregates(cursor)
        else:
            for position, event in self._all_events(cursor):
                model.apply(cursor, event, position)
        cursor.execute("INSERT OR REPLACE INTO tracking VALUES (?, ?, ?)", (name, model.version, head))

    def _rebuild_aggregates(self, cursor: SQLiteCursor) -> None:
        cursor.execute("SELECT originator_id FROM stored_events GROUP BY originator_id ORDER BY min(rowid)")
        for identity in [row["originator_id"] for row in cursor.fetchall()]:
            cursor.execute("SELECT * FROM stored_events WHERE originator_id=? ORDER BY originator_version", (identity,))
            history = [(row["rowid"], self._decode(row)) for row in cursor.fetchall()]
            aggregate: Stateful | None = None
            work: list[tuple[str, int, bool]] = []
            for _, group in groupby(history, key=lambda item: item[1].command_id):
                of_command = list(group)
                aggregate = fold(aggregate, (event for _, event in of_command))
                assert aggregate is not None
                work.append((identity, of_command[0][0], self.is_open(aggregate)))
            assert aggregate is not None
            self._aggregates.put_open_work(cursor, work)
            self._aggregates.put(cursor, self._row_of(aggregate), history[0][0])

    def _all_events(self, cursor: SQLiteCursor) -> Iterator[tuple[int, Stateful.Event]]:
        position = 0
        while True:
            cursor.execute("SELECT * FROM stored_events WHERE rowid > ? ORDER BY rowid LIMIT ?", (position, _CHUNK))
            rows = cursor.fetchall()
            if not rows:
                return
            for row in rows:
                yield row["rowid"], self._decode(row)
            position = rows[-1]["rowid"]

    def _decode(self, row: Any) -> Stateful.Event:
        stored = StoredEvent(UUID(row["originator_id"]), row["originator_version"], row["topic"], row["state"])
        return cast("Stateful.Event", self._codec.to_domain_event(stored))

    def _row_of(self, aggregate: Stateful) -> AggregateRow:
        view = self._views.get(type(aggregate))
        return AggregateRow(
            id=aggregate.id.hex,
            kind=type(aggregate).__name__,
            name=None if view is None else view.name_of(aggregate),
            version=aggregate.version,
            state=aggregate.state,
            summary=msgspec.json.encode({} if view is None else view.summarise(aggregate)).decode(),
        )


class _AggregateTables:
    """The two built-in tables."""

    tables = ("open_work", "aggregates")
    ddl = (
        "CREATE TABLE aggregates ("
        " id TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT, version INTEGER NOT NULL, state TEXT NOT NULL,"
        " summary TEXT NOT NULL, first_position INTEGER NOT NULL) STRICT",
        "CREATE UNIQUE INDEX aggregates_by_name ON aggregates (kind, name)",
        "CREATE INDEX aggregates_by_age ON aggregates (kind, first_position)",
        "CREATE TABLE open_work (aggregate_id TEXT PRIMARY KEY, since_position INTEGER NOT NULL) STRICT",
    )

    def __init__(self, version: str) -> None:
        self.version = version

    def put(self, cursor: SQLiteCursor, row: AggregateRow, first_position: int) -> None:
        """Show an aggregate; ``first_position`` counts only when it is shown for the first time."""
        try:
            cursor.execute(
                "INSERT INTO aggregates VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
                " name = excluded.name, version = excluded.version, state = excluded.state, summary = excluded.summary",
                (*row, first_position),
            )
        except sqlite3.IntegrityError as error:
            message = f"a {row.kind} named {row.name!r} exists already."
            raise Conflict("NAME_TAKEN", message, remedy="Use another name.") from error

    def put_open_work(self, cursor: SQLiteCursor, work: Iterable[tuple[str, int, bool]]) -> None:
        """Take in, command after command, which aggregate is open from which position on, or closed.

        A position counts only when it opens an aggregate.
        """
        opened: dict[str, int] = {}
        closed: set[str] = set()
        for identity, position, is_open in work:
            if is_open:
                opened.setdefault(identity, position)
            else:
                opened.pop(identity, None)
                closed.add(identity)
        cursor.executemany("DELETE FROM open_work WHERE aggregate_id = ?", [(identity,) for identity in closed])
        cursor.executemany("INSERT OR IGNORE INTO open_work VALUES (?, ?)", opened.items())


def _head(cursor: SQLiteCursor) -> int:
    cursor.execute("SELECT coalesce(max(rowid), 0) FROM stored_events")
    return int(cursor.fetchone()[0])
