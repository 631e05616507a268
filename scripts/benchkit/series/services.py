"""A control device with more and more services and policies: its memory, its start, its list. No cluster is needed."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from api.cli.remote.connection import Options, connection
from api.cli.remote.errors import Unreachable
from api.cli.remote.transport import ApiClient
from api.cli.remote.transport import path as resource
from domain.pair.cluster import Cluster
from domain.pair.pair import ClusterPair
from domain.protection.policy import BackupPolicy, Settings
from domain.protection.service import Service
from domain.stateful import Context
from domain.values.data_set import DataSet
from infra.store.session import Session
from infra.store.store import open_store
from infra.summaries import CONTENTS
from scripts.benchkit.growing import Figure, Series
from scripts.benchkit.measuring import BenchFailed
from scripts.benchkit.rows.store import a_cluster, context
from tests.lab.product import Product

TIMES = 5
MEBIBYTE_IN_KIB = 1024


class ByServices(Series):
    name = "services"
    title = "A control device by services, each with a policy"
    by = "services"
    figures = (
        Figure("memory_mib", "MiB of memory"),
        Figure("start_seconds", "s to start"),
        Figure("command_seconds", "s for 'service list'"),
        Figure("policies_seconds", "s for 'policy list'"),
        Figure("answer_seconds", "s for the API's list"),
    )
    sizes = (10, 100, 1_000)
    small_sizes = (10, 100)

    def measure(self, size: int) -> Mapping[str, float]:
        with TemporaryDirectory() as directory:
            product = Product(self.world.lab, Path(directory))
            product.install()
            asyncio.run(fill_store(Path(directory) / "events.db", size))
            client = ApiClient(connection(Options(), product.environment))
            began = time.monotonic()
            product.launch()
            try:
                product.wait_for("the control device answers", partial(_answers, client), 60)
                return {"start_seconds": time.monotonic() - began, **_asked(product, client, size)}
            finally:
                product.stop()


def _answers(client: ApiClient) -> bool:
    try:
        client.get(resource("services"), {"limit": 1})
    except Unreachable:
        return False
    return True


def _asked(product: Product, client: ApiClient, size: int) -> Mapping[str, float]:
    """The middle of several times, and the memory that the process has after them."""
    commands: dict[str, list[float]] = {"service": [], "policy": []}
    answers = []
    for _ in range(TIMES):
        for what, seconds in commands.items():
            began = time.monotonic()
            told = product.run(what, "list")
            seconds.append(time.monotonic() - began)
            if any(f"service-{number:04}" not in told for number in range(size)):
                raise BenchFailed(f"'{what} list' does not list all of them")
        began = time.monotonic()
        listed = client.get(resource("services"), {"limit": 1_000})["items"]
        answers.append(time.monotonic() - began)
        if len(listed) != size:
            raise BenchFailed(f"{len(listed)} services are listed, not {size}")
    assert product.process is not None
    status = Path(f"/proc/{product.process.pid}/status").read_text().splitlines()
    kibibytes = next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
    return {
        "memory_mib": kibibytes / MEBIBYTE_IN_KIB,
        "command_seconds": statistics.median(commands["service"]),
        "policies_seconds": statistics.median(commands["policy"]),
        "answer_seconds": statistics.median(answers),
    }


async def fill_store(path: Path, services: int) -> None:
    """A store with a formed pair and so many services, each with two data sets and a policy."""
    store = open_store(path, CONTENTS)
    for name in ("a", "b"):
        asked = context()
        cluster = a_cluster(asked, name)
        await store.writer.execute(asked, cluster.id, partial(_add_cluster, cluster))
    asked = context()
    await store.writer.execute(asked, ClusterPair.identity("pair"), partial(_form_pair, asked))
    for number in range(services):
        asked, name = context(), f"service-{number:04}"
        await store.writer.execute(asked, Service.identity(name), partial(_enter_service, asked, name))
    await store.close()


def _add_cluster(cluster: Cluster, session: Session) -> None:
    session.add(cluster)


def _form_pair(asked: Context, session: Session) -> None:
    endpoints = {name: session.load(Cluster, Cluster.identity(name)).endpoints for name in ("a", "b")}
    pair = ClusterPair.form(asked, "pair", "a", "b", endpoints)
    while wanted := pair.next_instructions():
        pair.conclude(asked, wanted[0].id, {"status": "succeeded", "result": {}, "failure": None})
    session.add(pair)


def _enter_service(asked: Context, name: str, session: Session) -> None:
    pair = session.load(ClusterPair, ClusterPair.identity("pair"))
    data_sets = (DataSet.parse("hdfs", f"/data/{name}"), DataSet.parse("hbase", name))
    service = Service.define(asked, name, pair, data_sets)
    pair.claim(asked, service.id, data_sets)
    session.add(service)
    session.add(BackupPolicy.enter(asked, name, service, Settings()))
