"""Transfers between this gateway and DataNodes: each starts at the NameNode, which names the DataNode to talk to.

The NameNode's answer (``noredirect=true``) is a URL that is used as it is: it is quoted already, all but letters beyond
ASCII, and following it as a redirect would quote it again. A DataNode closes its connection after each transfer.

Every failure of a DataNode is a ``NodeFailed``, which says which node, whether it had begun to answer, and how far the
transfer had come; ``transfers`` decides by that whether to try again. What can never succeed is ``OperationFailed``.
"""

from __future__ import annotations

import http.client
import re
from contextlib import closing, contextmanager
from typing import Any, Iterator, Mapping, Sequence
from urllib.parse import quote, urlsplit

from infra.agent.core.operations import HdfsCall, OperationFailed
from infra.agent.shell.connections import Address, Connections, address_of, end_within, reached_as
from infra.agent.shell.room import no_room
from infra.agent.shell.webhdfs import WHOLE_ANSWER, Limits, WebHdfs, parse_answer

LONGEST_ANSWER_BYTES = 1 << 20
_NOT_ASCII = re.compile(r"[^\x21-\x7e]+")

# What a DataNode or NameNode says of these will not change by asking again.
FINAL_EXCEPTIONS = frozenset(
    [
        "AccessControlException",
        "DSQuotaExceededException",
        "FileAlreadyExistsException",
        "FileNotFoundException",
        "IllegalArgumentException",
        "InvalidPathException",
        "InvalidToken",
        "MaxDirectoryItemsExceededException",
        "NSQuotaExceededException",
        "ParentNotDirectoryException",
        "PathComponentTooLongException",
        "QuotaByStorageTypeExceededException",
        "SecurityException",
        "UnresolvedPathException",
    ]
)


class NodeFailed(Exception):
    """A transfer with a DataNode broke; another try may succeed.

    ``writing`` tells which end of a copy it was; ``answered`` is True when the node spoke to us (so it is alive);
    ``position`` is the number of bytes that had passed.
    """

    def __init__(self, writing: bool, node: str, answered: bool, position: int, failure: OperationFailed) -> None:
        super().__init__(str(failure))
        self.writing = writing
        self.node = node
        self.answered = answered
        self.position = position
        self.failure = failure


class DataNodes:
    """Opens transfers; ``excluded`` are nodes ("host:port") that just failed."""

    def __init__(self, sites: Mapping[str, Any], webhdfs: WebHdfs, connections: Connections, limits: Limits) -> None:
        self._sites = sites
        self._webhdfs = webhdfs
        self._connections = connections
        self._limits = limits

    @contextmanager
    def reading(self, site: str, path: str, offset: int, length: int | None, excluded: set[str]) -> Iterator[Reading]:
        """Open a file's bytes from ``offset``, at most ``length`` of them."""
        params = [("offset", str(offset))] + ([] if length is None else [("length", str(length))])
        url = self._locate(HdfsCall(site, "GET", "OPEN", path, tuple(params)), excluded)
        address, target = self._address(site, url)
        connection = self._connect(address, writing=False)
        try:
            end_within(connection, WHOLE_ANSWER * self._limits.data_seconds)
            with closing(_get(str(address), connection, target, path)) as response:
                end_within(connection, None)  # the bytes of a file may take as long as they keep coming
                yield Reading(str(address), response, path)
        finally:
            connection.close()

    @contextmanager
    def writing(
        self, site: str, path: str, length: int, params: Sequence[tuple[str, str]], excluded: set[str]
    ) -> Iterator[Writing]:
        """Create a file of exactly ``length`` bytes in a directory that is there; one that is there is replaced.

        NO_SPACE, for good, when it fails because the cluster is full.
        """
        try:
            with self._writing(site, path, length, params, excluded) as target:
                yield target
        except NodeFailed as failed:
            block_bytes = int(dict(params).get("blocksize", length))
            full = no_room(self._webhdfs.call, site, block_bytes, failed.failure) if failed.writing else None
            if full is not None:
                raise full from failed
            raise

    @contextmanager
    def _writing(
        self, site: str, path: str, length: int, params: Sequence[tuple[str, str]], excluded: set[str]
    ) -> Iterator[Writing]:
        wanted = (("overwrite", "true"), ("createparent", "false"), *params)
        url = self._locate(HdfsCall(site, "PUT", "CREATE", path, wanted), excluded)
        address, target = self._address(site, url)
        connection = self._connect(address, writing=True)
        try:
            # Nothing is heard before the file is whole; then the answer has to come as one.
            end_within(connection, None, WHOLE_ANSWER * self._limits.data_seconds)
            yield Writing(str(address), connection, target, path, length)
        finally:
            connection.close()

    def _locate(self, call: HdfsCall, excluded: set[str]) -> str:
        """The URL on a DataNode; where leaving nodes out leaves none, no node is left out."""
        try:
            return self._ask_location(call, excluded)
        except OperationFailed as failure:
            if failure.code != "HDFS" or failure.detail.get("exception") in FINAL_EXCEPTIONS:
                raise
            if excluded:
                excluded.clear()
                return self._locate(call, excluded)
            raise NodeFailed(call.op == "CREATE", "", answered=False, position=0, failure=failure) from failure

    def _ask_location(self, call: HdfsCall, excluded: set[str]) -> str:
        # The NameNode knows its nodes by host; with a port it would take it for the one of block transfers.
        hosts = sorted({node.rpartition(":")[0] for node in excluded})
        leave_out = (("excludedatanodes", ",".join(hosts)),) if hosts else ()
        params = (*call.params, *leave_out, ("noredirect", "true"))
        # Naming a DataNode changes nothing, not even for CREATE.
        answer = self._webhdfs.call(HdfsCall(call.site, call.method, call.op, call.path, params), is_read=True)
        location = answer.get("Location")
        if not isinstance(location, str):
            raise OperationFailed("HDFS", f"{call.op} {call.path}: the NameNode names no DataNode", transient=True)
        return location

    def _address(self, site: str, url: str) -> tuple[Address, str]:
        """Where to connect to (by the site's own names, if it has some) and the request target, untouched."""
        try:
            address = address_of(url)
        except ValueError as error:
            raise OperationFailed("HDFS", f"the NameNode names no DataNode but {url[:300]!r}") from error
        parts = urlsplit(url)
        target = _NOT_ASCII.sub(lambda letters: quote(letters[0]), f"{parts.path}?{parts.query}")
        return address._replace(host=reached_as(self._sites[site], address.host)), target

    def _connect(self, address: Address, writing: bool) -> http.client.HTTPConnection:
        try:
            return self._connections.open(address, self._limits.data_seconds)
        except OSError as error:
            raise NodeFailed(writing, str(address), False, 0, _broken(address, error)) from error


