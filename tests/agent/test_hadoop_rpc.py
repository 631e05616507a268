"""The NameNode's RPC, spoken to a scripted server: batches, refusals, and answers that are none."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.agent.core.protobuf import Message, data_field, integer_field, text_field
from infra.agent.protocol import canonical
from infra.agent.shell.credentials import Credentials
from infra.agent.shell.hadoop_rpc import RpcFailed
from infra.agent.shell.namenode_rpc import NameNodeRpc


def varint(value: int) -> bytes:
    low = bytes([value & 0x7F | (0x80 if value > 0x7F else 0)])
    return low + varint(value >> 7) if value > 0x7F else low


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def packet(*messages: bytes) -> bytes:
    body = b"".join(varint(len(message)) + message for message in messages)
    return struct.pack(">I", len(body)) + body


def success(*messages: bytes, call: int = 1) -> bytes:
    return packet(field(1, call) + field(2, 0), *messages)


def batch(has_more: bool, *files: tuple[int, str]) -> bytes:
    return b"".join(field(1, field(1, inode) + field(2, path.encode())) for inode, path in files) + field(2, has_more)


def messages_of(data: bytes) -> list[bytes]:
    found = []
    while data:
        length, shift = 0, 0
        while True:
            byte, data = data[0], data[1:]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        found.append(data[:length])
        data = data[length:]
    return found


class NameNode:
    """Answers each request of one connection with the next answer, and keeps what it was sent."""

    def __init__(self, answers: list[bytes]) -> None:
        self.preamble = b""
        self.received: list[list[bytes]] = []
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection, connection.makefile("rb") as stream:
            self.preamble = stream.read(7)
            self._take(stream.read)
            for answer in self._answers:
                self._take(stream.read)
                connection.sendall(answer)

    def _take(self, read: Callable[[int], bytes]) -> None:
        (size,) = struct.unpack(">I", read(4))
        self.received.append(messages_of(read(size)))

    def close(self) -> None:
        self._thread.join(10)
        self._listener.close()


@pytest.fixture
def list_open(tmp_path: Path) -> Callable[[int, str], list[str]]:
    """Lists the open files below a directory, asked of a port."""
    path = tmp_path / "credentials.json"
    path.write_bytes(canonical({"primary": {"hdfs": {"kind": "simple", "user": "hdfs"}}}))

    def ask(port: int, directory: str = "/") -> list[str]:
        location = {"Location": f"http://dn/x?op=CREATE&namenoderpcaddress=127.0.0.1:{port}&overwrite=false"}
        rpc = NameNodeRpc(lambda call, is_read: location, Credentials(str(path)))
        try:
            return rpc.open_files("primary", directory)
        finally:
            rpc.close()

    return ask


ListOpen = Callable[..., list[str]]


@pytest.fixture
def serve() -> Iterator[Callable[..., NameNode]]:
    servers: list[NameNode] = []

    def start(*answers: bytes) -> NameNode:
        servers.append(NameNode(list(answers)))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def test_batches_are_followed_to_the_end_and_other_directories_left_out(
    serve: Callable[..., NameNode], list_open: ListOpen
) -> None:
    first = batch(True, (300, "/data/x/b"), (70_000, "/data/xy/other"))
    server = serve(success(first), success(batch(False, (70_001, "/data/x/ü #%\n")), call=2))
    assert list_open(server.port, "/data/x") == ["/data/x/b", "/data/x/ü #%\n"]
    assert server.preamble == b"hrpc\x09\x00\x00"
    context, *requests = server.received
    assert Message(memoryview(Message(memoryview(context[1]), "context").data(2)), "user").text(1) == "hdfs"
    asked = [Message(memoryview(request[2]), "request") for request in requests]
    assert [(one.integer(1), one.text(3)) for one in asked] == [(0, "/data/x"), (70_000, "/data/x")]
    assert Message(memoryview(requests[0][1]), "named").text(1) == "listOpenFiles"


def test_a_batch_that_says_more_and_brings_nothing_is_the_last(
    serve: Callable[..., NameNode], list_open: ListOpen
) -> None:
    server = serve(success(batch(True)))
    assert list_open(server.port, "/") == []


def test_a_list_that_never_moves_on_is_no_list(serve: Callable[..., NameNode], list_open: ListOpen) -> None:
    again = batch(True, (300, "/data/a"))
    server = serve(success(again), success(again, call=2))
    with pytest.raises(RpcFailed, match="does not end"):
        list_open(server.port, "/")
    assert len(server.received) <= 3


REFUSED = packet(field(1, 1) + field(2, 1) + field(4, b"org.x.AccessControlException") + field(5, b"Access denied"))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (REFUSED, "AccessControlException: Access denied"),
        (packet(field(2, 2) + field(4, b"Fatal") + field(5, b"SIMPLE authentication is not enabled")), "SIMPLE"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "an answer of"),
        (b"", "closed the connection"),
        (struct.pack(">I", 3) + b"\xff\xff\xff", "ProtobufError"),
        (struct.pack(">I", 2) + b"\x7fx", "claims 127 bytes"),
        (struct.pack(">I", 0), "no field 2"),
        (success(batch(False), call=7), "what was not asked"),
        (success(field(1, field(1, 5))), "no field 2"),
        (success(field(1, field(1, 5) + field(2, b"\xff\xfe"))), "not UTF-8"),
    ],
)
def test_what_is_no_list_is_never_taken_for_an_empty_one(
    serve: Callable[..., NameNode], list_open: ListOpen, answer: bytes, message: str
) -> None:
    with pytest.raises(RpcFailed, match=message):
        list_open(serve(answer).port)


def test_nobody_there_is_told(list_open: ListOpen) -> None:
    with pytest.raises(RpcFailed, match="refused"):
        list_open(1)


def test_encryption_zones_that_never_move_on_are_no_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rpc = NameNodeRpc(lambda call, is_read: {}, Credentials(str(tmp_path / "credentials.json")))
    zone = integer_field(1, 7) + text_field(2, "/zone")
    page = Message(memoryview(data_field(1, zone) + integer_field(2, 1)), "ListEncryptionZonesResponse")
    monkeypatch.setattr(rpc, "_call", lambda site, method, request: page)
    with pytest.raises(RpcFailed, match="does not end"):
        rpc.encryption_zones("primary")
