"""Two control devices on real clusters: a fresh store and a restored back-up of the store are refused, and told why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.labkit.cluster import Cluster
from tests.lab.data import fill
from tests.lab.product import Product


def standing(cluster: Cluster, directory: str) -> tuple[Any, ...]:
    """What a control device could have changed."""
    client = cluster.webhdfs("hdfs")
    ours = [client.list(f"/.understudy/{name}") for name in ("controller", "identity", "recovery-points")]
    return ours, client.list(f"{directory}/.snapshot"), client.list(directory)


def sealed(cluster: Cluster) -> int:
    """How many recovery points stand on a cluster; the primary gets its manifests after the run has ended."""
    return len(cluster.webhdfs("hdfs").list("/.understudy/recovery-points"))


def test_another_control_device_is_refused_and_changes_nothing(
    product: Product,
    cluster_a: Cluster,
    cluster_b: Cluster,
    unique_name: Callable[[str], str],
    tmp_path: Path,
) -> None:
    name = unique_name("twice")
    fill(cluster_a, f"/data/{name}", {"one": b"1" * 100})
    product.protect(name, (f"/data/{name}",))
    product.back_up(name)
    others = {word: Product(product.lab, tmp_path / word) for word in ("fresh", "restored")}
    for other in others.values():
        other.directory.mkdir()
        other.install()
        other.pair = product.pair
        other.lead_seconds = product.lead_seconds
    product.stop()
    for file in product.directory.glob("*.db*"):
        if not file.name.endswith(".lock"):
            shutil.copy(file, others["restored"].directory / file.name)
    product.start()
    fill(cluster_a, f"/data/{name}", {"two": b"2" * 100})
    product.back_up(name)
    product.wait_for("the second recovery point is sealed on the primary, too", lambda: sealed(cluster_a) == 2, 30)
    before = [standing(cluster, f"/data/{name}") for cluster in (cluster_a, cluster_b)]
    for other in others.values():
        other.start()
    try:
        for cluster in ("a", "b"):
            others["fresh"].enter_cluster(cluster)
        refused = others["fresh"].attempt("pair", "create", product.pair, "--primary", "a", "--secondary", "b")
        owner = json.loads(product.run("pair", "owner", product.pair, "--json"))["clusters"][0]
        assert "PAIR_OWNED" in refused.stderr
        assert owner["owner"]["store"] in refused.stderr
        failure = others["restored"].fail_to_back_up(name)["failure"]
        assert failure["code"] == "OTHER_CONTROLLER", failure
    finally:
        for other in others.values():
            other.stop()
    assert [standing(cluster, f"/data/{name}") for cluster in (cluster_a, cluster_b)] == before
    product.back_up(name)
