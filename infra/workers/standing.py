"""Whether this control device may act on a cluster, and what it shows the agents for it.

Before the first instruction to a cluster, the record of whose it is is read there (``ShowOwner``; see
``infra.agent.core.ownership``). It may act where there is none, and where its own chain of events has the recorded link
at the recorded position: then it knows everything that was asked for there. The agents compare again, by
compare-and-set, right before they change anything; what is kept here saves the look, and tells a person why not.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from domain.errors import Refused
from domain.values.endpoints import Endpoints
from infra.agent.core.ownership import LINK_LENGTH, Owner, parse_owner, refusal
from infra.agent.protocol import LOOKS_FOR_ANYBODY, Instruction
from infra.ports.gateway import invalid_answer
from infra.store.queries import Queries
from infra.workers.carrying import Carrier, NotOurs, Silent
from infra.workers.decisions import Controller
from infra.workers.outgoing import Outgoing

if TYPE_CHECKING:
    from infra.workers.equipment import Equipment

PLACES = 100
LIFETIME_SECONDS = 60


class Standing:
    """What was read on the clusters, by cluster: ``follows`` is the record from which this control device goes on."""

    def __init__(self, controller: Controller, queries: Queries) -> None:
        self._controller = controller
        self._queries = queries
        self._follows: dict[str, str | None] = {}
        self._swept: set[str] = set()
        self._looking: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.refused: dict[str, NotOurs] = {}

    async def evidence(self, outgoing: Outgoing, equipment: Equipment) -> dict[str, Any] | None:
        """What goes with a submission; None for what anybody may ask.

        Raises ``NotOurs`` where this control device may not act, and ``Unavailable`` and ``Refused`` where nobody
        can tell.
        """
        instruction = outgoing.instruction
        if instruction.kind in LOOKS_FOR_ANYBODY:
            return None
        sites = _sites(outgoing)
        is_taken_over = "taken_over" in instruction.payload.get("marker", {})
        async with self._looking[instruction.cluster]:
            if not {name for name, _ in sites.values()} <= self._follows.keys():
                self._swept.discard(instruction.cluster)
                told = await look(sites, instruction.cluster, equipment, self._controller)
                for role, (name, _) in sites.items():
                    found = told[role]["owner"]
                    # What a person takes over need not be ours; what an earlier take-over has made ours is known.
                    if not is_taken_over or await self.is_ours(found):
                        await self._judge(name, found)
        head = await self._queries.head()
        controller = self._controller
        return {
            "store": controller.store.hex,
            "incarnation": controller.incarnation.hex,
            "host": controller.host,
            "since": controller.since.strftime("%Y%m%dT%H%M%SZ"),
            "term": controller.term,
            "position": head.position,
            "link": head.link.hex()[:LINK_LENGTH],
            "follows": {name: self._follows.get(name) for name, _ in sites.values()},
        }

    async def _judge(self, cluster: str, found: dict[str, Any] | None) -> None:
        if not await self.is_ours(found):
            assert found is not None
            failure = refusal(cluster, owner_of(found), {"store": self._controller.store.hex})
            self._follows.pop(cluster, None)
            self.refused[cluster] = NotOurs(failure.code, f"{failure.message}.", remedy=failure.remedy)
            raise self.refused[cluster]
        self.refused.pop(cluster, None)
        self._follows[cluster] = None if found is None else found["name"]

    async def is_ours(self, found: Mapping[str, Any] | None) -> bool:
        """Whether there is no record, or one whose past is part of this store's."""
        if found is None:
            return True
        if found["store"] != self._controller.store.hex:
            return False
        link = await self._queries.link_at(int(found["position"]))
        return link is not None and link.hex()[:LINK_LENGTH] == found["link"]

    async def sweep(self, cluster: str, equipment: Equipment) -> None:
        """Let a gateway forget the looks that are over, also those of an earlier start; raises ``Unavailable``."""
        if cluster not in self._swept:
            endpoints = await equipment.decisions.endpoints(cluster)
            kept = await equipment.gateways.of(cluster, endpoints).forget(_places(cluster))
            if not kept:
                self._swept.add(cluster)

    def doubt(self) -> None:
        """Read everything again before the next instruction: an agent, or a gateway, has refused."""
        self._follows.clear()


