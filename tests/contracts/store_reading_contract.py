"""What every event store must answer about what it holds, now and after it was opened anew."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from domain.errors import Conflict, InvalidInput, NotFound
from infra.store.chain import Anchor, ChainStatus
from infra.store.session import Session
from infra.store.store import Store
from tests.contracts.store_means import OpenStore, begun, count
from tests.store.aggregates import (
    CONTENTS,
    Counter,
    a_context,
    counter_id,
)


class StoreReadingContract:
    """A part of ``StoreContract``, which gives the fixture ``store``."""

    # Read models

    async def test_lists_and_names(self, store: Store) -> None:
        for name, amount in (("a", 5), ("b", 500), ("c", 7)):
            await count(store, await begun(store, name), amount)
        listed = await store.queries.list("Counter")
        assert [entry.name for entry in listed] == ["a", "b", "c"]
        page = await store.queries.list("Counter", limit=2, newest_first=True)
        assert [entry.name for entry in page] == ["c", "b"]
        rest = await store.queries.list("Counter", after=page[-1].first_position, newest_first=True)
        assert [entry.name for entry in rest] == ["a"]
        assert [e.name for e in await store.queries.list("Counter", {"total": 7, "state": "OPEN"})] == ["c"]
        assert [e.name for e in await store.queries.list("Counter", {"size.big": True})] == ["b"]
        assert await store.queries.list("Sample") == []
        by_name, by_id = await store.queries.get("Counter", "b"), await store.queries.get("Counter", counter_id("b"))
        assert by_name == by_id == listed[1]
        assert (by_name.version, by_name.state, by_name.summary["total"]) == (2, "OPEN", 500)
        with pytest.raises(NotFound):
            await store.queries.get("Counter", "d")
        with pytest.raises(InvalidInput):
            await store.queries.list("Counter", {"total') OR ('1": 1})
        with pytest.raises(InvalidInput):
            await store.queries.list("Counter", limit=0)

    async def test_a_name_is_taken_once_and_free_after_a_rename(self, store: Store) -> None:
        identity = await begun(store, "a")
        second = uuid4()
        context = a_context()

        def begin_second(session: Session) -> None:
            session.add(Counter.begin(Counter.Begun, second, context, name="a"))

        with pytest.raises(Conflict, match="NAME_TAKEN"):
            await store.writer.execute(context, second, begin_second)
        rename = a_context()
        await store.writer.execute(
            rename, identity, lambda session: session.load(Counter, identity).note(Counter.Renamed, rename, name="z")
        )
        await store.writer.execute(context, second, begin_second)
        assert {e.name: e.id for e in await store.queries.list("Counter")} == {"z": identity, "a": second}

    async def test_open_work_is_there_from_the_command_that_opened_it(self, store: Store) -> None:
        first, second = await begun(store, "a"), await begun(store, "b")
        await count(store, first, 1)
        assert [(w.aggregate_id, w.kind, w.since_position) for w in await store.queries.open_work()] == [
            (first, "Counter", 1),
            (second, "Counter", 2),
        ]
        await self.fire(store, first, "close")
        assert [w.aggregate_id for w in await store.queries.open_work()] == [second]
        await self.fire(store, first, "reopen")
        assert [w.since_position for w in await store.queries.open_work()] == [2, 5]

    async def test_history_and_events_say_who_when_and_why(self, store: Store) -> None:
        identity = await begun(store, "a")
        context = replace(a_context(), cause="instruction-9")
        await count(store, identity, 5, context)
        event = (await store.queries.history(identity))[1]
        assert event == {
            "position": 2,
            "aggregate_id": str(identity),
            "version": 2,
            "topic": "Counter.Counted",
            "at": "2026-03-01T12:30:15.123456Z",
            "actor": "tester",
            "cause": "instruction-9",
            "command_id": str(context.command_id),
            "request_id": "request-1",
            "code_version": "1.0",
            "facts": {"amount": 5},
        }
        assert await store.queries.events_after(1) == [event]
        assert len(await store.queries.events_after(0, limit=1)) == 1

    async def test_read_models_are_the_same_when_rebuilt(self, store: Store) -> None:
        first = await begun(store, "a")
        await begun(store, "b")
        await count(store, first, 3)
        await self.fire(store, first, "close")
        before = (await store.queries.list("Counter"), await store.queries.open_work())
        store.rebuild("aggregates")
        assert (await store.queries.list("Counter"), await store.queries.open_work()) == before

    async def test_waiting_for_a_position_ends_with_the_commit(self, store: Store) -> None:
        assert await store.queries.wait_for(0) == 0
        waiting = asyncio.create_task(store.queries.wait_for(2))
        given_up = asyncio.create_task(store.queries.wait_for(3))
        identity = await begun(store, "a")
        assert not waiting.done()
        given_up.cancel()
        await count(store, identity, 1)
        assert await waiting == 2
        assert await store.queries.wait_for(1) == 2
        await count(store, identity, 1)
        with pytest.raises(asyncio.CancelledError):
            await given_up

    # For ever

    async def test_everything_is_there_after_reopening_and_the_term_is_higher(self, open_store: OpenStore) -> None:
        store = open_store(inline=False)
        identity = await begun(store, "a")
        context = a_context()
        await count(store, identity, 5, context)
        head = await store.queries.head()
        assert store.term == 1
        await store.close()
        store = open_store(inline=False)
        assert (store.term, store.rebuilt) == (2, ())
        assert await store.queries.head() == head
        assert (await count(store, identity, 5, context)).is_repeat
        assert (await count(store, identity, 1)).value == 6
        await store.close()

    async def test_a_changed_view_is_rebuilt_when_the_store_is_opened(self, open_store: OpenStore) -> None:
        store = open_store(inline=True)
        await begun(store, "a")
        await store.close()
        view = replace(CONTENTS.views[0], summarise=lambda counter: {"new": True})
        store = open_store(inline=True, contents=replace(CONTENTS, views=(view,), views_version="2"))
        assert store.rebuilt == ("aggregates",)
        assert (await store.queries.get("Counter", "a")).summary == {"new": True}
        await store.close()

    async def test_the_chain_proves_events_up_to_the_newest_anchor(self, store: Store) -> None:
        identity = await begun(store, "a")
        anchor = await store.queries.head()
        assert anchor.position == 1
        verdict = await store.queries.verify([])
        assert (verdict.status, verdict.not_yet_anchored) == (ChainStatus.NOT_YET_ANCHORED, 1)
        assert (await store.queries.verify([anchor])).status is ChainStatus.PROVED
        await count(store, identity, 1)
        verdict = await store.queries.verify([anchor])
        assert (verdict.status, verdict.proved_through, verdict.not_yet_anchored) == (
            ChainStatus.NOT_YET_ANCHORED,
            1,
            1,
        )
        assert (await store.queries.verify([Anchor(2, bytes(32))])).status is ChainStatus.BROKEN

    # Means

    async def fire(self, store: Store, identity: UUID, trigger: str) -> None:
        context = a_context()
        await store.writer.execute(
            context, identity, lambda session: session.load(Counter, identity).fire(trigger, context)
        )
