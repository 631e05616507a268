"""The store: durable commands of many callers, and the replay of a long history. No cluster is needed."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from eventsourcing.application import project_aggregate

from domain.pair.cluster import Cluster
from domain.stateful import Context, Stateful
from domain.values.endpoints import Endpoints, Gateway
from domain.values.limits import Limits
from infra.store.codec import EventCodec
from infra.store.folding import fold
from infra.store.session import Session
from infra.store.store import Store, open_store
from infra.summaries import CONTENTS
from scripts.benchkit.measuring import BenchFailed, Row, Side

CALLERS = 64


def context() -> Context:
    """The context of a new command."""
    return Context(uuid4(), datetime.now(UTC), "bench", "", "", "bench")


def a_cluster(asked: Context, name: str) -> Cluster:
    """An aggregate whose limits can be changed again and again."""
    gateway = Gateway(name, 22, "understudy", "ssh-ed25519 AAAA", "/keys/id", "/spool")
    return Cluster.register(asked, name, Endpoints(gateway, (f"http://{name}:9870",)))


def _add(session: Session, *, cluster: Cluster) -> None:
    session.add(cluster)


class Commands(Row):
    name = "commands"
    work = "durable commands a second, 64 callers: the seconds for all of them"
    instead = "one transaction a command"
    goal = 4.0

    def prepare(self, number: int) -> None:
        self.each = 10 if self.is_small else 100

    def product(self) -> Side:
        return self._measure(is_inline=False)

    def rival(self) -> Side:
        return self._measure(is_inline=True)

    def _measure(self, *, is_inline: bool) -> Side:
        with tempfile.TemporaryDirectory() as directory:
            return asyncio.run(self._all(open_store(Path(directory) / "events.db", CONTENTS, inline=is_inline)))

    async def _all(self, store: Store) -> Side:
        names = [f"c{number}" for number in range(CALLERS)]
        for name in names:
            asked = context()
            cluster = a_cluster(asked, name)
            await store.writer.execute(asked, cluster.id, partial(_add, cluster=cluster))
        before = (await store.queries.head()).position
        began = time.monotonic()
        await asyncio.gather(*(self._call(store, name) for name in names))
        seconds = time.monotonic() - began
        written = (await store.queries.head()).position - before
        await store.close()
        if written != CALLERS * self.each:
            raise BenchFailed(f"{written} events were written, not {CALLERS * self.each}")
        return Side(seconds, {}, {"commands_per_second": written / seconds})

    async def _call(self, store: Store, name: str) -> None:
        identity = Cluster.identity(name)
        for number in range(self.each):
            asked = context()

            def decide(session: Session, asked: Context = asked, number: int = number) -> None:
                session.load(Cluster, identity).change_limits(asked, Limits(workers=number + 1))

            await store.writer.execute(asked, identity, decide)


class Replay(Row):
    name = "replay"
    work = "replay of one history of 20,000 events"
    instead = "the library's default projector"
    goal = 2.5
    events: Sequence[Stateful.Event] = ()

    def prepare(self, number: int) -> None:
        if self.events:
            return
        cluster = a_cluster(context(), "long")
        count = 2_000 if self.is_small else 20_000
        for change in range(count - 1):
            cluster.change_limits(context(), Limits(workers=change % 1_000 + 1))
        self.events = cast("Sequence[Stateful.Event]", cluster.collect_events())
        codec = EventCodec(CONTENTS.aggregate_classes)
        began = time.monotonic()
        for event in self.events:
            codec.to_domain_event(codec.to_stored_event(event))
        self.coding_seconds = time.monotonic() - began

    def product(self) -> Side:
        began = time.monotonic()
        replayed = fold(None, self.events)
        return self._checked(replayed, time.monotonic() - began)

    def rival(self) -> Side:
        began = time.monotonic()
        replayed: Any = project_aggregate(None, cast("Any", self.events))
        return self._checked(replayed, time.monotonic() - began)

    def _checked(self, replayed: Any, seconds: float) -> Side:
        if replayed.version != len(self.events):
            raise BenchFailed(f"version {replayed.version} of {len(self.events)}")
        return Side(seconds, {}, {"encoding_and_decoding_seconds": self.coding_seconds})
