"""Looks at a cluster on demand: what ``cluster check`` asks for.

The same instruction as a run's check, outside any run, and one that tries the rights of docs/rights.md besides: it
changes nothing for good and is recorded nowhere. Each cluster has a few ids for it that are used in turn, so what it
leaves in the gateway's spool is bounded whatever happens here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from domain.errors import Refused
from domain.values.endpoints import Endpoints
from infra.agent.protocol import Instruction
from infra.workers.carrying import Carrier, Silent
from infra.workers.equipment import Equipment
from infra.workers.outgoing import Outgoing

PLACES = 10
LIFETIME_SECONDS = 180


@dataclass(frozen=True)
class Place:
    """Where a cluster stands: its pair (None: in no pair yet), its role there, both sides, what is to be looked at."""

    cluster: str
    role: str
    pair: UUID | None
    epoch: int
    sites: Mapping[str, Endpoints]
    names: Mapping[str, str]
    patterns: tuple[dict[str, Any], ...]


async def check(place: Place, equipment: Equipment, term: int, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts with the findings; ``asked`` is what is wanted to know besides.

    Raises ``Unavailable`` and ``Refused`` with the agent's or gateway's code.
    """
    payload = {
        "sites": {role: endpoints.to_site(place.names[role]) for role, endpoints in place.sites.items()},
        "role": place.role,
        "patterns": list(place.patterns),
        "copies_here": True,
        "snapshot": "us-check",
        **asked,
    }
    return await ask(place, equipment, term, "CheckCluster", payload)


async def ask(
    place: Place, equipment: Equipment, term: int, kind: str, payload: dict[str, Any], run: UUID | None = None
) -> dict[str, Any]:
    """Let an instruction that changes nothing be carried out now, and return its result; raises as ``check`` does.

    ``run`` is whose staging it looks at, if it does.
    """
    endpoints = place.sites[place.role]
    gateway = equipment.gateways.of(place.cluster, endpoints)
    ids = [uuid5(UUID(int=number), f"check:{place.cluster}").hex for number in range(PLACES)]
    await gateway.forget(ids)
    seen = await gateway.look(ids)
    free = next((identity for identity in ids if not seen[identity].known), None)
    if free is None:
        raise Refused(
            "TOO_MANY_CHECKS",
            f"{PLACES} checks of {place.cluster} were asked for within {LIFETIME_SECONDS} s.",
            remedy="Wait a few minutes.",
        )
    now_ms = equipment.clock.now().timestamp() * 1000 + gateway.offset_ms
    instruction = Instruction(
        id=free,
        kind=kind,
        pair=place.pair.hex if place.pair else "none",
        cluster=place.cluster,
        epoch=place.epoch,
        term=term,
        run=run.hex if run else free,
        step=f"check-{free}",
        attempt=1,
        not_after_ms=int(now_ms) + LIFETIME_SECONDS * 1000,
        payload=payload,
    )
    outgoing = Outgoing(UUID(hex=free), "", instruction, endpoints, place.sites, fails_unreachable=True)
    outcome = await Carrier(outgoing, gateway, Silent(), equipment).carry()
    failure = outcome["failure"]
    if failure is not None:
        raise Refused(failure["code"], failure["message"], remedy=failure.get("remedy") or "")
    facts: dict[str, Any] = dict(outcome["result"])
    return facts
