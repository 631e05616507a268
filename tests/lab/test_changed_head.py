"""A copy that somebody has changed since the last run: left alone where the policy refuses, else brought back."""

from __future__ import annotations

from collections.abc import Callable

from scripts.labkit.cluster import Cluster
from tests.lab.data import fill, read_tree
from tests.lab.product import Product

FILES = {"kept": b"1", "sub/other": b"2", "sub/overwritten": b"1234", "grown": b"3"}
CHANGED = {"sub/other": b"2", "sub/overwritten": b"4321", "grown": b"3 and more", "sub/theirs": b"theirs"}


def test_a_changed_copy_is_left_alone_or_brought_back_as_the_policy_says(
    product: Product, cluster_a: Cluster, cluster_b: Cluster, unique_name: Callable[[str], str]
) -> None:
    """Files are put in and deleted, get other bytes of the same length, and grow."""
    name = unique_name("changed")
    directory = f"/data/{name}"
    fill(cluster_a, directory, FILES)
    product.protect(name, (directory,), policy=("--changed-head", "refuse", "--mass-change-percent", "100"))
    product.back_up(name)
    theirs = cluster_b.webhdfs("hdfs")
    theirs.write(f"{directory}/sub/theirs", data=CHANGED["sub/theirs"])
    theirs.write(f"{directory}/sub/overwritten", data=CHANGED["sub/overwritten"], overwrite=True)
    theirs.write(f"{directory}/grown", data=b" and more", append=True)
    theirs.delete(f"{directory}/kept")
    assert read_tree(cluster_b, directory) == CHANGED

    page = product.fail_to_back_up(name)

    assert page["failure"]["code"] == "HEAD_CHANGED"
    assert "--changed-head heal" in page["failure"]["remedy"]
    assert "3 files are missing or other ones" in page["failure"]["message"]
    assert read_tree(cluster_b, directory) == CHANGED

    product.run("policy", "add", name, "--service", name, "--changed-head", "heal", "--mass-change-percent", "100")
    page = product.back_up(name)
    assert next(iter(page["applied"]["data_sets"].values()))["healed"]
    assert read_tree(cluster_b, directory) == FILES
