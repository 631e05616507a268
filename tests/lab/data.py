"""Data for the tests on the lab: trees and tables made as the application, read back from either cluster."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from types import TracebackType
from urllib.parse import quote, urlsplit

from scripts.labkit.cluster import Cluster


def fill(cluster: Cluster, directory: str, files: Mapping[str, bytes]) -> None:
    """Write files as the application into a directory of its own that allows snapshots."""
    client = cluster.webhdfs("hdfs")
    client.makedirs(directory)
    client.set_owner(directory, owner="app", group="app")
    for name, content in files.items():
        cluster.webhdfs("app").write(f"{directory}/{name}", data=content, overwrite=True)
    allow_snapshots(cluster, directory)


def allow_snapshots(cluster: Cluster, directory: str) -> None:
    """As the administrator does it."""
    answer = put(cluster, directory, "ALLOWSNAPSHOT")
    assert answer == 200, (directory, answer)


def put(cluster: Cluster, path: str, op: str, **params: str) -> int:
    """One WebHDFS PUT as the superuser; returns the status."""
    url = urlsplit(cluster.webhdfs_url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=20)
    query = "".join(f"&{name}={quote(value, safe='')}" for name, value in params.items())
    try:
        connection.request("PUT", f"/webhdfs/v1{quote(path)}?op={op}&user.name=hdfs{query}")
        return connection.getresponse().status
    finally:
        connection.close()


def read_tree(cluster: Cluster, path: str) -> dict[str, bytes]:
    """Every file below a path with its content."""
    client = cluster.webhdfs("hdfs")
    found = {}
    for directory, _, names in client.walk(path):
        for name in names:
            with client.read(f"{directory}/{name}") as reader:
                found[f"{directory}/{name}".removeprefix(f"{path}/")] = reader.read()
    return found


class OpenFile:
    """A file of the application that is held open for writing; bytes arrive at the DataNode as they are written.

    Of an open file the NameNode knows the blocks that are full, so ``block_size`` says in which steps it is told.
    """

    def __init__(self, cluster: Cluster, path: str, block_size: int | None = None) -> None:
        url = urlsplit(cluster.webhdfs_url)
        namenode = http.client.HTTPConnection(url.hostname or "", url.port, timeout=20)
        query = "op=CREATE&overwrite=true&user.name=app&noredirect=true"
        query += "" if block_size is None else f"&blocksize={block_size}"
        namenode.request("PUT", f"/webhdfs/v1{quote(path)}?{query}")
        location = urlsplit(json.loads(namenode.getresponse().read())["Location"])
        namenode.close()
        self._connection = http.client.HTTPConnection(location.hostname or "", location.port, timeout=60)
        self._connection.putrequest("PUT", f"{location.path}?{location.query}")
        self._connection.putheader("Transfer-Encoding", "chunked")
        self._connection.endheaders()

    def write(self, data: bytes) -> None:
        """Send some bytes."""
        self._connection.send(b"%x\r\n%s\r\n" % (len(data), data))

    def close(self) -> None:
        """End the file; fails unless HDFS says that it has it."""
        self._connection.send(b"0\r\n\r\n")
        answer = self._connection.getresponse()
        assert answer.status == 201, answer.read()
        self._connection.close()

    def __enter__(self) -> OpenFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
