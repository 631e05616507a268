"""Ten services at once on real clusters: within limits, each as of its own moment, and none in another's way."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from api.cli.remote.transport import ApiClient
from api.cli.remote.transport import path as resource
from domain.values.data_set import DataSet
from scripts.labkit.cluster import Cluster
from tests.lab.bulk import WITHIN_SECONDS, bulk_agent_of, enter, instructions, plain
from tests.lab.counting import COUNTED, Counting, count_in, counter
from tests.lab.data import fill, read_tree
from tests.lab.product import ENDED, Product

AGENTS = 4
SERVICES = 10
WITH_TABLES = (3, 7)
SLOW = 0
SLOW_BYTES = 6_000_000
BETWEEN_MOMENTS_SECONDS = 0.5

Services = dict[str, dict[str, bytes]]


@pytest.fixture
def services(product: Product, client: ApiClient, cluster_a: Cluster, unique_name: Callable[[str], str]) -> Services:
    """Ten services of a directory each, two with a table, too, and their files by service; one of them is slow."""
    names = [unique_name(f"many{number}") for number in range(SERVICES)]
    files = {name: {"file": b"%d" % number * 2_000} for number, name in enumerate(names)}
    files[names[SLOW]] = {"file": b"s" * SLOW_BYTES}
    with cluster_a.hbase() as tables:
        for number, name in enumerate(names):
            data_sets = {f"/data/{name}": "hdfs"}
            fill(cluster_a, f"/data/{name}", files[name])
            if number in WITH_TABLES:
                table = name.replace("-", "_")
                tables.create_table(table, {"f": {}})
                tables.table(table).put(b"row", {b"f:q": b"value"})
                data_sets[table] = "hbase"
            limit = 1 if number == SLOW else None
            enter(client, product, name, data_sets, {"megabytes_per_second": limit, "trial_clone": False})
    for cluster in ("a", "b"):  # JRuby starts: no lead is measured by that
        client.post(resource("clusters", cluster, "check"), {}, timeout_seconds=120.0)
    return files


def test_ten_services_at_once_each_as_of_its_moment_and_a_stopped_or_failing_one_holds_nobody(
    services: Services,
    product: Product,
    client: ApiClient,
    cluster_a: Cluster,
    cluster_b: Cluster,
    unique_name: Callable[[str], str],
) -> None:
    slow = list(services)[SLOW]
    for cluster in ("a", "b"):
        client.post(resource("clusters", cluster, "limits"), {"agents": AGENTS})
    failing = unique_name("gone")
    enter(client, product, failing, {f"/data/{failing}": "hdfs"}, {})

    counting = Counting(cluster_a, [f"/data/{name}" for name in services])
    with counting:
        first_ms = round((time.time() + 5.0 + 2 * product.lead_seconds) * 1000)
        moments = {name: first_ms + round(n * BETWEEN_MOMENTS_SECONDS * 1000) for n, name in enumerate(services)}
        runs = {}
        for name in (failing, *services):
            at = datetime.fromtimestamp(moments.get(name, first_ms) / 1000, UTC).isoformat()
            runs[name] = client.post(resource("services", name, "backups"), {"at": at})["id"]

        ours = {plain(run) for run in runs.values()}  # the gateway may have agents of earlier control devices
        stopped, _ = bulk_agent_of(product, cluster_a, runs[slow])
        os.kill(stopped, signal.SIGSTOP)
        try:
            others = [name for name in runs if name != slow]
            pages: dict[str, Any] = {}
            give_up_at = time.monotonic() + WITHIN_SECONDS
            while len(pages) < len(others):
                assert time.monotonic() < give_up_at, sorted(set(others) - set(pages))
                for gateway in (cluster_a, cluster_b):
                    assert sum(wire["run"] in ours for _, wire in instructions(gateway).values()) <= AGENTS
                told = {name: client.get(resource("runs", runs[name])) for name in others if name not in pages}
                pages |= {name: page for name, page in told.items() if page["state"] in ENDED}
            held = client.get(resource("runs", runs[slow]))
            assert held["state"] == "STAGING", "all others ended while it stood still"
        finally:
            os.kill(stopped, signal.SIGCONT)

    assert pages.pop(failing)["failure"]["code"] == "NO_SUCH_DIRECTORY"
    pages[slow] = product.wait_for_state(runs[slow], "COMPLETED")
    counts = []
    for name in services:
        page = pages[name]
        assert (page["state"], page["failure"]) == ("COMPLETED", None), name
        assert (page["moment_ms"], page["consistency"]["verdict"]) == (moments[name], "CONSISTENT"), name
        tree = read_tree(cluster_b, f"/data/{name}/.snapshot/{page['snapshot']}")
        counts.append(count_in(tree))
        assert tree == {**services[name], counter(counts[-1]): COUNTED}, name
        earliest_ms, latest_ms = cut_between(page, f"/data/{name}")
        assert abs(earliest_ms - moments[name]) < BETWEEN_MOMENTS_SECONDS * 1000, "at its own moment, not at the next"
        assert counts[-1] in counting.between(f"/data/{name}", earliest_ms, latest_ms), name
    assert counts[0] < counts[-1], "it was written between the moments"


def cut_between(page: dict[str, Any], directory: str) -> tuple[float, float]:
    """Between which instants a run's snapshot of a directory was taken, as its page tells, on the cluster's clock."""
    taken = page["snapshots"][DataSet("hdfs", directory).id]
    uncertainty_ms = page["consistency"]["uncertainty_ms"]
    return taken["asked_cluster_ms"] - uncertainty_ms, taken["done_cluster_ms"] + uncertainty_ms
