"""Speaks HTTP to the API, over TCP or a Unix socket, with the standard library alone.

A command carries an id of its own (Idempotency-Key). When its answer is lost it is sent again with the same id: the
control device recognises it, so nothing is done twice.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from uuid import uuid4

from api.cli.remote.connection import Connection
from api.cli.remote.errors import ApiError, Unreachable

ATTEMPTS = 3
PAGE_ITEMS = 1_000  # as many as the API gives at once
TIMEOUT_SECONDS = 30.0
ANSWER_BYTES = 64 << 20


@dataclass(frozen=True)
class ServerEvent:
    """One Server-Sent Event: its name, its decoded data, and the version that it brings the client to.

    The name is empty for a comment, which says only that the stream is alive.
    """

    name: str
    data: Any
    version: int | None


def path(*parts: str) -> str:
    """Return the path of a resource; whatever a person typed is one component of it."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class ApiClient:
    """Asks and commands; raises ``ApiError`` for a problem document and ``Unreachable`` when there is no answer."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def get(
        self,
        path: str,
        query: Mapping[str, str | int | None] | None = None,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> Any:
        """Return what is at a path."""
        given = {name: value for name, value in (query or {}).items() if value is not None}
        return self._ask("GET", f"{path}?{urlencode(given)}" if given else path, None, timeout_seconds)

    def get_all(self, path: str, query: Mapping[str, str | int | None] | None = None) -> Any:
        """Return a list whole, page after page."""
        items: list[Any] = []
        after = None
        while True:
            page = self.get(path, {**(query or {}), "limit": PAGE_ITEMS, "after": after})
            items += page["items"]
            after = page["next"]
            if after is None:
                return {**page, "items": items}

    def post(
        self, path: str, body: Mapping[str, Any] | None = None, *, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> Any:
        """Send a command and return its answer."""
        return self._ask("POST", path, json.dumps(body or {}).encode(), timeout_seconds)

    def stream(self, path: str, after: int) -> Iterator[ServerEvent]:
        """Yield the events of one stream until the server ends it; raises ``Unreachable`` when it breaks.

        The server sends something at least every ten seconds, so silence for the length of the time-out is a break.
        """
        with closing(self._connect(TIMEOUT_SECONDS)) as link:
            try:
                link.request("GET", f"{path}?after={after}", headers=self._headers())
                response = link.getresponse()
                if response.status != 200:
                    raise _error(response.status, response.read(ANSWER_BYTES))
                yield from _events(response)
            except (OSError, http.client.HTTPException) as error:
                raise Unreachable(self.connection.where, _why(error)) from None

    def _ask(self, method: str, path: str, body: bytes | None, timeout_seconds: float) -> Any:
        headers = self._headers()
        if body is not None:
            headers |= {"Content-Type": "application/json", "Idempotency-Key": str(uuid4())}
        for attempt in range(1, ATTEMPTS + 1):
            try:
                status, data = self._exchange(method, path, body, headers, timeout_seconds)
                break
            except (ConnectionRefusedError, FileNotFoundError, PermissionError, socket.gaierror, TimeoutError) as error:
                raise Unreachable(self.connection.where, _why(error)) from None
            except (OSError, http.client.HTTPException) as error:
                # The connection broke with the answer outstanding; the same id makes asking again safe.
                if attempt == ATTEMPTS:
                    raise Unreachable(self.connection.where, _why(error)) from None
        if not 200 <= status < 300:
            raise _error(status, data)
        try:
            return json.loads(data)
        except ValueError:
            raise Unreachable(self.connection.where, "what answers there is not the API") from None

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], timeout_seconds: float
    ) -> tuple[int, bytes]:
        with closing(self._connect(timeout_seconds)) as link:
            link.request(method, path, body=body, headers=headers)
            response = link.getresponse()
            return response.status, response.read(ANSWER_BYTES)

    def _connect(self, timeout_seconds: float) -> http.client.HTTPConnection:
        if self.connection.socket:
            return _UnixConnection(self.connection.socket, timeout_seconds)
        parts = urlsplit(self.connection.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(parts.hostname or "", parts.port, timeout=timeout_seconds)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.connection.token}", "Accept": "application/json"}


def _events(response: http.client.HTTPResponse) -> Iterator[ServerEvent]:
    fields: dict[str, str] = {}
    for raw in response:
        line = raw.decode("utf-8").rstrip("\n")
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "event" in fields:
            version = int(fields["id"]) if "id" in fields else None
            yield ServerEvent(fields["event"], json.loads(fields["data"]), version)
            fields = {}
        else:
            yield ServerEvent("", None, None)


def _error(status: int, data: bytes) -> ApiError:
    try:
        document = json.loads(data)
    except ValueError:
        document = {}
    return ApiError(status, document if isinstance(document, dict) else {})


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).lower() or type(error).__name__
