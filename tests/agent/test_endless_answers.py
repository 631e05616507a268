"""Servers that send without end and say nothing: each answer comes to its end, or is given up in time."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from infra.agent.core.operations import HdfsCall, OperationFailed, ReadFile
from infra.agent.core.protobuf import data_field, delimited, integer_field, text_field
from infra.agent.shell import block_transfer, hadoop_rpc
from infra.agent.shell.block_transfer import BlockFailed, BlockTransfers
from infra.agent.shell.connections import Connections
from infra.agent.shell.credentials import Credentials
from infra.agent.shell.datanodes import DataNodes
from infra.agent.shell.hadoop_rpc import RpcClient, RpcFailed
from infra.agent.shell.namenode_rpc import LocatedBlock
from infra.agent.shell.transfers import Transfers
from infra.agent.shell.webhdfs import Limits, WebHdfs

QUICK = Limits(connect_seconds=1.0, namenode_seconds=0.2, data_seconds=0.2, retry_seconds=0.5, transfer_seconds=0.5)
Serve = Callable[[Callable[[socket.socket], None]], int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server that hands each connection to a function; returns its port."""
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []
    is_over = threading.Event()

    def start(answer: Callable[[socket.socket], None]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def talk(connection: socket.socket) -> None:
            with connection, suppress(OSError):  # whoever asked has given up, as it should
                answer(connection)

        def accept() -> None:
            with suppress(OSError):  # closed at the end of the test
                while not is_over.is_set():
                    threads.append(threading.Thread(target=talk, args=(listener.accept()[0],)))
                    threads[-1].start()

        threads.append(threading.Thread(target=accept))
        threads[-1].start()
        return int(listener.getsockname()[1])

    yield start
    is_over.set()
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join()


def for_ever(connection: socket.socket, first: bytes, again: bytes) -> None:
    """Wait for a request, begin to answer it, and go on with the same."""
    connection.recv(1 << 16)
    connection.sendall(first)
    connection.settimeout(0.01)
    while True:
        with suppress(TimeoutError):
            if not connection.recv(1 << 16):
                return
        connection.sendall(again)


@contextmanager
def webhdfs_of(port: int, tmp_path: Path) -> Iterator[tuple[WebHdfs, Transfers]]:
    credentials = tmp_path / "credentials.json"
    credentials.write_text('{"primary": {"hdfs": {"kind": "simple", "user": "hdfs"}}}')
    sites = {"primary": {"cluster": "east", "namenodes": [f"http://127.0.0.1:{port}"]}}
    connections, cancelled = Connections(QUICK.connect_seconds), threading.Event()
    webhdfs = WebHdfs(sites, Credentials(str(credentials)), connections, QUICK, cancelled)
    yield webhdfs, Transfers(DataNodes(sites, webhdfs, connections, QUICK), cancelled, QUICK)
    connections.close()


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"{"),
    ],
    ids=["preliminary answers", "a slow body", "chunks", "a header", "a body until the end"],
)
def test_a_namenode_that_never_comes_to_the_end(serve: Serve, tmp_path: Path, first: bytes, again: bytes) -> None:
    port = serve(lambda connection: for_ever(connection, first, again))
    began = time.monotonic()
    with webhdfs_of(port, tmp_path) as (webhdfs, _), pytest.raises(OperationFailed) as caught:
        webhdfs.call(HdfsCall("primary", "GET", "GETFILESTATUS", "/"))
    assert caught.value.code == "HDFS_UNREACHABLE"
    assert time.monotonic() - began < 10


