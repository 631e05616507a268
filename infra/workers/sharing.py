"""Divides what clusters give among the instructions that move or read data now: max-min fair, pure, deterministic.

Invariants: no limit is exceeded; nothing is left over that anybody could use; and nobody gets more at the cost of a
service that has less. An instruction takes from every cluster that it touches. Services are equal, however many
instructions each has; within a service its instructions are. What one service cannot use goes to the others.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from domain.values.limits import Allowed


@dataclass(frozen=True)
class Demand:
    """One instruction that moves or reads data.

    ``owner`` wants it, for a service; ``about`` is the data set's id, or the step. ``cluster`` is where it is carried
    out, ``clusters`` are all that it touches. ``workers`` is the most that it can use, ``bytes_per_second`` what its
    policy allows all of its instructions together, ``own_bytes_per_second`` what it may take itself. ``was_sent``: an
    agent may be at it already.
    """

    id: str
    owner: UUID
    about: str
    service: UUID
    service_name: str
    policy: UUID
    cluster: str
    clusters: tuple[str, ...]
    workers: int
    bytes_per_second: int | None
    was_sent: bool
    own_bytes_per_second: int | None = None


@dataclass(frozen=True)
class Share:
    """What an instruction may take now. No workers: it begins nothing more."""

    workers: int
    bytes_per_second: int | None

    def to_wire(self) -> dict[str, int | None]:
        """The form that agents read."""
        return {"workers": self.workers, "bytes_per_second": self.bytes_per_second}


NOTHING = Share(0, None)


def shares(demands: Sequence[Demand], limits: Mapping[str, Allowed]) -> dict[str, Share]:
    """What each may take, by id; where whole workers cannot be divided equally, who comes first gets more."""
    workers = _workers(demands, {name: limit.workers for name, limit in limits.items() if limit.workers is not None})
    rates = _rates(demands, _capacities(demands, limits))
    return {demand.id: Share(workers[demand.id], rates.get(demand.id)) for demand in demands}


def _workers(demands: Sequence[Demand], left: dict[str, int]) -> dict[str, int]:
    """One worker after the other to the service that has fewest, within it to the instruction that has fewest."""
    given = dict.fromkeys((demand.id for demand in demands), 0)
    by_service: dict[UUID, list[tuple[int, int]]] = {}
    for number, demand in enumerate(demands):
        by_service.setdefault(demand.service, []).append((0, number))
    turns = [(0, number, service) for number, service in enumerate(by_service)]
    while turns:
        total, place, service = heapq.heappop(turns)
        waiting = by_service[service]
        while waiting:
            had, number = heapq.heappop(waiting)
            demand = demands[number]
            if had < demand.workers and all(left.get(cluster, 1) > 0 for cluster in demand.clusters):
                given[demand.id] = had + 1
                for cluster in left.keys() & set(demand.clusters):
                    left[cluster] -= 1
                heapq.heappush(waiting, (had + 1, number))
                heapq.heappush(turns, (total + 1, place, service))
                break
    return given


def _capacities(demands: Sequence[Demand], limits: Mapping[str, Allowed]) -> dict[str | UUID, float]:
    """Bytes per second of every cluster, policy and instruction that has a limit."""
    found: dict[str | UUID, float] = {
        name: float(limit.bytes_per_second) for name, limit in limits.items() if limit.bytes_per_second is not None
    }
    found |= {d.policy: float(d.bytes_per_second) for d in demands if d.bytes_per_second is not None}
    return found | {d.id: float(d.own_bytes_per_second) for d in demands if d.own_bytes_per_second is not None}


def _rates(demands: Sequence[Demand], left: dict[str | UUID, float]) -> dict[str, int]:
    """Let all services' rates grow alike until something is used up; who needs that stays there, the others go on."""
    taken_from: dict[str, list[str | UUID]] = {}
    for demand in demands:
        wanted: list[str | UUID] = [*dict.fromkeys(demand.clusters), demand.policy, demand.id]
        taken_from[demand.id] = [one for one in wanted if one in left]
    growing = [demand for demand in demands if taken_from[demand.id]]
    rates = {demand.id: 0.0 for demand in growing}
    while growing:
        siblings = Counter(demand.service for demand in growing)
        load: dict[str | UUID, float] = {}
        for demand in growing:
            for one in taken_from[demand.id]:
                load[one] = load.get(one, 0.0) + 1 / siblings[demand.service]
        growth = max(0.0, min(left[one] / load[one] for one in load))
        used_up = {one for one in load if left[one] / load[one] <= growth * (1 + 1e-12)}
        for demand in growing:
            rates[demand.id] += growth / siblings[demand.service]
        for one in load:
            left[one] -= growth * load[one]
        growing = [demand for demand in growing if not used_up & set(taken_from[demand.id])]
    return {identity: max(1, int(rate * (1 - 1e-12))) for identity, rate in rates.items()}
