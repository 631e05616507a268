"""Waits for something that is under way and tells, once each, what it waits for and what stands in its way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from api.cli.remote.following import follow
from api.cli.remote.session import Session
from api.cli.remote.text import printable
from api.cli.remote.transport import path

SILENT = ("reachable", "not asked yet")


def wait_until_done(session: Session, resource: str, begun: dict[str, Any], at_most_seconds: float) -> dict[str, Any]:
    """Follow ``begun`` (as the API answered it) until nothing is under way; return it as it is then.

    Raises ``CommandFailed`` STILL_WAITING after ``at_most_seconds``.
    """
    answer = begun
    told: set[str] = set()
    watched = path(resource, begun["id"], "watch")
    for event in follow(session.client, watched, at_most_seconds=at_most_seconds):
        if event.name == "change":
            answer = event.data
            lines = failures(answer["summary"].get("last_failure") or {})
        elif event.name == "live":
            lines = waits(event.data)
        else:
            lines = []
        for line in lines:
            if line not in told:
                told.add(line)
                click.echo(line, err=True)
    return answer


def failures(last: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a line for each step that failed and is being tried again."""
    lines = []
    for step, failure in last.items():
        remedy = f" Remedy: {failure['remedy']}" if failure.get("remedy") else ""
        lines.append(printable(f"{step} is tried again: {failure.get('code')}: {failure.get('message')}{remedy}"))
    return lines


def waits(live: Mapping[str, Any]) -> list[str]:
    """Return what is waited for, and each gateway that does not answer with the reason."""
    lines = [f"waiting for {printable(live['waiting_for'])} …"] if live.get("waiting_for") else []
    return lines + unreachable(live)


def unreachable(live: Mapping[str, Any]) -> list[str]:
    """Return each gateway that does not answer, and each cluster whose agent is gone, with the reason."""
    gateways: Mapping[str, str] = live.get("gateways") or {}
    agents: Mapping[str, str] = live.get("agents") or {}
    return [
        f"not reachable: {printable(name)}: {printable(said)}" for name, said in gateways.items() if said not in SILENT
    ] + [f"on {printable(name)}: {printable(said)}" for name, said in agents.items()]
