"""What is known at this instant and recorded nowhere: progress, reachability, what is waited for.

Nothing here decides anything; after a restart it fills again by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from infra.workers.turns import Turns

REACHABLE = "reachable"


class Seen(NamedTuple):
    """What can be seen of an aggregate that waits: when bytes or files moved the last time, and what is in the way."""

    moved_at: datetime | None = None
    obstacles: str = ""


@dataclass
class _Facts:
    clusters: tuple[str, ...] = ()
    copies: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    waiting_for: str = ""
    waiting_since_ms: int | None = None
    agents: dict[str, str] = field(default_factory=dict)
    moved_at: datetime | None = None


class Live:
    """Facts by aggregate, and one word per gateway."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._facts: dict[UUID, _Facts] = {}
        self._gateways: dict[str, str] = {}
        self._refused: dict[str, str] = {}

    def wait_for(self, identity: UUID, what: str, clusters: Iterable[str], now_ms: int) -> None:
        """Tell what an aggregate waits for from now on, or still, and which clusters it needs."""
        facts = self._facts.setdefault(identity, _Facts())
        if what != facts.waiting_for:
            facts.waiting_for, facts.waiting_since_ms = what, now_ms if what else None
        facts.clusters = tuple(clusters)

    def progress(self, identity: UUID, data_set: str, facts: Mapping[str, Any]) -> None:
        """Tell how far one copy is."""
        self._facts.setdefault(identity, _Facts()).copies[data_set] = facts

    def moved(self, identity: UUID, at: datetime) -> None:
        """Tell that bytes or files have moved."""
        self._facts.setdefault(identity, _Facts()).moved_at = at

    def seen(self, identity: UUID) -> Seen:
        """What can be seen of an aggregate that waits."""
        facts = self._facts.get(identity, _Facts())
        turns = self._turns.shown(identity)
        known = ((cluster, self._gateways.get(cluster, REACHABLE)) for cluster in facts.clusters)
        obstacles = [
            *(f"{name} refuses this control device: {self._refused[name]}" for name in self._refused_of(facts)),
            *(f"the gateway of {cluster} cannot be used: {status}" for cluster, status in known if status != REACHABLE),
            *(f"{cluster}: {what}" for cluster, what in sorted(facts.agents.items())),
            *(f"it waits for {reason}" for reason in sorted({*turns["queued"].values(), *turns["paused"].values()})),
        ]
        return Seen(facts.moved_at, "; ".join(obstacles))

    def agent_gone(self, identity: UUID, cluster: str, step: str) -> None:
        """Tell that an agent has ended without an outcome, so it is started again."""
        if identity in self._facts:
            self._facts[identity].agents[cluster] = f"the agent of {step} is gone; it is started again"

    def agent_lives(self, identity: UUID, cluster: str) -> None:
        """Tell that an agent was seen at work."""
        if identity in self._facts:
            self._facts[identity].agents.pop(cluster, None)

    def end(self, identity: UUID) -> None:
        """Forget an aggregate for which nothing is left to do."""
        self._facts.pop(identity, None)

    def gateway(self, cluster: str, status: str) -> None:
        """Tell whether a gateway could be reached the last time: ``REACHABLE``, or the error."""
        self._gateways[cluster] = status

    def refused(self, by_cluster: Mapping[str, str]) -> None:
        """Tell all the clusters that are another control device's, with what was told; they can be reached."""
        self._refused = dict(by_cluster)

    def _refused_of(self, facts: _Facts) -> list[str]:
        return [cluster for cluster in facts.clusters if cluster in self._refused]

    def shown(self, identity: UUID) -> dict[str, Any]:
        """The facts as the API shows them: ``copies`` by data set, ``gateways`` and ``agents`` by cluster, and more.

        ``allowed`` and ``queued``: see ``Turns.shown``.

        ``waiting_since_ms`` is by the control device's clock; after a restart it begins anew.
        """
        facts = self._facts.get(identity, _Facts())
        turns = self._turns.shown(identity)
        reasons = sorted({*turns["queued"].values(), *turns["paused"].values()})
        return {
            "copies": {data_set: dict(progress) for data_set, progress in facts.copies.items()},
            "gateways": {
                cluster: self._refused.get(cluster) or self._gateways.get(cluster, "not asked yet")
                for cluster in facts.clusters
            },
            "agents": dict(facts.agents),
            "waiting_for": "; ".join(filter(None, (facts.waiting_for, *reasons))),
            "waiting_since_ms": facts.waiting_since_ms,
            **turns,
        }
