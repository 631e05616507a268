"""``understudy plan``: how much a backup would be, and how long it would take, before anything moves."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from api.cli.remote.clusters import CHECK_SECONDS
from api.cli.remote.moments import moment
from api.cli.remote.session import Session, command
from api.cli.remote.text import NOTHING, count, duration, instant, pairs, printable, short, size, table
from api.cli.remote.transport import path


@click.command()
@click.argument("service")
@click.option("--policy", metavar="POLICY", help="Which policy; not needed when the service has one.")
@click.option("--at", default="now", show_default=True, metavar="MOMENT", help="As for backup; windows count from it.")
@command
def plan(session: Session, service: str, policy: str | None, at: str) -> None:
    """Say how much a backup is and how long it takes, without beginning it: nothing is changed on the clusters.

    A prediction rests on what runs of the same pair have reached and on limits of bandwidth; else there is none.
    """
    wanted = {"policy": policy, "at": moment(at, datetime.now(UTC))}
    answer = session.client.post(path("services", service, "plan"), wanted, timeout_seconds=CHECK_SECONDS)
    session.show(answer, plan_text(answer))


def plan_text(plan: Mapping[str, Any]) -> str:
    """Return the plan for people."""
    heading = (
        f"Service {printable(plan['service'])}, policy {printable(plan['policy'])}:"
        f" {printable(plan['direction'])}, {printable(plan['primary'])} → {printable(plan['secondary'])}"
    )
    rows = [_row(f"{one['component']}:{one['name']}", one.get("size"), one.get("stands")) for one in plan["data_sets"]]
    if len(rows) > 1 and plan.get("total"):
        rows.append(_row("all", plan["total"], None))
    headings = ("DATA SET", "FILES", "DIRECTORIES", "BYTES", "WITH REPLICAS", "STANDS THERE")
    parts = [heading, table(headings, rows, right=(1, 2, 3, 4)), pairs(_expected(plan))]
    parts += [
        f"{printable(one['severity'])} {printable(one['code'])}: {printable(one['message'])}\n"
        f"  remedy: {printable(one['remedy'])}"
        for one in plan["findings"]
    ]
    return "\n\n".join(parts)


def _row(name: str, told: Mapping[str, Any] | None, stands: Mapping[str, Any] | None) -> tuple[object, ...]:
    known = told or {}
    there = f"{count(stands['files'])} files, {size(stands['bytes'])}" if stands else NOTHING
    numbers = (count(known.get("files")), count(known.get("directories")))
    return (name, *numbers, size(known.get("bytes")), size(known.get("consumed_bytes")), there)


def _expected(plan: Mapping[str, Any]) -> list[tuple[str, object]]:
    last = plan.get("last_run")
    if not plan["first_copy"]:
        rows: list[tuple[str, object]] = [("moves", "what has changed: unknown until the difference is taken")]
        if last:
            share = f" of {size(last['bytes'])}"
            moved = f"{size(last['bytes_moved'])}{share}, {count(last['files_moved'])} of {count(last['files'])} files"
            rows.append(("last run", f"{short(last['run'])} moved {moved}, in {duration(last['seconds'])}"))
        return rows
    predicted = plan.get("forecast")
    if predicted is None:
        return [("moves", "everything; how much that is could not be told")]
    moves = "what differs of it, at most everything" if predicted["is_most"] else "everything: it is the first copy"
    return [("moves", moves), *forecast_rows(predicted, plan["formula"]), *_window(predicted, plan["moment_ms"])]


def forecast_rows(predicted: Mapping[str, Any], formula: str = "") -> list[tuple[str, object]]:
    """How long it takes and what that rests on, as names and values."""
    low, high = predicted.get("at_least_seconds"), predicted.get("at_most_seconds")
    rates, limit = predicted.get("rates"), predicted.get("limit_bytes_per_second")
    if high is None:
        takes = f"{duration(low)} at least, if the limit of then lasts" if low is not None else "nobody can tell"
        takes += ": no run of this pair has copied anything yet"
    else:
        takes = f"{duration(low)} to {duration(high)}" if low is not None else f"at most {duration(high)}"
    rows: list[tuple[str, object]] = [("takes", takes)]
    if rates:
        rests = f"{size(rates['bytes_per_second'])}/s and {rates['files_per_second']:.1f} files/s, the most that"
        rows.append(
            ("rests on", f"{rests} {count(rates['copies'])} runs reached, with {size(rates['largest_bytes'])} at most")
        )
    if limit:
        rows.append(("limit", f"{limit / 1_000_000:g} MB/s"))
    if high is None and formula:
        rows.append(("formula", formula))
    return rows


def _window(predicted: Mapping[str, Any], begins_ms: float) -> list[tuple[str, object]]:
    ends = [predicted.get(name) for name in ("at_least_seconds", "at_most_seconds")]
    told = [instant(round(begins_ms + seconds * 1000, -3)) for seconds in ends if seconds is not None]
    open_end = "" if ends[1] is not None else " or later"
    return [("window", f"{instant(begins_ms)} until {' … '.join(told)}{open_end}")] if told else []
