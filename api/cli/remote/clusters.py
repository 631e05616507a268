"""``understudy cluster``."""

from __future__ import annotations

import tomllib
from datetime import date, time
from typing import Any, BinaryIO

import click
from msgspec import convert

from api.cli.exit_codes import ExitCode
from api.cli.remote.errors import CommandFailed, usage
from api.cli.remote.session import Session, command
from api.cli.remote.text import NOTHING, details, flatten, milliseconds, pairs, printable, size, table
from api.cli.remote.transport import path
from domain.values.limits import EXAMPLE, Window

CHECK_SECONDS = 180.0
_SEVERITIES = {"REFUSE": "NOT OK", "WARN": "warning", "OK": "ok"}
_ORDER = tuple(_SEVERITIES)


@click.group()
def cluster() -> None:
    """Enter clusters and look at them through their gateways."""


@cluster.command()
@click.argument("name")
@click.option("--file", "source", required=True, type=click.File("rb"), help="TOML with the endpoints; - for stdin.")
@command
def add(session: Session, name: str, source: BinaryIO) -> None:
    """Enter a cluster, or change how it is reached.

    The file holds namenodes, hdfs_user, hbase_user, and the tables [gateway] and [hbase]; see docs/cli.md.
    """
    answer = session.client.post(path("clusters"), {"name": name, "endpoints": _endpoints(source)})
    session.show(answer, f"cluster {printable(answer['name'])} is entered. Look at it: understudy cluster check {name}")


@cluster.command("list")
@command
def list_all(session: Session) -> None:
    """List the clusters."""
    answer = session.client.get_all(path("clusters"))
    session.show(answer, table(("NAME", "GATEWAY", "NAMENODES"), [_row(item) for item in answer["items"]]))


@cluster.command()
@click.argument("name")
@command
def show(session: Session, name: str) -> None:
    """Show how a cluster is reached."""
    answer = session.client.get(path("clusters", name))
    session.show(answer, details(answer))


@cluster.command()
@click.argument("name")
@command
def check(session: Session, name: str) -> None:
    """Look at a cluster now: identity, clocks, rights, space, and whether the other side is reached.

    Ends with exit code 4 when a run would be refused because of what is found.
    """
    answer = session.client.post(path("clusters", name, "check"), timeout_seconds=CHECK_SECONDS)
    findings: list[dict[str, Any]] = answer.get("findings", [])
    session.show(answer, _report(answer, findings))
    bad = [finding for finding in findings if finding["severity"] == "REFUSE"]
    if bad:
        raise CommandFailed(
            ExitCode.FAILED,
            "CHECK_FAILED",
            f"{len(bad)} of {len(findings)} findings of cluster {name} would refuse a run.",
            remedy="Follow the remedies above, then check again.",
        )


@cluster.command()
@click.argument("name")
@click.option(
    "--agents", metavar="N", help="Copies and verifications at once on its gateway; none: as many as there are."
)
@click.option("--workers", metavar="N", help="Transfers at once, of all of them; none: as many as there are.")
@click.option(
    "--bandwidth", metavar="MB/S", help="Million bytes a second, to it and from it; none: as fast as it goes."
)
@click.option(
    "--window", "windows", multiple=True, metavar="TEXT", help=f"Lower limits at times (UTC), such as '{EXAMPLE}'."
)
@click.option("--no-windows", is_flag=True, help="The same limits at all times.")
@command
def limits(
    session: Session,
    name: str,
    agents: str | None,
    workers: str | None,
    bandwidth: str | None,
    windows: tuple[str, ...],
    no_windows: bool,
) -> None:
    """Show or change what all services together may take of a cluster.

    Shared fairly among the services that copy or verify at the time; agents that are at work obey a change, too.
    """
    given = {"agents": agents, "workers": workers, "megabytes_per_second": bandwidth}
    changes: dict[str, Any] = {field: _number(field, text) for field, text in given.items() if text is not None}
    if windows or no_windows:
        if windows and no_windows:
            raise usage("CONTRADICTION", "--window and --no-windows contradict each other.", "Give one of them.")
        changes["windows"] = list(windows)
    answer = session.client.post(path("clusters", name, "limits"), changes) if changes else None
    answer = session.client.get(path("clusters", name)) if answer is None else answer
    session.show(answer, _limits(answer["summary"]["limits"]))


