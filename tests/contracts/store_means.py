"""What suites and tests of the event store do with its sample aggregate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from infra.store.group_commit import Decide
from infra.store.store import Store
from tests.store.aggregates import (
    Counter,
    a_context,
    counter_id,
)

OpenStore = Callable[..., Store]


def begin(name: str) -> tuple[UUID, Callable[[Any], Decide[None]]]:
    identity = counter_id(name)

    def with_context(context: Any) -> Decide[None]:
        return lambda session: session.add(Counter.begin(Counter.Begun, identity, context, name=name))

    return identity, with_context


async def begun(store: Store, name: str) -> UUID:
    identity, decide = begin(name)
    context = a_context()
    answer = await store.writer.execute(context, identity, decide(context))
    assert (answer.aggregate_id, answer.version, answer.is_repeat) == (identity, 1, False)
    return identity


async def count(store: Store, identity: UUID, amount: int, context: Any = None) -> Any:
    context = context or a_context()
    return await store.writer.execute(
        context, identity, lambda session: session.load(Counter, identity).count(context, amount)
    )


async def total(store: Store, name: str) -> int:
    entry = await store.queries.get("Counter", name)
    return int(entry.summary["total"])
