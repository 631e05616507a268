"""Questions to the store, for the API's coroutines: read models, history, chain.

Every question runs in one reading transaction on a connection that cannot write, in a thread of the injected
``offload``. Errors of SQLite come out as ``StoreUnavailable``. A question whose asker was cancelled goes on in its
thread, so connections must not be closed before ``close`` has seen the end of all: SQLite would crash the process.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar
from uuid import UUID

import msgspec
from eventsourcing.sqlite import SQLiteCursor

from domain.errors import InvalidInput, NotFound
from infra.store.chain import Anchor, ChainVerdict, verify
from infra.store.database import ReadingDatastore
from infra.store.errors import store_closed, typed_errors
from infra.store.positions import Positions
from infra.store.read_models import field_expression
from infra.store.rebuilding import Rebuilding
from infra.store.recorder import ChainedRecorder

T = TypeVar("T")

MAX_LIMIT = 1_000
_FIELD = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*")
_COLUMNS = ("name", "state")
_ABOUT_THE_COMMAND = ("actor", "cause", "command_id", "request_id", "code_version")


class Offload(Protocol):
    """Runs a blocking call elsewhere and waits for it: ``asyncio.to_thread``, or inline in simulation."""

    def __call__(self, call: Callable[[], T], /) -> Awaitable[T]:
        """Return what ``call`` returns, or raise what it raises."""


class AggregateEntry(NamedTuple):
    """One aggregate as the read model shows it; ``first_position`` is also the cursor for the next page."""

    id: UUID
    kind: str
    name: str | None
    version: int
    state: str
    summary: dict[str, Any]
    first_position: int


class OpenWork(NamedTuple):
    """An aggregate for which a controller still has something to do, and since which event."""

    aggregate_id: UUID
    kind: str
    since_position: int


class Queries:
    """Answers questions about what is committed."""

    def __init__(
        self, datastore: ReadingDatastore, positions: Positions, rebuilding: Rebuilding, offload: Offload
    ) -> None:
        self._datastore = datastore
        self._recorder = ChainedRecorder(datastore)
        self._positions = positions
        self._rebuilding = rebuilding
        self._offload = offload
        self._changed = threading.Condition()
        self._under_way = 0
        self._is_closed = False

    async def close(self) -> None:
        """Begin no further question, and return when none is under way; asking raises STORE_CLOSED from here on."""
        with self._changed:
            self._is_closed = True
        await self._offload(self._until_quiet)

    def _until_quiet(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._under_way == 0)

    async def list(
        self,
        kind: str,
        filters: Mapping[str, str | int | bool | None] | None = None,
        *,
        limit: int = 100,
        after: int | None = None,
        newest_first: bool = False,
    ) -> Sequence[AggregateEntry]:
        """Return aggregates of a kind, by age.

        ``filters`` maps ``name``, ``state`` or a field of the summary (``policy.direction``) to the value wanted.
        ``after`` is the ``first_position`` of the last entry of the page before.
        """
        conditions: list[str] = ["kind = ?"]
        values: list[Any] = [kind]
        for field, value in (filters or {}).items():
            if not _FIELD.fullmatch(field):
                raise InvalidInput("filters", f"{field!r} is no field.", remedy="Use name, state or a summary's field.")
            expression = field if field in _COLUMNS else field_expression(field)
            conditions.append(f"{expression} IS ?")
            values.append(value)
        if after is not None:
            conditions.append(f"first_position {'<' if newest_first else '>'} ?")
            values.append(after)
        statement = (
            f"SELECT * FROM aggregates WHERE {' AND '.join(conditions)}"  # noqa: S608 - fields are matched above
            f" ORDER BY first_position {'DESC' if newest_first else 'ASC'} LIMIT ?"
        )
        return await self._rows(statement, [*values, _checked(limit)], _entry)

    async def get(self, kind: str, name_or_id: str | UUID) -> AggregateEntry:
        """Return the aggregate of that kind with that id or, failing that, that name; raise ``NotFound``."""
        identity = _as_hex(name_or_id)
        entries = await self._rows(
            "SELECT * FROM aggregates WHERE kind = ? AND (id = ? OR name = ?) ORDER BY id = ? DESC LIMIT 1",
            [kind, identity, str(name_or_id), identity],
            _entry,
        )
        if not entries:
            raise NotFound(kind, str(name_or_id))
        return entries[0]

    async def history(self, aggregate_id: UUID) -> Sequence[dict[str, Any]]:
        """Return all events of an aggregate as plain dicts (see ``events_after``)."""
        statement = "SELECT * FROM stored_events WHERE originator_id = ? ORDER BY originator_version"
        return await self._rows(statement, [aggregate_id.hex], _event, of_events=True)

    async def events_after(self, position: int, limit: int = MAX_LIMIT) -> Sequence[dict[str, Any]]:
        """Return the events after a position, in order, as they are stored.

        Each has ``position``, ``aggregate_id``, ``version``, ``topic``, ``at``, ``actor``, ``cause``, ``command_id``,
        ``request_id``, ``code_version`` and ``facts``: plain JSON values, not upcast, so that also an event that this
        version does not know can be shown.
        """
        statement = "SELECT * FROM stored_events WHERE rowid > ? ORDER BY rowid LIMIT ?"
        return await self._rows(statement, [position, _checked(limit)], _event, of_events=True)

    async def open_work(self) -> Sequence[OpenWork]:
        """Return all that a controller still has to do, the oldest first."""
        statement = (
            "SELECT aggregate_id, kind, since_position FROM open_work"
            " JOIN aggregates ON aggregates.id = aggregate_id ORDER BY since_position"
        )
        return await self._rows(statement, [], lambda row: OpenWork(UUID(row[0]), row[1], row[2]))

    async def wait_for(self, position: int) -> int:
        """Wait until an event with at least this position is committed; return the newest position."""
        return await self._positions.wait_for(position)

    async def head(self) -> Anchor:
        """Return the newest position with its link: what is put outside as an anchor."""
        return await self._ask(self._recorder.head)

    async def link_at(self, position: int) -> bytes | None:
        """Return the link of the event at a position, or None if the chain does not reach so far."""
        statement = "SELECT link FROM stored_events WHERE rowid = ?"
        return next(iter(await self._rows(statement, [position], lambda row: bytes(row["link"]))), None)

    async def verify(self, anchors: Iterable[Anchor]) -> ChainVerdict:
        """Prove the log against anchors from outside; reads all of it."""
        given = list(anchors)
        return await self._ask(lambda: verify(self._recorder, given))

    async def rebuilt(self) -> None:
        """Wait until all read models are whole."""
        await self._rebuilding.whole.wait_for(1)

    async def ask(self, question: Callable[[SQLiteCursor], T]) -> T:
        """Run a question about read models in one reading transaction.

        Raises ``StoreUnavailable`` REBUILDING while one of them is being made anew.
        """
        return await self._in_transaction(question, of_events=False)

    async def _rows(
        self, statement: str, values: Iterable[Any], make: Callable[[Any], T], *, of_events: bool = False
    ) -> Sequence[T]:
        def question(cursor: SQLiteCursor) -> Sequence[T]:
            cursor.execute(statement, tuple(values))
            return [make(row) for row in cursor.fetchall()]

        return await self._in_transaction(question, of_events=of_events)

    async def _in_transaction(self, question: Callable[[SQLiteCursor], T], *, of_events: bool) -> T:
        def run() -> T:
            with self._datastore.transaction(commit=False) as cursor:
                if not of_events:
                    self._rebuilding.require_whole(cursor)
                return question(cursor)

        return await self._ask(run)

    async def _ask(self, call: Callable[[], T]) -> T:
        def run() -> T:  # counted where it runs: what is cancelled before it has a thread never does
            with self._changed:
                if self._is_closed:
                    raise store_closed()
                self._under_way += 1
            try:
                return call()
            finally:
                with self._changed:
                    self._under_way -= 1
                    self._changed.notify_all()

        with typed_errors():
            return await self._offload(run)


def _checked(limit: int) -> int:
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidInput("limit", f"{limit} is out of range.", remedy=f"Use 1 to {MAX_LIMIT}.")
    return limit


def _as_hex(name_or_id: str | UUID) -> str:
    try:
        return (name_or_id if isinstance(name_or_id, UUID) else UUID(name_or_id)).hex
    except ValueError:
        return ""


def _entry(row: Any) -> AggregateEntry:
    return AggregateEntry(
        UUID(row["id"]),
        row["kind"],
        row["name"],
        row["version"],
        row["state"],
        msgspec.json.decode(row["summary"]),
        row["first_position"],
    )


def _event(row: Any) -> dict[str, Any]:
    facts = msgspec.json.decode(row["state"])
    return {
        "position": row["rowid"],
        "aggregate_id": str(UUID(row["originator_id"])),
        "version": row["originator_version"],
        "topic": row["topic"],
        "at": facts.pop("timestamp", None),
        **{name: facts.pop(name, None) for name in _ABOUT_THE_COMMAND},
        "facts": facts,
    }