def owner_of(found: Mapping[str, Any]) -> Owner:
    """The record out of an answer to ``ShowOwner``."""
    return Owner(*(found[field] for field in Owner._fields))


async def look(
    sites: Mapping[str, tuple[str, Endpoints]], gateway_of: str, equipment: Equipment, controller: Controller
) -> dict[str, Any]:
    """Ask whose clusters these are, through the gateway of one of them: ``owner``, ``seen_ms``, ``marker`` by role.

    Raises ``Unavailable``, and ``Refused`` with the agent's code.
    """
    role = next(role for role, (name, _) in sites.items() if name == gateway_of)
    endpoints = sites[role][1]
    gateway = equipment.gateways.of(gateway_of, endpoints)
    ids = _places(gateway_of)
    await gateway.forget(ids)
    seen = await gateway.look(ids)
    free = next((identity for identity in ids if not seen[identity].known), None)
    if free is None:
        raise Refused("TOO_MANY_CHECKS", f"{PLACES} looks at {gateway_of} within {LIFETIME_SECONDS} s.")
    payload = {"sites": {role: one.to_site(name) for role, (name, one) in sites.items()}, "role": role}
    not_after_ms = equipment.clock.now().timestamp() * 1000 + gateway.offset_ms + LIFETIME_SECONDS * 1000
    instruction = Instruction(
        id=free,
        kind="ShowOwner",
        pair="none",
        cluster=gateway_of,
        epoch=0,
        term=controller.term,
        run=free,
        step=f"owner-{free}",
        attempt=1,
        not_after_ms=int(not_after_ms),
        payload=payload,
    )
    reached = {role: one for role, (_, one) in sites.items()}
    outgoing = Outgoing(UUID(hex=free), "", instruction, endpoints, reached, fails_unreachable=True)
    outcome = await Carrier(outgoing, gateway, Silent(), equipment).carry()
    failure = outcome["failure"]
    if failure is not None:
        raise Refused(failure["code"], failure["message"], remedy=failure.get("remedy") or "")
    told: dict[str, Any] = outcome["result"]["sites"]
    if set(told) != set(sites) or not all(map(_is_told, told.values())):
        invalid = invalid_answer("it does not say whose the clusters are")["failure"]
        raise Refused(invalid["code"], invalid["message"], remedy=invalid["remedy"])
    return told


def _is_told(one: Mapping[str, Any]) -> bool:
    """Whether it is what ``ShowOwner`` answers for a cluster."""
    found, seen_ms, marker = (one.get(name) for name in ("owner", "seen_ms", "marker"))
    if marker is not None and not (
        isinstance(marker, dict) and all(type(marker.get(name)) is int for name in ("serial", "epoch"))
    ):
        return False
    if found is None:
        return seen_ms is None
    known = parse_owner(found["name"]) if isinstance(found, dict) and isinstance(found.get("name"), str) else None
    return known is not None and {**known._asdict(), "name": known.name} == found and type(seen_ms) is int


def _places(cluster: str) -> list[str]:
    """The ids that looks use in turn, so what they leave in a gateway's spool is bounded whatever happens here."""
    return [uuid5(UUID(int=number), f"owner:{cluster}").hex for number in range(PLACES)]


def _sites(outgoing: Outgoing) -> dict[str, tuple[str, Endpoints]]:
    """The clusters that an instruction reaches, by role; the gateway's own one where it names none."""
    named = outgoing.instruction.payload.get("sites")
    if not named:
        return {"primary": (outgoing.instruction.cluster, outgoing.endpoints)}
    return {role: (site["cluster"], outgoing.sites[role]) for role, site in named.items()}
