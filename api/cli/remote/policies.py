"""``understudy policy``. The settings and their defaults are the domain's own; the options only name them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from api.cli.remote.errors import usage
from api.cli.remote.session import Session, command
from api.cli.remote.text import details, duration, printable, table
from api.cli.remote.transport import path
from domain.protection.policy import CHANGED_HEADS, DIRECTIONS, ENGINES, HEAD_MODES, LEVELS, Settings

DEFAULTS = Settings()
SETTINGS: dict[str, tuple[Any, str]] = {
    "direction": (click.Choice(DIRECTIONS), "Push: the primary sends. Pull: the secondary fetches."),
    "engine": (click.Choice(ENGINES), "How the bytes move."),
    "max_skew_ms": (int, "Milliseconds that the snapshots of one run may be apart, clocks' uncertainty included."),
    "verification": (click.Choice(LEVELS), "What the secondary proves about its copies."),
    "keep_last": (int, "How many recovery points are kept."),
    "mass_change_percent": (int, "A run that deletes or replaces more of the files than this asks first."),
    "lead_seconds": (int, "How far ahead the moment lies when none is given."),
    "warm_up_seconds": (int, "How long before the moment the agent opens its connections."),
    "fire_tolerance_ms": (int, "How late the snapshots may still be fired."),
    "workers": (int, "How many files are copied at once, per data set."),
    "megabytes_per_second": (int, "Million bytes a second that all copies of the policy's runs may move together."),
    "trial_clone": (bool, "Clone one table on the secondary in each run, to show that it can be done."),
    "trial_clone_hours": (
        int,
        "Hours until it is a table's turn again for the trial clone; 0: in every run.",
    ),
    "sample_percent": (int, "Percent of the files that are read whole in each verification."),
    "read_days": (int, "Within so many days every byte of the copies is read; 0: as the level and the sample say."),
    "read_percent": (int, "The most of a data set's bytes that a run reads for that, at least 64 MiB."),
    "recheck_days": (int, "Within so many days each unchanged file's checksum is computed anew; 0: in every run."),
    "patience_seconds": (int, "How long a run may get nowhere before it raises an alarm."),
    "leave_out_unreadable": (bool, "Leave out files that the superuser may not read, instead of failing."),
    "changed_head": (click.Choice(CHANGED_HEADS), "What becomes of a directory's copy that somebody else has changed."),
    "head_mode": (click.Choice(HEAD_MODES), "Mode of the data sets' roots on the secondary."),
}


def _setting_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for name, (kind, text) in reversed(SETTINGS.items()):
        default = getattr(DEFAULTS, name)
        dashed = name.replace("_", "-")
        default = str(default).lower() if kind is bool else "no limit" if default is None else default
        shown = f"{text}  [default: {default}]"
        if kind is bool:
            function = click.option(f"--{dashed}/--no-{dashed}", name, default=None, help=shown)(function)
        else:
            function = click.option(f"--{dashed}", name, type=kind, help=shown)(function)
    return function


@click.group()
def policy() -> None:
    """Say how a service is backed up."""


@policy.command()
@click.argument("name")
@click.option("--service", required=True, metavar="SERVICE", help="The service that it is for.")
@_setting_options
@click.option("--barrier-hold", metavar="HOOK", help="Hook of the gateway that makes the applications stand still.")
@click.option("--barrier-release", metavar="HOOK", help="Hook that lets them go on.")
@click.option("--hold-max-seconds", type=int, help="After so long they go on whatever happens.")
@command
def add(
    session: Session,
    name: str,
    service: str,
    barrier_hold: str | None,
    barrier_release: str | None,
    hold_max_seconds: int | None,
    **given: Any,
) -> None:
    """Enter a policy, or change it (settings that are left out get their defaults)."""
    settings = {setting: value for setting, value in given.items() if value is not None}
    barrier = {"hold": barrier_hold, "release": barrier_release, "hold_max_seconds": hold_max_seconds}
    if any(value is not None for value in barrier.values()):
        if any(value is None for value in barrier.values()):
            raise usage(
                "HALF_A_BARRIER",
                "a barrier has three parts.",
                "Give --barrier-hold, --barrier-release and --hold-max-seconds together.",
            )
        settings["barrier"] = barrier
    answer = session.client.post(path("policies"), {"name": name, "service": service, "settings": settings})
    session.show(answer, f"policy {printable(answer['name'])} is entered. Use it: understudy backup {service}")


@policy.command("list")
@click.option("--service", metavar="SERVICE", help="Only the policies of this service.")
@command
def list_all(session: Session, service: str | None) -> None:
    """List the policies."""
    answer = session.client.get_all(path("policies"), {"service": service})
    headings = ("NAME", "SERVICE", "DIRECTION", "MAX SKEW", "VERIFICATION", "KEEPS")
    session.show(answer, table(headings, [_row(item) for item in answer["items"]], right=(3, 5)))


@policy.command()
@click.argument("name")
@command
def show(session: Session, name: str) -> None:
    """Show a policy with all its settings."""
    answer = session.client.get(path("policies", name))
    session.show(answer, details(answer))


def _row(item: dict[str, Any]) -> tuple[object, ...]:
    summary = item["summary"]
    settings = summary.get("settings", {})
    return (
        item["name"],
        summary.get("service_name"),
        settings.get("direction"),
        duration(settings["max_skew_ms"] / 1000) if "max_skew_ms" in settings else None,
        settings.get("verification"),
        settings.get("keep_last"),
    )
