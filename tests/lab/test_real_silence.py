"""The other cluster is silent for a while in the middle of a copy, as when the line to it is cut: nothing is answered.

``UNDERSTUDY_SILENCE_SECONDS`` is for how long (longer than any time-out with ``--thorough``). A copy that began before
goes on and ends well.
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
from scripts.labkit.lab import Lab
from tests.contracts.hdfs_contract import once
from tests.lab.hdfs_pair import RealPair

SILENCE_SECONDS = float(os.environ.get("UNDERSTUDY_SILENCE_SECONDS", "10"))
SILENT_PARTS = ("namenode", "datanode")
FILES = 400
ARRIVED = 30
AT_ONCE = 16


@pytest.fixture
def pair(
    cluster_a: Cluster, cluster_b: Cluster, unique_name: Callable[[str], str], tmp_path: Path
) -> Iterator[RealPair]:
    pair = RealPair(cluster_a, cluster_b, f"/data/{unique_name('silence')}", tmp_path)
    pair.set_up()
    yield pair
    pair.tear_down()


def write_files(path: str) -> Procedure:
    files = (once(WriteFile("primary", f"{path}/{number}", bytes([number % 256]) * 3000)) for number in range(FILES))
    yield Together(files, AT_ONCE, keep_results=False)


def wait_until_files_arrive(cluster: Cluster, staging: str) -> None:
    client = cluster.webhdfs("hdfs")
    give_up_at = time.monotonic() + 60
    while True:
        found = client.content(staging, strict=False)
        if found is not None and found["fileCount"] >= ARRIVED:
            return
        assert time.monotonic() < give_up_at, found
        time.sleep(0.02)


@pytest.mark.parametrize("silent", [pytest.param("a", id="source"), pytest.param("b", id="target")])
def test_cluster_that_is_silent_in_the_middle_of_a_copy(pair: RealPair, lab: Lab, silent: str) -> None:
    pair.ask(write_files(pair.path))
    pair.cut("r1")
    cluster = lab.cluster(silent)
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(pair.send, "r1", None)
        wait_until_files_arrive(lab.cluster("b"), f"/.understudy/incoming/{pair.epoch}/r1")
        for part in SILENT_PARTS:
            cluster.pause(part)
        try:
            with pytest.raises(TimeoutError):  # nobody answers it; had it been faster than the test, it would be done
                sending.result(timeout=SILENCE_SECONDS)
        finally:
            for part in SILENT_PARTS:
                cluster.resume(part)
        sending.result(timeout=240)
    result = pair.finish("r1", level="bytes")
    assert result["digest"]["differences"] == []
    assert len(pair.assert_equal("r1")) == FILES
