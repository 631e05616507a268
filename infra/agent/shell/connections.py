"""HTTP connections: opened with time-outs of their own, kept while that is safe, used by one thread at a time.

A connection that lay idle may have been closed by the server just now; a request on it would fail without telling
whether it had an effect. So an idle connection is used again only if it is young and nothing has arrived on it.
DataNodes close their connection after each transfer, so only NameNodes' connections are kept.
"""

from __future__ import annotations

import functools
import http.client
import io
import select
import socket
import ssl
import threading
import time
from typing import Any, Mapping, NamedTuple
from urllib.parse import urlsplit

MAXIMUM_IDLE_SECONDS = 5.0


class Address(NamedTuple):
    """Where a server is."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def address_of(url: str) -> Address:
    """The address in a URL; raises ``ValueError`` where there is none."""
    parts = urlsplit(url)
    if not parts.hostname or parts.scheme not in ("http", "https"):
        raise ValueError(f"{url[:300]!r} is not the address of a server")
    return Address(parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))


def reached_as(site: Mapping[str, Any], *names: str) -> str:
    """By what name a host of a site is reached from here; ``names`` are those that its cluster has for it.

    That is the first of the names, unless the site says another one (``known_as``): no instruction does, but the tests
    lead connections over a bad line like that.
    """
    known_as: Mapping[str, str] = site.get("known_as") or {}
    return next((known_as[name] for name in names if name in known_as), names[0])


class _Answer(io.RawIOBase):
    """What comes on a connection, as long as its time is not over.

    A time-out of the socket is for each piece: without another one, a server that sends a byte now and then, or one
    preliminary answer after the other, would hold whoever asked for ever.
    """

    def __init__(self, connection: http.client.HTTPConnection, plain: socket.SocketIO) -> None:
        self._connection = connection
        self._plain = plain
        self._began_at: float | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count = self._plain.readinto(buffer)
        now = time.monotonic()
        self._began_at = self._began_at or now
        end_at, seconds = getattr(self._connection, "end", (None, None))
        if (end_at is not None and now > end_at) or (seconds is not None and now > self._began_at + seconds):
            raise TimeoutError("the server sends, but its answer does not come to its end")
        return count

    def close(self) -> None:
        self._plain.close()
        super().close()


class _Bounded:
    """Looks to ``HTTPResponse`` as a socket does."""

    def __init__(self, connection: http.client.HTTPConnection, plain: socket.socket) -> None:
        self._connection = connection
        self._plain = plain

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Answer(self._connection, self._plain.makefile("rb", buffering=0)))


def _response(
    connection: http.client.HTTPConnection, plain: socket.socket, *arguments: Any, **named: Any
) -> http.client.HTTPResponse:
    return http.client.HTTPResponse(_Bounded(connection, plain), *arguments, **named)  # type: ignore[arg-type]


def end_within(
    connection: http.client.HTTPConnection, seconds: float | None, after_beginning_seconds: float | None = None
) -> None:
    """Let answers on a connection end within so many seconds from now, or from when they begin to come."""
    end = (None if seconds is None else time.monotonic() + seconds, after_beginning_seconds)
    connection.end = end  # type: ignore[attr-defined]


class Connections:
    """Opens connections and keeps those that may be used again."""

    def __init__(self, connect_seconds: float = 5.0) -> None:
        self._connect_seconds = connect_seconds
        self._lock = threading.Lock()
        self._idle: dict[Address, list[tuple[float, http.client.HTTPConnection]]] = {}
        self._tls: ssl.SSLContext | None = None

    def open(self, address: Address, read_seconds: float) -> http.client.HTTPConnection:
        """A new connection, established; raises ``OSError``."""
        connection: http.client.HTTPConnection
        if address.scheme == "https":
            self._tls = self._tls or ssl.create_default_context()
            connection = http.client.HTTPSConnection(
                address.host, address.port, timeout=self._connect_seconds, context=self._tls
            )
        else:
            connection = http.client.HTTPConnection(address.host, address.port, timeout=self._connect_seconds)
        connection.response_class = functools.partial(_response, connection)  # type: ignore[assignment]
        connection.connect()  # sets TCP_NODELAY by itself
        connection.sock.settimeout(read_seconds)
        return connection

    def take(self, address: Address, read_seconds: float) -> http.client.HTTPConnection:
        """A connection that was used before if there is a sound one, else a new one; raises ``OSError``."""
        while True:
            with self._lock:
                kept = self._idle.get(address)
                if not kept:
                    break
                since, connection = kept.pop()
            if time.monotonic() - since < MAXIMUM_IDLE_SECONDS and not _has_input(connection):
                connection.sock.settimeout(read_seconds)
                return connection
            connection.close()
        return self.open(address, read_seconds)

    def keep(self, address: Address, connection: http.client.HTTPConnection) -> None:
        """Give a connection back after its answer was read whole."""
        if connection.sock is None:  # the server asked for it to be closed
            return
        with self._lock:
            self._idle.setdefault(address, []).append((time.monotonic(), connection))

    def close(self) -> None:
        """Close those that lie idle."""
        with self._lock:
            for kept in self._idle.values():
                for _, connection in kept:
                    connection.close()
            self._idle.clear()


def _has_input(connection: http.client.HTTPConnection) -> bool:
    """Tell whether something (its end, most likely) has arrived on an idle connection."""
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))