def test_json_that_nests_without_end(serve: Serve, tmp_path: Path) -> None:
    body = b"[" * 500_000
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)

    def answer(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(head + body)

    with webhdfs_of(serve(answer), tmp_path) as (webhdfs, _), pytest.raises(OperationFailed) as caught:
        webhdfs.call(HdfsCall("primary", "GET", "GETFILESTATUS", "/"))
    assert caught.value.code == "HDFS"


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "http://", "//x", "gopher://x/", "http://x:99999/"], ids=repr
)
def test_a_namenode_that_names_no_datanode(serve: Serve, tmp_path: Path, location: str) -> None:
    body = b'{"Location": "%b"}' % location.encode()

    def answer(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with webhdfs_of(serve(answer), tmp_path) as (_, transfers), pytest.raises(OperationFailed) as caught:
        transfers.read(ReadFile("primary", "/f"))
    assert caught.value.code == "HDFS"


HEARTBEAT = delimited(integer_field(1, 1) + integer_field(2, 0))  # zigzag of -1, and SUCCESS
GRANTED = delimited(integer_field(1, 0) + data_field(4, data_field(1, integer_field(1, 2) + integer_field(2, 512))))


def empty_packet(number: int) -> bytes:
    header = block_transfer.HEADER.pack(0x09, 0, 0x11, number, 0x18, 0, 0x25, 0)
    return block_transfer.PACKET.pack(4, len(header)) + header


def whole_block() -> bytes:
    header = block_transfer.HEADER.pack(0x09, 0, 0x11, 0, 0x18, 1, 0x25, 0)
    return block_transfer.PACKET.pack(4, len(header)) + header


def located(port: int, length: int) -> LocatedBlock:
    node = data_field(1, text_field(1, "127.0.0.1") + text_field(2, "localhost") + integer_field(4, port))
    return LocatedBlock(
        identity=b"",
        block=b"",
        length=length,
        offset=0,
        nodes=(memoryview(node),),
        storages=(),
        token=memoryview(b""),
        is_corrupt=False,
    )


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[BlockTransfers]:
    monkeypatch.setattr(block_transfer, "DATA_SECONDS", 0.3)
    made = BlockTransfers({"primary": {}, "secondary": {}}, "agent", threading.Event(), lambda _: None)
    yield made
    made.close()


def test_a_datanode_that_reads_and_sends_signs_of_life_alone(serve: Serve, blocks: BlockTransfers) -> None:
    source = serve(lambda connection: for_ever(connection, GRANTED, empty_packet(0)))
    target = serve(lambda connection: for_ever(connection, delimited(integer_field(1, 0)), b""))
    began = time.monotonic()
    with pytest.raises(BlockFailed, match="nothing that is wanted"):
        blocks.copy("primary", located(source, 1000), "secondary", located(target, 0))
    assert time.monotonic() - began < 10


def test_a_datanode_that_writes_and_sends_signs_of_life_alone(serve: Serve, blocks: BlockTransfers) -> None:
    source = serve(lambda connection: for_ever(connection, GRANTED + whole_block(), b""))
    target = serve(lambda connection: for_ever(connection, delimited(integer_field(1, 0)), HEARTBEAT))
    began = time.monotonic()
    with pytest.raises(BlockFailed, match="nothing that is wanted"):
        blocks.copy("primary", located(source, 0), "secondary", located(target, 0))
    assert time.monotonic() - began < 10


def test_signs_of_life_do_not_keep_an_aborted_instruction(serve: Serve) -> None:
    cancelled = threading.Event()
    transfers = BlockTransfers({"primary": {}, "secondary": {}}, "agent", cancelled, lambda _: None)
    source = serve(lambda connection: for_ever(connection, GRANTED + whole_block(), b""))
    target = serve(lambda connection: for_ever(connection, delimited(integer_field(1, 0)), HEARTBEAT))
    threading.Timer(0.2, cancelled.set).start()
    with pytest.raises(BlockFailed, match="the instruction ends"):
        transfers.copy("primary", located(source, 0), "secondary", located(target, 0))
    transfers.close()


def test_a_datanode_that_never_ends_its_answer(serve: Serve, blocks: BlockTransfers) -> None:
    node = serve(lambda connection: for_ever(connection, b"\xff\x7f", b"x"))
    with pytest.raises(BlockFailed, match="does not come to its end"):
        blocks.checksum("primary", located(node, 1), 1)


def test_a_namenode_that_never_ends_its_rpc_answer(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hadoop_rpc, "ANSWER_SECONDS", 0.2)
    port = serve(lambda connection: for_ever(connection, struct.pack(">I", 1 << 20), b"x"))
    with pytest.raises(RpcFailed, match="do not come to their end"):
        RpcClient("127.0.0.1", port, "hdfs").call("getBlockLocations", b"")
