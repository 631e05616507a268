"""One service with more and more runs behind it: a cold load, a start, and read models that are made anew.

No cluster is needed. The histories are real ones of the domain, written past the writer, which would take an hour.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from domain.protection.backup_run import states
from domain.protection.replica import Replica
from domain.stateful import Stateful
from infra.store.codec import EventCodec
from infra.store.database import WritingDatastore
from infra.store.folding import fold
from infra.store.recorder import ChainedRecorder
from infra.store.session import Session
from infra.store.snapshots import decoded
from infra.store.store import Store, open_store
from infra.summaries import CONTENTS
from scripts.benchkit.growing import Figure, Series
from scripts.benchkit.measuring import BenchFailed
from scripts.benchkit.rows.store import context
from tests.domain.builders import succeeded
from tests.domain.honest import shown
from tests.domain.voyage import Voyage

KEPT = 7
EVENTS_AT_ONCE = 5_000


class ByRuns(Series):
    name = "histories"
    title = "A service by the runs behind it"
    by = "runs"
    figures = (
        Figure("events", "events"),
        Figure("replica_events", "events of the replica"),
        Figure("load_ms", "ms for a cold load of it", limit=100.0),
        Figure("folding_ms", "ms if it is folded whole"),
        Figure("start_ms", "ms to open the store", limit=1_000.0),
        Figure("list_ms", "ms to find what is open"),
        Figure("rebuild_seconds", "s to make lists anew"),
        Figure("command_ms", "ms for a command meanwhile, at most"),
    )
    sizes = (1_000, 10_000, 35_000)
    small_sizes = (20, 60)

    def measure(self, size: int) -> Mapping[str, float]:
        with TemporaryDirectory() as directory:
            path = Path(directory) / "events.db"
            replica = fill(path, size)
            found = asyncio.run(_measured(path, replica))
        return {name: float(value) for name, value in found.items()}


def fill(path: Path, runs: int) -> Replica:
    """A store with so many completed runs of one service; returns its replica."""
    datastore = WritingDatastore(path, durable=False)
    recorder = ChainedRecorder(datastore)
    recorder.create_table()
    codec = EventCodec(CONTENTS.aggregate_classes)
    waiting = []
    voyage = Voyage(keep_last=KEPT)
    for event in (*voyage.service.collect_events(), *voyage.policy.collect_events()):
        waiting.append(codec.to_stored_event(event))
    replica = voyage.replica
    for _ in range(runs):
        for event in _one_run(voyage):
            waiting.append(codec.to_stored_event(event))
        if len(waiting) >= EVENTS_AT_ONCE:
            recorder.insert_events(waiting)
            waiting = []
        voyage = voyage.next(keep_last=KEPT)
    if waiting:
        recorder.insert_events(waiting)
    datastore.close()
    return replica


def _one_run(voyage: Voyage) -> Iterator[Stateful.Event]:
    """The events of a run to its end, of its recovery point, and of one that goes."""
    run, replica, contexts = voyage.to(states.COMPLETED).run, voyage.replica, voyage.contexts
    touched: list[Stateful] = [run, voyage.points[run.recovery_point_id]]
    if len(replica.kept) > KEPT:
        oldest = voyage.points.pop(next(iter(replica.kept)))
        replica.let_go(contexts(), oldest.id)
        oldest.expire(contexts(), "it is the oldest", oldest.endpoints)
        while wanted := oldest.next_instructions():
            oldest.conclude(contexts(), wanted[0].id, succeeded(shown(wanted[0])))
        replica.gone(contexts(), oldest.id)
        touched.append(oldest)
    for aggregate in (*touched, replica):
        yield from cast("list[Stateful.Event]", aggregate.collect_events())


async def _measured(path: Path, replica: Replica) -> Mapping[str, float]:
    events = open_store(path, CONTENTS, rebuild_seconds=0.0)
    rebuild_seconds, command_ms = await _meanwhile(events, replica)
    folding_ms = _folding_ms(events, replica)
    position = (await events.queries.head()).position
    await events.close()
    began = time.monotonic()
    store = open_store(path, CONTENTS)
    start_ms = (time.monotonic() - began) * 1000
    load_ms = await _load_ms(store, replica)
    began = time.monotonic()
    await store.queries.open_work()
    for state in states.OPEN:
        await store.queries.list("BackupRun", {"service": str(replica.service), "state": state}, limit=1)
    await store.queries.list("BackupRun", {"can_be_swept": True})
    list_ms = (time.monotonic() - began) * 1000
    await store.close()
    return {
        "events": position,
        "replica_events": replica.version,
        "load_ms": load_ms,
        "folding_ms": folding_ms,
        "start_ms": start_ms,
        "list_ms": list_ms,
        "rebuild_seconds": rebuild_seconds,
        "command_ms": command_ms,
    }


async def _meanwhile(store: Store, replica: Replica) -> tuple[float, float]:
    """How long the rebuilding takes, and the longest command in it."""
    began, longest = time.monotonic(), 0.0
    done = asyncio.ensure_future(store.queries.rebuilt())
    while not done.done():
        asked = time.monotonic()
        await _pin(store, replica)
        longest = max(longest, time.monotonic() - asked)
        await asyncio.wait({done}, timeout=0.02)
    return time.monotonic() - began, longest * 1000


async def _load_ms(store: Store, replica: Replica) -> float:
    began = time.monotonic()
    await _pin(store, replica)
    return (time.monotonic() - began) * 1000


async def _pin(store: Store, replica: Replica) -> None:
    """A command that loads the replica and changes nothing."""

    def decide(session: Session) -> int:
        found = session.find(Replica, replica.id)
        if found is None or found.head != replica.head:
            raise BenchFailed("the replica is not what its events say")
        return found.version

    await store.writer.execute(context(), replica.id, decide)


def _folding_ms(store: Store, replica: Replica) -> float:
    codec = EventCodec(CONTENTS.aggregate_classes)
    began = time.monotonic()
    with store.group_commit._recorder.datastore.transaction(commit=False) as cursor:
        cursor.execute(
            "SELECT * FROM stored_events WHERE originator_id = ? ORDER BY originator_version", (replica.id.hex,)
        )
        folded = fold(None, (decoded(codec, row) for row in cursor.fetchall()))
    if folded is None or folded.version != replica.version:
        raise BenchFailed("the replica is not what its events say")
    return (time.monotonic() - began) * 1000
