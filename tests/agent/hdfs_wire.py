"""A NameNode and a DataNode that speak HDFS's own protocols over loopback, with a few files and scripted faults."""

from __future__ import annotations

import hashlib
import socket
import struct
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from infra.agent.core.protobuf import Message, ProtobufError, data_field, delimited, integer_field, text_field

CHUNK = 512
CRC32 = 1
PACKET_CHUNKS = 4  # small packets, so that a small block needs several


@dataclass
class Block:
    data: bytes
    generation: int = 1001


@dataclass
class File:
    block_size: int
    blocks: list[int] = field(default_factory=list)
    is_complete: bool = True
    owner: str = "hdfs"
    group: str = "supergroup"
    modified_ms: int = 0
    attributes: bytes = b""


class Server:
    """Listens on loopback and serves each connection on a thread of its own."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._guard, args=(connection,), daemon=True).start()

    def _guard(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            try:
                self.serve(connection, stream)
            except (OSError, EOFError, struct.error):
                return

    def serve(self, connection: socket.socket, stream: Any) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self._listener.close()


class Cluster:
    """The namespace and the blocks of one cluster, and its two servers."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        self.modes: dict[str, int] = {}
        self.acls: dict[str, list[tuple[int, int, int, str]]] = {}
        self.zones: list[str] = []
        self.blocks: dict[int, Block] = {}
        self.host = "127.0.0.1"  # what the DataNode is called
        self.datanode = DataNode(self)
        self.namenode = NameNode(self)
        self._next_block = 1

    def put(self, path: str, data: bytes, block_size: int = 4096) -> None:
        """Put a file there."""
        file = self.files[path] = File(block_size)
        for begin in range(0, len(data), block_size):
            file.blocks.append(self.new_block(data[begin : begin + block_size]))

    def new_block(self, data: bytes) -> int:
        """Store a block; returns its id."""
        number, self._next_block = self._next_block, self._next_block + 1
        self.blocks[number] = Block(data)
        return number

    def read(self, path: str) -> bytes:
        """A file's bytes."""
        return b"".join(self.blocks[number].data for number in self.files[path].blocks)

    def close(self) -> None:
        """Stop listening."""
        self.datanode.close()
        self.namenode.close()


