"""``understudy plan`` on real clusters: how much, how long and when, and nothing is changed by asking."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scripts.labkit.cluster import Cluster
from tests.lab.data import fill
from tests.lab.product import Product

FILES = {f"part-{number % 3}/f{number}": bytes([number]) * 10_000 for number in range(20)}
PROBES = "/.understudy/clock"


def standing(cluster: Cluster, directory: str) -> tuple[Any, ...]:
    """What is on a cluster: what is the product's, how much is the application's, snapshots, and tables."""
    client = cluster.webhdfs("hdfs")
    ours = [f"{path}/{name}" for path, below, files in client.walk("/.understudy") for name in (*below, *files)]
    summary = client.content("/data")
    snapshots = [client.status(f"{directory}/.snapshot", strict=False) and client.list(f"{directory}/.snapshot")]
    snapshots += [client.list("/hbase/.hbase-snapshot")]
    with cluster.hbase() as connection:
        tables = sorted(connection.tables())
    return (
        sorted(path for path in ours if not path.startswith(f"{PROBES}/")),
        [summary[name] for name in ("fileCount", "directoryCount", "length")],
        snapshots,
        tables,
    )


def test_a_plan_says_how_much_how_long_and_when_and_the_run_shows_it_beside_what_it_took(
    product: Product, cluster_a: Cluster, cluster_b: Cluster, unique_name: Callable[[str], str]
) -> None:
    measured, planned = unique_name("measured"), unique_name("planned")
    table = planned.replace("-", "_")
    for name in (measured, planned):
        fill(cluster_a, f"/data/{name}", FILES)
    with cluster_a.hbase() as connection:
        connection.create_table(table, {"f": {}})
        connection.table(table).put(b"row", {b"f:q": b"value" * 1_000})
        connection.disable_table(table)  # so what is in memory becomes a store file
        connection.enable_table(table)
    product.protect(measured, (f"/data/{measured}",))
    product.back_up(measured)
    product.protect(planned, (f"/data/{planned}",), (table,))
    before = [standing(cluster, f"/data/{planned}") for cluster in (cluster_a, cluster_b)]

    plan = product.ask("plan", planned)

    told = product.run("plan", planned)
    assert [standing(cluster, f"/data/{planned}") for cluster in (cluster_a, cluster_b)] == before
    sizes = {one["name"]: one["size"] for one in plan["data_sets"]}
    store = cluster_a.webhdfs("hbase").content(f"/hbase/data/default/{table}")
    assert sizes[f"/data/{planned}"] == {
        "files": len(FILES), "directories": 4, "bytes": 200_000, "consumed_bytes": 200_000,
    }  # fmt: skip
    assert (sizes[table]["files"], sizes[table]["bytes"]) == (store["fileCount"], store["length"])
    assert store["length"] > 5_000
    predicted = plan["forecast"]
    assert (predicted["size"], predicted["rates"]["copies"]) == (plan["total"], 1)
    assert plan["total"]["bytes"] == 200_000 + store["length"]
    assert 0 < predicted["at_least_seconds"] <= predicted["at_most_seconds"]
    assert " until " in told

    page = product.back_up(planned, with_tables=True)

    assert page["forecast"]["size"] == plan["total"]
    shown = product.run("run", "show", page["id"])
    section = shown.partition("First copy, as predicted")[2].partition("\n\n")[0]
    names = [line.split()[0] for line in section.splitlines() if line]
    assert [name for name in names if name in ("size", "takes", "took")] == ["size", "takes", "took"], section
