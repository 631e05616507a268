"""``understudy refusals``."""

from __future__ import annotations

import click

from api.cli.remote.session import Session, command
from api.cli.remote.text import instant, table
from api.cli.remote.transport import path

HEADINGS = ("WHEN", "WHO", "COMMAND", "ABOUT", "CODE", "WHY", "LEFT OUT")


@click.command()
@click.option("--actor", metavar="NAME", help="Only those of the token with this name.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many at most.")
@click.option("--after", type=int, help="'next' of the page before, as --json shows it.")
@command
def refusals(session: Session, actor: str | None, limit: int, after: int | None) -> None:
    """List commands that were refused, the newest first: who tried what, and why it was not done.

    LEFT OUT is how many of the same actor came too fast to be recorded, since the one before.
    """
    answer = session.client.get(path("refusals"), {"actor": actor, "limit": limit, "after": after})
    rows = []
    for item in answer["items"]:
        told = item["summary"]
        fields = ("actor", "command", "about", "code", "message")
        rows.append((instant(told.get("at_ms")), *(told.get(name) for name in fields), told.get("left_out") or ""))
    session.show(answer, table(HEADINGS, rows, right=(6,)))
