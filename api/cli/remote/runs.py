"""``understudy runs`` and ``understudy run``."""

from __future__ import annotations

from typing import Any

import click

from api.cli.remote.losses import losses
from api.cli.remote.page import RunPage
from api.cli.remote.pauses import pauses_table
from api.cli.remote.run_text import run_text
from api.cli.remote.session import Session, command
from api.cli.remote.text import NOTHING, count, instant, milliseconds, printable, short, size, table
from api.cli.remote.transport import path
from api.cli.remote.watching import watch_run

HEADINGS = ("RUN", "SERVICE", "POLICY", "MOMENT", "STATE", "SKEW", "VERDICT", "MOVED", "PROTECTED", "FAILURE OR ALARM")


@click.command()
@click.option("--service", metavar="SERVICE", help="Only the runs of this service.")
@click.option("--state", metavar="STATE", help="Only runs in this state, such as COMPLETED.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many at most.")
@click.option("--after", type=int, help="'next' of the page before, as --json shows it.")
@command
def runs(session: Session, service: str | None, state: str | None, limit: int, after: int | None) -> None:
    """List the runs, the newest first."""
    query = {"service": service, "state": state, "limit": limit, "after": after}
    answer = session.client.get(path("runs"), query)
    paused = session.client.get_all(path("pauses"))
    text = table(HEADINGS, [_row(item) for item in answer["items"]], right=(5, 7, 8))
    session.show(answer, f"{text}\n\n{pauses_table(paused)}" if paused["items"] else text)


@click.group()
def run() -> None:
    """Look at a run, follow it, cancel it, confirm what it would change, or let it try again."""


@run.command()
@click.argument("run_id", metavar="RUN")
@command
def show(session: Session, run_id: str) -> None:
    """Show everything that is known about a run."""
    answer = session.client.get(path("runs", run_id))
    session.show(answer, run_text(RunPage(answer)))


@run.command()
@click.argument("run_id", metavar="RUN")
@command
def watch(session: Session, run_id: str) -> None:
    """Follow a run to its end; Ctrl-C leaves it running.

    Exit code 4 when it fails or is cancelled, 5 when it waits for a person.
    """
    watch_run(session, run_id)


@run.command()
@click.argument("run_id", metavar="RUN")
@click.option("--reason", default="cancelled at the command line", show_default=True, help="Kept in the events.")
@click.option("--give-up", is_flag=True, help="For a run that is APPLYING or later, in vain.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@command
def cancel(session: Session, run_id: str, reason: str, give_up: bool, yes: bool) -> None:
    """Give a run up and remove what it has done so far. The last recovery point is untouched.

    A run that changes the secondary's copies is tried again and again, because the way forward is the safe one. With
    --give-up it fails instead, between two attempts, and leaves the copies for the next run to heal.
    """
    page = RunPage(session.client.get(path("runs", run_id)))
    after = " The secondary's copies stay as they are until the next run heals them." if give_up else ""
    session.confirm(
        f"{'Give up' if give_up else 'Cancel'} the run {short(page.id)} of {printable(page.service)},"
        f" which is {page.state}? Its snapshots and staged copies are removed on both clusters.{after}",
        yes=yes,
    )
    wanted = {"reason": reason, **({"give_up": True} if give_up else {})}
    answer = session.client.post(path("runs", page.id, "cancel"), wanted)
    session.show(answer, f"run {short(page.id)} is {answer['state']}.")


@run.command()
@click.argument("run_id", metavar="RUN")
@click.option("--yes", is_flag=True, help="Do not ask.")
@command
def confirm(session: Session, run_id: str, yes: bool) -> None:
    """Let a run go on that was held because it changes more than its policy allows without asking."""
    page = RunPage(session.client.get(path("runs", run_id)))
    if page.mass_change:
        session.confirm(f"{mass_change_text(page)}\nLet the run {short(page.id)} change the secondary?", yes=yes)
    answer = session.client.post(path("runs", page.id, "confirm"))
    session.show(answer, f"run {short(page.id)} is {answer['state']}.")


@run.command()
@click.argument("run_id", metavar="RUN")
@command
def retry(session: Session, run_id: str) -> None:
    """Let a run go on that has stopped because something was refused for good: the alarm says what."""
    page = RunPage(session.client.get(path("runs", run_id)))
    answer = session.client.post(path("runs", page.id, "retry"))
    session.show(answer, f"run {short(page.id)} is {answer['state']} and goes on.")


run.add_command(losses)


def mass_change_text(page: RunPage) -> str:
    """Return what a held run would do, in numbers."""
    change = page.mass_change
    if change.get("unit") == "data sets":
        return f"The last recovery point has {printable(change.get('data_set'))}, and the next one would not."
    if page.adopted:
        return (
            f"Somebody else has put {printable(change.get('data_set'))} on the secondary, and"
            f" {count(change.get('changed'))} of {count(change.get('entries'))} entries there would be deleted or"
            f" replaced: 'understudy run losses {short(page.id)}' lists them. They are then nowhere: no recovery point"
            " has them."
        )
    return (
        f"On the secondary, {printable(change.get('data_set'))} would lose or have replaced"
        f" {count(change.get('changed'))} of its {count(change.get('entries'))} {change.get('unit')}"
        f" ({change.get('percent')} %; the policy allows {change.get('limit_percent')} % without asking)."
    )


def _row(item: dict[str, Any]) -> tuple[object, ...]:
    summary = item["summary"]
    totals = summary.get("totals") or {}
    is_staged = bool(summary.get("copies_staged"))
    return (
        short(item["id"]),
        summary.get("service_name"),
        summary.get("policy_name"),
        instant(summary.get("moment_ms")),
        item["state"],
        milliseconds(summary.get("skew_ms")),
        summary.get("verdict") or NOTHING,
        size(totals.get("bytes_moved") if is_staged else None),
        size(totals.get("bytes") if is_staged else None),
        ", ".join(filter(None, [(summary.get("failure") or {}).get("code"), *(summary.get("alarms") or ())])),
    )
