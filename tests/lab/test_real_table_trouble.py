"""Broken parts of HBase, and regions that change, during whole runs of the product, for a table with an odd name."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from scripts.labkit.cluster import Cluster
from scripts.labkit.lab import Lab
from tests.lab.breaking import left_by
from tests.lab.hbase_peer import HBasePeer
from tests.lab.product import Product

SPLITS = ("c", "f", "i", "l", "o", "r", "u")
ALL_AT_ONCE = ("split('{}', 'a-b')", "merge('{}', 'i')", "move('{}', 'u')")
ALONE = ("split('{}', 'c-b')", "merge('{}', 'o')", "move('{}', 'f')")


class Subject:
    """A service of one table of eight regions, and rows to write into it."""

    def __init__(self, product: Product, peer: HBasePeer, name: str) -> None:
        self.service = name
        self.table = peer.name("störung")
        self._peer = peer
        self._rows = 0
        peer.create_table(f"default:{self.table}", ("f",), SPLITS)
        self.write("before")
        product.protect(name, (), (self.table,), ("--trial-clone-hours", "0"))  # the clone is tried in every run

    def write(self, value: str) -> int:
        """One row more in every region; returns how many there are by now."""
        for start in ("a", *SPLITS):
            self._peer.put(self.table, f"{start}-{value}", value)
            self._rows += 1
        return self._rows


def rows_seen(page: dict[str, Any]) -> int:
    """How many rows the trial clone of a run's recovery point has shown."""
    seen: int = page["verification"]["trial_clone"]["rows_seen"]
    return seen


def assert_whole_or_nothing(page: dict[str, Any], rows: int, *clusters: Cluster) -> None:
    """A run whose snapshot was disturbed has all rows, or has failed for that reason and left nothing behind."""
    print(f"\n{page['state']}: {page['failure'] or page['snapshots']}")
    if page["state"] == "COMPLETED":
        assert rows_seen(page) == rows
        return
    assert page["failure"]["code"] in ("SNAPSHOT_FAILED", "SKEW_EXCEEDED"), page["failure"]
    assert page["failure"]["remedy"]
    assert left_by(page, *clusters) == []


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
    rows = subject.write("between")
    run = product.begin(subject.service, *product.lead(with_tables=True, times=1.5))
    page = product.wait_for_state(run, "ARMED")
    killed_at: list[float] = []

    def kill() -> None:
        killed_at.append(time.time())
        cluster_a.kill("regionserver")

    killing = threading.Timer(max(0.0, page["moment_ms"] / 1000 - time.time() + 0.05), kill)
    killing.start()
    killing.join()
    assert product.page(run)["state"] == "ARMED", "it was hit in the middle"
    cluster_a.start("regionserver")
    page = product.wait_for_state(run, "COMPLETED", "FAILED")
    assert_whole_or_nothing(page, rows, cluster_a, cluster_b)
    if page["state"] == "COMPLETED":
        (snapshot,) = page["snapshots"].values()
        # A try that failed has no times; then the one that succeeded was begun when the server was gone.
        assert snapshot["attempts"] > 1 or snapshot["asked_ms"] < killed_at[0] * 1000
        assert killed_at[0] * 1000 < snapshot["done_ms"]
    rows = subject.write("after")
    page = product.back_up(subject.service, with_tables=True)
    assert rows_seen(page) == rows


@pytest.mark.parametrize(
    "changes",
    [ALL_AT_ONCE, *(pytest.param((one,), marks=pytest.mark.by_hand) for one in ALONE)],
    ids=["all at once", "split", "merge", "move"],
)
def test_regions_that_change_at_the_snapshot(
    product: Product,
    subject: Subject,
    peer: HBasePeer,
    cluster_a: Cluster,
    cluster_b: Cluster,
    changes: tuple[str, ...],
) -> None:
    """One is split, two are merged, one is closed and opened again: HBase does not like that during a snapshot."""
    label = f"{len(changes)}-{changes[0][:5]}"
    rows = subject.write(f"during-{label}")
    run = product.begin(subject.service, *product.lead(with_tables=True, times=1.5))
    page = product.wait_for_state(run, "ARMED")
    for change in changes:
        peer.console.run(f"just_before({page['moment_ms']}) {{ {change.format(f'default:{subject.table}')} }}")
    page = product.wait_for_state(run, "COMPLETED", "FAILED")
    for change, outcome in zip(changes, peer.console.run("outcomes"), strict=True):
        print(f"\n{change}: {outcome or 'done'}")
        assert outcome is None or "snapshot" in outcome, "it has met the snapshot, one way or the other"
    assert_whole_or_nothing(page, rows, cluster_a, cluster_b)
    rows = subject.write(f"after-{label}")
    page = product.back_up(subject.service, with_tables=True)
    assert rows_seen(page) == rows
