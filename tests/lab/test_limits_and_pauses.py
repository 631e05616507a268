"""Limits and pauses on real clusters: they reach agents that copy, bandwidth is kept and shared, and all can go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from api.cli.remote.transport import ApiClient
from scripts.labkit.cluster import Cluster
from tests.lab.bulk import MEGABYTE, bulk_agent_of, enter, moved, settled, told_after, wait_until_allowed
from tests.lab.data import fill, read_tree
from tests.lab.product import CommandFailed, Product

REASON = "the line is needed"
FILE_BYTES = 250_000
WORKERS = 2  # so that little is in flight, which agents tell only when it has arrived
MEASURED_MS = 3_500.0
OBEYED_MS = 1_500.0  # agents look about once a second at what they may take
BURST_SECONDS = 0.25


def test_limits_and_pauses_of_every_scope_reach_an_agent_that_copies(
    product: Product,
    client: ApiClient,
    cluster_a: Cluster,
    cluster_b: Cluster,
    unique_name: Callable[[str], str],
) -> None:
    name = unique_name("paused")
    files = {f"f{number:02}": b"%02d" % number * 250_000 for number in range(40)}
    fill(cluster_a, f"/data/{name}", files)
    enter(client, product, name, {f"/data/{name}": "hdfs"}, {"workers": 2})
    product.run("cluster", "limits", "a", "--bandwidth", "1")
    run = product.begin(name, *product.lead())
    _, place = bulk_agent_of(product, cluster_a, run)
    wait_until_allowed(product, place, 2, 1)
    product.run("cluster", "limits", "a", "--bandwidth", "2", "--window", "daily 00:00-24:00 workers=1")
    wait_until_allowed(product, place, 1, 2)

    before = 0
    for scope in (("--service", name), ("--all",), ("--cluster", "b")):
        product.wait_for("it moves on", lambda seen=before: moved(place)[0] > seen, 30)
        product.run("pause", *scope, "--reason", REASON)
        wait_until_allowed(product, place, 0, None)
        assert_all_are_told(product, name, run)
        before = settled(product, place)
        if scope[0] == "--service":
            product.kill()
            product.start()
            product.wait_for("it is paused still", lambda: is_told(product, run), 30)
            assert settled(product, place) == before, "a crash of the control device lets nothing go on"
        product.run("resume", *scope)
        wait_until_allowed(product, place, 1, 2)
    assert before < sum(map(len, files.values())), "paused in the middle each time"

    product.run("cluster", "limits", "a", "--bandwidth", "none", "--no-windows")
    page = product.wait_for_state(run, "COMPLETED")
    assert read_tree(cluster_b, f"/data/{name}/.snapshot/{page['snapshot']}") == files


def is_told(product: Product, run: str) -> bool:
    """Whether the run says that it waits, and what for."""
    return REASON in product.page(run)["live"]["waiting_for"]


def assert_all_are_told(product: Product, service: str, run: str) -> None:
    """Whoever looks sees why it stands still, and nothing new of that service begins."""
    page = product.page(run)
    assert REASON in page["live"]["waiting_for"]
    assert (page["state"], page["stalled"]) == ("STAGING", [])
    for listed in (product.run("pauses"), product.run("runs"), product.run("run", "show", run)):
        assert REASON in listed
    with pytest.raises(CommandFailed, match=f"PAUSED.*{REASON}") as refused:
        product.begin(service)
    assert refused.value.exit_code == 1


def test_two_services_share_the_bandwidth_that_a_cluster_gives_also_when_it_gives_more_meanwhile(
    product: Product, client: ApiClient, cluster_a: Cluster, unique_name: Callable[[str], str]
) -> None:
    services = [unique_name("shared") for _ in range(2)]
    for name in services:
        fill(
            cluster_a, f"/data/{name}", {f"f{number:03}": b"%05d" % number * (FILE_BYTES // 5) for number in range(120)}
        )
        enter(client, product, name, {f"/data/{name}": "hdfs"}, {"workers": WORKERS})
    product.run("cluster", "limits", "b", "--bandwidth", "2")
    runs = [product.begin(name, *product.lead()) for name in services]
    places = [bulk_agent_of(product, cluster_a, run)[1] for run in runs]
    wait_until_share(product, places, 1)
    first = measured(product, places, 2)
    assert all(0.6 * MEGABYTE <= rate <= 1.4 * MEGABYTE for rate in first), first

    product.run("cluster", "limits", "b", "--bandwidth", "5")
    wait_until_share(product, places, 2.5)
    second = measured(product, places, 5)
    assert all(later > 1.5 * earlier for earlier, later in zip(first, second, strict=True)), (first, second)

    product.run("cluster", "limits", "b", "--bandwidth", "none")
    for run in runs:
        page = product.wait_for_state(run, "COMPLETED")
        (verified,) = page["verification"]["data_sets"].values()
        assert verified["content"]["verdict"] == "EQUAL"


def wait_until_share(product: Product, places: Sequence[Path], megabytes: float) -> None:
    """Return when each of the agents may take so many megabytes a second."""
    for place in places:
        wait_until_allowed(product, place, WORKERS, megabytes)


def measured(product: Product, places: Sequence[Path], megabytes: float) -> list[float]:
    """The bytes a second of agents that copy at once, over some seconds; together they keep the limit.

    What arrives in that time may have been in flight before, a file for each worker.
    """
    obeyed_ms = time.time() * 1000 + OBEYED_MS
    begun = [told_after(product, place, obeyed_ms) for place in places]
    ended = [told_after(product, place, at_ms + MEASURED_MS) for place, (_, at_ms) in zip(places, begun, strict=True)]
    arrived = [after - before for (before, _), (after, _) in zip(begun, ended, strict=True)]
    seconds = [(until_ms - from_ms) / 1000 for (_, from_ms), (_, until_ms) in zip(begun, ended, strict=True)]
    in_flight = len(places) * WORKERS * FILE_BYTES
    assert sum(arrived) <= megabytes * MEGABYTE * (max(seconds) + BURST_SECONDS) + in_flight, (arrived, seconds)
    return [much / long for much, long in zip(arrived, seconds, strict=True)]
