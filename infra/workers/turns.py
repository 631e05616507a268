"""Who may move or read data now, and how much: turns and shares by the limits of clusters, and pauses.

Volatile, and it never decides what a run does, only when an instruction begins and how fast its agent goes: after a
crash it fills again. What was sent already counts as running from the start, because its agent may be at it; others
wait until everything that was open has said so. Who waits is served in turn: the service with fewest running first,
then whoever waits longest. What is paused, or has not moved a byte for a while, is not counted: it keeps nobody else.
When it goes on there may be more at work than the limit of agents for a time; workers and bandwidth are kept always.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.protection.pause import PAUSED, described, scopes_of
from domain.values.limits import Allowed, Limits
from infra.ports.clock import Clock
from infra.store.queries import MAX_LIMIT, AggregateEntry, Queries
from infra.summaries import limits_from
from infra.workers.sharing import NOTHING, Demand, Share, shares

NO_LIMITS = Allowed(None, None, None)
STILL_BYTES_PER_SECOND = 1_000_000
"""What is kept for an instruction that moves nothing: little, but enough to show that it moves again."""


@dataclass(frozen=True)
class Held:
    """Somebody paused a scope."""

    scope: str
    by: str
    since_ms: int
    reason: str

    def __str__(self) -> str:
        return f"{described(self.scope)} to be resumed, paused by {self.by}: {self.reason}"


@dataclass(frozen=True)
class _Waiting:
    demand: Demand
    place: int
    granted: Callable[[], None]


@dataclass(frozen=True)
class _Load:
    """How many are counted: by the cluster whose gateway they run on, by each cluster that they touch, by service."""

    agents: Counter[str] = field(default_factory=Counter)
    workers: Counter[str] = field(default_factory=Counter)
    services: Counter[UUID] = field(default_factory=Counter)

    def add(self, demand: Demand) -> None:
        self.agents[demand.cluster] += 1
        self.workers.update(set(demand.clusters))
        self.services[demand.service] += 1


async def _all(queries: Queries, kind: str, filters: Mapping[str, str | int | bool | None]) -> list[AggregateEntry]:
    found: list[AggregateEntry] = []
    while page := await queries.list(kind, filters, limit=MAX_LIMIT, after=found[-1].first_position if found else None):
        found += page
    return found


class Turns:
    """Keeps who runs and who waits; used from one event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._limits: Mapping[str, Limits] = {}
        self._pauses: Mapping[str, Held] = {}
        self._running: dict[str, Demand] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._quiet: set[str] = set()
        self._expected: set[UUID] = set()
        self._places = 0
        self._shares: dict[str, Share] = {}
        self._shared_at: datetime | None = None

    # The rules

    async def refresh(self, queries: Queries) -> None:
        """Take today's limits and pauses from the store."""
        clusters = await _all(queries, "Cluster", {})
        pauses = await _all(queries, "Pause", {"state": PAUSED})
        self.take_rules(
            {str(entry.name): limits_from(entry.summary) for entry in clusters},
            [Held(str(entry.name), *(entry.summary[key] for key in ("by", "since_ms", "reason"))) for entry in pauses],
        )

    def take_rules(self, limits: Mapping[str, Limits], pauses: Sequence[Held]) -> None:
        """Go by these from now on."""
        self._limits = limits
        self._pauses = {held.scope: held for held in pauses}
        self._serve()

    def held(self, service: str, clusters: Collection[str]) -> Held | None:
        """What pauses a service's runs between clusters, if anything does."""
        scopes = scopes_of(service, clusters)
        return next((self._pauses[scope] for scope in scopes if scope in self._pauses), None)

    # Who wants something

    def expect(self, owners: Collection[UUID]) -> None:
        """These were open when the control device started: nobody new begins before all of them have ``arrived``."""
        self._expected |= set(owners)

    def arrived(self, owner: UUID) -> None:
        """It has said what of it was sent already, or cannot say it."""
        if owner in self._expected:
            self._expected.discard(owner)
            if not self._expected:
                self._serve()

    def ask(self, demand: Demand, granted: Callable[[], None]) -> bool:
        """Say whether it may run; if it may not yet, ``granted`` is called once when it may. It may be asked again."""
        if demand.id in self._running:
            if self._running[demand.id] != demand:
                self._begin(demand)
            return True
        if demand.was_sent:
            self._waiting.pop(demand.id, None)
            self._begin(demand)
            return True
        waiting = self._waiting.pop(demand.id, None)
        # Whoever else waits could not begin when something last changed, and this changes nothing for them.
        if self._may_begin(demand, self._load(), self._allowed()):
            self._begin(demand)
            return True
        self._places += 1
        self._waiting[demand.id] = _Waiting(demand, waiting.place if waiting else self._places, granted)
        return False

    def running_of(self, owner: UUID) -> frozenset[str]:
        """The ids of an owner's instructions that may run."""
        return frozenset(demand.id for demand in self._running.values() if demand.owner == owner)

    def keep(self, owner: UUID, running: Collection[str], waiting: Collection[str]) -> None:
        """Forget what of an owner runs or waits, but for these: a turn is for who asks for it, and takes it up."""
        gone = [demand.id for demand in self._running.values() if demand.owner == owner and demand.id not in running]
        waits = [one.demand.id for one in self._waiting.values() if one.demand.owner == owner]
        gone += [identity for identity in waits if identity not in waiting]
        for identity in gone:
            self._running.pop(identity, None)
            self._waiting.pop(identity, None)
            self._quiet.discard(identity)
        if gone:
            self._serve()

    def moves(self, identity: str, is_moving: bool) -> None:
        """Tell whether an instruction moves bytes; one that does not gives its turn up until it does again."""
        if identity in self._running and is_moving == (identity in self._quiet):
            (self._quiet.discard if is_moving else self._quiet.add)(identity)
            self._serve()

    # What is given

    def share(self, identity: str) -> Share | None:
        """What an instruction may take now; None for one that takes no turns."""
        if identity not in self._running:
            return None
        self._keep_up()
        return self._shares[identity]

    def allowance(self, identity: str) -> dict[str, int | None] | None:
        """The same in the form that agents read."""
        share = self.share(identity)
        return None if share is None else share.to_wire()

    def is_paused(self, identity: str) -> bool:
        """Whether somebody holds an instruction that is under way."""
        return identity in self._running and self._held(self._running[identity]) is not None

    def shown(self, owner: UUID) -> dict[str, Any]:
        """By data set (or step): ``allowed`` what it may take now, ``queued`` what it waits for, ``paused`` by whom."""
        self._keep_up()
        running = [demand for demand in self._running.values() if demand.owner == owner]
        waiting = [one.demand for one in self._waiting.values() if one.demand.owner == owner]
        load, limits = self._load(), self._allowed()
        return {
            "allowed": {demand.about: self._shares[demand.id].to_wire() for demand in running},
            "paused": {demand.about: str(held) for demand in running if (held := self._held(demand)) is not None},
            "queued": {demand.about: self._why(demand, load, limits) for demand in waiting},
        }

    def _keep_up(self) -> None:
        """Serve and share again once a minute, when a window may have begun or ended, and after every change."""
        now = self._clock.now().replace(second=0, microsecond=0)
        if now != self._shared_at:
            self._serve()
            self._share(now)

    def _share(self, now: datetime) -> None:
        """Nothing to who is paused, and no more than it takes to be seen again to who does not move."""
        awake = [demand for demand in self._running.values() if self._counts(demand)]
        still = [d for d in self._running.values() if d.id in self._quiet and self._held(d) is None]
        still = [replace(d, workers=1, own_bytes_per_second=STILL_BYTES_PER_SECOND) for d in still]
        found = shares([*awake, *still], self._allowed())
        self._shares = {identity: found.get(identity, NOTHING) for identity in self._running}
        self._shared_at = now

    def _allowed(self) -> dict[str, Allowed]:
        now = self._clock.now()
        return {name: limits.at(now) for name, limits in self._limits.items()}

    # Whose turn it is

    def _serve(self) -> None:
        """Begin what may begin: the service with fewest running first, then whoever waits longest."""
        self._shared_at = None
        load, limits = self._load(), self._allowed()
        queue = [(load.services[one.demand.service], one.place, one) for one in self._waiting.values()]
        heapq.heapify(queue)
        begun: list[_Waiting] = []
        while queue:
            running, place, one = heapq.heappop(queue)
            if running != load.services[one.demand.service]:
                heapq.heappush(queue, (load.services[one.demand.service], place, one))
            elif self._may_begin(one.demand, load, limits):
                self._begin(one.demand)
                load.add(one.demand)
                begun.append(one)
        for one in begun:
            del self._waiting[one.demand.id]
        for one in begun:
            one.granted()

    def _begin(self, demand: Demand) -> None:
        self._running[demand.id] = demand
        self._shared_at = None

    def _load(self) -> _Load:
        load = _Load()
        for demand in self._running.values():
            if self._counts(demand):
                load.add(demand)
        return load

    def _may_begin(self, demand: Demand, load: _Load, limits: Mapping[str, Allowed]) -> bool:
        return not self._expected and self._held(demand) is None and self._full(demand, load, limits) is None

    def _full(self, demand: Demand, load: _Load, limits: Mapping[str, Allowed]) -> str | None:
        """The limit that keeps it from beginning, in words."""
        agents = limits.get(demand.cluster, NO_LIMITS).agents
        if agents is not None and load.agents[demand.cluster] >= agents:
            return f"agents on cluster {demand.cluster} (limit {agents})"
        for cluster in demand.clusters:
            workers = limits.get(cluster, NO_LIMITS).workers
            if workers is not None and load.workers[cluster] >= workers:
                return f"workers of cluster {cluster} (limit {workers})"
        return None

    def _why(self, demand: Demand, load: _Load, limits: Mapping[str, Allowed]) -> str:
        if self._expected:
            return "what was under way when the control device started"
        held = self._held(demand)
        return str(held) if held else self._full(demand, load, limits) or "its turn"

    def _held(self, demand: Demand) -> Held | None:
        return self.held(demand.service_name, demand.clusters)

    def _counts(self, demand: Demand) -> bool:
        return demand.id not in self._quiet and self._held(demand) is None
