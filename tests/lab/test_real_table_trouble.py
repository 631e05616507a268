"""Broken parts of HBase during whole runs of the product, for a table whose name is not ASCII."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from scripts.labkit.cluster import Cluster
from scripts.labkit.lab import Lab
from tests.lab.breaking import left_by
from tests.lab.hbase_peer import HBasePeer
from tests.lab.product import Product

SPLITS = ("c", "f", "i", "l", "o", "r", "u")


class Subject:
    """A service of one table of eight regions, and rows to write into it."""

    def __init__(self, product: Product, peer: HBasePeer, name: str) -> None:
        self.service = name
        self.table = peer.name("störung")
        self._peer = peer
        peer.create_table(f"default:{self.table}", ("f",), SPLITS)
        self.write("before")
        product.protect(name, (), (self.table,), ("--trial-clone-hours", "0"))  # the clone is tried in every run

    def write(self, value: str) -> None:
        """One row more in every region."""
        for start in ("a", *SPLITS):
            self._peer.put(self.table, f"{start}-{value}", value)


def rows_seen(page: dict[str, dict[str, dict[str, int]]]) -> int:
    """How many rows the trial clone of a run's recovery point has shown."""
    return page["verification"]["trial_clone"]["rows_seen"]


@pytest.fixture(scope="module")
def peer(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HBasePeer]:
    found = HBasePeer(lab.cluster("a"), tmp_path_factory.mktemp("hbase") / "log")
    yield found
    found.close()


@pytest.fixture(scope="module")
def subject(product: Product, peer: HBasePeer) -> Subject:
    return Subject(product, peer, peer.name("service").replace("_", "-"))


def test_thrift_servers_that_are_dead(
    product: Product, subject: Subject, cluster_a: Cluster, cluster_b: Cluster
) -> None:
    """Nothing of a run needs them: agents ask HBase itself."""
    for cluster in (cluster_a, cluster_b):
        cluster.kill("thrift")
    try:
        page = product.back_up(subject.service, with_tables=True)
    finally:
        for cluster in (cluster_a, cluster_b):
            cluster.start("thrift")
    assert rows_seen(page) == 8


def test_regionserver_killed_during_the_snapshot(
    product: Product, subject: Subject, cluster_a: Cluster, cluster_b: Cluster
) -> None:
    """The only one there is: HBase gives the snapshot up, or goes on with it when a server is back, which is late."""
    subject.write("between")
    run = product.begin(subject.service, *product.lead(with_tables=True, times=1.5))
    page = product.wait_for_state(run, "ARMED")
    killing = threading.Timer(max(0.0, page["moment_ms"] / 1000 - time.time() + 0.05), cluster_a.kill, ["regionserver"])
    killing.start()
    killing.join()
    assert product.page(run)["state"] == "ARMED", "it was hit in the middle"
    cluster_a.start("regionserver")
    page = product.wait_for_state(run, "COMPLETED", "FAILED")
    print(f"\n{page['state']}: {page['failure'] or page['snapshots']}")
    if page["state"] == "FAILED":
        assert page["failure"]["code"] in ("SNAPSHOT_FAILED", "SKEW_EXCEEDED"), page["failure"]
        assert page["failure"]["remedy"]
        assert left_by(page, cluster_a, cluster_b) == []
    else:
        assert rows_seen(page) == 16
    subject.write("after")
    page = product.back_up(subject.service, with_tables=True)
    assert rows_seen(page) == 24
