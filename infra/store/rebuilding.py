"""Making read models anew, little by little, while commands are carried out.

What is outdated when a store is opened is emptied and filled again in transactions of some hundredths of a second, each
of which notes how far it came (``rebuilding``). A crash in between goes on from there. Commands have their turn between
two of these transactions, and an event that arrives meanwhile is taken in exactly once:

- An aggregate is shown by the transaction that changes it, and shown again when the rebuilding comes to it: both write
  the row of its newest state, and the latter corrects since when it is there and open.
- A projection that is being made anew is left out by the transactions of commands; the rebuilding comes to their
  events in order, and is at its end in the very transaction that sees no later event.
- Snapshots made by other code are no read model, and nobody waits for them: they are replaced the same way, so that no
  command has to fold a long past after the code has changed.

Until the read models are whole, questions about them are refused (REBUILDING, with the share that is done), since they
would leave out what is there. Whatever the store is asked about events, and commands, go on.

Aggregates with names have ids that are derived from them, so two of one name meet in ``Session.add`` before either is
shown.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol
from uuid import UUID

from eventsourcing.sqlite import SQLiteCursor, SQLiteDatastore

from domain.errors import UnderstudyError
from infra.store.codec import EventCodec
from infra.store.errors import StoreUnavailable, typed
from infra.store.folding import fold
from infra.store.positions import Positions
from infra.store.read_models import AGGREGATES, Projection, ReadModels
from infra.store.snapshots import Snapshots, decoded

SNAPSHOTS = "snapshots"
STEP_SECONDS = 0.03
PAUSE_SECONDS = 0.01
"""Between two steps: whoever waits to write has its turn."""
RETRY_SECONDS = 5.0
EVENTS_AT_ONCE = 2_000
PROJECTED_AT_ONCE = 100
_TABLES = (
    "CREATE TABLE IF NOT EXISTS tracking"
    " (name TEXT PRIMARY KEY, version TEXT NOT NULL, position INTEGER NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS rebuilding (name TEXT PRIMARY KEY, reached TEXT NOT NULL) STRICT",
)
_log = logging.getLogger(__name__)


class Model(Protocol):
    """Something that is made of events, and can be made of them anew."""

    @property
    def version(self) -> str:
        """Another value makes it outdated."""

    def reset(self, cursor: SQLiteCursor) -> None:
        """Make it empty."""

    def advance(self, cursor: SQLiteCursor, reached: str) -> str | None:
        """Take in a little more; return where to go on, or None at the end."""

    def percent(self, cursor: SQLiteCursor, reached: str) -> int:
        """How much is done."""


@dataclass
class _Shown:
    """The built-in tables, aggregate after aggregate in the order of their ids."""

    read_models: ReadModels
    snapshots: Snapshots
    events: EventCodec

    @property
    def version(self) -> str:
        return self.read_models.tables.version

    def reset(self, cursor: SQLiteCursor) -> None:
        self.read_models.tables.reset(cursor)

    def advance(self, cursor: SQLiteCursor, reached: str) -> str | None:
        identity = _next_id(cursor, reached)
        if identity is None or not _bring_near(cursor, self.snapshots, identity):
            return None if identity is None else reached
        aggregate, _ = self.snapshots.load(cursor, UUID(identity))
        assert aggregate is not None
        tables = self.read_models.tables
        cursor.execute(
            "SELECT rowid FROM stored_events WHERE originator_id = ? ORDER BY originator_version LIMIT 1", (identity,)
        )
        first_position = int(cursor.fetchone()["rowid"])
        tables.take_out(cursor, identity)
        tables.put(cursor, self.read_models.row_of(aggregate), first_position)
        if self.read_models.is_open(aggregate):
            tables.put_open_work(cursor, self._work_of(cursor, identity))
        return identity

    def _work_of(self, cursor: SQLiteCursor, identity: str) -> list[tuple[str, int, bool]]:
        """Command after command, whether the aggregate was open."""
        cursor.execute("SELECT * FROM stored_events WHERE originator_id = ? ORDER BY originator_version", (identity,))
        history = [(int(row["rowid"]), decoded(self.events, row)) for row in cursor.fetchall()]
        work: list[tuple[str, int, bool]] = []
        aggregate = None
        for _, group in groupby(history, key=lambda item: item[1].command_id):
            of_command = list(group)
            aggregate = fold(aggregate, (event for _, event in of_command))
            assert aggregate is not None
            work.append((identity, of_command[0][0], self.read_models.is_open(aggregate)))
        return work

    def percent(self, cursor: SQLiteCursor, reached: str) -> int:
        return _share_of_ids(reached)


@dataclass
class _Projected:
    """A projection, event after event."""

    projection: Projection
    events: EventCodec

    @property
    def version(self) -> str:
        return self.projection.version

    def reset(self, cursor: SQLiteCursor) -> None:
        for table in self.projection.tables:
            cursor.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in self.projection.ddl:
            cursor.execute(statement)

    def advance(self, cursor: SQLiteCursor, reached: str) -> str | None:
        cursor.execute(
            "SELECT * FROM stored_events WHERE rowid > ? ORDER BY rowid LIMIT ?", (int(reached or 0), PROJECTED_AT_ONCE)
        )
        rows = cursor.fetchall()
        for row in rows:
            self.projection.apply(cursor, decoded(self.events, row), row["rowid"])
        # Fewer are all that there are in this transaction; waiting for none would be a race with the commands.
        return str(rows[-1]["rowid"]) if len(rows) == PROJECTED_AT_ONCE else None

    def percent(self, cursor: SQLiteCursor, reached: str) -> int:
        return 100 * int(reached or 0) // max(1, _head(cursor))


@dataclass
class _Cached:
    """The snapshots of long aggregates, aggregate after aggregate."""

    snapshots: Snapshots

    @property
    def version(self) -> str:
        return self.snapshots.version

    def reset(self, cursor: SQLiteCursor) -> None:
        """Leave them: each is replaced when its aggregate's turn comes."""

    def advance(self, cursor: SQLiteCursor, reached: str) -> str | None:
        identity = _next_id(cursor, reached)
        if identity is None:
            return None
        return identity if _bring_near(cursor, self.snapshots, identity) else reached

    def percent(self, cursor: SQLiteCursor, reached: str) -> int:
        return _share_of_ids(reached)


