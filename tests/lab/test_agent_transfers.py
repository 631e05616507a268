"""The agent's HDFS client against the lab's real NameNodes and DataNodes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.agent.core.operations import CopyRange, DigestFile, HdfsCall, OperationFailed, ReadFile, WriteFile
from scripts.labkit.cluster import Cluster
from tests.agent.test_webhdfs import ODD_NAME, Client

MEGABYTE = 1 << 20


@pytest.fixture
def clusters(
    cluster_a: Cluster, cluster_b: Cluster, tmp_path: Path, unique_name: Callable[[str], str]
) -> Iterator[tuple[Client, str]]:
    """A client of both clusters, and a directory that is on both."""
    client = Client(tmp_path, [cluster_a.webhdfs_url], [cluster_b.webhdfs_url], patient=True)
    root = f"/data/{unique_name('transfers')}"
    for site in ("primary", "secondary"):
        client.webhdfs.call(HdfsCall(site, "PUT", "MKDIRS", root))
    yield client, root
    for site in ("primary", "secondary"):
        client.webhdfs.call(HdfsCall(site, "DELETE", "DELETE", root, (("recursive", "true"),)))
    client.connections.close()


def test_odd_names_are_written_listed_read_and_copied(clusters: tuple[Client, str]) -> None:
    client, root = clusters
    path = f"{root}/{os.path.basename(ODD_NAME)} %41"
    client.transfers.write(WriteFile("primary", path, b"content", "640"))
    listed = client.webhdfs.call(HdfsCall("primary", "GET", "LISTSTATUS", root))["FileStatuses"]["FileStatus"]
    assert [(item["pathSuffix"], item["permission"]) for item in listed] == [(os.path.basename(path), "640")]
    assert client.transfers.read(ReadFile("primary", path, 3, 3)) == b"ten"
    client.transfers.copy(CopyRange("primary", path, 0, 7, "secondary", path, MEGABYTE, 1, "600"))
    assert client.transfers.read(ReadFile("secondary", path)) == b"content"


def test_nothing_is_created_where_the_parent_is_gone(clusters: tuple[Client, str]) -> None:
    client, root = clusters
    client.transfers.write(WriteFile("primary", f"{root}/source", b"content"))
    copy = CopyRange("primary", f"{root}/source", 0, 7, "secondary", f"{root}/gone/x", MEGABYTE, 1, "600")
    with pytest.raises(OperationFailed) as writing:
        client.transfers.write(WriteFile("secondary", f"{root}/gone/x", b"content"))
    with pytest.raises(OperationFailed) as copying:
        client.transfers.copy(copy)
    for caught in (writing, copying):
        assert caught.value.detail["exception"] == "FileNotFoundException"
    with pytest.raises(OperationFailed):
        client.webhdfs.call(HdfsCall("secondary", "GET", "GETFILESTATUS", f"{root}/gone"))


def test_a_range_of_many_blocks_arrives_whole(clusters: tuple[Client, str]) -> None:
    client, root = clusters
    content = os.urandom(5 * MEGABYTE + 77)
    client.transfers.write(WriteFile("primary", f"{root}/source", content))
    client.transfers.copy(
        CopyRange("primary", f"{root}/source", 77, 5 * MEGABYTE, "secondary", f"{root}/copy", MEGABYTE, 1, "640")
    )
    assert client.transfers.read(ReadFile("secondary", f"{root}/copy")) == content[77:]
    status = client.webhdfs.call(HdfsCall("secondary", "GET", "GETFILESTATUS", f"{root}/copy"))["FileStatus"]
    assert (status["blockSize"], status["permission"], status["length"]) == (MEGABYTE, "640", 5 * MEGABYTE)


@pytest.mark.parametrize("site", ["a", "b"])
def test_a_datanode_killed_in_the_middle_is_survived(
    clusters: tuple[Client, str], cluster_a: Cluster, cluster_b: Cluster, site: str
) -> None:
    client, root = clusters
    content = os.urandom(MEGABYTE) * 48
    client.transfers.write(WriteFile("primary", f"{root}/source", content))
    cluster = cluster_a if site == "a" else cluster_b

    def kill_and_start() -> None:
        cluster.kill("datanode")
        cluster.start("datanode")

    restarting = threading.Timer(0.2, kill_and_start)
    restarting.start()
    for number in range(4):
        target = f"{root}/copy{number}"
        length = len(content)
        client.transfers.copy(
            CopyRange("primary", f"{root}/source", 0, length, "secondary", target, 128 * MEGABYTE, 1, "600")
        )
        found = client.transfers.digest(DigestFile("secondary", target, length))
        assert found == client.transfers.digest(DigestFile("primary", f"{root}/source", length))
    restarting.join()


def test_a_damaged_block_is_a_damaged_source(clusters: tuple[Client, str], cluster_a: Cluster) -> None:
    client, root = clusters
    content = os.urandom(3 * MEGABYTE)
    client.transfers.write(WriteFile("primary", f"{root}/source", content))
    damage_block(Path(cluster_a.layout.data / "datanode"), content)
    with pytest.raises(OperationFailed) as caught:
        client.transfers.copy(
            CopyRange("primary", f"{root}/source", 0, len(content), "secondary", f"{root}/copy", MEGABYTE, 1, "600")
        )
    assert caught.value.code == "SOURCE_DAMAGED"
    with pytest.raises(OperationFailed) as caught:
        client.transfers.digest(DigestFile("primary", f"{root}/source", len(content)))
    assert caught.value.code == "SOURCE_DAMAGED"


def damage_block(directory: Path, content: bytes) -> None:
    """Turn a byte in the middle of the one block file that begins as the content does."""
    for path in directory.rglob("blk_*"):
        if path.suffix != ".meta" and path.stat().st_size == len(content):
            with open(path, "r+b") as stream:
                if stream.read(64) == content[:64]:
                    stream.seek(len(content) // 2)
                    stream.write(bytes([content[len(content) // 2] ^ 1]))
                    return
    raise AssertionError("there is no such block")