class Reading:
    """The bytes of one part of a file, from a DataNode."""

    def __init__(self, node: str, response: http.client.HTTPResponse, path: str) -> None:
        self._node = node
        self._response = response
        self._path = path
        self._position = 0

    @property
    def announced_bytes(self) -> int | None:
        """How many bytes the DataNode said it would send."""
        return self._response.length

    def into(self, buffer: memoryview) -> int:
        """Fill the buffer as far as bytes come; 0 at the end."""
        try:
            count = self._response.readinto(buffer)
        except (OSError, http.client.HTTPException) as error:
            raise self._failed(error) from error
        self._position += count
        return count

    def check_is_whole(self, expected_bytes: int) -> None:
        """Raise unless exactly the expected bytes came."""
        if self._position != expected_bytes:
            raise self._failed(EOFError(f"{self._position} of {expected_bytes} bytes came"))

    def _failed(self, error: Exception) -> NodeFailed:
        return _reading_failed(self._node, self._path, True, self._position, error)


class Writing:
    """A new file on its way to a DataNode."""

    def __init__(self, node: str, connection: http.client.HTTPConnection, target: str, path: str, length: int) -> None:
        self._node = node
        self._connection = connection
        self._path = path
        self._length = length
        self._position = 0
        try:
            connection.putrequest("PUT", target)
            connection.putheader("Content-Type", "application/octet-stream")
            connection.putheader("Content-Length", str(length))
            connection.endheaders()
        except OSError as error:
            raise self._failed(error) from error

    def write(self, data: memoryview) -> None:
        """Send some of the bytes."""
        try:
            self._connection.sock.sendall(data)
        except OSError as error:
            self._explain(error)
        self._position += len(data)

    def finish(self) -> None:
        """Wait until the file is closed and whole on the cluster."""
        assert self._position == self._length, (self._position, self._length)
        try:
            with closing(self._connection.getresponse()) as response:
                if response.status not in (200, 201):
                    _raise_answer(True, self._node, self._position, response, f"CREATE {self._path}")
                response.read(LONGEST_ANSWER_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise self._failed(error) from error

    def _explain(self, error: OSError) -> None:
        """A DataNode that refuses a file closes the connection while we send: its answer tells why."""
        try:
            response = self._connection.getresponse()
        except (OSError, http.client.HTTPException):
            raise self._failed(error) from error
        with closing(response):
            _raise_answer(True, self._node, self._position, response, f"CREATE {self._path}")

    def _failed(self, error: Exception) -> NodeFailed:
        failure = OperationFailed(
            "HDFS_UNREACHABLE",
            f"writing {self._path} to {self._node}: {type(error).__name__}: {error}",
            unknown=True,
            transient=True,
            detail={"address": self._node},
        )
        return NodeFailed(True, self._node, False, self._position, failure)


def _get(node: str, connection: http.client.HTTPConnection, target: str, path: str) -> http.client.HTTPResponse:
    """Ask for a file; the answer is the beginning of its bytes."""
    try:
        connection.request("GET", target)
        response = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        raise _reading_failed(node, path, False, 0, error) from error
    if response.status != 200:
        with closing(response):
            _raise_answer(False, node, 0, response, f"OPEN {path}")
    return response


def _reading_failed(node: str, path: str, answered: bool, position: int, error: Exception) -> NodeFailed:
    failure = OperationFailed(
        "HDFS_UNREACHABLE",
        f"reading {path} from {node}: {type(error).__name__}: {error}",
        transient=True,
        detail={"address": node},
    )
    return NodeFailed(False, node, answered, position, failure)


def _raise_answer(writing: bool, node: str, position: int, response: http.client.HTTPResponse, what: str) -> None:
    """Raise what a DataNode answered instead of the transfer: for good, or as a reason to try again."""
    try:
        parse_answer(response.status, response.read(LONGEST_ANSWER_BYTES), what)
    except OperationFailed as failure:
        if failure.code != "HDFS" or failure.detail.get("exception") in FINAL_EXCEPTIONS:
            raise
        raise NodeFailed(writing, node, True, position, failure) from failure
    unexpected = OperationFailed("HDFS", f"{what}: HTTP {response.status}", transient=True)
    raise NodeFailed(writing, node, True, position, unexpected)


def _broken(address: Address, error: Exception) -> OperationFailed:
    return OperationFailed(
        "HDFS_UNREACHABLE",
        f"{address}: {type(error).__name__}: {error}",
        remedy="Check that the DataNode runs and that this gateway reaches it.",
        transient=True,
        detail={"address": str(address)},
    )
