"""One directory with very many entries, more than a NameNode lists at once, copied and then changed.

``UNDERSTUDY_ENTRIES`` is how many there are (a page of a listing and some by default, 100000 with ``--thorough``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from infra.agent.core import hdfs
from infra.agent.core.hdfs_snapshots import snapshot_path
from infra.agent.core.hdfs_walk import Walk
from infra.agent.core.machine import Procedure, Together
from scripts.benchkit.trees import MAKERS, file_name, make_files
from scripts.labkit.cluster import Cluster
from tests.lab.hdfs_pair import RealPair

ENTRIES = int(os.environ.get("UNDERSTUDY_ENTRIES", "1200"))
AT_ONCE = 32
PORTION = 1000
GONE_ONE_IN = 10


@pytest.fixture
def pair(
    cluster_a: Cluster, cluster_b: Cluster, unique_name: Callable[[str], str], tmp_path: Path
) -> Iterator[RealPair]:
    pair = RealPair(cluster_a, cluster_b, f"/data/{unique_name('many')}", tmp_path)
    pair.set_up()
    yield pair
    pair.tear_down()


def fill(cluster: Cluster, path: str, first: int, end: int) -> None:
    """Empty files in one directory."""

    def make(begin: int) -> None:
        make_files(cluster, path, begin, min(end, begin + PORTION))

    with ThreadPoolExecutor(MAKERS) as pool:
        list(pool.map(make, range(first, end, PORTION)))


def together(*procedures: Procedure) -> Procedure:
    yield Together(procedures, AT_ONCE, keep_results=False)


def listing(pair: RealPair, site: str, root: str) -> dict[str, Any]:
    """What a NameNode lists of a tree, but for what belongs to one cluster alone."""

    def walked() -> Procedure:
        walk = Walk(site, root)
        found = {}
        while (entry := (yield from walk.next())) is not None:
            if entry["p"]:
                found[entry["p"]] = tuple(entry.get(name) for name in ("t", "l", "m", "o", "g", "x"))
        return found

    return pair.ask(walked())  # type: ignore[no-any-return]


def assert_copied(pair: RealPair, run: str, result: dict[str, Any]) -> dict[str, Any]:
    assert result["digest"]["differences"] == []
    source = listing(pair, "primary", snapshot_path(pair.path, run))
    for place in (snapshot_path(pair.path, run), pair.path):
        assert listing(pair, "secondary", place) == source
    return source


def test_directory_of_very_many_entries(pair: RealPair, cluster_a: Cluster) -> None:
    fill(cluster_a, f"{pair.path}/many", 0, ENTRIES)
    assert len(assert_copied(pair, "r1", pair.backup("r1"))) == ENTRIES + 1

    pair.rename("many", "very many")
    path = f"{pair.path}/very many"
    gone = range(0, ENTRIES, GONE_ONE_IN)
    pair.ask(together(*(hdfs.delete("primary", f"{path}/{file_name(number)}") for number in gone)))
    fill(cluster_a, path, ENTRIES, ENTRIES + GONE_ONE_IN)
    result = pair.backup("r2", "r1")
    assert len(assert_copied(pair, "r2", result)) == ENTRIES + 1 - len(gone) + GONE_ONE_IN
    assert (result["renamed"], result["deleted"]) == (1, len(gone))
