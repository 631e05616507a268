"""What every event store must do, whatever keeps it: a suite that each adapter runs by subclassing it.

A subclass gives ``open_store``: a function that opens the one store of the test, with the writer in its thread or
inline, and can be called again after ``close`` (or after a crash) to open the same store anew.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from domain.errors import Conflict, NotFound, Refused
from infra.store.errors import StoreUnavailable, UnfaithfulEvent
from infra.store.session import Session
from infra.store.store import Store
from infra.store.writer import CommandWriter
from tests.contracts.store_means import OpenStore, begin, begun, count, total
from tests.contracts.store_reading_contract import StoreReadingContract
from tests.store.aggregates import (
    BREAKS_WHILE_APPLIED,
    Counter,
    Sample,
    a_context,
    counter_id,
)


class StoreContract(StoreReadingContract):
    """Run by each adapter."""

    @pytest.fixture(params=["inline", "threaded"])
    async def store(self, request: Any, open_store: OpenStore) -> Any:
        store = open_store(inline=request.param == "inline")
        yield store
        await store.close()

    # Commands

    async def test_an_answer_gives_the_version_and_the_value(self, store: Store) -> None:
        identity = await begun(store, "a")
        answer = await count(store, identity, 5)
        assert (answer.version, answer.value, answer.is_repeat) == (2, 5, False)

    async def test_a_repeated_command_gives_its_first_answer_and_runs_nothing(self, store: Store) -> None:
        identity = await begun(store, "a")
        context = a_context()
        await count(store, identity, 5, context)
        await count(store, identity, 1)
        ran: list[Session] = []
        answer = await store.writer.execute(context, identity, ran.append)
        assert (answer.version, answer.value, answer.is_repeat, ran) == (2, None, True, [])
        assert await total(store, "a") == 6

    async def test_repeating_the_command_that_creates_an_aggregate_answers_too(self, store: Store) -> None:
        identity, decide = begin("a")
        context = a_context()
        await store.writer.execute(context, identity, decide(context))
        assert (await store.writer.execute(context, identity, decide(context))).is_repeat

    async def test_a_refused_command_stores_nothing_and_undoes_what_it_did(self, store: Store) -> None:
        identity = await begun(store, "a")
        context = a_context()

        def count_then_refuse(session: Session) -> None:
            counter = session.load(Counter, identity)
            counter.count(context, 7)
            counter.count(context, 0)

        with pytest.raises(Refused, match="NOTHING_TO_COUNT"):
            await store.writer.execute(context, identity, count_then_refuse)
        assert (await count(store, identity, 1)).value == 1
        assert len(await store.queries.history(identity)) == 2

    async def test_an_error_in_the_midst_of_applying_an_event_leaves_no_trace(self, store: Store) -> None:
        identity = await begun(store, "a")
        with pytest.raises(ZeroDivisionError):
            await count(store, identity, BREAKS_WHILE_APPLIED)
        assert (await count(store, identity, 1)).value == 1

    async def test_a_command_stores_all_its_aggregates_together(self, store: Store) -> None:
        first, second = await begun(store, "a"), await begun(store, "b")
        context = a_context()

        def move(session: Session) -> None:
            session.load(Counter, first).count(context, -3)
            session.load(Counter, second).count(context, 3)

        commits = store.group_commit.commits
        await store.writer.execute(context, first, move)
        assert store.group_commit.commits == commits + 1
        assert (await total(store, "a"), await total(store, "b")) == (-3, 3)

    async def test_a_command_that_does_not_change_its_target_is_a_programmer_error(self, store: Store) -> None:
        first, second = await begun(store, "a"), await begun(store, "b")
        context = a_context()
        for target in (first, uuid4()):
            with pytest.raises(AssertionError, match="its target"):
                await store.writer.execute(
                    context, target, lambda session: session.load(Counter, second).count(context, 1)
                )
        assert await total(store, "b") == 0

    async def test_an_aggregate_that_is_not_there_is_not_found(self, store: Store) -> None:
        with pytest.raises(NotFound):
            await count(store, uuid4(), 1)
        identity = await begun(store, "a")
        with pytest.raises(NotFound, match="sample"):
            await store.writer.execute(a_context(), identity, lambda session: session.load(Sample, identity).version)

    async def test_an_id_can_be_begun_once(self, store: Store) -> None:
        await begun(store, "a")
        with pytest.raises(Conflict, match="ALREADY_EXISTS"):
            await begun(store, "a")

    async def test_aggregates_and_coroutines_do_not_leave_the_writer(self, store: Store) -> None:
        identity = await begun(store, "a")
        with pytest.raises(AssertionError, match="plain values"):
            await store.writer.execute(a_context(), identity, lambda session: session.load(Counter, identity))

        async def wrong(session: Session) -> None:
            raise AssertionError("never awaited")

        coroutines = []

        def remember(session: Session) -> Any:
            coroutines.append(wrong(session))
            return coroutines[0]

        with pytest.raises(AssertionError, match="plain function"):
            await store.writer.execute(a_context(), identity, remember)
        coroutines[0].close()

    async def test_a_session_is_of_no_use_after_its_command(self, store: Store) -> None:
        identity = await begun(store, "a")
        kept: list[Session] = []
        await store.writer.execute(a_context(), identity, kept.append)
        with pytest.raises(AssertionError, match="inside its command"):
            kept[0].load(Counter, identity)

    async def test_an_event_that_would_not_read_back_is_not_stored(self, store: Store) -> None:
        identity = await begun(store, "a")
        with pytest.raises(UnfaithfulEvent, match=r"Counter\.Counted"):
            await count(store, identity, 1.5)  # type: ignore[arg-type]
        assert await total(store, "a") == 0
        assert (await count(store, identity, 2)).value == 2

    async def test_a_closed_store_accepts_nothing(self, open_store: OpenStore) -> None:
        for inline in (True, False):
            store = open_store(inline=inline)
            await store.close()
            with pytest.raises(StoreUnavailable, match="STORE_CLOSED"):
                await begun(store, "a")
            with pytest.raises(StoreUnavailable, match="STORE_CLOSED"):
                await store.queries.head()

    # Together

    async def test_64_callers_all_count_and_share_commits(self, open_store: OpenStore) -> None:
        store = open_store(inline=False)
        names = [f"c{n}" for n in range(8)]
        for name in names:
            await begun(store, name)
        commits = store.group_commit.commits

        async def caller(number: int) -> None:
            for _ in range(10):
                await count(store, counter_id(names[number % 8]), 1)

        await asyncio.gather(*(caller(n) for n in range(64)))
        assert [await total(store, name) for name in names] == [80] * 8
        assert store.group_commit.commits - commits < 640
        events = await store.queries.events_after(0)
        assert [event["position"] for event in events] == list(range(1, 8 + 640 + 1))
        await store.close()

    async def test_a_batch_is_one_commit_and_a_refusal_leaves_the_rest_of_it(self, open_store: OpenStore) -> None:
        store = open_store(inline=False)
        identity = await begun(store, "a")
        commits = store.group_commit.commits
        async with self.HeldWriter(store, identity):
            tasks = [asyncio.create_task(count(store, identity, amount)) for amount in (1, 2, 0, 4)]
            context = a_context()

            def count_then_refuse(session: Session) -> None:
                session.load(Counter, identity).count(context, 100)
                raise Refused("CHANGED_MY_MIND", "no.")

            tasks.append(asyncio.create_task(store.writer.execute(context, identity, count_then_refuse)))
            tasks.append(asyncio.create_task(count(store, identity, 8)))
            await self.queued(store, len(tasks))
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [getattr(o, "value", None) or getattr(o, "code", None) for o in outcomes] == [
            1,
            3,
            "NOTHING_TO_COUNT",
            7,
            "CHANGED_MY_MIND",
            15,
        ]
        assert await total(store, "a") == 15
        assert store.group_commit.commits == commits + 1
        await store.close()

    async def test_a_repetition_within_one_batch_is_answered_without_running(self, open_store: OpenStore) -> None:
        store = open_store(inline=False)
        identity = await begun(store, "a")
        context = a_context()
        async with self.HeldWriter(store, identity):
            tasks = [asyncio.create_task(count(store, identity, 5, context)) for _ in range(3)]
            await self.queued(store, 3)
        answers = await asyncio.gather(*tasks)
        assert [(a.version, a.is_repeat) for a in answers] == [(2, False), (2, True), (2, True)]
        await store.close()

    async def test_a_cancelled_wait_still_commits(self, open_store: OpenStore) -> None:
        store = open_store(inline=False)
        identity = await begun(store, "a")
        context = a_context()
        async with self.HeldWriter(store, identity):
            task = asyncio.create_task(count(store, identity, 5, context))
            await self.queued(store, 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert (await count(store, identity, 5, context)).is_repeat
        assert await total(store, "a") == 5
        await store.close()

    async def test_close_finishes_what_is_queued(self, open_store: OpenStore) -> None:
        store = open_store(inline=False)
        identity = await begun(store, "a")
        async with self.HeldWriter(store, identity):
            tasks = [asyncio.create_task(count(store, identity, 1)) for _ in range(5)]
            await self.queued(store, 5)
            closing = asyncio.create_task(store.close())
        await closing
        assert [answer.value for answer in await asyncio.gather(*tasks)] == [1, 2, 3, 4, 5]
        store = open_store(inline=True)
        assert await total(store, "a") == 5
        await store.close()

    async def test_too_many_waiting_commands_are_turned_away(self, open_store: OpenStore) -> None:
        store = open_store(inline=False)
        identity = await begun(store, "a")
        cast(CommandWriter, store.writer)._queue_limit = 2
        async with self.HeldWriter(store, identity):
            tasks = [asyncio.create_task(count(store, identity, 1)) for _ in range(2)]
            await self.queued(store, 2)
            with pytest.raises(StoreUnavailable, match="STORE_OVERLOADED"):
                await count(store, identity, 1)
        await asyncio.gather(*tasks)
        assert await total(store, "a") == 2
        await store.close()

    # Means

    class HeldWriter:
        """Holds the writer's thread inside a command, so that what is sent meanwhile becomes one batch."""

        def __init__(self, store: Store, identity: UUID) -> None:
            self._store = store
            self._identity = identity
            self._entered, self._go_on = threading.Event(), threading.Event()

        def _hold(self, session: Session) -> None:
            self._entered.set()
            self._go_on.wait()

        async def __aenter__(self) -> None:
            self._task = asyncio.create_task(self._store.writer.execute(a_context(), self._identity, self._hold))
            await asyncio.to_thread(self._entered.wait)

        async def __aexit__(self, *_: object) -> None:
            self._go_on.set()
            await self._task

    async def queued(self, store: Store, number: int) -> None:
        # A task queues its command in its first step.
        await asyncio.sleep(0)
        assert len(cast(CommandWriter, store.writer)._queue) == number
