"""``understudy run losses``: what a first run would delete or replace of what it finds on the secondary."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import click

from api.cli.remote.clusters import CHECK_SECONDS
from api.cli.remote.page import RunPage
from api.cli.remote.session import Session, command
from api.cli.remote.text import NOTHING, instant, size, table
from api.cli.remote.transport import path

KINDS = {"f": "file", "d": "directory"}


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--limit", default=1_000, show_default=True, type=click.IntRange(1), help="At most so many.")
@command
def losses(session: Session, run_id: str, limit: int) -> None:
    """List what a run would delete or replace of a tree that it takes over, while it is HELD."""
    page = RunPage(session.client.get(path("runs", run_id)))
    found = list(islice(_losses(session, page), limit + 1))
    rows = [
        (
            one["do"],
            KINDS.get(one["t"], one["t"]),
            size(one["l"]) if "l" in one else NOTHING,
            instant(one.get("m")),
            one.get("o"),
            f"{one['data_set']}/{one['p']}",
        )
        for one in found[:limit]
    ]
    text = table(("WOULD BE", "KIND", "BYTES", "MODIFIED", "OWNER", "DATA SET AND PATH"), rows, right=(2,))
    more = f"\n… and more: --limit {limit * 10}" if len(found) > limit else ""
    none = "nothing that was found would be deleted or replaced"
    session.show({"items": found[:limit], "is_all": len(found) <= limit}, text + more if rows else none)


def _losses(session: Session, page: RunPage) -> Iterator[dict[str, Any]]:
    """All of them, page after page, each with its data set's name."""
    for part in page.data_sets:
        offset: int | None = 0 if part.staged.get("adopted") else None
        while offset is not None:
            wanted: dict[str, str | int | None] = {"data_set": part.id, "offset": offset}
            answer = session.client.get(path("runs", page.id, "losses"), wanted, timeout_seconds=CHECK_SECONDS)
            yield from ({**one, "data_set": part.name} for one in answer["losses"])
            offset = answer["next"]
