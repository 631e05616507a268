"""The whole product with what real trees contain: every odd name goes over by push and by pull."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from infra.agent.core.hdfs_snapshots import snapshot_path
from scripts.labkit.cluster import Cluster
from tests.lab.data import fill
from tests.lab.hdfs_pair import RealPair
from tests.lab.product import Product
from tests.lab.test_real_trees import NAMES

UniqueName = Callable[[str], str]


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
        source = pair.picture("primary", snapshot_path(path, page["snapshot"]))
        assert len(source) == 2 * len(NAMES)
        assert pair.picture("secondary", snapshot_path(path, page["snapshot"])) == source
        for name in NAMES:
            pair.app.append(f"{path}/{name}/{name}", b"more")