def _number(field: str, text: str) -> int | None:
    if text == "none":
        return None
    if not text.isdecimal():
        raise usage("BAD_NUMBER", f"{field}: {text!r} is no number.", "Give a whole number, or none.")
    return int(text)


def _limits(told: dict[str, Any]) -> str:
    names = {"agents": "agents", "workers": "workers", "megabytes_per_second": "MB/s"}
    rows: list[tuple[str, object]] = [
        (title, "no limit" if told.get(field) is None else told[field]) for field, title in names.items()
    ]
    rows += [("window", str(convert(window, Window))) for window in told.get("windows") or ()]
    return pairs(rows)


def _endpoints(source: BinaryIO) -> dict[str, Any]:
    try:
        content = tomllib.loads(source.read().decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise usage("BAD_FILE", f"the file is no TOML: {error}.", "Correct it there.") from None
    for name, value in flatten(content):
        if isinstance(value, date | time):
            raise usage("BAD_FILE", f"{name} is a date or time.", "Put it in quotes.")
    return content


def _row(item: dict[str, Any]) -> tuple[str, str, str]:
    endpoints = item["summary"].get("endpoints", {})
    gateway = endpoints.get("gateway", {})
    where = f"{gateway.get('user')}@{gateway.get('host')}:{gateway.get('port')}"
    return item["name"], where, " ".join(endpoints.get("namenodes", []))


def _report(answer: dict[str, Any], findings: list[dict[str, Any]]) -> str:
    facts = _facts(answer)
    rows = [
        row
        for finding in sorted(findings, key=lambda finding: _ORDER.index(finding["severity"]))
        for row in _finding_rows(finding)
    ]
    return f"{pairs(facts)}\n\n{table(('', 'CHECK', 'SUBJECT', 'FOUND'), rows)}" if rows else pairs(facts)


def _facts(answer: dict[str, Any]) -> list[tuple[str, object]]:
    """The facts that a person looks for; all of them are in ``--json``."""
    gateway, marker, hbase = (answer.get(name) or {} for name in ("gateway", "marker", "hbase"))
    clocks = {"control device": answer.get("controller_clock"), **(answer.get("clocks") or {})}
    identity = f"{marker.get('identity')} of pair {marker.get('pair_name')}, epoch {marker.get('epoch')}"
    return [
        ("gateway", f"{gateway.get('user')}@{gateway.get('hostname')}, Python {gateway.get('python')}"),
        ("identity", identity if marker else "none: it is in no pair"),
        ("safe mode", "yes" if answer.get("safe_mode") else "no"),
        ("HBase", hbase.get("version") or NOTHING),
        ("free space", size((answer.get("space") or {}).get("free_bytes"))),
        *(
            (
                f"clock of {name}",
                f"{milliseconds(clock['offset_ms'], sign=True)} from the gateway's,"
                f" known to ± {milliseconds(clock['uncertainty_ms'])}",
            )
            for name, clock in clocks.items()
            if clock
        ),
    ]


def _finding_rows(finding: dict[str, Any]) -> list[tuple[object, ...]]:
    message = str(finding.get("message") or "")
    found = message if finding["ok"] else f"{finding.get('code')}: {message}"
    rows: list[tuple[object, ...]] = [
        (_SEVERITIES[finding["severity"]], finding.get("check"), finding.get("subject"), found)
    ]
    if not finding["ok"] and finding.get("remedy"):
        rows.append(("", "", "", f"remedy: {finding['remedy']}"))
    return rows
