"""WebHDFS requests that the NameNode answers itself: one place for addresses, credentials, time-outs and fail-over.

A cluster has a list of NameNodes. The one that answered last is asked first. "Not me" (StandbyException), "not now"
(RetriableException, also when it is buried in another exception's message, as it is during a fail-over) and a refused
connection mean that nothing happened: the next one is asked, then after a pause the first one again. A time-out or a
broken connection after the request was sent means that nothing is known: a read is repeated, a write fails with
``unknown``. All repetitions together last at most ``retry_seconds``.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass
from typing import Any, Mapping, Sequence
from urllib.parse import quote, urlencode

from infra.agent.core.hdfs import ExtendedAttributes
from infra.agent.core.operations import HdfsCall, OperationFailed
from infra.agent.core.refusals import refusal_of
from infra.agent.shell.connections import Address, Connections, address_of, end_within
from infra.agent.shell.credentials import Credentials

MAXIMUM_ANSWER_BYTES = 32 << 20
# How long all of an answer may take, in times of what each piece of it may take.
WHOLE_ANSWER = 3.0
_NOT_ME = ("StandbyException", "RetriableException")


@dataclass(frozen=True)
class Limits:
    """How long to wait for what: ``transfer_seconds`` is how long a transfer is tried again without any progress."""

    connect_seconds: float = 5.0
    namenode_seconds: float = 20.0
    data_seconds: float = 60.0
    retry_seconds: float = 75.0
    transfer_seconds: float = 120.0
    first_pause_seconds: float = 0.3
    longest_pause_seconds: float = 8.0


class _NothingHappened(Exception):
    """The request had no effect and another try is sensible."""

    def __init__(self, failure: OperationFailed) -> None:
        super().__init__(str(failure))
        self.failure = failure


class WebHdfs:
    """Asks the NameNodes of the instruction's sites."""

    def __init__(
        self,
        sites: Mapping[str, Any],
        credentials: Credentials,
        connections: Connections,
        limits: Limits,
        cancelled: threading.Event,
    ) -> None:
        self._sites = sites
        self._credentials = credentials
        self._connections = connections
        self._limits = limits
        self._cancelled = cancelled
        self._active: dict[str, int] = {}

    def call(self, call: HdfsCall, is_read: bool | None = None) -> dict[str, Any]:
        """Carry out an ``HdfsCall``; see there for the result and the failures.

        ``is_read`` says that repeating it is harmless; by default that is so for GET.
        """
        is_read = call.method == "GET" if is_read is None else is_read
        give_up_at = time.monotonic() + self._limits.retry_seconds
        pause_seconds = self._limits.first_pause_seconds
        while True:
            failures: list[OperationFailed] = []
            for index in self._order(call.site):
                try:
                    answer = self._ask(call, index, is_read)
                except _NothingHappened as error:
                    failures.append(error.failure)
                else:
                    self._active[call.site] = index
                    return answer
            if time.monotonic() + pause_seconds > give_up_at:
                raise _most_telling(failures)
            if self._cancelled.wait(pause_seconds):
                raise OperationFailed("ABORTED", "given up because the instruction ends")
            pause_seconds = min(2 * pause_seconds, self._limits.longest_pause_seconds)

    def extended_attributes(self, operation: ExtendedAttributes) -> list[list[dict[str, str]]]:
        """Carry out an ``ExtendedAttributes``, path by path."""
        return [
            self.call(HdfsCall(operation.site, "GET", "GETXATTRS", path, (("encoding", "hex"),)))["XAttrs"]
            for path in operation.paths
        ]

    def open_to_active(self, site: str) -> tuple[int, http.client.HTTPConnection]:
        """Find the active NameNode and open a connection to it, for a request that shall leave at an instant."""
        self.call(HdfsCall(site, "GET", "GETFILESTATUS", "/"))
        index = self._active[site]
        address = address_of(self._namenodes(site)[index])
        try:
            return index, self._connections.open(address, self._limits.namenode_seconds)
        except OSError as error:
            raise _unreachable(address, error, unknown=False) from error

    def call_once_on(self, call: HdfsCall, index: int, connection: http.client.HTTPConnection) -> dict[str, Any]:
        """Send one request on an open connection and never a second one."""
        try:
            address = address_of(self._namenodes(call.site)[index])
            return self._exchange(call, self._target(call), address, connection, is_read=False)
        except _NothingHappened as error:
            raise error.failure from error

    def _namenodes(self, site: str) -> list[str]:
        if site not in self._sites:
            raise OperationFailed("MALFORMED", f"the instruction names no {site} site")
        urls: list[str] = self._sites[site]["namenodes"]
        return urls

    def _order(self, site: str) -> Sequence[int]:
        count = len(self._namenodes(site))
        first = self._active.get(site, 0)
        return [(first + step) % count for step in range(count)]

    def _ask(self, call: HdfsCall, index: int, is_read: bool) -> dict[str, Any]:
        address = address_of(self._namenodes(call.site)[index])
        target = self._target(call)  # first: a connection that is taken must be given back
        try:
            connection = self._connections.take(address, self._limits.namenode_seconds)
        except OSError as error:
            raise _NothingHappened(_unreachable(address, error, unknown=False)) from error
        return self._exchange(call, target, address, connection, is_read)

    def _exchange(
        self, call: HdfsCall, target: str, address: Address, connection: http.client.HTTPConnection, is_read: bool
    ) -> dict[str, Any]:
        end_within(connection, WHOLE_ANSWER * self._limits.namenode_seconds)
        try:
            connection.request(call.method, target, headers={"Accept": "application/json"})
            response = connection.getresponse()
            body = response.read(MAXIMUM_ANSWER_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            failure = _unreachable(address, error, unknown=not is_read)
            raise (_NothingHappened(failure) if is_read else failure) from error
        if len(body) > MAXIMUM_ANSWER_BYTES:
            connection.close()
            raise OperationFailed(
                "HDFS", f"{call.op} {call.path}: the answer has more than {MAXIMUM_ANSWER_BYTES} bytes"
            )
        self._connections.keep(address, connection)
        try:
            return parse_answer(response.status, body, f"{call.op} {call.path}")
        except OperationFailed as failure:
            if failure.detail.get("ask_again"):
                raise _NothingHappened(failure) from failure
            if "exception" not in failure.detail and response.status >= 500:
                if is_read:
                    raise _NothingHappened(failure) from failure
                failure.unknown = True
            raise

    def _target(self, call: HdfsCall) -> str:
        return request_target(call, self._credentials.query(call.site, call.user))


def request_target(call: HdfsCall, credential: Sequence[tuple[str, str]]) -> str:
    """The request target: path and query quoted so that ``#?%+;``, spaces and any letters arrive as they are."""
    query = urlencode([("op", call.op), *call.params, *credential], quote_via=quote)
    return f"/webhdfs/v1{quote(call.path, safe='/')}?{query}"


def parse_answer(status: int, body: bytes, what: str) -> dict[str, Any]:
    """The answer's JSON object; raises ``OperationFailed`` "HDFS" when it is a remote exception or no answer at all.

    Where asking again would not help but an administrator would, it has a code of its own (``refusals``).
    """
    try:
        value = json.loads(body.decode("utf-8")) if body.strip() else {}
    except (ValueError, RecursionError):
        value = None
    remote = value.get("RemoteException") if isinstance(value, dict) else None
    if isinstance(remote, dict):
        exception = str(remote.get("exception", ""))
        message = str(remote.get("message", ""))
        refusal = refusal_of(exception, message)
        code, remedy = refusal or ("HDFS", "")
        raise OperationFailed(
            code,
            f"{what}: {exception}: {message[:2000]}",
            remedy=remedy,
            transient=exception == "SafeModeException" or is_not_me(exception, message),
            detail={"exception": exception, "status": status, "ask_again": is_not_me(exception, message)},
        )
    if status >= 400 or not isinstance(value, dict):
        raise OperationFailed(
            "HDFS", f"{what}: HTTP {status}, {body[:200]!r}", transient=status >= 500, detail={"status": status}
        )
    return value


def is_not_me(exception: str, message: str) -> bool:
    """Tell whether a NameNode said that another one, or the same one a little later, has to be asked."""
    return exception != "SafeModeException" and any(word in exception or word in message for word in _NOT_ME)


def _unreachable(address: Address, error: Exception, unknown: bool) -> OperationFailed:
    return OperationFailed(
        "HDFS_UNREACHABLE",
        f"{address}: {type(error).__name__}: {error}",
        remedy="Check that the NameNode runs and that this gateway reaches it.",
        unknown=unknown,
        transient=True,
        detail={"address": str(address)},
    )


def _most_telling(failures: Sequence[OperationFailed]) -> OperationFailed:
    """Of several NameNodes' failures the one that is not "I am the standby"."""
    return next((failure for failure in failures if failure.code != "HDFS"), failures[0])
