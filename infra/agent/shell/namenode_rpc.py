"""Asks a NameNode over Hadoop's own RPC for the one thing that WebHDFS cannot tell: which files are open.

Hadoop RPC version 9 as a client without Kerberos speaks it: a header, the connection's context (who asks, and for which
protocol), then a request and its answer, all protobuf (RpcHeader.proto, IpcConnectionContext.proto,
ClientNamenodeProtocol.proto in Hadoop's source). A connection is used for one listing and closed.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Iterator

from infra.agent.core.protobuf import Message, ProtobufError

PROTOCOL = "org.apache.hadoop.hdfs.protocol.ClientProtocol"
PROTOCOL_VERSION = 1
HEADER = b"hrpc" + bytes([9, 0, 0])  # version, service class, authentication: none
PROTOBUF_ENGINE, FINAL_PACKET = 2, 0
CONTEXT_CALL = -3
ALL_OPEN_FILES = 1
SUCCESS = 0
MAXIMUM_ANSWER_BYTES = 64 << 20
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0


class RpcFailed(Exception):
    """The NameNode could not be asked this way, or has refused; the text says why."""


def list_open_files(host: str, port: int, user: str, directory: str) -> list[str]:
    """The paths of files open for writing below a directory, asked as ``user``; raises ``RpcFailed``.

    The answers come in batches, by inode: a file that is open all the while is in one of them. A NameNode older than
    3.1 does not know directories and lists all: what lies elsewhere is dropped here.
    """
    below = directory.rstrip("/") + "/"
    paths: set[str] = set()
    try:
        with _Connection(host, port, user) as connection:
            after, has_more = 0, True
            while has_more:
                request = _integer(1, after) + _integer(2, ALL_OPEN_FILES) + _bytes(3, directory.encode("utf-8"))
                answer = connection.call("listOpenFiles", request)
                entries = [Message(entry, "OpenFilesBatchResponse") for entry in answer.repeated(1)]
                paths.update(entry.text(2) for entry in entries)
                after = entries[-1].integer(1) if entries else after
                has_more = bool(entries) and bool(answer.integer(2))
    except (OSError, ProtobufError) as error:
        raise RpcFailed(f"{host}:{port}: {type(error).__name__}: {error}") from error
    return sorted(path for path in paths if path.startswith(below))


class _Connection:
    """One connection to a NameNode's RPC port."""

    def __init__(self, host: str, port: int, user: str) -> None:
        self._client = os.urandom(16)
        self._call = 0
        self._socket = socket.create_connection((host, port), CONNECT_SECONDS)
        self._socket.settimeout(ANSWER_SECONDS)
        context = _bytes(2, _bytes(1, user.encode("utf-8"))) + _bytes(3, PROTOCOL.encode())
        self._socket.sendall(HEADER + _packet(self._header(CONTEXT_CALL), context))

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def call(self, method: str, request: bytes) -> Message:
        """The answer to one request; raises ``RpcFailed``, ``OSError`` and ``ProtobufError``."""
        self._call += 1
        named = _bytes(1, method.encode()) + _bytes(2, PROTOCOL.encode()) + _integer(3, PROTOCOL_VERSION)
        self._socket.sendall(_packet(self._header(self._call), named, request))
        (size,) = struct.unpack(">I", self._read(4))
        if size > MAXIMUM_ANSWER_BYTES:
            raise RpcFailed(f"an answer of {size} bytes")
        parts = _delimited(memoryview(self._read(size)))
        header = Message(next(parts, memoryview(b"")), "RpcResponseHeader")
        if header.integer(2) != SUCCESS:
            raise RpcFailed(f"{header.text(4, '')}: {header.text(5, '')[:500]}")
        return Message(next(parts, memoryview(b"")), method)

    def _header(self, call: int) -> bytes:
        zigzag = (call << 1) ^ (call >> 31)
        return _integer(1, PROTOBUF_ENGINE) + _integer(2, FINAL_PACKET) + _integer(3, zigzag) + _bytes(4, self._client)

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = self._socket.recv(size - len(data))
            if not piece:
                raise RpcFailed("the NameNode closed the connection")
            data += piece
        return bytes(data)


def _packet(*messages: bytes) -> bytes:
    body = b"".join(_varint(len(message)) + message for message in messages)
    return struct.pack(">I", len(body)) + body


def _delimited(data: memoryview) -> Iterator[memoryview]:
    """The messages that stand one after another, each behind its length."""
    position = 0
    while position < len(data):
        length, shift = 0, 0
        while True:
            if position >= len(data) or shift > 28:
                raise ProtobufError("a message's length is cut off")
            byte = data[position]
            position += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if length > len(data) - position:
            raise ProtobufError(f"a message claims {length} bytes, {len(data) - position} are there")
        yield data[position : position + length]
        position += length


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _integer(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _bytes(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value
