"""A copy over a bad line: 100 ms away, one piece of a hundred lost, and cut in the middle.

``UNDERSTUDY_CUT_SECONDS`` is how long it is cut (60 by hand).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.agent.core.machine import Procedure, Together
from infra.agent.core.operations import WriteFile
from scripts.labkit.cluster import Cluster
from tests.contracts.hdfs_contract import once
from tests.lab.bad_network import FAR, HERE, BadLine
from tests.lab.hdfs_pair import RealPair

CUT_SECONDS = float(os.environ.get("UNDERSTUDY_CUT_SECONDS", "8"))
DELAY_SECONDS, LOSS = 0.1, 0.01
SMALL, LARGE = 40, 3
LARGE_BYTES = 6 << 20
ARRIVED_BYTES = 1 << 20


@pytest.fixture
def line(cluster_b: Cluster) -> Iterator[BadLine]:
    made = BadLine(cluster_b, DELAY_SECONDS, LOSS)
    yield made
    made.close()


@pytest.fixture
def pair(
    cluster_a: Cluster, cluster_b: Cluster, unique_name: Callable[[str], str], tmp_path: Path, line: BadLine
) -> Iterator[RealPair]:
    pair = RealPair(cluster_a, cluster_b, f"/data/{unique_name('line')}", tmp_path)
    pair.set_up()
    near = dict(pair.gateway.sites["secondary"])
    far = [url.replace(HERE, FAR) for url in near["namenodes"]]
    pair.gateway.sites["secondary"] = {**near, "namenodes": far, "datanode_hosts": {HERE: FAR}}
    yield pair
    pair.gateway.sites["secondary"] = near
    pair.tear_down()


def write_files(path: str) -> Procedure:
    sizes = {**{f"small{number}": 3_000 for number in range(SMALL)}, **{f"large{n}": LARGE_BYTES for n in range(LARGE)}}
    files = (once(WriteFile("primary", f"{path}/{name}", os.urandom(size))) for name, size in sizes.items())
    yield Together(files, 8, keep_results=False)


def test_copy_over_a_slow_and_lossy_line_that_is_cut_in_the_middle(pair: RealPair, line: BadLine) -> None:
    pair.ask(write_files(pair.path))
    pair.cut("r1")
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(pair.send, "r1", None)
        give_up_at = time.monotonic() + 60
        while line.passed_bytes < ARRIVED_BYTES:
            assert time.monotonic() < give_up_at, line.passed_bytes
            time.sleep(0.02)
        with line.cut():
            time.sleep(CUT_SECONDS)  # the cut itself: there is nothing to wait for in it
            assert not sending.done(), "nothing could have passed"
        sending.result(timeout=240)
    assert line.passed_bytes > LARGE * LARGE_BYTES, "it went over the bad line"
    result = pair.finish("r1", level="checksum")
    assert result["digest"]["differences"] == []
    assert len(pair.assert_equal("r1")) == SMALL + LARGE
