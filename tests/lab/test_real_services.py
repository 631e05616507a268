"""The whole product with what real clusters contain: odd names of files and of data sets, by push and by pull."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from domain.protection.grading import consistency_of, grades_of
from infra.agent.core.hdfs_snapshots import snapshot_path
from scripts.labkit.cluster import Cluster
from tests.lab.data import fill, read_tree
from tests.lab.hbase_peer import Console
from tests.lab.hdfs_pair import RealPair
from tests.lab.product import Product
from tests.lab.test_real_trees import NAMES

UniqueName = Callable[[str], str]
ODD = "\u00fc %41 #+?;'\"-"


def assert_grades_are_proved(page: dict[str, Any], secondary: Cluster) -> None:
    """What is sealed on the cluster alone gives the grades and the verdict that the run's page shows."""
    path = f"/.understudy/recovery-points/{UUID(page['recovery_point']).hex}/manifest.json"
    with secondary.webhdfs("hdfs").read(path) as reader:
        manifest = json.loads(reader.read())
    found = consistency_of(manifest)
    assert found is not None
    assert (found.verdict, found.skew_ms) == (page["consistency"]["verdict"], page["consistency"]["skew_ms"])
    published = {one["data_set"]: one["grade"] for one in page["consistency"]["grades"]}
    assert {key: derived.grade for key, derived in grades_of(manifest).items()} == published


def test_odd_names_by_push_and_by_pull(
    product: Product, cluster_a: Cluster, cluster_b: Cluster, unique_name: UniqueName, tmp_path: Path
) -> None:
    service = unique_name("names")
    path = f"/data/{service}"
    fill(cluster_a, path, {})
    pair = RealPair(cluster_a, cluster_b, path, tmp_path)
    for number, name in enumerate(NAMES):
        pair.app.put(f"{path}/{name}/{name}", f"content {number}".encode())
    product.protect(service, (path,))
    for way in ("--push", "--pull"):
        page = product.back_up(service, way)
        assert_grades_are_proved(page, cluster_b)
        source = pair.picture("primary", snapshot_path(path, page["snapshot"]))
        assert len(source) == 2 * len(NAMES)
        assert pair.picture("secondary", snapshot_path(path, page["snapshot"])) == source
        for name in NAMES:
            pair.app.append(f"{path}/{name}/{name}", b"more")


def test_a_directory_whose_own_name_is_odd_is_copied_opened_and_closed(
    product: Product, cluster_a: Cluster, cluster_b: Cluster, unique_name: UniqueName
) -> None:
    service, path = unique_name("odd"), f"/data/{unique_name(ODD)}"
    files = {"file": b"1", f"{ODD}/{ODD}": b"2"}
    fill(cluster_a, path, files)
    product.protect(service, (path,))
    for way in ("--push", "--pull"):
        files[way] = b"3"
        cluster_a.webhdfs("app").write(f"{path}/{way}", data=b"3")
        page = product.back_up(service, way)
        assert [one["name"] for one in page["data_sets"]] == [path]
        assert read_tree(cluster_b, f"{path}/.snapshot/{page['snapshot']}") == files
    assert f"hdfs:{path}" in product.run("run", "show", page["id"])

    opened = product.run("open", page["recovery_point"])
    assert f"{path}/.snapshot/{page['snapshot']}" in opened
    product.run("close", page["recovery_point"], "--yes")
    assert product.ask("recovery-point", "show", page["recovery_point"])["state"] == "AVAILABLE"


def test_a_table_in_a_namespace_of_its_own_is_copied_opened_and_closed(
    product: Product, cluster_a: Cluster, cluster_b: Cluster, unique_name: UniqueName
) -> None:
    namespace = unique_name("space").replace("-", "_")
    table = f"{namespace}:orders"
    console = Console(cluster_a)
    console.run(f"create_namespace({namespace!r}); create_table({table!r}, {{'f' => {{}}}}, [])")
    console.close()
    product.protect(namespace, (), (table,))
    with cluster_a.hbase() as connection:
        connection.table(table).put(b"row", {b"f:q": b"value"})
    page = product.back_up(namespace, "--pull", with_tables=True)
    assert_grades_are_proved(page, cluster_b)
    product.run("open", page["recovery_point"])
    (opened,) = product.ask("recovery-point", "show", page["recovery_point"])["summary"]["readable"].values()
    with cluster_b.hbase() as connection:
        assert dict(connection.table(opened["readable"]).scan()) == {b"row": {b"f:q": b"value"}}
    product.run("close", page["recovery_point"], "--yes")
    with cluster_b.hbase() as connection:
        assert opened["readable"].encode() not in connection.tables()
