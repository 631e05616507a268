"""Copies over a bad line: 100 ms away, one piece of a hundred lost, and cut in the middle.

``UNDERSTUDY_CUT_SECONDS`` is how long it is cut (longer than any time-out with ``--thorough``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from infra.agent.core.machine import Procedure, Together
from infra.agent.core.operations import WriteFile
from scripts.labkit.cluster import Cluster
from tests.contracts.hdfs_contract import once
from tests.lab.bad_network import BadLine
from tests.lab.hbase_pair import RealTables
from tests.lab.hdfs_pair import RealPair

CUT_SECONDS = float(os.environ.get("UNDERSTUDY_CUT_SECONDS", "8"))
DELAY_SECONDS, LOSS = 0.1, 0.01
SMALL, LARGE = 40, 3
LARGE_BYTES = 6 << 20
CELL_BYTES = 3 << 20
ARRIVED_BYTES = 1 << 20


@pytest.fixture
def line(cluster_b: Cluster) -> Iterator[BadLine]:
    made = BadLine(cluster_b, DELAY_SECONDS, LOSS)
    yield made
    made.close()


@pytest.fixture
def directory(
    cluster_a: Cluster, cluster_b: Cluster, unique_name: Callable[[str], str], tmp_path: Path
) -> Iterator[RealPair]:
    pair = RealPair(cluster_a, cluster_b, f"/data/{unique_name('line')}", tmp_path)
    pair.set_up()
    yield pair
    pair.tear_down()


def write_files(path: str) -> Procedure:
    sizes = {**{f"small{number}": 3_000 for number in range(SMALL)}, **{f"large{n}": LARGE_BYTES for n in range(LARGE)}}
    files = (once(WriteFile("primary", f"{path}/{name}", os.urandom(size))) for name, size in sizes.items())
    yield Together(files, 8, keep_results=False)


def send_over(line: BadLine, sites: dict[str, Any], send: Callable[[], object], sent_bytes: int) -> None:
    """Send to a secondary that is behind the line, which is cut for a while as soon as something has arrived.

    What follows is done by the secondary's own agent, which is on its side of the line.
    """
    near = sites["secondary"]
    sites["secondary"] = line.site(near)
    try:
        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(send)
            line.wait_for(ARRIVED_BYTES)
            with line.cut(), pytest.raises(TimeoutError):
                sending.result(timeout=CUT_SECONDS)
            sending.result(timeout=240)
    finally:
        sites["secondary"] = near
    assert all(line.passed_bytes.values()), f"nothing went past it: {line.passed_bytes}"
    assert sum(line.passed_bytes.values()) > sent_bytes


def test_copy_over_a_slow_and_lossy_line_that_is_cut_in_the_middle(directory: RealPair, line: BadLine) -> None:
    directory.ask(write_files(directory.path))
    directory.cut("r1")
    send_over(line, directory.gateway.sites, lambda: directory.send("r1", None), LARGE * LARGE_BYTES)
    result = directory.finish("r1", level="checksum")
    assert result["digest"]["differences"] == []
    assert len(directory.assert_equal("r1")) == SMALL + LARGE


def test_a_table_over_the_same_line(pair: RealTables, run: str, line: BadLine) -> None:
    table = f"default:{pair.source.name('line')}"
    rows = [f"row-{number}" for number in range(LARGE)]
    pair.source.create_table_with(table, {"f": {}}, [rows[1]])
    pair.source.console.run(f"fill_large({table!r}, 'f', {rows}, {CELL_BYTES})")
    pair.take(run, table)
    send_over(line, pair.sites, lambda: pair.send_taken(run, table), LARGE * CELL_BYTES)
    pair.finish(run, table, {})
    pair.assert_equal(run, table, LARGE)
