"""Opens a store: lock, file, term, read models, writer, queries; and closes it in the opposite order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from domain.stateful import Stateful
from infra.store.codec import EventCodec
from infra.store.database import ReadingDatastore, WritingDatastore
from infra.store.errors import StoreUnavailable, typed_errors
from infra.store.group_commit import GroupCommit
from infra.store.positions import Positions
from infra.store.queries import Offload, Queries
from infra.store.read_models import AggregateView, Projection, ReadModels
from infra.store.rebuilding import Rebuilding
from infra.store.recorder import ChainedRecorder
from infra.store.snapshots import EVERY, Snapshots
from infra.store.term import ControllerLock, next_term
from infra.store.writer import CommandWriter, InlineWriter, Writer

REBUILD_SECONDS = 1.0


@dataclass(frozen=True)
class StoreContents:
    """What a store holds, named by the composition root.

    ``views_version`` is any string that changes when a function of a view changes; the read model is then rebuilt.
    ``indexed_fields`` are fields of summaries that lists are asked for by. ``snapshots_version`` is any string that
    changes with the code of the aggregates; without one there are no snapshots.
    """

    aggregate_classes: Sequence[type[Stateful]]
    views: Sequence[AggregateView] = ()
    views_version: str = "1"
    projections: Sequence[Projection] = ()
    indexed_fields: Sequence[str] = ()
    snapshots_version: str = ""
    snapshots_every: int = EVERY


@dataclass(frozen=True)
class Store:
    """An open store.

    ``term`` is higher than that of every controller that had it open before; ``rebuilt`` names the read models that
    had to be made anew when it was opened, which may still be going on.
    """

    writer: Writer
    queries: Queries
    term: int
    rebuilt: tuple[str, ...]
    group_commit: GroupCommit
    rebuilding: Rebuilding
    _datastore: WritingDatastore
    _resources: ExitStack

    def rebuild(self, name: str) -> None:
        """Make one read model anew from the events. Blocks."""
        self.rebuilding.again(name)

    async def close(self) -> None:
        """Commit what is queued, then release the file and the lock."""
        self.rebuilding.stop()
        await self.writer.close()
        await self.queries.close()
        self._resources.close()


def open_store(
    path: Path,
    contents: StoreContents,
    *,
    offload: Offload = asyncio.to_thread,
    inline: bool = False,
    durable: bool = True,
    rebuild_seconds: float = REBUILD_SECONDS,
) -> Store:
    """Open the store at ``path`` for the one controller that may, creating it if there is none. Blocks.

    Read models that have to be made anew are whole when it returns if that takes less than ``rebuild_seconds``, or if
    it is ``inline``; else a thread goes on with them.

    ``inline`` and ``durable=False`` are for simulation: commands run in the caller's thread, and commits are not
    forced to the disk. Raises ``Conflict`` CONTROLLER_RUNNING, ``StoreUnreadable`` (another program's file, a newer
    format, an event that this version does not know) and ``StoreUnavailable``.
    """
    with typed_errors(), ExitStack() as undo:
        try:
            lock = ControllerLock(path)
            undo.callback(lock.release)
            datastore = WritingDatastore(path, durable=durable)
            undo.callback(datastore.close)
            codec = EventCodec(contents.aggregate_classes)
            recorder = ChainedRecorder(datastore)
            recorder.create_table()
            read_models = ReadModels(
                contents.views, contents.views_version, contents.projections, contents.indexed_fields
            )
            snapshots = Snapshots(codec, contents.snapshots_version, contents.snapshots_every)
            snapshots.create_table(datastore)
            rebuilding = Rebuilding(datastore, read_models, snapshots, codec)
            rebuilt = rebuilding.begin()
            is_behind = rebuilding.work_for(None if inline else rebuild_seconds)
            term = next_term(datastore)
            positions = Positions(recorder.head().position)
            reading = ReadingDatastore(path)
            undo.callback(reading.close)
        except OSError as error:
            raise StoreUnavailable(
                "STORE_IO_FAILED", f"the event store cannot be opened: {error}.", remedy="Check its path and owner."
            ) from error
        group_commit = GroupCommit(recorder, codec, read_models, positions, snapshots)
        writer: Writer = InlineWriter(group_commit) if inline else CommandWriter(group_commit, offload=offload)
        queries = Queries(reading, positions, rebuilding, offload)
        if is_behind:
            rebuilding.go_on()
        return Store(writer, queries, term, rebuilt, group_commit, rebuilding, datastore, undo.pop_all())
