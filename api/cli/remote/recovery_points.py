"""``understudy recovery-points``, ``recovery-point``, ``open`` and ``close``."""

from __future__ import annotations

from typing import Any

import click

from api.cli.exit_codes import ExitCode
from api.cli.remote.errors import CommandFailed
from api.cli.remote.session import Session, command
from api.cli.remote.text import NOTHING, details, instant, milliseconds, printable, short, table
from api.cli.remote.transport import path
from api.cli.remote.waiting import wait_until_done

HEADINGS = ("RECOVERY POINT", "SERVICE", "MOMENT", "STATE", "SKEW", "VERDICT", "VERIFIED", "ON", "READ", "DATA SETS")
WAIT_SECONDS = 600


@click.command("recovery-points")
@click.option("--service", metavar="SERVICE", help="Only those of this service.")
@click.option("--state", metavar="STATE", help="Only those in this state, such as AVAILABLE.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many at most.")
@click.option("--after", type=int, help="'next' of the page before, as --json shows it.")
@command
def recovery_points(session: Session, service: str | None, state: str | None, limit: int, after: int | None) -> None:
    """List the recovery points, the newest first."""
    query = {"service": service, "state": state, "limit": limit, "after": after}
    answer = session.client.get(path("recovery-points"), query)
    session.show(answer, table(HEADINGS, [_row(item) for item in answer["items"]], right=(4, 9)))


@click.group("recovery-point")
def recovery_point() -> None:
    """Look at a recovery point, or remove it."""


@recovery_point.command()
@click.argument("identity", metavar="RECOVERY-POINT")
@command
def show(session: Session, identity: str) -> None:
    """Show everything that is known about a recovery point."""
    answer = session.client.get(path("recovery-points", identity))
    session.show(answer, details(answer))


@recovery_point.command()
@click.argument("identity", metavar="RECOVERY-POINT")
@click.option("--reason", default="expired at the command line", show_default=True, help="Kept in the events.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--wait/--no-wait", default=True, help="Wait until it is gone.")
@command
def expire(session: Session, identity: str, reason: str, yes: bool, wait: bool) -> None:
    """Remove a recovery point from both clusters; it cannot be brought back."""
    found = session.client.get(path("recovery-points", identity))
    session.confirm(
        f"Remove the recovery point {short(found['id'])} of {printable(found['summary'].get('service_name'))}"
        f" at {instant(found['summary'].get('moment_ms'))} from both clusters, for good?",
        yes=yes,
    )
    answer = session.client.post(path("recovery-points", found["id"], "expire"), {"reason": reason})
    _finish(session, answer, "EXPIRED", wait=wait)


@click.command("open")
@click.argument("identity", metavar="RECOVERY-POINT")
@click.option("--wait/--no-wait", default=True, help="Wait until it can be read.")
@command
def open_one(session: Session, identity: str, wait: bool) -> None:
    """Make a recovery point readable on the secondary, under scratch names that this tells."""
    found = session.client.get(path("recovery-points", identity))
    answer = found
    if found["state"] != "OPEN":
        answer = session.client.post(path("recovery-points", found["id"], "open"))
    _finish(session, answer, "OPEN", wait=wait)


@click.command()
@click.argument("identity", metavar="RECOVERY-POINT")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--wait/--no-wait", default=True, help="Wait until nothing of the opening is left.")
@command
def close(session: Session, identity: str, yes: bool, wait: bool) -> None:
    """Remove what opening a recovery point made; the recovery point stays."""
    found = session.client.get(path("recovery-points", identity))
    session.confirm(
        f"Remove the readable copies of {short(found['id'])} from {printable(found['summary'].get('secondary'))}?"
        " What was written to cloned tables is lost; the recovery point stays.",
        yes=yes,
    )
    answer = session.client.post(path("recovery-points", found["id"], "close"))
    _finish(session, answer, "AVAILABLE", wait=wait)


def _finish(session: Session, answer: dict[str, Any], wanted: str, *, wait: bool) -> None:
    """Wait for the state that the command leads to, and tell it; raise ``CommandFailed`` for another end."""
    if wait:
        answer = wait_until_done(session, "recovery-points", answer, WAIT_SECONDS)
    session.show(answer, _text(answer))
    if wait and answer["state"] != wanted:
        failure = answer["summary"].get("failure") or {}
        raise CommandFailed(
            ExitCode.FAILED,
            str(failure.get("code") or "NOT_DONE"),
            str(failure.get("message") or f"it is {answer['state']}, not {wanted}."),
            remedy=str(failure.get("remedy") or ""),
        )


def _text(answer: dict[str, Any]) -> str:
    lines = [f"recovery point {short(answer['id'])} is {answer['state']}."]
    readable = answer["summary"].get("readable") or {}
    names = {one["id"]: one for one in answer["summary"].get("data_sets") or ()}
    opened = readable.get("data_sets") or readable
    rows = [(_name_of(names.get(identity, {})), told.get("readable")) for identity, told in opened.items()]
    if rows:
        lines += ["", table(("DATA SET", f"READABLE ON {answer['summary'].get('secondary')} AS"), rows)]
        if any(one.get("component") == "hdfs" for one in names.values()):
            lines += ["", "Paths are readable by HDFS's superuser only, unless the policy's head mode is 755."]
    for identity, told in opened.items():
        if told.get("left_out"):
            what = printable(", ".join(told["left_out"]))
            lines.append(f"{_name_of(names.get(identity, {}))} was made without {what}; the recovery point has that.")
    return "\n".join(lines)


def _name_of(data_set: dict[str, Any]) -> str:
    name = data_set.get("path") or data_set.get("table") or data_set.get("name")
    return f"{data_set.get('component')}:{name}"


def _read(told: dict[str, Any] | None) -> str:
    """How much of it had been read from the disks when it was made, and since when."""
    if not told:
        return NOTHING
    whole = int(told.get("bytes") or 0)
    share = (whole - int(told.get("never_bytes") or 0)) * 100 // whole if whole else 100
    since = f" since {instant(told['oldest_ms'])}" if told.get("oldest_ms") is not None else ""
    return f"{share} %{since}" + (", overdue" if told.get("overdue_bytes") else "")


def _row(item: dict[str, Any]) -> tuple[object, ...]:
    summary = item["summary"]
    consistency = summary.get("consistency") or {}
    return (
        short(item["id"]),
        summary.get("service_name"),
        instant(summary.get("moment_ms")),
        ", ".join([item["state"], *(summary.get("alarms") or ())]),
        milliseconds(consistency.get("skew_ms")),
        consistency.get("verdict"),
        summary.get("level"),
        summary.get("secondary"),
        _read(summary.get("read")),
        len(summary.get("data_sets") or ()),
    )
