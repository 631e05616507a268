"""Tables that are kept beside the events, in the transaction that inserts them, and rebuilt from them at will.

Two are built in, both derived from aggregates: ``aggregates`` (one row each: kind, name, state, summary) and
``open_work`` (one row while the aggregate still has something to do: what a controller reads first after a crash).
Others are ``Projection`` objects over single events.

Invariants: each read model is a function of the events alone; ``tracking`` says up to which position and by which
version of the code it was made, and a model that is behind, or was made by another version, is made anew
(``rebuilding``). ``open_work.since_position`` is the first event of the command that made the aggregate open.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import msgspec
from eventsourcing.sqlite import SQLiteCursor

from domain.errors import Conflict
from domain.stateful import Stateful

AGGREGATES = "aggregates"


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
        self,
        views: Iterable[AggregateView],
        views_version: str,
        projections: Iterable[Projection],
        indexed_fields: Iterable[str] = (),
    ) -> None:
        self._views = {view.aggregate_class: view for view in views}
        self.tables = AggregateTables(views_version, indexed_fields)
        self.projections = {projection.name: projection for projection in projections}
        assert AGGREGATES not in self.projections, f"{AGGREGATES} is built in"

    def is_open(self, aggregate: Stateful) -> bool:
        """Return whether a controller still has something to do for the aggregate."""
        view = self._views.get(type(aggregate))
        return view is not None and view.is_open(aggregate)

    def rows_of(self, aggregates: Iterable[Stateful]) -> list[AggregateRow]:
        """Return the aggregates as they will be shown; call it before the transaction."""
        return [self.row_of(aggregate) for aggregate in aggregates]

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
        self.tables.put_open_work(cursor, work)
        for row in rows:
            self.tables.put(cursor, row, begun_at[row.id])
        for projection in self._live_projections(cursor):
            for offset, event in enumerate(events):
                projection.apply(cursor, event, first_position + offset)
        cursor.execute("UPDATE tracking SET position = ?", (first_position + len(events) - 1,))

    def _live_projections(self, cursor: SQLiteCursor) -> list[Projection]:
        """Those that have seen every event before: one that is being made anew comes to these events by itself."""
        cursor.execute("SELECT name FROM rebuilding")
        behind = {row["name"] for row in cursor.fetchall()}
        return [projection for name, projection in self.projections.items() if name not in behind]

    def row_of(self, aggregate: Stateful) -> AggregateRow:
        """Return the aggregate as it is shown."""
        view = self._views.get(type(aggregate))
        return AggregateRow(
            id=aggregate.id.hex,
            kind=type(aggregate).__name__,
            name=None if view is None else view.name_of(aggregate),
            version=aggregate.version,
            state=aggregate.state,
            summary=msgspec.json.encode({} if view is None else view.summarise(aggregate)).decode(),
        )


class AggregateTables:
    """The two built-in tables."""

    names = ("open_work", "aggregates")
    ddl = (
        "CREATE TABLE aggregates ("
        " id TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT, version INTEGER NOT NULL, state TEXT NOT NULL,"
        " summary TEXT NOT NULL, first_position INTEGER NOT NULL) STRICT",
        "CREATE UNIQUE INDEX aggregates_by_name ON aggregates (kind, name)",
        "CREATE INDEX aggregates_by_age ON aggregates (kind, first_position)",
        "CREATE INDEX aggregates_by_state ON aggregates (kind, state, first_position)",
        "CREATE TABLE open_work (aggregate_id TEXT PRIMARY KEY, since_position INTEGER NOT NULL) STRICT",
    )

    def __init__(self, version: str, indexed_fields: Iterable[str]) -> None:
        fields = sorted(indexed_fields)
        self.version = "; ".join([version, *fields])
        self._indexes = [
            f"CREATE INDEX aggregates_by_{field}{suffix} ON aggregates (kind, {field_expression(field)}, {order})"
            for field in fields
            for suffix, order in (("", "first_position"), ("_and_state", "state, first_position"))
        ]

    def reset(self, cursor: SQLiteCursor) -> None:
        """Make them anew, empty."""
        for table in self.names:
            cursor.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in (*self.ddl, *self._indexes):
            cursor.execute(statement)

    def take_out(self, cursor: SQLiteCursor, identity: str) -> None:
        """Forget an aggregate."""
        cursor.execute("DELETE FROM aggregates WHERE id = ?", (identity,))
        cursor.execute("DELETE FROM open_work WHERE aggregate_id = ?", (identity,))

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


def field_expression(field: str) -> str:
    """How statements and indexes name a field of the summary: an index is used only where both say it the same way."""
    return f"json_extract(summary, '$.{field}')"
