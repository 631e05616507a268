"""Hadoop's own RPC, as a client without Kerberos speaks it to a NameNode (version 9).

A connection begins with a header and its context (who asks, and for which protocol); then requests and answers follow
one another, all of them protobuf (RpcHeader.proto and IpcConnectionContext.proto in Hadoop's source).
"""

from __future__ import annotations

import functools
import os
import select
import socket
import struct
import threading
import time
from contextlib import contextmanager
from typing import Iterator

from infra.agent.core.protobuf import (
    Message,
    ProtobufError,
    data_field,
    delimited,
    integer_field,
    split_delimited,
    text_field,
)

PROTOCOL = "org.apache.hadoop.hdfs.protocol.ClientProtocol"
PROTOCOL_VERSION = 1
HEADER = b"hrpc" + bytes([9, 0, 0])  # version, service class, authentication: none
PROTOBUF_ENGINE, FINAL_PACKET = 2, 0
CONTEXT_CALL = -3
SUCCESS = 0
MAXIMUM_ANSWER_BYTES = 64 << 20
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
MAXIMUM_IDLE_SECONDS = 5.0


class RpcFailed(Exception):
    """The server could not be asked, or has refused; the text says why.

    ``exception`` is the remote exception's class name without its package, or "": then nothing is known of the request.
    """

    def __init__(self, reason: str, exception: str = "") -> None:
        super().__init__(reason)
        self.exception = exception


class RpcClient:
    """Calls one server as one user, from any number of threads; connections are kept for a while."""

    def __init__(self, host: str, port: int, user: str) -> None:
        self.where = f"{host}:{port}"
        self._address = (host, port)
        self._user = user
        self._lock = threading.Lock()
        self._idle: list[tuple[float, _Connection]] = []

    def call(self, method: str, request: bytes) -> Message:
        """The answer to one request; raises ``RpcFailed``."""
        try:
            with self._connection() as connection:
                return connection.call(method, request)
        except (OSError, ProtobufError) as error:
            raise RpcFailed(f"{self.where}: {type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Close what lies idle."""
        with self._lock:
            for _, connection in self._idle:
                connection.close()
            self._idle.clear()

    @contextmanager
    def _connection(self) -> Iterator[_Connection]:
        """A connection for one request; it is kept unless its answer did not come whole."""
        connection = self._kept() or _Connection(self._address, self._user)
        try:
            yield connection
        except RpcFailed as failure:
            if not failure.exception:
                connection.close()
                raise
            self._keep(connection)
            raise
        except BaseException:
            connection.close()
            raise
        self._keep(connection)

    def _kept(self) -> _Connection | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                since, connection = self._idle.pop()
            if time.monotonic() - since < MAXIMUM_IDLE_SECONDS and not connection.has_input():
                return connection
            connection.close()

    def _keep(self, connection: _Connection) -> None:
        with self._lock:
            self._idle.append((time.monotonic(), connection))


class _Connection:
    """One connection, used by one thread at a time."""

    def __init__(self, address: tuple[str, int], user: str) -> None:
        self._client = data_field(4, os.urandom(16))
        self._call = 0
        self._socket = socket.create_connection(address, CONNECT_SECONDS)
        self._socket.settimeout(ANSWER_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = data_field(2, text_field(1, user)) + text_field(3, PROTOCOL)
        # Sent together with the first request.
        self._unsent = HEADER + _packet(self._header(CONTEXT_CALL), context)

    def call(self, method: str, request: bytes) -> Message:
        """The answer to one request; raises ``RpcFailed``, ``OSError`` and ``ProtobufError``."""
        self._call += 1
        self._socket.sendall(self._unsent + _packet(self._header(self._call), _named(method), request))
        self._unsent = b""
        (size,) = struct.unpack(">I", self._read(4))
        if size > MAXIMUM_ANSWER_BYTES:
            raise RpcFailed(f"an answer of {size} bytes")
        parts = split_delimited(memoryview(self._read(size)))
        header = Message(next(parts, memoryview(b"")), "RpcResponseHeader")
        if header.integer(2) != SUCCESS:
            name = header.text(4, "").rpartition(".")[2].rpartition("$")[2] or "unnamed"
            raise RpcFailed(f"{name}: {header.text(5, '')[:500]}", name)
        return Message(next(parts, memoryview(b"")), method)

    def has_input(self) -> bool:
        """Whether something (its end, most likely) has arrived while it lay idle."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        self._socket.close()

    def _header(self, call: int) -> bytes:
        zigzag = (call << 1) ^ (call >> 31)
        return _KIND + integer_field(3, zigzag) + self._client

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = self._socket.recv(size - len(data))
            if not piece:
                raise RpcFailed("the NameNode closed the connection")
            data += piece
        return bytes(data)


@functools.lru_cache(maxsize=64)
def _named(method: str) -> bytes:
    return text_field(1, method) + text_field(2, PROTOCOL) + integer_field(3, PROTOCOL_VERSION)


_KIND = integer_field(1, PROTOBUF_ENGINE) + integer_field(2, FINAL_PACKET)


def _packet(*messages: bytes) -> bytes:
    body = b"".join(delimited(message) for message in messages)
    return struct.pack(">I", len(body)) + body