class Rebuilding:
    """Makes everything anew that is outdated; ``whole`` reaches 1 when no read model is."""

    def __init__(
        self, datastore: SQLiteDatastore, read_models: ReadModels, snapshots: Snapshots, events: EventCodec
    ) -> None:
        self._datastore = datastore
        self._models: dict[str, Model] = {
            AGGREGATES: _Shown(read_models, snapshots, events),
            **{name: _Projected(projection, events) for name, projection in read_models.projections.items()},
            SNAPSHOTS: _Cached(snapshots),
        }
        self.whole = Positions(0)
        self._failure: UnderstudyError | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> tuple[str, ...]:
        """Empty what is missing, behind or made by another version; return the names of the read models among it.

        What an earlier controller has begun to make anew, by this version, goes on.
        """
        with self._datastore.transaction(commit=True) as cursor:
            for statement in _TABLES:
                cursor.execute(statement)
            head = _head(cursor)
            cursor.execute("SELECT name, version, position FROM tracking")
            present = {row["name"]: (row["version"], row["position"]) for row in cursor.fetchall()}
            for name in present.keys() - self._models.keys():
                cursor.execute("DELETE FROM tracking WHERE name = ?", (name,))
            for name, model in self._models.items():
                if present.get(name) != (model.version, head):
                    self._reset(cursor, name)
            cursor.execute("SELECT name FROM rebuilding")
            behind = {row["name"] for row in cursor.fetchall()}
        self._announce(behind)
        return tuple(name for name in self._models if name in behind and name != SNAPSHOTS)

    def again(self, name: str) -> None:
        """Make one read model anew, and return when all are whole. Blocks; commands go on."""
        with self._datastore.transaction(commit=True) as cursor:
            self._reset(cursor, name)
        while self.step():
            pass

    def _reset(self, cursor: SQLiteCursor, name: str) -> None:
        model = self._models[name]
        model.reset(cursor)
        cursor.execute("INSERT OR REPLACE INTO tracking VALUES (?, ?, ?)", (name, model.version, _head(cursor)))
        cursor.execute("INSERT OR REPLACE INTO rebuilding VALUES (?, '')", (name,))

    def step(self) -> bool:
        """Do a little of what is left, in one transaction; return whether anything is left."""
        behind = self._behind()
        if behind:
            name, reached = behind[0]
            with self._datastore.transaction(commit=True) as cursor:
                self._advance(cursor, name, reached)
            behind = self._behind()
        self._announce({name for name, _ in behind})
        return bool(behind)

    def _advance(self, cursor: SQLiteCursor, name: str, reached: str) -> None:
        give_up_at = time.monotonic() + STEP_SECONDS
        following = self._models[name].advance(cursor, reached)
        while following is not None and time.monotonic() < give_up_at:
            following = self._models[name].advance(cursor, following)
        if following is None:
            cursor.execute("DELETE FROM rebuilding WHERE name = ?", (name,))
        else:
            cursor.execute("UPDATE rebuilding SET reached = ? WHERE name = ?", (following, name))

    def _behind(self) -> list[tuple[str, str]]:
        """What is left, the read models first."""
        with self._datastore.transaction(commit=False) as cursor:
            cursor.execute("SELECT name, reached FROM rebuilding ORDER BY name = ?, name", (SNAPSHOTS,))
            return [(row["name"], row["reached"]) for row in cursor.fetchall()]

    def _announce(self, behind: set[str]) -> None:
        if not behind - {SNAPSHOTS}:
            self.whole.advance(1)

    def require_whole(self, cursor: SQLiteCursor) -> None:
        """Raise ``StoreUnavailable`` REBUILDING in the transaction of a question, or what keeps it from going on."""
        cursor.execute("SELECT name, reached FROM rebuilding WHERE name != ?", (SNAPSHOTS,))
        rows = cursor.fetchall()
        if not rows:
            return
        if self._failure is not None:
            raise self._failure
        left = sum(100 - self._models[row["name"]].percent(cursor, row["reached"]) for row in rows)
        percent = 100 - left // (len(self._models) - 1)
        raise StoreUnavailable(
            "REBUILDING",
            f"the lists are being made anew from the events, {percent} % are done.",
            remedy="Repeat it in a moment; agents go on with what they do.",
        )

    def work_for(self, seconds: float | None) -> bool:
        """Work to the end (None), or until the read models are whole, at most so long; tell if anything is left."""
        give_up_at = None if seconds is None else time.monotonic() + seconds
        if give_up_at is not None and self.whole.newest:
            return bool(self._behind())
        while is_more := self.step():
            if give_up_at is not None and (self.whole.newest or time.monotonic() >= give_up_at):
                break
        return is_more

    def go_on(self) -> None:
        """Work to the end in a thread of its own."""
        self._thread = threading.Thread(target=self._work, name="store-rebuilding", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, between two steps."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        pause = PAUSE_SECONDS
        while not self._stop.is_set():
            try:
                if not self.step():
                    return
                self._failure, pause = None, PAUSE_SECONDS
            except Exception as error:  # noqa: BLE001 - told to whoever asks, and tried again
                _log.exception("the read models could not be made anew; it is tried again")
                told = typed(error)
                self._failure = told if isinstance(told, UnderstudyError) else _fault(error)
                pause = RETRY_SECONDS
            self._stop.wait(pause)


def _fault(error: Exception) -> StoreUnavailable:
    return StoreUnavailable(
        "REBUILDING_FAILED",
        f"the lists cannot be made anew: {type(error).__name__}.",
        remedy="See the control device's log, and report it as a fault of Understudy.",
    )


def _bring_near(cursor: SQLiteCursor, snapshots: Snapshots, identity: str) -> bool:
    """Keep a snapshot from which little is left to fold; False after a part of the way."""
    if not snapshots.version:
        return True
    _, snapshot = snapshots.load(cursor, UUID(identity), EVENTS_AT_ONCE)
    if snapshot is None:
        return True
    snapshots.put(cursor, [snapshot])
    return False


def _next_id(cursor: SQLiteCursor, after: str) -> str | None:
    cursor.execute("SELECT min(originator_id) AS id FROM stored_events WHERE originator_id > ?", (after,))
    found: str | None = cursor.fetchone()["id"]
    return found


def _share_of_ids(reached: str) -> int:
    """Ids are random or digests, so as many are below one as it is far into their range."""
    return 100 * int(reached[:8] or "0", 16) >> 32


def _head(cursor: SQLiteCursor) -> int:
    cursor.execute("SELECT coalesce(max(rowid), 0) FROM stored_events")
    return int(cursor.fetchone()[0])
