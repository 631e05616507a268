"""Ten services at once on real clusters: within limits, each as of its own moment, and none in another's way."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api.cli.remote.connection import Options, connection
from api.cli.remote.transport import ApiClient
from api.cli.remote.transport import path as resource
from infra.agent.protocol import BULK_KINDS
from scripts.labkit.cluster import Cluster
from tests.lab.breaking import agents_of
from tests.lab.data import fill, read_tree
from tests.lab.product import ENDED, CommandFailed, Product

AGENTS = 4
SERVICES = 10
WITH_TABLES = (3, 7)
SLOW = 0
SLOW_BYTES = 6_000_000
BETWEEN_MOMENTS_SECONDS = 0.5
WITHIN_SECONDS = 90.0
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def client(product: Product) -> ApiClient:
    """The API of the control device, without a process for each command."""
    return ApiClient(connection(Options(), product.environment))


def instructions(cluster: Cluster) -> dict[int, tuple[Path, dict[str, Any]]]:
    """What a gateway's agents are at, in bulk and not ended: process id → its place in the spool, the instruction."""
    found = {}
    for pid, instruction in agents_of(cluster).items():
        place = cluster.layout.spool / "instructions" / instruction
        wire = json.loads((place / "instruction.json").read_text())
        if wire["kind"] in BULK_KINDS and not (place / "outcome.json").exists():
            found[pid] = (place, wire)
    return found


def bulk_agent_of(product: Product, cluster: Cluster, run: str) -> tuple[int, Path]:
    """The agent that copies for a run, when there is one, and its place in the spool."""
    found: list[tuple[int, Path]] = []

    def is_there() -> bool:
        mine = [(pid, place) for pid, (place, wire) in instructions(cluster).items() if wire["run"] == plain(run)]
        found.extend(mine)
        return bool(mine)

    product.wait_for(f"an agent copies for {run}", is_there, WITHIN_SECONDS)
    return found[0]


def plain(run: str) -> str:
    """A run's id as instructions have it."""
    return run.replace("-", "")


def enter(
    client: ApiClient, product: Product, name: str, names: Mapping[str, str], settings: Mapping[str, Any]
) -> None:
    """A service of data sets (name → component) with a policy of its own."""
    data_sets = [{"component": component, "name": data_set} for data_set, component in names.items()]
    client.post(resource("services"), {"name": name, "pair": product.pair, "data_sets": data_sets})
    client.post(resource("policies"), {"name": name, "service": name, "settings": dict(settings)})


def test_ten_services_at_once_each_as_of_its_moment_and_a_stopped_or_failing_one_holds_nobody(
    product: Product,
    client: ApiClient,
    cluster_a: Cluster,
    cluster_b: Cluster,
    unique_name: Callable[[str], str],
) -> None:
    services = [unique_name(f"many{number}") for number in range(SERVICES)]
    files = {name: {"file": b"%d" % number * 2_000} for number, name in enumerate(services)}
    files[services[SLOW]] = {"file": b"s" * SLOW_BYTES}
    for name in ("a", "b"):
        client.post(resource("clusters", name, "limits"), {"agents": AGENTS})
    with cluster_a.hbase() as tables:
        for number, name in enumerate(services):
            names = {f"/data/{name}": "hdfs"}
            fill(cluster_a, f"/data/{name}", files[name])
            if number in WITH_TABLES:
                table = name.replace("-", "_")
                tables.create_table(table, {"f": {}})
                tables.table(table).put(b"row", {b"f:q": b"value"})
                names[table] = "hbase"
            limit = 1 if number == SLOW else None
            enter(client, product, name, names, {"megabytes_per_second": limit, "trial_clone": False})
    for name in ("a", "b"):  # JRuby starts: no lead is measured by that
        client.post(resource("clusters", name, "check"), {}, timeout_seconds=120.0)
    failing = unique_name("gone")
    enter(client, product, failing, {f"/data/{failing}": "hdfs"}, {})

    first_ms = round((time.time() + 5.0 + 2 * product.lead_seconds) * 1000)
    moments = {name: first_ms + round(n * BETWEEN_MOMENTS_SECONDS * 1000) for n, name in enumerate(services)}
    runs = {}
    for name in (failing, *services):
        at = datetime.fromtimestamp(moments.get(name, first_ms) / 1000, UTC).isoformat()
        runs[name] = client.post(resource("services", name, "backups"), {"at": at})["id"]

    ours = {plain(run) for run in runs.values()}  # the gateway may have agents of earlier control devices
    stopped, _ = bulk_agent_of(product, cluster_a, runs[services[SLOW]])
    os.kill(stopped, signal.SIGSTOP)
    try:
        others = [name for name in runs if name != services[SLOW]]
        pages: dict[str, Any] = {}
        give_up_at = time.monotonic() + WITHIN_SECONDS
        while len(pages) < len(others):
            assert time.monotonic() < give_up_at, sorted(set(others) - set(pages))
            for cluster in (cluster_a, cluster_b):
                assert sum(wire["run"] in ours for _, wire in instructions(cluster).values()) <= AGENTS
            told = {name: client.get(resource("runs", runs[name])) for name in others if name not in pages}
            pages |= {name: page for name, page in told.items() if page["state"] in ENDED}
        held = client.get(resource("runs", runs[services[SLOW]]))
        assert held["state"] == "STAGING", "all others ended while it stood still"
    finally:
        os.kill(stopped, signal.SIGCONT)

    assert pages.pop(failing)["failure"]["code"] == "NO_SUCH_DIRECTORY"
    pages[services[SLOW]] = product.wait_for_state(runs[services[SLOW]], "COMPLETED")
    for name, page in pages.items():
        assert (page["state"], page["failure"]) == ("COMPLETED", None), name
        assert (page["moment_ms"], page["consistency"]["verdict"]) == (moments[name], "CONSISTENT"), name
        assert read_tree(cluster_b, f"/data/{name}/.snapshot/{page['snapshot']}") == files[name]


