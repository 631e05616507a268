"""Sharing is fair, never above a limit, and wastes nothing."""

from __future__ import annotations

from collections import defaultdict
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.values.limits import Allowed
from infra.workers.sharing import Demand, Share, shares

CLUSTERS = ("a", "b", "c")
MEGABYTE = 1_000_000


def demand(
    number: int,
    service: int = 0,
    clusters: tuple[str, ...] = ("a",),
    workers: int = 16,
    rate: int | None = None,
) -> Demand:
    owner = UUID(int=service)
    return Demand(f"i{number}", owner, "d", owner, f"s{service}", owner, clusters[0], clusters, workers, rate, False)


def limit(workers: int | None = None, megabytes: int | None = None) -> Allowed:
    return Allowed(None, workers, megabytes)


@st.composite
def situations(draw: st.DrawFn, *, alone: bool = False) -> tuple[list[Demand], dict[str, Allowed]]:
    """Demands of some services on some clusters; ``alone``: each service has one."""
    found = []
    rates = {service: draw(st.none() | st.integers(1, 50)) for service in range(12)}
    for number in range(draw(st.integers(0, 12))):
        service = number if alone else draw(st.integers(0, 3))
        clusters = tuple(draw(st.permutations(CLUSTERS))[: draw(st.integers(1, 2))])
        rate = rates[service]
        bytes_per_second = None if rate is None else rate * MEGABYTE
        found.append(demand(number, service, clusters, draw(st.integers(1, 40)), bytes_per_second))
    maybe = st.none() | st.integers(1, 60)
    return found, {cluster: limit(draw(maybe), draw(maybe)) for cluster in CLUSTERS}


@given(situations())
def test_no_limit_is_exceeded(situation: tuple[list[Demand], dict[str, Allowed]]) -> None:
    demands, limits = situation
    found = shares(demands, limits)
    assert list(found) == [one.id for one in demands]
    for cluster, allowed in limits.items():
        here = [found[one.id] for one in demands if cluster in one.clusters]
        if allowed.workers is not None:
            assert sum(share.workers for share in here) <= allowed.workers
        if allowed.bytes_per_second is not None:
            assert all(share.bytes_per_second is not None for share in here)
            assert sum(share.bytes_per_second or 0 for share in here) <= allowed.bytes_per_second
    of_policy: dict[UUID, int] = defaultdict(int)
    for one in demands:
        share = found[one.id]
        assert 0 <= share.workers <= one.workers
        of_policy[one.policy] += share.bytes_per_second or 0
        assert share.bytes_per_second is None or share.bytes_per_second >= 1
        if one.bytes_per_second is not None:
            assert of_policy[one.policy] <= one.bytes_per_second


@given(situations())
def test_nothing_is_left_that_somebody_could_use(situation: tuple[list[Demand], dict[str, Allowed]]) -> None:
    demands, limits = situation
    found = shares(demands, limits)

    def used(cluster: str) -> int:
        return sum(found[one.id].workers for one in demands if cluster in one.clusters)

    for one in demands:
        if found[one.id].workers < one.workers:
            assert any(used(cluster) == limits[cluster].workers for cluster in one.clusters)


@given(situations(alone=True))
def test_nobody_has_more_workers_at_the_cost_of_who_has_less(
    situation: tuple[list[Demand], dict[str, Allowed]],
) -> None:
    """Max-min: whoever is short shares something that is used up with nobody who has two more."""
    demands, limits = situation
    found = shares(demands, limits)
    for one in demands:
        mine = found[one.id].workers
        if mine == one.workers:
            continue
        full = [
            cluster
            for cluster in one.clusters
            if sum(found[other.id].workers for other in demands if cluster in other.clusters) == limits[cluster].workers
        ]
        assert any(
            all(found[other.id].workers <= mine + 1 for other in demands if cluster in other.clusters)
            for cluster in full
        )


@given(situations(alone=True))
def test_nobody_is_faster_at_the_cost_of_who_is_slower(situation: tuple[list[Demand], dict[str, Allowed]]) -> None:
    """Every rate has a bottleneck: something used up of which nobody takes more."""
    demands, limits = situation
    found = shares(demands, limits)
    rates = {one.id: found[one.id].bytes_per_second for one in demands}
    slack = len(demands) + 1  # bytes: rates are whole numbers
    for one in demands:
        mine = rates[one.id]
        if mine is None:
            continue
        if one.bytes_per_second is not None and mine >= one.bytes_per_second - slack:
            continue
        bottlenecks = []
        for cluster in one.clusters:
            here = [rates[other.id] or 0 for other in demands if cluster in other.clusters]
            allowed = limits[cluster].bytes_per_second
            if allowed is not None and sum(here) >= allowed - slack:
                bottlenecks.append(max(here) <= mine + slack)
        assert any(bottlenecks)


@given(situations())
def test_the_same_situation_gives_the_same_shares(situation: tuple[list[Demand], dict[str, Allowed]]) -> None:
    assert shares(*situation) == shares(*situation)


@given(st.lists(st.integers(1, 6), min_size=2, max_size=5), st.integers(1, 100))
def test_services_are_equal_however_many_copies_each_has(copies: list[int], megabytes: int) -> None:
    demands = [demand(10 * s + n, s, workers=1000) for s, count in enumerate(copies) for n in range(count)]
    found = shares(demands, {"a": limit(workers=60, megabytes=megabytes)})
    workers = [sum(found[one.id].workers for one in demands if one.service.int == s) for s in range(len(copies))]
    rates = [
        sum(found[one.id].bytes_per_second or 0 for one in demands if one.service.int == s) for s in range(len(copies))
    ]
    assert max(workers) - min(workers) <= 1
    assert sum(workers) == 60
    assert max(rates) - min(rates) <= len(demands)


def test_what_one_service_cannot_use_goes_to_the_others() -> None:
    demands = [demand(1, 1, workers=2, rate=1 * MEGABYTE), demand(2, 2), demand(3, 2)]
    found = shares(demands, {"a": limit(20, 10)})
    assert found["i1"].workers == 2
    assert (found["i2"].workers, found["i3"].workers) == (9, 9)
    assert found["i1"].bytes_per_second == pytest.approx(1 * MEGABYTE, abs=2)
    assert found["i2"].bytes_per_second == pytest.approx(4.5 * MEGABYTE, abs=2)


def test_without_limits_everybody_goes_as_fast_as_it_goes() -> None:
    assert shares([demand(1), demand(2, 1)], {"a": limit()}) == {"i1": Share(16, None), "i2": Share(16, None)}
    assert shares([demand(1)], {}) == {"i1": Share(16, None)}
    assert shares([], {"a": limit(1, 1)}) == {}


def test_the_narrower_end_of_a_copy_counts_and_the_wider_is_free_for_others() -> None:
    demands = [demand(1, 1, ("a", "b")), demand(2, 2, ("b",)), demand(3, 3, ("b", "c"))]
    found = shares(demands, {"a": limit(megabytes=1), "b": limit(megabytes=30), "c": limit(megabytes=4)})
    rates = [found[f"i{number}"].bytes_per_second for number in (1, 2, 3)]
    assert rates == [pytest.approx(megabytes * MEGABYTE, abs=3) for megabytes in (1, 25, 4)]
