"""Stored checksums of files: the NameNode names a DataNode, the DataNode computes the checksum from what it has stored.

No byte of the file is read for it. A node that cannot be reached is left out at the next try; when none is left the
failure is transient, because a node that died may come back.
"""

from __future__ import annotations

import http.client
from typing import Any, Mapping
from urllib.parse import quote, urlsplit

from infra.agent.core.hdfs import FileChecksum
from infra.agent.core.operations import HdfsCall, OperationFailed
from infra.agent.shell.connections import Connections, address_of, reached_as
from infra.agent.shell.webhdfs import Limits, WebHdfs, parse_answer

NODES_TRIED = 4


def only_ascii(target: str) -> str:
    """Quote what a NameNode leaves unquoted in its answer: letters beyond ASCII. The rest is quoted already."""
    return "".join(letter if letter.isascii() else quote(letter) for letter in target)


class Checksums:
    """Carries out ``FileChecksum``."""

    def __init__(self, sites: Mapping[str, Any], webhdfs: WebHdfs, connections: Connections, limits: Limits) -> None:
        self._sites = sites
        self._webhdfs = webhdfs
        self._connections = connections
        self._limits = limits

    def checksum(self, operation: FileChecksum) -> str:
        """The stored checksum as "algorithm:hex"."""
        failed: list[str] = []
        while True:
            node = ""
            try:
                url = self._locate(operation, failed)
                node = urlsplit(url).netloc
                found = self._ask(operation, url)["FileChecksum"]
                return f"{found['algorithm']}:{found['bytes']}"
            except OSError as error:
                failure = OperationFailed(
                    "HDFS_UNREACHABLE",
                    f"checksum of {operation.path} from {node}: {type(error).__name__}: {error}",
                    remedy="Check that the DataNode runs and that this gateway reaches it.",
                    transient=True,
                    detail={"address": node},
                )
                if len(failed) + 1 >= NODES_TRIED or node in failed:
                    raise failure from error
                failed.append(node)

    def _locate(self, operation: FileChecksum, failed: list[str]) -> str:
        params = [("noredirect", "true")]
        if failed:
            params.append(("excludedatanodes", ",".join(failed)))
        answer = self._webhdfs.call(HdfsCall(operation.site, "GET", "GETFILECHECKSUM", operation.path, tuple(params)))
        location = answer.get("Location")
        if not isinstance(location, str):
            raise OperationFailed("HDFS", f"{operation.path}: the NameNode names no DataNode", transient=True)
        return location

    def _ask(self, operation: FileChecksum, url: str) -> dict[str, Any]:
        address = address_of(url)
        address = address._replace(host=reached_as(self._sites[operation.site], address.host))
        parts = urlsplit(url)
        connection = self._connections.open(address, self._limits.data_seconds)
        try:
            connection.request("GET", only_ascii(f"{parts.path}?{parts.query}"))
            response = connection.getresponse()
            return parse_answer(response.status, response.read(1 << 20), f"checksum of {operation.path}")
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()
