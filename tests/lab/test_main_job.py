"""The main job on real clusters: a whole service, as of one moment, by push and by pull, first copy and increment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from scripts.labkit.cluster import Cluster
from tests.lab.data import fill, put, read_tree
from tests.lab.hdfs_peer import RealWriter
from tests.lab.product import Product

YEAR_2040_MS = 2_208_988_800_000


def rewrite(cluster: Cluster, path: str, before: bytes) -> bytes:
    """Cut a file to half, write other bytes up to its old length, and set its time back; returns what it holds."""
    client, app = cluster.webhdfs("hdfs"), RealWriter(cluster)
    listed = client.status(path)
    half = len(before) // 2
    app.truncate(path, half)
    app.append(path, b"#" * (len(before) - half))
    assert put(cluster, path, "SETTIMES", modificationtime=str(listed["modificationTime"])) == 200
    assert {**client.status(path), "accessTime": 0} == {**listed, "accessTime": 0}
    return before[:half] + b"#" * (len(before) - half)


def files_of(page: dict[str, Any]) -> tuple[str, int, int]:
    """The grade of a run's directory, how many of its files are FUZZY, and how many were moved."""
    (identity,) = [one["id"] for one in page["data_sets"] if one["component"] == "hdfs"]
    (graded,) = [one for one in page["consistency"]["grades"] if one["data_set"] == identity]
    return graded["grade"], graded["fuzzy_files"], page["staged"][identity]["files_moved"]


@pytest.mark.parametrize("direction", ["push", "pull"])
def test_a_service_is_backed_up_changed_and_backed_up_again(
    product: Product, cluster_a: Cluster, cluster_b: Cluster, unique_name: Callable[[str], str], direction: str
) -> None:
    name = unique_name("main")
    directory, table = f"/data/{name}", name.replace("-", "_")
    in_place = {"small": b"4" * 80, "middle": b"5" * 40_000, "large": b"6" * (1 << 20)}
    first = {"plain": b"1" * 5000, "sub/deeper/file": b"2" * 100, "empty": b"", "of 2040": b"7", **in_place}
    fill(cluster_a, directory, first)
    assert put(cluster_a, f"{directory}/of 2040", "SETTIMES", modificationtime=str(YEAR_2040_MS)) == 200
    with cluster_a.hbase() as connection:
        connection.create_table(table, {"f": {}})
        connection.table(table).put(b"row1", {b"f:q": b"old"})
    product.protect(name, (directory,), (table,))

    page = product.back_up(name, f"--{direction}", with_tables=True)

    snapshot = page["snapshot"]
    assert read_tree(cluster_b, f"{directory}/.snapshot/{snapshot}") == first
    assert page["consistency"]["verdict"] == "CONSISTENT"
    assert files_of(page) == ("EXACT", 0, len(first))

    client = cluster_a.webhdfs("app")
    client.rename(f"{directory}/sub", f"{directory}/moved")
    client.delete(f"{directory}/plain")
    client.write(f"{directory}/new", data=b"3" * 10)
    with cluster_a.hbase() as connection:
        connection.table(table).put(b"row1", {b"f:q": b"new"})
    changed = {name: rewrite(cluster_a, f"{directory}/{name}", data) for name, data in in_place.items()}
    kept = {"moved/deeper/file": b"2" * 100, "empty": b"", "of 2040": b"7"}
    second = {**kept, **changed, "new": b"3" * 10}

    page = product.back_up(name, f"--{direction}", with_tables=True)

    assert read_tree(cluster_b, f"{directory}/.snapshot/{page['snapshot']}") == second
    assert read_tree(cluster_b, directory) == second
    assert page["consistency"]["verdict"] == "CONSISTENT"
    assert files_of(page) == ("EXACT", 0, len(changed) + 1)
    points = product.ask("recovery-points", "--service", name)["items"]
    assert [p["state"] for p in points] == ["AVAILABLE", "AVAILABLE"]

    newest = max(points, key=lambda p: p["summary"]["moment_ms"])["id"]
    product.run("open", newest)
    opened: dict[str, Any] = {}

    def is_open() -> bool:
        opened.update(product.ask("recovery-point", "show", newest))
        return bool(opened["state"] == "OPEN")

    product.wait_for("the recovery point is open", is_open, 60)
    readable = {value["readable"] for value in opened["summary"]["readable"].values()}
    clone = next(r for r in readable if not r.startswith("/"))
    assert clone == f"understudy_scratch:{name}_{newest[:8]}_{table}"
    with cluster_b.hbase() as connection:
        assert dict(connection.table(clone).scan()) == {b"row1": {b"f:q": b"new"}}
    product.run("close", newest, "--yes")
    product.wait_for("it is closed", lambda: product.ask("recovery-point", "show", newest)["state"] == "AVAILABLE", 60)
    with cluster_b.hbase() as connection:
        assert clone.encode() not in connection.tables()