def test_limits_and_pauses_reach_an_agent_that_copies(
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

    def allowed(workers: int, megabytes: int | None) -> Callable[[], bool]:
        def is_so() -> bool:
            told = json.loads((place / "allowance.json").read_text())
            rate = told["bytes_per_second"]
            right = rate is None if megabytes is None else rate is not None and abs(rate - megabytes * MEGABYTE) <= 1
            return bool(told["workers"] == workers and right)

        return is_so

    product.wait_for("the first limit is in the spool", allowed(2, 1), 30)
    product.run("cluster", "limits", "a", "--bandwidth", "2", "--window", "daily 00:00-24:00 workers=1")
    product.wait_for("the changed limit and the window's reach the agent", allowed(1, 2), 30)

    product.run("pause", "--service", name, "--reason", "the line is needed")
    product.wait_for("the pause reaches the agent", allowed(0, None), 30)
    page = product.page(run)
    assert (page["state"], page["stalled"]) == ("STAGING", [])
    assert "the line is needed" in page["live"]["waiting_for"]
    for listed in (product.run("pauses"), product.run("runs"), product.run("run", "show", run)):
        assert "the line is needed" in listed
    with pytest.raises(CommandFailed, match=r"PAUSED.*the line is needed") as refused:
        product.begin(name)
    assert refused.value.exit_code == 1
    before = settled(product, place)
    assert 0 < before < sum(map(len, files.values())), "paused in the middle"

    product.kill()
    product.start()
    product.wait_for("it is paused still", lambda: "the line is needed" in product.page(run)["live"]["waiting_for"], 30)
    assert settled(product, place) == before, "a crash of the control device lets nothing go on"

    product.run("cluster", "limits", "a", "--bandwidth", "none", "--no-windows")
    product.run("resume", "--service", name)
    page = product.wait_for_state(run, "COMPLETED")
    assert read_tree(cluster_b, f"/data/{name}/.snapshot/{page['snapshot']}") == files


def settled(product: Product, place: Path) -> int:
    """The bytes that an agent has moved, once they have not grown for two seconds, twice what it takes to obey."""
    seen = [(-1, time.monotonic())]

    def has_settled() -> bool:
        lines = (place / "progress.ndjson").read_bytes().rpartition(b"\n")[0].splitlines()
        moved = max((int(json.loads(line).get("bytes") or 0) for line in lines), default=0)
        if moved != seen[-1][0]:
            seen.append((moved, time.monotonic()))
        return time.monotonic() - seen[-1][1] >= 2.0

    product.wait_for("what was in flight has ended", has_settled, 30)
    return seen[-1][0]
