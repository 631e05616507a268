"""Large trees that only the NameNode knows: empty files, made over its RPC."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from infra.agent.core.operations import HdfsCall
from infra.agent.protocol import canonical
from infra.agent.shell.connections import Connections
from infra.agent.shell.credentials import Credentials
from infra.agent.shell.namenode_rpc import NameNodeRpc
from infra.agent.shell.webhdfs import Limits, WebHdfs
from scripts.labkit.cluster import Cluster
from tests.lab.hdfs_peer import CREDENTIALS, site_of

IN_A_DIRECTORY = 1000
MAKERS = 8
SNAPSHOT = "bench"
CHANGED = "changed"
BLOCK_BYTES = 128 << 20


def make_empty_files(cluster: Cluster, path: str, count: int) -> None:
    """``count`` empty files below a directory, a thousand in each of its own, with the snapshot "bench".

    A tree that is there already is taken.
    """
    if cluster.webhdfs("hdfs").status(f"{path}/.snapshot/{SNAPSHOT}", strict=False) is not None:
        return

    def make(number: int) -> None:
        first = number * IN_A_DIRECTORY
        make_files(cluster, f"{path}/d{number:04}", first, min(count, first + IN_A_DIRECTORY))

    with ThreadPoolExecutor(MAKERS) as pool:
        list(pool.map(make, range(-(-count // IN_A_DIRECTORY))))
    client = cluster.webhdfs("hdfs")
    client.allow_snapshot(path)
    client.create_snapshot(path, SNAPSHOT)


def make_files(cluster: Cluster, directory: str, first: int, end: int) -> None:
    """Empty files in one directory, called by their numbers."""
    with _namenode(cluster) as (web, rpc):
        web.call(HdfsCall("primary", "PUT", "MKDIRS", directory, (("permission", "755"),)))
        for number in range(first, end):
            name = f"{directory}/{file_name(number)}"
            rpc.complete("primary", name, "bench", rpc.create("primary", name, "bench", 0o644, 1, BLOCK_BYTES), None)


def change_files(cluster: Cluster, path: str, count: int, changes: int) -> None:
    """Change a tree of ``make_empty_files`` and take the snapshot "changed".

    Of the changes a half are new files, a quarter deleted and a quarter renamed ones; every directory has its share. A
    tree that has that snapshot already is taken.
    """
    client = cluster.webhdfs("hdfs")
    if client.status(f"{path}/.snapshot/{CHANGED}", strict=False) is not None:
        return
    directories = -(-count // IN_A_DIRECTORY)
    each = changes // directories // 4

    def change(number: int) -> None:
        directory, first = f"{path}/d{number:04}", number * IN_A_DIRECTORY
        make_files(cluster, directory, count + first, count + first + 2 * each)
        with _namenode(cluster) as (web, _):
            for gone in range(first, first + each):
                web.call(HdfsCall("primary", "DELETE", "DELETE", f"{directory}/{file_name(gone)}"))
            for moved in range(first + each, first + 2 * each):
                target = (("destination", f"{directory}/renamed-{file_name(moved)}"),)
                web.call(HdfsCall("primary", "PUT", "RENAME", f"{directory}/{file_name(moved)}", target))

    with ThreadPoolExecutor(MAKERS) as pool:
        list(pool.map(change, range(directories)))
    client.create_snapshot(path, CHANGED)


def file_name(number: int) -> str:
    """What a file of these trees is called."""
    return f"part-{number:07}.parquet"


@contextmanager
def _namenode(cluster: Cluster) -> Iterator[tuple[WebHdfs, NameNodeRpc]]:
    """Both ways to ask a NameNode."""
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "credentials.json"
        file.write_bytes(canonical({"primary": CREDENTIALS}))
        credentials, limits = Credentials(str(file)), Limits()
        connections = Connections(limits.connect_seconds)
        web = WebHdfs({"primary": site_of(cluster)}, credentials, connections, limits, threading.Event())
        rpc = NameNodeRpc(web.call, credentials)
        try:
            yield web, rpc
        finally:
            rpc.close()
            connections.close()
