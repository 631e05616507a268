"""The main job on real clusters: a whole service, as of one moment, by push and by pull, first copy and increment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from scripts.labkit.cluster import Cluster
from tests.lab.data import fill, read_tree
from tests.lab.product import Product


@pytest.mark.parametrize("direction", ["push", "pull"])
def test_a_service_is_backed_up_changed_and_backed_up_again(
    product: Product, cluster_a: Cluster, cluster_b: Cluster, unique_name: Callable[[str], str], direction: str
) -> None:
    name = unique_name("main")
    directory, table = f"/data/{name}", name.replace("-", "_")
    first = {"plain": b"1" * 5000, "sub/deeper/file": b"2" * 100, "empty": b""}
    fill(cluster_a, directory, first)
    with cluster_a.hbase() as connection:
        connection.create_table(table, {"f": {}})
        connection.table(table).put(b"row1", {b"f:q": b"old"})
    product.protect(name, (directory,), (table,))

    page = product.back_up(name, f"--{direction}", with_tables=True)

    snapshot = page["snapshot"]
    assert read_tree(cluster_b, f"{directory}/.snapshot/{snapshot}") == first
    assert page["consistency"]["verdict"] == "CONSISTENT"

    client = cluster_a.webhdfs("app")
    client.rename(f"{directory}/sub", f"{directory}/moved")
    client.delete(f"{directory}/plain")
    client.write(f"{directory}/new", data=b"3" * 10)
    with cluster_a.hbase() as connection:
        connection.table(table).put(b"row1", {b"f:q": b"new"})
    second = {"moved/deeper/file": b"2" * 100, "empty": b"", "new": b"3" * 10}

    page = product.back_up(name, f"--{direction}", with_tables=True)

    assert read_tree(cluster_b, f"{directory}/.snapshot/{page['snapshot']}") == second
    assert read_tree(cluster_b, directory) == second
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
    with cluster_b.hbase() as connection:
        assert dict(connection.table(clone).scan()) == {b"row1": {b"f:q": b"new"}}
    product.run("close", newest, "--yes")
    product.wait_for("it is closed", lambda: product.ask("recovery-point", "show", newest)["state"] == "AVAILABLE", 60)
    with cluster_b.hbase() as connection:
        assert clone.encode() not in connection.tables()
