"""What DistCp or ExportSnapshot has left on the secondary is taken over: only what differs is copied, nothing lost."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.labkit.cluster import Cluster
from tests.lab.data import fill, read_tree
from tests.lab.hbase_pair import ROOT
from tests.lab.hbase_peer import HBasePeer
from tests.lab.product import Product

SMALL_BLOCK = 1 << 20
OTHER_BLOCKS = "other/blocks"
FILES = {
    **{f"part-{number:02}/file": bytes([number]) * (1_000 + number) for number in range(30)},
    "empty": b"",
    OTHER_BLOCKS: b"blocks" * 250_000,
}
CHANGED = {"part-01/file": b"other and shorter", "part-02/file": b"\xff" * 1_002, "new/file": b"new" * 7}
EXTRA = {"part-03/extra": b"extra" * 20, "theirs/deep/file": b"theirs"}
HEAP = "-Xmx384m"


def hadoop(cluster: Cluster, words: str, user: str = "hdfs") -> None:
    """A command as an operator's script runs it."""
    program, *arguments = words.split()
    environment = {**os.environ, "HADOOP_USER_NAME": user, "HADOOP_CLIENT_OPTS": HEAP, "HBASE_OPTS": HEAP}
    done = subprocess.run(
        [str(cluster.layout.bin / program), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def uri(cluster: Cluster, path: str) -> str:
    """A path with its NameNode."""
    return f"{cluster.layout.filesystem_uri}{path}"


def standing(cluster: Cluster, path: str) -> tuple[dict[str, bytes], tuple[Any, ...]]:
    """A tree's files, and its root's owner, mode and whether it allows snapshots."""
    client = cluster.webhdfs("hdfs")
    status = client.status(path)
    root = [status[name] for name in ("owner", "group", "permission")]
    return read_tree(cluster, path), (*root, client.status(f"{path}/.snapshot", strict=False) is not None)


@pytest.mark.parametrize("options", ["", pytest.param("-pugpaxt", marks=pytest.mark.by_hand)])
def test_a_directory_that_distcp_has_filled(
    product: Product, cluster_a: Cluster, cluster_b: Cluster, unique_name: Callable[[str], str], options: str
) -> None:
    name = unique_name("adopt")
    directory = f"/data/{name}"
    fill(cluster_a, directory, FILES)
    hadoop(cluster_a, f"hadoop distcp {options} {uri(cluster_a, directory)} {uri(cluster_b, directory)}")
    for changed, content in CHANGED.items():
        cluster_a.webhdfs("app").write(f"{directory}/{changed}", data=content, overwrite=True)
    for extra, content in EXTRA.items():
        cluster_b.webhdfs("hdfs").write(f"{directory}/{extra}", data=content)
    theirs = cluster_b.webhdfs("hdfs")
    theirs.write(f"{directory}/{OTHER_BLOCKS}", data=FILES[OTHER_BLOCKS], overwrite=True, blocksize=SMALL_BLOCK)
    sums = [cluster.webhdfs("hdfs").checksum(f"{directory}/{OTHER_BLOCKS}") for cluster in (cluster_a, cluster_b)]
    assert sums[0]["algorithm"] != sums[1]["algorithm"], "only its bytes tell that it is equal"
    cut_otherwise = theirs.status(f"{directory}/{OTHER_BLOCKS}")
    found = standing(cluster_b, directory)
    assert len(found[0]) == len(FILES) + len(EXTRA)

    product.protect(name, (directory,), adopts=True)
    plan = product.ask("plan", name)
    (sized,) = plan["data_sets"]
    assert (sized["size"]["files"], sized["stands"]["files"]) == (len(FILES) + 1, len(found[0]))
    assert sized["size"]["bytes"] == sum(len(content) for content in (FILES | CHANGED).values())

    for decision in ("cancel", "confirm"):
        run = product.begin(name, *product.lead(times=2))
        page = product.wait_for_state(run, "HELD")
        (staged,) = page["staged"].values()
        assert (staged["files_moved"], staged["bytes_moved"]) == (3, sum(map(len, CHANGED.values())))
        counts = staged["adopted"]
        assert (counts["deleted_files"], counts["replaced_files"]) == (len(EXTRA), 2)
        assert counts["equal_files"] == len(FILES) - 2
        listed = product.ask("run", "losses", run)["items"]
        lost = {(one["do"], one["p"]) for one in listed if one["t"] == "f"}
        assert lost == {("deleted", path) for path in EXTRA} | {("replaced", path) for path in FILES.keys() & CHANGED}
        assert standing(cluster_b, directory) == found, "nothing is changed before a person has said yes"
        product.run("run", decision, run, "--yes")
        page = product.wait_for_state(run, "CANCELLED", "COMPLETED")
        if decision == "cancel":
            assert standing(cluster_b, directory) == found

    expected = FILES | CHANGED
    assert page["state"] == "COMPLETED", page["failure"]
    assert page["forecast"]["size"]["files"] == len(expected)
    assert read_tree(cluster_b, f"{directory}/.snapshot/{page['snapshot']}") == expected
    assert read_tree(cluster_b, directory) == expected
    kept = theirs.status(f"{directory}/{OTHER_BLOCKS}")
    assert (kept["fileId"], kept["blockSize"]) == (cut_otherwise["fileId"], SMALL_BLOCK), "it is the very same file"
    (verified,) = page["verification"]["data_sets"].values()
    assert (verified["content"]["verdict"], verified["metadata"]["verdict"]) == ("EQUAL", "EQUAL")

    cluster_a.webhdfs("app").write(f"{directory}/part-05/file", data=b"third", overwrite=True)
    (staged,) = product.back_up(name)["staged"].values()
    assert (staged["compared_with"], staged["files_moved"], staged["bytes_moved"]) == ("base", 1, 5)
    assert product.ask("plan", name)["last_run"]["files_moved"] == 1


@pytest.fixture
def peer(cluster_a: Cluster, tmp_path: Path) -> Iterator[HBasePeer]:
    found = HBasePeer(cluster_a, tmp_path / "log")
    yield found
    found.close()


@pytest.fixture
def exported(peer: HBasePeer, cluster_a: Cluster, cluster_b: Cluster) -> Iterator[str]:
    """A table of three regions with thirty rows, of which ExportSnapshot has put a snapshot on the secondary."""
    table = peer.name("exported")
    snapshot = f"{table}-by-hand"
    peer.create_table(table, ("f",), ("g", "p"))
    for prefix in "ahq":
        peer.console.run(f"fill({table!r}, %w[f], {prefix!r}, 10, 3)")
    peer.console.run(f"$admin.snapshot({snapshot!r}, TableName.valueOf({table!r}))")
    export = f"hbase snapshot export -snapshot {snapshot} -copy-to {uri(cluster_b, ROOT)} -mappers 1"
    try:
        hadoop(cluster_a, export, user="hbase")
        yield table
    finally:
        peer.console.run(f"$admin.deleteSnapshot({snapshot!r})")
        cluster_b.webhdfs("hbase").delete(f"{ROOT}/.hbase-snapshot/{snapshot}", recursive=True)


@pytest.fixture
def namesake(cluster_b: Cluster, exported: str) -> Iterator[str]:
    """A live table of the same name on the secondary, with one row of its own."""
    with cluster_b.hbase() as connection:
        connection.create_table(exported, {"theirs": {}})
        connection.table(exported).put(b"row", {b"theirs:q": b"value"})
    yield exported
    with cluster_b.hbase() as connection:
        connection.delete_table(exported, disable=True)


def test_a_table_that_export_snapshot_has_filled(
    product: Product, cluster_b: Cluster, peer: HBasePeer, exported: str, namesake: str
) -> None:
    """What is new is copied, and what is damaged; a live table of that name is nobody's concern."""
    secondary = cluster_b.webhdfs("hbase")
    files = [
        f"{at}/{name}" for at, _, names in secondary.walk(f"{ROOT}/archive/data/default/{exported}") for name in names
    ]
    assert len(files) == 3
    secondary.write(files[0], data=bytes(secondary.status(files[0])["length"]), overwrite=True)
    peer.console.run(f"fill({exported!r}, %w[f], 'a2', 5, 3)")
    service = exported.replace("_", "-")
    product.protect(service, (), (exported,), ("--trial-clone-hours", "0"), adopts=True)
    page = product.back_up(service, with_tables=True)
    (staged,) = page["staged"].values()
    assert (staged["files"], staged["files_moved"], staged["full"]) == (4, 2, True)
    assert page["verification"]["trial_clone"]["rows_seen"] == 35
    with cluster_b.hbase() as connection:
        assert dict(connection.table(namesake).scan()) == {b"row": {b"theirs:q": b"value"}}

    peer.console.run(f"fill({exported!r}, %w[f], 'h2', 5, 3)")
    page = product.back_up(service, with_tables=True)
    (staged,) = page["staged"].values()
    assert (staged["compared_with"], staged["files_moved"]) == ("base", 1)
    assert page["verification"]["trial_clone"]["rows_seen"] == 40