class NameNode(Server):
    """Answers the methods that the agent calls; ``faults`` give an answer in place of the proper one, once each."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.calls: list[str] = []
        self.faults: dict[str, list[Callable[[], bytes]]] = {}
        self.located_extra = b""
        self.completes_late = 0
        self.answers_at_once = 1  # so many at a time, the newest first
        super().__init__()

    def serve(self, connection: socket.socket, stream: Any) -> None:
        stream.read(7)
        _packet(stream)
        answers: list[bytes] = []
        while True:
            header, named, request = _packet(stream)
            call = Message(memoryview(header), "header").integer(3) >> 1
            method = Message(memoryview(named), "named").text(1)
            self.calls.append(method)
            faults = self.faults.get(method)
            if faults:
                connection.sendall(faults.pop(0)())
                continue
            answer = getattr(self, f"_{method}")(Message(memoryview(request), method))
            answers.append(_sized(integer_field(1, call) + integer_field(2, 0), answer))
            if len(answers) >= self.answers_at_once:
                connection.sendall(b"".join(reversed(answers)))
                answers.clear()

    def _getBlockLocations(self, request: Message) -> bytes:
        file = self.cluster.files.get(request.text(1))
        if file is None:
            return b""
        begin, end = request.integer(2), request.integer(2) + request.integer(3)
        blocks, position = b"", 0
        for number in file.blocks:
            size = len(self.cluster.blocks[number].data)
            if position < end and position + size > begin:
                blocks += data_field(2, self._located(number, position))
            position += size
        return data_field(1, integer_field(1, position) + blocks + integer_field(3, 0) + self.located_extra)

    def _getListing(self, request: Message) -> bytes:
        """Everything is a file of one directory here."""
        assert request.integer(3) == 1, "with blocks"
        if request.text(1) != "/":
            return b""
        after, entries = request.text(2), b""
        for path, file in sorted(self.cluster.files.items()):
            if path[1:] > after:
                entries += data_field(1, self._status(path[1:], file))
        return data_field(1, entries + integer_field(2, 0))

    def _status(self, name: str, file: File) -> bytes:
        length = sum(len(self.cluster.blocks[number].data) for number in file.blocks)
        located = b"".join(data_field(2, self._located(number, 0)) for number in file.blocks)
        return (
            integer_field(1, 2)
            + text_field(2, name)
            + integer_field(3, length)
            + data_field(4, integer_field(1, 0o644))
            + text_field(5, file.owner)
            + text_field(6, file.group)
            + integer_field(7, file.modified_ms)
            + integer_field(8, 0)
            + integer_field(10, 1)
            + integer_field(11, file.block_size)
            + data_field(12, integer_field(1, length) + located + integer_field(3, 0))
            + integer_field(13, 16_400)
            + integer_field(14, 0)
            + integer_field(16, 7)
        )

    def _create(self, request: Message) -> bytes:
        flags = request.integer(4), request.integer(5)
        assert flags == (3, 0), "create or replace, and make no parents"
        self.cluster.files[request.text(1)] = File(request.integer(7), is_complete=False)
        return data_field(1, integer_field(13, 77))

    def _addBlock(self, request: Message) -> bytes:
        number = self.cluster.new_block(b"")
        self.cluster.files[request.text(1)].blocks.append(number)
        return data_field(1, self._located(number, 0))

    def _complete(self, request: Message) -> bytes:
        if self.completes_late:
            self.completes_late -= 1
            return integer_field(1, 0)
        self.cluster.files[request.text(1)].is_complete = True
        return integer_field(1, 1)

    def _setOwner(self, request: Message) -> bytes:
        file = self.cluster.files[request.text(1)]
        file.owner, file.group = request.text(2, file.owner), request.text(3, file.group)
        return b""

    def _rename2(self, request: Message) -> bytes:
        assert request.integer(3) == 0, "never replace"
        self.cluster.files[request.text(2)] = self.cluster.files.pop(request.text(1))
        return b""

    def _mkdirs(self, request: Message) -> bytes:
        assert request.integer(3) == 1, "those above it, too"
        self.cluster.modes[request.text(1)] = Message(request.data(2), "FsPermission").integer(1)
        return integer_field(1, 1)

    def _setPermission(self, request: Message) -> bytes:
        self.cluster.modes[request.text(1)] = Message(request.data(2), "FsPermission").integer(1)
        return b""

    def _setAcl(self, request: Message) -> bytes:
        entries = [Message(entry, "AclEntry") for entry in request.repeated(2)]
        told = [(e.integer(1), e.integer(2), e.integer(3), e.text(4, "")) for e in entries]
        self.cluster.acls[request.text(1)] = told
        return b""

    def _removeAcl(self, request: Message) -> bytes:
        del self.cluster.acls[request.text(1)]
        return b""

    def _removeDefaultAcl(self, request: Message) -> bytes:
        path = request.text(1)
        self.cluster.acls[path] = [entry for entry in self.cluster.acls[path] if not entry[1]]
        return b""

    def _listEncryptionZones(self, request: Message) -> bytes:
        """One zone a page."""
        after = request.integer(1)
        zones = [(number, path) for number, path in enumerate(self.cluster.zones, 1) if number > after]
        page = b"".join(data_field(1, integer_field(1, number) + text_field(2, path)) for number, path in zones[:1])
        return page + integer_field(2, int(len(zones) > 1))

    def _setTimes(self, request: Message) -> bytes:
        assert request.signed(3, 0) == -1
        self.cluster.files[request.text(1)].modified_ms = request.integer(2)
        return b""

    def _getXAttrs(self, request: Message) -> bytes:
        return self.cluster.files[request.text(1)].attributes

    def _located(self, number: int, offset: int) -> bytes:
        block = self.cluster.blocks[number]
        identity = (
            text_field(1, "pool")
            + integer_field(2, number)
            + integer_field(3, block.generation)
            + integer_field(4, len(block.data))
        )
        host = text_field(1, self.cluster.host) + text_field(2, "dn1") + text_field(3, "uuid")
        node = data_field(1, host + integer_field(4, self.cluster.datanode.port))
        return (
            data_field(1, identity)
            + integer_field(2, offset)
            + data_field(3, node)
            + integer_field(4, 0)
            + data_field(5, b"")
            + integer_field(7, 1)
        )


class DataNode(Server):
    """Reads, writes and sums up blocks; the faults are what it does wrong."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.read_short_by = 0
        self.ends_before_packet: int | None = None
        self.refuses = False
        self.acknowledges_with = 0
        self.heartbeats = 0
        self.turns_bytes = False
        self.closes_after_reads = False
        super().__init__()

    def serve(self, connection: socket.socket, stream: Any) -> None:
        while True:
            version, code = struct.unpack(">HB", _exactly(stream, 3))
            assert version == 28
            request = Message(memoryview(_message(stream)), "request")
            if self.refuses:
                connection.sendall(delimited(integer_field(1, 5) + text_field(5, "no access token")))
                return
            {80: self._write, 81: self._read, 85: self._sum}[code](connection, stream, request)
            if code != 81 or self.closes_after_reads:  # only after a read it waits for another request
                return

    def _read(self, connection: socket.socket, stream: Any, request: Message) -> None:
        data = self._block(Message(request.data(1), "header").data(1)).data
        data = data[: len(data) - self.read_short_by]
        info = data_field(1, integer_field(1, CRC32) + integer_field(2, CHUNK)) + integer_field(2, 0)
        out = delimited(integer_field(1, 0) + data_field(4, info))
        size = CHUNK * PACKET_CHUNKS
        pieces = [data[begin : begin + size] for begin in range(0, len(data), size)]
        for number, piece in enumerate([*pieces, b""]):
            if number == self.ends_before_packet:
                connection.sendall(out)
                connection.shutdown(socket.SHUT_RDWR)
                return
            sent = piece
            if self.turns_bytes and piece:
                sent = bytes([piece[0] ^ 1]) + piece[1:]
            header = struct.pack("<BqBqBBBi", 0x09, number * size, 0x11, number, 0x18, not piece, 0x25, len(piece))
            body = checksums(piece) + sent
            out += struct.pack(">IH", len(body) + 4, len(header)) + header + body
        connection.sendall(out)
        _message(stream)  # the reader's verdict

    def _write(self, connection: socket.socket, stream: Any, request: Message) -> None:
        block = self._block(Message(request.data(1), "header").data(1))
        kind = Message(request.data(9), "checksum")
        assert (kind.integer(1), kind.integer(2), request.integer(4)) == (CRC32, CHUNK, 6)
        connection.sendall(delimited(integer_field(1, 0) + text_field(2, "")))
        data, is_last = b"", False
        while not is_last:
            body_size, header_size = struct.unpack(">IH", _exactly(stream, 6))
            header = struct.unpack_from("<BqBqBBBi", _exactly(stream, header_size))
            body = _exactly(stream, body_size - 4)
            number, is_last, data_size = header[3], bool(header[5]), header[7]
            piece = body[len(body) - data_size :]
            status = 2 if checksums(piece) != body[: len(body) - data_size] else self.acknowledges_with
            data += piece
            for _ in range(self.heartbeats):
                connection.sendall(delimited(integer_field(1, 1) + integer_field(2, 0)))
            connection.sendall(delimited(integer_field(1, number << 1) + integer_field(2, status)))
            if status:
                return
        block.data = data

    def _sum(self, connection: socket.socket, stream: Any, request: Message) -> None:
        base = Message(request.data(1), "base")
        length = Message(base.data(1), "block").integer(4)
        data = self._block(request.data(1)).data[:length]
        md5 = hashlib.md5(checksums(data)).digest()
        sums = integer_field(1, CHUNK) + integer_field(2, 8) + data_field(3, md5) + integer_field(4, CRC32)
        connection.sendall(delimited(integer_field(1, 0) + data_field(3, sums)))
        _message(stream)

    def _block(self, base: memoryview) -> Block:
        try:
            identity = Message(Message(base, "base").data(1), "block")
            return self.cluster.blocks[identity.integer(2)]
        except ProtobufError:  # a header around it
            return self._block(Message(base, "header").data(1))


def checksums(data: bytes) -> bytes:
    """The stored checksums of a block's data."""
    return b"".join(struct.pack(">I", zlib.crc32(data[begin : begin + CHUNK])) for begin in range(0, len(data), CHUNK))


def _exactly(stream: Any, size: int) -> bytes:
    data: bytes = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _message(stream: Any) -> bytes:
    length, shift = 0, 0
    while True:
        byte = _exactly(stream, 1)[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return _exactly(stream, length)


def _packet(stream: Any) -> list[bytes]:
    (size,) = struct.unpack(">I", _exactly(stream, 4))
    rest = memoryview(_exactly(stream, size))
    found = []
    while rest:
        length, shift = 0, 0
        while True:
            byte = rest[0]
            rest = rest[1:]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        found.append(bytes(rest[:length]))
        rest = rest[length:]
    return found


def _sized(*messages: bytes) -> bytes:
    body = b"".join(delimited(message) for message in messages)
    return struct.pack(">I", len(body)) + body


def refusal(exception: str, text: str = "") -> bytes:
    """An answer with a remote exception."""
    return _sized(integer_field(1, 1) + integer_field(2, 1) + text_field(4, exception) + text_field(5, text))
