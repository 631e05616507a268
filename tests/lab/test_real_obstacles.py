"""What stands in the way of a copy: quotas that are too small, no room, and a NameNode that is read-only meanwhile.

Nothing is lost, what is said is clear, and the same run goes on once the way is free.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.agent.core import hdfs
from infra.agent.core.hdfs_snapshots import snapshot_path
from infra.agent.core.operations import CopyRange, Operation, OperationFailed, ReadFile
from infra.agent.core.work import manifest_path
from scripts.labkit.cluster import Cluster
from tests.contracts.hdfs_contract import BLOCK, once
from tests.lab.breaking import limit, little_room
from tests.lab.hdfs_pair import RealPair

NONE = -1  # takes a quota away
NO_MATTER = 1 << 40
TINY = {"names": (3, NO_MATTER), "space": (NO_MATTER, 1 << 10)}
AMPLE = (100_000, 1 << 40)
MORE_BYTES = 1 << 30  # than there is room for
SAFE_MODE_SECONDS = 6.0


@pytest.fixture
def pair(
    cluster_a: Cluster, cluster_b: Cluster, unique_name: Callable[[str], str], tmp_path: Path
) -> Iterator[RealPair]:
    pair = RealPair(cluster_a, cluster_b, f"/data/{unique_name('obstacles')}", tmp_path)
    pair.set_up()
    for name in ("kept", "changed", "deleted", "directory/below"):
        pair.app.put(f"{pair.path}/{name}", name.encode() * 1000)
    yield pair
    pair.tear_down()


def change(pair: RealPair) -> None:
    pair.app.append(f"{pair.path}/changed", b"more" * 1000)
    pair.ask(hdfs.delete("primary", f"{pair.path}/deleted"))
    pair.rename("directory", "moved")
    for number in range(5):
        pair.app.put(f"{pair.path}/new/{number}", bytes([number]) * 3000)


@pytest.mark.parametrize("quotas", TINY.values(), ids=TINY)
def test_quota_of_staging_that_is_too_small(pair: RealPair, cluster_b: Cluster, quotas: tuple[int, int]) -> None:
    pair.backup("r1")
    before = pair.picture("secondary", pair.path)
    change(pair)
    pair.cut("r2")
    incoming = f"/.understudy/incoming/{pair.epoch}"
    limit(cluster_b, incoming, *quotas)
    with pytest.raises(OperationFailed, match="NO_SPACE") as failed:
        pair.send("r2", "r1")
    assert "quota" in failed.value.remedy
    assert pair.picture("secondary", pair.path) == before
    limit(cluster_b, incoming, NONE, NONE)
    assert pair.copy("r2", "r1", "bytes")["digest"]["differences"] == []
    pair.assert_equal("r2")


@pytest.mark.parametrize("quotas", TINY.values(), ids=TINY)
def test_quota_of_the_copy_that_is_too_small(pair: RealPair, cluster_b: Cluster, quotas: tuple[int, int]) -> None:
    """It shows when the copy is being changed already: nothing is lost, and the same run is brought to its end."""
    pair.backup("r1")
    before = pair.picture("secondary", snapshot_path(pair.path, "r1"))
    change(pair)
    pair.cut("r2")
    pair.send("r2", "r1")
    limit(cluster_b, pair.path, *quotas)
    with pytest.raises(OperationFailed, match="NO_SPACE") as failed:
        pair.apply_staged("r2", "r1")
    assert "quota" in failed.value.remedy
    limit(cluster_b, pair.path, NONE, NONE)
    assert pair.finish("r2", "r1", "bytes")["digest"]["differences"] == []
    pair.assert_equal("r2")
    assert pair.picture("secondary", snapshot_path(pair.path, "r1")) == before


def test_quotas_that_fit_stay_and_those_of_the_source_are_told(
    pair: RealPair, cluster_a: Cluster, cluster_b: Cluster
) -> None:
    """The administrator's quotas of the copy outlive an increment and a healing; the source's are in the manifest."""
    pair.backup("r1")
    assert "q" not in root_entry(pair, "r1")
    limit(cluster_b, pair.path, *AMPLE)
    limit(cluster_a, pair.path, 1000, 1 << 30)
    change(pair)
    pair.backup("r2", "r1")
    assert root_entry(pair, "r2")["q"] == [1000, 1 << 30]
    assert pair.ask(hdfs.quotas("secondary", pair.path)) == [*AMPLE]
    pair.ask(hdfs.delete("secondary", f"{pair.path}/kept"))
    pair.ask(hdfs.make_directory("secondary", f"{pair.path}/foreign", "755"))
    assert pair.backup("r3", "r2")["healed"]
    pair.assert_equal("r3")
    assert pair.ask(hdfs.quotas("secondary", pair.path)) == [*AMPLE]


def root_entry(pair: RealPair, run: str) -> dict[str, Any]:
    """What the manifest of a recovery point tells of the directory itself."""
    manifest: bytes = pair.ask(once(ReadFile("secondary", manifest_path(run, pair.data_set))))
    entry: dict[str, Any] = json.loads(manifest.partition(b"\n")[0])
    assert entry["p"] == ""
    return entry


def test_secondary_that_is_full(pair: RealPair, cluster_b: Cluster) -> None:
    """There is no room for a block of the last file: HDFS says that it finds no DataNode for it, and no more."""
    pair.backup("r1")
    before = pair.picture("secondary", pair.path)
    change(pair)
    with little_room(cluster_b) as left_bytes:
        pair.app.put(f"{pair.path}/new/last", b"last" * 1000, block_size=left_bytes // BLOCK * BLOCK + MORE_BYTES)
        pair.cut("r2")
        with pytest.raises(OperationFailed, match="NO_SPACE") as failed:
            pair.send("r2", "r1")
        assert "/r2/" in failed.value.message
        assert "add DataNodes" in failed.value.remedy
        assert pair.picture("secondary", pair.path) == before
    assert pair.copy("r2", "r1", "bytes")["digest"]["differences"] == []
    pair.assert_equal("r2")


class ReadOnly:
    """Makes a NameNode read-only for a while, as its administrator does."""

    def __init__(self, cluster: Cluster) -> None:
        self.ends_at = math.inf
        self._cluster = cluster
        self._leaving = threading.Timer(SAFE_MODE_SECONDS, self._administer, ("leave",))

    def begin(self) -> None:
        self._administer("enter")
        self.ends_at = time.monotonic() + SAFE_MODE_SECONDS
        self._leaving.start()

    def join(self) -> None:
        """Wait for its end, if it has begun."""
        if self._leaving.ident is not None:
            self._leaving.join()

    def _administer(self, what: str) -> None:
        self._cluster.ssh(f"HADOOP_USER_NAME=hdfs hdfs dfsadmin -safemode {what}")


@pytest.fixture
def read_only(cluster_b: Cluster) -> Iterator[ReadOnly]:
    made = ReadOnly(cluster_b)
    yield made
    made.join()


def test_secondary_that_is_read_only_while_files_arrive(
    pair: RealPair, cluster_b: Cluster, read_only: ReadOnly
) -> None:
    pair.backup("r1")
    change(pair)
    pair.cut("r2")
    staged = f"/.understudy/incoming/{pair.epoch}/r2/{pair.data_set['id']}/new"
    copies: list[int] = []

    def begin_when_one_has_arrived(number: int, operation: Operation) -> None:
        if isinstance(operation, CopyRange):
            copies.append(number)
            if len(copies) == 2:
                wait_until_bytes_are_in(cluster_b, staged)
                read_only.begin()

    pair.gateway.disturb = begin_when_one_has_arrived
    pair.send("r2", "r1")
    pair.gateway.disturb = None
    assert time.monotonic() > read_only.ends_at, "more files had to arrive, and could not meanwhile"
    assert pair.finish("r2", "r1", "bytes")["digest"]["differences"] == []
    pair.assert_equal("r2")


def wait_until_bytes_are_in(cluster: Cluster, directory: str) -> None:
    give_up_at = time.monotonic() + 60
    while not (cluster.webhdfs("hdfs").content(directory, strict=False) or {}).get("length"):
        assert time.monotonic() < give_up_at
        time.sleep(0.02)  # HDFS tells in no other way


def test_secondary_that_is_read_only_when_it_is_to_be_changed(pair: RealPair, read_only: ReadOnly) -> None:
    pair.backup("r1")
    change(pair)
    pair.cut("r2")
    pair.send("r2", "r1")
    read_only.begin()
    assert pair.finish("r2", "r1", "bytes")["digest"]["differences"] == []
    assert time.monotonic() > read_only.ends_at, "nothing could be changed meanwhile"
    pair.assert_equal("r2")
