"""``understudy pair owner`` and ``pair take-over``: whose clusters these are, and what to do when that one is lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from api.cli.remote.session import Session, command
from api.cli.remote.text import NOTHING, instant, pairs, printable
from api.cli.remote.transport import path
from api.cli.remote.waiting import wait_until_done


@click.command()
@click.argument("name")
@click.option("--primary", metavar="CLUSTER", help="For a pair that this control device does not know.")
@click.option("--secondary", metavar="CLUSTER", help="The same.")
@command
def owner(session: Session, name: str, primary: str | None, secondary: str | None) -> None:
    """Ask both clusters of a pair, now, which control device's store they belong to."""
    answers = [_ask(session, cluster) for cluster in _members(session, name, primary, secondary)]
    session.show({"clusters": answers}, "\n\n".join(map(owner_text, answers)))


@click.command("take-over")
@click.argument("name")
@click.option("--from-store", required=True, metavar="ID", help="The lost control device's, as 'pair owner' tells it.")
@click.option("--reason", required=True, help="Why: kept in the events, and on the clusters.")
@click.option("--primary", metavar="CLUSTER", help="For a pair that this control device does not know.")
@click.option("--secondary", metavar="CLUSTER", help="The same.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--wait-seconds", default=120, show_default=True, help="How long to wait at most.")
@command
def take_over(
    session: Session,
    name: str,
    from_store: str,
    reason: str,
    primary: str | None,
    secondary: str | None,
    yes: bool,
    wait_seconds: int,
) -> None:
    """Take a pair over from a control device that is lost for good.

    Whatever that one asks for afterwards is refused on the clusters, and it is told who did this, and why. What it had
    staged is put aside; recovery points and copies stay. A cluster that cannot be reached is taken over by doing this
    again.
    """
    members = _members(session, name, primary, secondary)
    if not yes:
        told = "\n\n".join(owner_text(_ask(session, cluster)) for cluster in members)
        question = f"Is the control device of store {printable(from_store)} lost for good? Take {printable(name)} over?"
        session.confirm(f"{told}\n\n{question}", yes=False)
    wanted = {"primary": members[0], "secondary": members[1], "from_store": from_store, "reason": reason}
    answer = session.client.post(path("pairs", name, "take-over"), wanted)
    if answer["state"] == "FORMING":
        answer = wait_until_done(session, "pairs", answer, wait_seconds)
    session.show(answer, f"pair {printable(name)} is {answer['state']} in epoch {answer['summary'].get('epoch')}.")


def _ask(session: Session, cluster: str) -> dict[str, Any]:
    answer: dict[str, Any] = session.client.get(path("clusters", cluster, "owner"))
    return answer


def _members(session: Session, name: str, primary: str | None, secondary: str | None) -> tuple[str, str]:
    """Primary and secondary, as named, or as the pair has them."""
    if primary is not None and secondary is not None:
        return primary, secondary
    members = session.client.get(path("pairs", name))["summary"]["members"]
    by_role = {member["intended"]: member["cluster"] for member in members}
    return primary or by_role["PRIMARY"], secondary or by_role["SECONDARY"]


def owner_text(answer: Mapping[str, Any]) -> str:
    """Whose a cluster is, for a person."""
    lines = [("cluster", answer["cluster"])]
    failure, found, marker = answer["failure"], answer.get("owner"), answer.get("marker") or {}
    if failure is not None:
        return pairs([*lines, ("not known", f"{failure['code']}: {failure['message']}")])
    if found is None:
        store = marker.get("store", "unknown" if marker else "nobody's")
        return pairs([*lines, ("store", store), ("pair", marker.get("pair_name", NOTHING))])
    lines += [
        ("store", f"{found['store']}{'' if answer['is_ours'] else ', another control device'}"),
        ("owned since", found["since"]),
        ("on host", found["host"]),
        ("newest request", NOTHING if answer["seen_ms"] is None else instant(answer["seen_ms"])),
        ("term", str(found["term"])),
        ("incarnation", found["incarnation"]),
        ("event", str(found["position"])),
        ("pair", marker.get("pair_name", NOTHING)),
    ]
    taken = marker.get("taken_over")
    if taken is not None:
        lines.append(("taken over", f"{instant(taken['at_ms'])} by {taken['by']} from {taken['from_store']}"))
        lines.append(("reason", taken["reason"]))
    return pairs(lines)
