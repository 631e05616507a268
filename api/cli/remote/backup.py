"""``understudy backup``."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from api.cli.remote.errors import usage
from api.cli.remote.moments import moment
from api.cli.remote.session import Session, command
from api.cli.remote.text import instant, printable, short
from api.cli.remote.transport import path
from api.cli.remote.watching import watch_run


@click.command()
@click.argument("service")
@click.option("--policy", metavar="POLICY", help="Which policy; not needed when the service has one.")
@click.option(
    "--at",
    default="now",
    show_default=True,
    metavar="MOMENT",
    help="2026-05-04T03:00:00Z, 2026-05-04T05:00:00+02:00, +90s (ms, s, m, h), now: as soon as the policy allows, or"
    " soonest: as little ahead as the newest runs needed.",
)
@click.option("--push", is_flag=True, help="The primary sends, whatever the policy says.")
@click.option("--pull", is_flag=True, help="The secondary fetches, whatever the policy says.")
@click.option("--watch", is_flag=True, help="Follow the run to its end.")
@command
def backup(session: Session, service: str, policy: str | None, at: str, push: bool, pull: bool, watch: bool) -> None:
    """Back up a whole service as of one moment."""
    if push and pull:
        raise usage("TWO_DIRECTIONS", "both --push and --pull are given.", "Give one of them.")
    direction = "push" if push else "pull" if pull else None
    wanted = {"policy": policy, "at": moment(at, datetime.now(UTC)), "direction": direction}
    answer = session.client.post(path("services", service, "backups"), wanted)
    summary = answer["summary"]
    if answer.get("also_open"):
        others = ", ".join(short(run) for run in answer["also_open"])
        click.echo(
            f"note: of {printable(service)} {others} is not over yet. They take turns; a run that began to copy before"
            " another one has changed the copies on the secondary fails with SUPERSEDED.",
            err=True,
        )
    if not watch:
        session.show(
            answer,
            f"run {short(answer['id'])} of {printable(service)} at {instant(summary['moment_ms'])},"
            f" by {summary['direction']}. Follow it: understudy run watch {short(answer['id'])}",
        )
        return
    watch_run(session, answer["id"])
