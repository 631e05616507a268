"""What is committed, by the words that people use: the store's read models behind ``api.ports.Reads``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from eventsourcing.sqlite import SQLiteCursor

from api.ports import Entry
from domain.errors import NotFound
from infra.store.queries import AggregateEntry, Queries
from infra.summaries import KINDS


class StoreReads:
    """Reads of one open store."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def list(
        self, kind: str, filters: Mapping[str, str], *, limit: int, after: int | None, newest_first: bool
    ) -> Sequence[Entry]:
        """See ``Reads``."""
        entries = await self._queries.list(
            KINDS[kind].__name__, dict(filters), limit=limit, after=after, newest_first=newest_first
        )
        return [_entry(entry) for entry in entries]

    async def get(self, kind: str, reference: str | UUID) -> Entry:
        """See ``Reads``."""
        try:
            return _entry(await self._queries.get(KINDS[kind].__name__, reference))
        except NotFound:
            raise NotFound(kind, str(reference)) from None

    async def ids_with_prefix(self, kind: str, prefix: str, limit: int) -> Sequence[UUID]:
        """See ``Reads``."""
        # 'g' follows the last hexadecimal digit, so this is a range of the primary key.
        values = (KINDS[kind].__name__, prefix, prefix + "g", limit)

        def question(cursor: SQLiteCursor) -> Sequence[UUID]:
            cursor.execute(
                "SELECT id FROM aggregates WHERE kind = ? AND id >= ? AND id < ? ORDER BY id LIMIT ?", values
            )
            return [UUID(row["id"]) for row in cursor.fetchall()]

        return await self._queries.ask(question)

    async def wait_for(self, position: int) -> int:
        """See ``Reads``."""
        return await self._queries.wait_for(position)


def _entry(entry: AggregateEntry) -> Entry:
    return Entry(entry.id, entry.name, entry.version, entry.state, entry.summary, entry.first_position)
