"""``understudy pause``, ``resume`` and ``pauses``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from api.cli.remote.errors import usage
from api.cli.remote.session import Session, command
from api.cli.remote.text import instant, table
from api.cli.remote.transport import path
from domain.protection.pause import described, option_for


def _scope_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for decorate in (
        click.option("--service", metavar="NAME", help="The runs of one service."),
        click.option("--cluster", metavar="NAME", help="Everything that reads from or writes to a cluster."),
        click.option("--all", "is_all", is_flag=True, help="Everything."),
    ):
        function = decorate(function)
    return function


def _scope(is_all: bool, cluster: str | None, service: str | None) -> str:
    named = ["all"] if is_all else []
    named += [f"cluster:{cluster}"] if cluster else []
    named += [f"service:{service}"] if service else []
    if len(named) != 1:
        raise usage("NO_SCOPE", "say what: exactly one of --all, --cluster and --service.", "See --help.")
    return named[0]


@click.command()
@_scope_options
@click.option("--reason", required=True, help="Why; whoever finds it paused will read it.")
@command
def pause(session: Session, is_all: bool, cluster: str | None, service: str | None, reason: str) -> None:
    """Let things stand still: no new run, no further transfer, until 'understudy resume'.

    Agents that are copying finish what is in flight and wait. What is armed still takes its snapshots at its moment,
    and what changes a copy is brought to its end: nothing is left half done.
    """
    scope = _scope(is_all, cluster, service)
    answer = session.client.post(path("pauses"), {"scope": scope, "reason": reason})
    session.show(answer, f"{described(scope)}: paused. To let it go on: understudy resume {option_for(scope)}")


@click.command()
@_scope_options
@click.option("--reason", default="", help="Why; for the record.")
@command
def resume(session: Session, is_all: bool, cluster: str | None, service: str | None, reason: str) -> None:
    """Let go on what was paused."""
    scope = _scope(is_all, cluster, service)
    answer = session.client.post(path("pauses", "resume"), {"scope": scope, "reason": reason})
    session.show(answer, f"{described(scope)}: goes on")


@click.command()
@command
def pauses(session: Session) -> None:
    """List what stands still: by whom, since when, and why."""
    answer = session.client.get_all(path("pauses"))
    session.show(answer, pauses_table(answer))


def pauses_table(answer: dict[str, Any]) -> str:
    """The pauses that the API has told, as a table."""
    rows = [
        (
            described(item["name"]),
            item["summary"].get("by"),
            instant(item["summary"].get("since_ms")),
            item["summary"].get("reason"),
        )
        for item in answer["items"]
    ]
    return table(("PAUSED", "BY", "SINCE", "WHY"), rows)
