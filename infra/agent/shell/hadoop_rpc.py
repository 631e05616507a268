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
from typing import Iterator, Sequence

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
SUCCESS, ERROR = 0, 1
MAXIMUM_ANSWER_BYTES = 64 << 20
RECEIVED_BYTES = 1 << 16
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
MAXIMUM_IDLE_SECONDS = 5.0


class RpcFailed(Exception):
    """The server could not be asked, or has refused; the text says why.

    ``exception`` is the remote exception's class name without its package, or "": then nothing is known of the request,
    unless it was never sent.
    """

    def __init__(self, reason: str, exception: str = "", was_sent: bool = True) -> None:
        super().__init__(reason)
        self.exception = exception
        self.was_sent = was_sent


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
        return self.call_many(method, [request])[0]

    def call_many(self, method: str, requests: Sequence[bytes]) -> list[Message]:
        """The answers to many requests that are sent at once, in their order; raises ``RpcFailed`` if one is refused.

        They should be small, and so few that both ends can hold what is under way.
        """
        try:
            with self._connection() as connection:
                return connection.call(method, requests)
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
        connection = self._kept() or self._open()
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

    def _open(self) -> _Connection:
        try:
            return _Connection(self._address, self._user)
        except OSError as error:
            raise RpcFailed(f"{self.where}: {type(error).__name__}: {error}", was_sent=False) from error

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
        self._give_up_at = 0.0
        self._received = bytearray()
        self._socket = socket.create_connection(address, CONNECT_SECONDS)
        self._socket.settimeout(ANSWER_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = data_field(2, text_field(1, user)) + text_field(3, PROTOCOL)
        # Sent together with the first request.
        self._unsent = HEADER + _packet(self._header(CONTEXT_CALL), context)

    def call(self, method: str, requests: Sequence[bytes]) -> list[Message]:
        """The answers in the order of their requests; raises ``RpcFailed``, ``OSError`` and ``ProtobufError``."""
        first = self._call + 1
        self._call += len(requests)
        self._give_up_at = time.monotonic() + 2 * ANSWER_SECONDS
        packets = [_packet(self._header(first + n), _named(method), request) for n, request in enumerate(requests)]
        self._socket.sendall(self._unsent + b"".join(packets))
        self._unsent = b""
        answers: dict[int, Message] = {}
        refused: RpcFailed | None = None
        for _ in requests:
            try:
                call, answer = self._answer(method)
            except RpcFailed as failure:
                if not failure.exception:
                    raise
                refused = failure  # the connection is good once the others have come too
                continue
            answers[call - first] = answer
        if refused is not None:
            raise refused
        if sorted(answers) != list(range(len(requests))):
            raise RpcFailed("an answer to what was not asked")
        return [answers[n] for n in range(len(requests))]

    def _answer(self, method: str) -> tuple[int, Message]:
        """The next answer, and the number of its call; calls that are under way may be answered in any order."""
        (size,) = struct.unpack(">I", self._read(4))
        if size > MAXIMUM_ANSWER_BYTES:
            raise RpcFailed(f"an answer of {size} bytes")
        parts = split_delimited(memoryview(self._read(size)))
        header = Message(next(parts, memoryview(b"")), "RpcResponseHeader")
        status = header.integer(2)
        if status != SUCCESS:
            name = header.text(4, "").rpartition(".")[2].rpartition("$")[2] or "unnamed"
            # A fatal answer ends the connection, whatever it says.
            raise RpcFailed(f"{name}: {header.text(5, '')[:500]}", name if status == ERROR else "")
        return header.integer(1), Message(next(parts, memoryview(b"")), method)

    def has_input(self) -> bool:
        """Whether something (its end, most likely) has arrived that nobody asked for."""
        if self._received:
            return True
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        self._socket.close()

    def _header(self, call: int) -> bytes:
        zigzag = (call << 1) ^ (call >> 31)
        return _KIND + integer_field(3, zigzag) + self._client

    def _read(self, size: int) -> bytes:
        """The next bytes; what has come with them is kept, because many small answers come together."""
        while len(self._received) < size:
            piece = self._socket.recv(max(RECEIVED_BYTES, size - len(self._received)))
            if not piece:
                raise RpcFailed("the NameNode closed the connection")
            if time.monotonic() > self._give_up_at:
                raise RpcFailed("the NameNode sends, but its answers do not come to their end")
            self._received += piece
        data = bytes(memoryview(self._received)[:size])
        del self._received[:size]
        return data


@functools.lru_cache(maxsize=64)
def _named(method: str) -> bytes:
    return text_field(1, method) + text_field(2, PROTOCOL) + integer_field(3, PROTOCOL_VERSION)


_KIND = integer_field(1, PROTOBUF_ENGINE) + integer_field(2, FINAL_PACKET)


def _packet(*messages: bytes) -> bytes:
    body = b"".join(delimited(message) for message in messages)
    return struct.pack(">I", len(body)) + body
