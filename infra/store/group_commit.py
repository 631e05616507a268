"""Runs commands over one overlay and commits them together: the heart of the writer, without threads.

load → decide → collect, command after command, then one transaction for all. Invariants:

- An answer is handed out only when the events that it rests on are committed; that holds for refusals too.
- A command whose id its target remembers is not run: its first answer is given again. So the reply to a conflict, a
  time-out or a cancelled wait is always the same: repeat the command with its id.
- A commit that fails takes down the overlay and the cache, and the commands are run anew, each in a transaction of
  its own. ``decide`` may thus run more than once and must have no effect but on the session.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from eventsourcing.sqlite import SQLiteCursor

from domain.stateful import Context, Stateful
from infra.store.codec import EventCodec
from infra.store.errors import typed
from infra.store.positions import Positions
from infra.store.read_models import ReadModels
from infra.store.recorder import ChainedRecorder
from infra.store.repository import Repository
from infra.store.session import Batch, Session
from infra.store.snapshots import Snapshots

T = TypeVar("T")

Decide = Callable[[Session], T]


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What a command led to: its target's version, and what ``decide`` returned.

    A repeated command gives the version of the first time and no value, since values are not stored.
    """

    aggregate_id: UUID
    version: int
    value: T | None = None
    is_repeat: bool = False


@dataclass(frozen=True)
class Command(Generic[T]):
    """A command that waits for its turn."""

    context: Context
    target: UUID
    decide: Decide[T]


Outcome = Answer[Any] | Exception


class GroupCommit:
    """Runs batches of commands; called by one thread at a time."""

    def __init__(
        self,
        recorder: ChainedRecorder,
        codec: EventCodec,
        read_models: ReadModels,
        positions: Positions,
        snapshots: Snapshots,
        *,
        cached_aggregates: int = 1_000,
    ) -> None:
        self._recorder = recorder
        self._codec = codec
        self._read_models = read_models
        self._positions = positions
        self._snapshots = snapshots
        self._repository = Repository(recorder, codec, snapshots, cached_aggregates=cached_aggregates)
        self.commits = 0

    def run(self, commands: Sequence[Command[Any]]) -> list[Outcome]:
        """Run and commit the commands; return the answer or the error of each, in order."""
        batch = Batch(self._repository, self._codec, self._read_models)
        outcomes = [self._attempt(command, batch) for command in commands]
        if batch.stored:
            try:
                self._commit(batch)
            except Exception as error:  # noqa: BLE001 - each command's caller gets it, from its own run
                self._repository.forget()
                if len(commands) == 1:
                    return [typed(error)]
                return [outcome for command in commands for outcome in self.run([command])]
        batch.release()
        return outcomes

    def _attempt(self, command: Command[Any], batch: Batch) -> Outcome:
        session = Session(batch, command.context, command.target)
        try:
            version = _first_answer(command, batch)
            if version is not None:
                return Answer(command.target, version, is_repeat=True)
            value = command.decide(session)
            assert not isinstance(value, Stateful), "an aggregate must not leave the writer: return plain values"
            assert not isinstance(value, Coroutine), "decide must be a plain function: nothing would run it"
            return Answer(command.target, session.accept(), value)
        except Exception as error:  # noqa: BLE001 - it is the command's outcome; the caller raises it
            session.discard(error)
            return typed(error)

    def _commit(self, batch: Batch) -> None:
        aggregates = batch.changed_aggregates()
        rows = self._read_models.rows_of(aggregates)
        snapshots = self._repository.snapshots_with(batch.accepted())

        def alongside(cursor: SQLiteCursor, first_position: int) -> None:
            self._read_models.record(cursor, first_position, batch.events, batch.changes, rows)
            self._snapshots.put(cursor, snapshots)

        positions = self._recorder.insert_events(batch.stored, alongside=alongside)
        assert positions
        self._repository.committed()
        self.commits += 1
        self._positions.advance(positions[-1])


def _first_answer(command: Command[Any], batch: Batch) -> int | None:
    """The version that a repeated command led to the first time; None for a new one.

    Raises ``InvalidInput`` for another command with the same id. Commands from before ids were kept with what they
    stood for are known by their targets alone.
    """
    key = batch.key_of(command.context)
    if key is not None:
        key.refuse_others(command.context)
        return key.used.version
    target = batch.find(command.target)
    return None if target is None else target.answer_to(command.context.command_id)
