"""The store's front door for commands: one thread that runs and commits whatever is queued.

Group commit: while one transaction is being made durable, commands gather; the next transaction takes them all. So a
burst of commands costs few commits, and a lone command waits for nobody.

The thread is told of commands once per turn of a loop. Else it would take the first of those that a commit has just
answered alone, and compete with the loop for the interpreter while the others come.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from uuid import UUID

from domain.stateful import Context
from infra.store.errors import StoreUnavailable, store_closed
from infra.store.group_commit import Answer, Command, Decide, GroupCommit, Outcome

T = TypeVar("T")

_BATCH_LIMIT = 256
_QUEUE_LIMIT = 10_000


class Writer(Protocol):
    """Runs commands; ``CommandWriter`` in production, ``InlineWriter`` in simulation."""

    async def execute(self, context: Context, target: UUID, decide: Decide[T]) -> Answer[T]:
        """Run ``decide`` on a session, commit what it recorded, and answer.

        If the aggregate ``target`` remembers ``context.command_id``, nothing runs and the first answer is given.
        ``decide`` must have no effect but on its session, since a failed commit runs it again; it returns plain
        values, never an aggregate. Raises what ``decide`` raises, and ``StoreUnavailable`` or ``Conflict`` if its
        events could not be stored. Cancelling the wait does not recall the command.
        """

    async def close(self) -> None:
        """Finish what is queued, then accept nothing more."""


class InlineWriter:
    """Runs each command at once, in the caller's thread: deterministic, for simulation and offline tools."""

    def __init__(self, group_commit: GroupCommit) -> None:
        self._group_commit = group_commit
        self._is_closed = False

    async def execute(self, context: Context, target: UUID, decide: Decide[T]) -> Answer[T]:
        """See ``Writer.execute``."""
        if self._is_closed:
            raise store_closed()
        return _result(self._group_commit.run([Command(context, target, decide)])[0])

    async def close(self) -> None:
        """Accept nothing more."""
        self._is_closed = True


@dataclass(frozen=True)
class _Waiting:
    command: Command[Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Outcome]


class CommandWriter:
    """Runs commands in one thread of its own, grouped."""

    def __init__(
        self,
        group_commit: GroupCommit,
        *,
        offload: Callable[[Callable[[], None]], Any] = asyncio.to_thread,
        batch_limit: int = _BATCH_LIMIT,
        queue_limit: int = _QUEUE_LIMIT,
    ) -> None:
        self._group_commit = group_commit
        self._offload = offload
        self._batch_limit = batch_limit
        self._queue_limit = queue_limit
        self._queue: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        # A daemon, so that a controller that ends without closing is a crash like any other: nobody was answered.
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()

    async def execute(self, context: Context, target: UUID, decide: Decide[T]) -> Answer[T]:
        """See ``Writer.execute``; raises ``StoreUnavailable`` STORE_OVERLOADED when too much is queued."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(Command(context, target, decide), loop, loop.create_future())
        with self._changed:
            if self._is_closed:
                raise store_closed()
            if len(self._queue) >= self._queue_limit:
                raise StoreUnavailable(
                    "STORE_OVERLOADED", f"{self._queue_limit} commands are waiting.", remedy="Repeat it later."
                )
            self._queue.append(waiting)
        loop.call_soon(self._tell)
        return _result(await waiting.future)

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify()

    async def close(self) -> None:
        """Commit and answer everything that is queued, then end the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        await self._offload(self._thread.join)

    def _work(self) -> None:
        taken: list[_Waiting] = []
        try:
            while taken := self._take():
                _answer(taken, self._group_commit.run([waiting.command for waiting in taken]))
        finally:
            # Only after a programmer error (shown by the thread's hook) is anybody still waiting here.
            with self._changed:
                self._is_closed = True
                taken += self._queue
                self._queue.clear()
            _answer(taken, [store_closed()] * len(taken))

    def _take(self) -> list[_Waiting]:
        """Wait for commands; return those that are queued, or none once the writer is closed and has drained."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._is_closed)
            return [self._queue.popleft() for _ in range(min(len(self._queue), self._batch_limit))]


def _answer(answered: Sequence[_Waiting], outcomes: Sequence[Outcome]) -> None:
    """Hand each outcome to its loop, waking a loop once for all of its callers."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Outcome], Outcome]]] = {}
    for waiting, outcome in zip(answered, outcomes, strict=True):
        by_loop.setdefault(waiting.loop, []).append((waiting.future, outcome))
    for loop, deliveries in by_loop.items():
        try:
            loop.call_soon_threadsafe(_deliver, deliveries)
        except RuntimeError:
            # The loop is closed: its callers are gone, and what they asked for is committed all the same.
            continue


def _deliver(deliveries: Sequence[tuple[asyncio.Future[Outcome], Outcome]]) -> None:
    for future, outcome in deliveries:
        if not future.done():
            future.set_result(outcome)


def _result(outcome: Outcome) -> Answer[Any]:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
