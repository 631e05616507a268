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
from infra.store.recorder import ChainedRecorder
from infra.store.term import ControllerLock, next_term
from infra.store.writer import CommandWriter, InlineWriter, Writer


@dataclass(frozen=True)
class StoreContents:
    """What a store holds, named by the composition root.

    ``views_version`` is any string that changes when a function of a view changes; the read model is then rebuilt.
    """

    aggregate_classes: Sequence[type[Stateful]]
    views: Sequence[AggregateView] = ()
    views_version: str = "1"
    projections: Sequence[Projection] = ()


@dataclass(frozen=True)
class Store:
    """An open store.

    ``term`` is higher than that of every controller that had it open before; ``rebuilt`` names the read models that
    had to be made anew when it was opened.
    """

    writer: Writer
    queries: Queries
    term: int
    rebuilt: tuple[str, ...]
    group_commit: GroupCommit
    _read_models: ReadModels
    _datastore: WritingDatastore
    _resources: ExitStack

    def rebuild(self, name: str) -> None:
        """Make one read model anew from the events; commands wait meanwhile. Blocks."""
        self._read_models.rebuild(self._datastore, name)

    async def close(self) -> None:
        """Commit what is queued, then release the file and the lock."""
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
) -> Store:
    """Open the store at ``path`` for the one controller that may, creating it if there is none. Blocks.

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
            read_models = ReadModels(codec, contents.views, contents.views_version, contents.projections)
            rebuilt = tuple(read_models.bring_up_to_date(datastore))
            term = next_term(datastore)
            positions = Positions(recorder.head().position)
            reading = ReadingDatastore(path)
            undo.callback(reading.close)
        except OSError as error:
            raise StoreUnavailable(
                "STORE_IO_FAILED", f"the event store cannot be opened: {error}.", remedy="Check its path and owner."
            ) from error
        group_commit = GroupCommit(recorder, codec, read_models, positions)
        writer: Writer = InlineWriter(group_commit) if inline else CommandWriter(group_commit, offload=offload)
        queries = Queries(reading, positions, offload)
        return Store(writer, queries, term, rebuilt, group_commit, read_models, datastore, undo.pop_all())
