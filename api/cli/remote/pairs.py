"""``understudy pair``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from api.cli.remote.ownership import owner, take_over
from api.cli.remote.session import Session, command
from api.cli.remote.text import NOTHING, instant, pairs, printable, short, table
from api.cli.remote.transport import path
from api.cli.remote.waiting import failures, wait_until_done


@click.group()
def pair() -> None:
    """Join two clusters that stand in for one another."""


@pair.command()
@click.argument("name")
@click.option("--primary", required=True, metavar="CLUSTER", help="The cluster that the applications use.")
@click.option("--secondary", required=True, metavar="CLUSTER", help="The cluster that stands in for it.")
@click.option("--wait/--no-wait", default=True, help="Wait until both clusters have their identities.")
@click.option("--wait-seconds", default=120, show_default=True, help="How long to wait at most.")
@command
def create(session: Session, name: str, primary: str, secondary: str, wait: bool, wait_seconds: int) -> None:
    """Join two clusters: each is given its identity by a marker in its HDFS."""
    answer = session.client.post(path("pairs"), {"name": name, "primary": primary, "secondary": secondary})
    if wait and answer["state"] == "FORMING":
        answer = wait_until_done(session, "pairs", answer, wait_seconds)
    session.show(answer, page(answer, _services(session)))


@pair.command("list")
@command
def list_all(session: Session) -> None:
    """List the pairs."""
    answer = session.client.get_all(path("pairs"))
    rows = [(item["name"], item["state"], item["summary"].get("epoch")) for item in answer["items"]]
    session.show(answer, table(("NAME", "STATE", "EPOCH"), rows, right=(2,)))


@pair.command()
@click.argument("name")
@command
def show(session: Session, name: str) -> None:
    """Show a pair: identities, epoch, what its services claim, what stands in the way."""
    answer = session.client.get(path("pairs", name))
    device = session.client.get(path("control-device"))
    session.show(answer, page({**answer, "control_device": device}, _services(session)))


pair.add_command(owner)
pair.add_command(take_over)


def _services(session: Session) -> dict[str, str]:
    """The names of services by their ids."""
    return {item["id"]: item["name"] for item in session.client.get_all(path("services"))["items"]}


def page(answer: Mapping[str, Any], services: Mapping[str, str]) -> str:
    """What people want to know of a pair: who is what, and which services claim which data sets."""
    facts = answer["summary"]
    members = [
        (member["cluster"], member["identity"], _to_become(member), member["serial"])
        for member in facts.get("members", ())
    ]
    claims = [
        (services.get(claim["service"]) or short(claim["service"]), f"{data_set['component']}:{data_set['name']}")
        for claim in facts.get("claims", ())
        for data_set in claim["data_sets"]
    ]
    head = [("pair", answer["name"]), ("id", answer["id"]), ("state", answer["state"])]
    head += [("epoch", facts.get("epoch", NOTHING)), ("store", facts.get("store") or NOTHING)]
    device = answer.get("control_device") or {}
    if "store" in device:
        head.append(("term", device["term"]))
        head.append(("incarnation", f"{device['incarnation']}, on host {device['host']}"))
    taken = facts.get("taken_over")
    if taken:
        head.append(("taken over", f"{instant(taken['at_ms'])} by {taken['by']} from store {taken['from_store']}"))
        head.append(("reason", taken["reason"]))
    parts = [
        pairs(head),
        table(("CLUSTER", "IDENTITY", "TO BECOME", "SERIAL"), members, right=(3,)),
    ]
    names = {member["cluster"] for member in facts.get("members", ())}
    refused = {cluster: why for cluster, why in (device.get("refused") or {}).items() if cluster in names}
    if refused:
        told = [f"{name}: {why['code']}: {why['message']} Remedy: {why['remedy']}" for name, why in refused.items()]
        parts.append("\n".join(["THIS CONTROL DEVICE IS REFUSED", *map(printable, told)]))
    if claims:
        parts.append(table(("CLAIMED BY SERVICE", "DATA SET"), claims))
    blockers = failures(facts.get("last_failure") or {})
    if blockers:
        parts.append("\n".join(["IN THE WAY", *blockers]))
    return "\n\n".join(parts)


def _to_become(member: Mapping[str, Any]) -> str:
    return NOTHING if member["intended"] == member["identity"] else str(member["intended"])
