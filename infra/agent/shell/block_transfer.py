"""Blocks between DataNodes, in HDFS's own data transfer protocol (version 28; datatransfer.proto in Hadoop's source).

A block that is copied travels in the packets that its DataNode reads from disk, data together with the checksums that
were stored with them, and these very packets are what the other cluster's DataNode is given. It checks the data against
the checksums before it confirms them. So nothing is computed here, and the checksums that were made when the
application wrote the block guard it all the way, the memory of this gateway included.
"""

from __future__ import annotations

import hashlib
import select
import socket
import struct
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Callable, Mapping

from infra.agent.core.protobuf import (
    Message,
    ProtobufError,
    data_field,
    delimited,
    first_field,
    integer_field,
    text_field,
)
from infra.agent.shell.connections import reached_as
from infra.agent.shell.namenode_rpc import LocatedBlock, with_length

VERSION = 28
WRITE_BLOCK, READ_BLOCK, BLOCK_CHECKSUM = 80, 81, 85
PIPELINE_SETUP_CREATE = 6
SUCCESS = 0
CRC_BYTES = 4
CRC_KINDS = (1, 2)
HEARTBEAT = -1
BUFFER_BYTES = 1 << 20
RECEIVE_BYTES = 1 << 16
LONGEST_PACKET_BYTES = 256 << 10  # DataNodes send 64 KiB of data in one, and the checksums
LONGEST_ANSWER_BYTES = 1 << 20
CONNECT_SECONDS = 5.0
DATA_SECONDS = 60.0
KEPT_SECONDS = 2.0  # a DataNode waits 4 s for another request on the same connection
# A packet: its length without the header's (but with these 4 bytes), the header's length, and the header, of which all
# fields have a fixed length: offset in the block, number, whether it is the last, bytes of data.
PACKET = struct.Struct(">IH")
HEADER = struct.Struct("<BqBqBBBi")
HEADER_TAGS = (0x09, 0x11, 0x18, 0x25)


class BlockFailed(Exception):
    """A block could not be transferred or asked about; the text says why. Nothing is known of what was written."""


class NoChecksums(BlockFailed):
    """A block was written without checksums, so nothing would guard it on its way."""


@dataclass(frozen=True)
class BlockSum:
    """What HDFS makes a file's checksum of: ``kind`` of checksum (1: CRC32, 2: CRC32C), over how many bytes each, how
    many there are, and the MD5 of all of them. Equal bytes have equal ones if the first two are equal.
    """

    kind: int
    bytes_per_checksum: int
    count: int
    md5: bytes


class _Summing:
    """Makes a ``BlockSum`` of checksums as they come."""

    def __init__(self, kind: int, bytes_per_checksum: int) -> None:
        self._kind = kind
        self._bytes_per_checksum = bytes_per_checksum
        self._md5 = hashlib.md5()  # noqa: S324 - HDFS's, no secret
        self._bytes = 0

    def add(self, checksums: memoryview) -> None:
        self._md5.update(checksums)
        self._bytes += len(checksums)

    def result(self) -> BlockSum:
        return BlockSum(self._kind, self._bytes_per_checksum, self._bytes // CRC_BYTES, self._md5.digest())


class BlockTransfers:
    """Talks to DataNodes, as ``client``; ``passed`` is called with the number of bytes each time some have passed.

    ``sites`` may say by what other name a DataNode's host is reached from here (see ``reached_as``).
    """

    def __init__(
        self, sites: Mapping[str, Any], client: str, cancelled: threading.Event, passed: Callable[[int], None]
    ) -> None:
        self._sites = sites
        self._client = client
        self._cancelled = cancelled
        self._passed = passed
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, int], list[tuple[float, _Stream]]] = {}
        self._buffers = threading.local()
        self._addresses: dict[tuple[str, bytes], tuple[str, int]] = {}

    def close(self) -> None:
        """Close connections that are kept."""
        with self._lock:
            for streams in self._kept.values():
                for _, stream in streams:
                    stream.close()
            self._kept.clear()

    def copy(self, source: str, block: LocatedBlock, target: str, new: LocatedBlock) -> BlockSum:
        """Fill the new block with all of the block's bytes; raises ``BlockFailed``.

        Returns the sum of the checksums that came with them: they are the ones which the source has stored.
        """
        try:
            address = self._address(source, block.nodes[0])
            reader, answer = self._begin_reading(address, self._read_request(block))
            try:
                info = Message(answer.data(4), "ReadOpChecksumInfo")
                kind = Message(info.data(1), "Checksum")
                if kind.integer(1) not in CRC_KINDS:
                    raise NoChecksums(f"its checksums are of kind {kind.integer(1)}")
                summing = _Summing(kind.integer(1), kind.integer(2))
                with closing(_Stream(self._address(target, new.nodes[0]))) as writer:
                    writer.send(WRITE_BLOCK, self._write_request(new, info.data(1)))
                    _successful(writer.message("BlockOpResponse"), "WRITE_BLOCK")
                    last = self._forward(reader, writer, block.length, summing)
                    reader.put(delimited(integer_field(1, SUCCESS)))
                    self._wait_for(writer, last)
            except BaseException:
                reader.close()
                raise
            self._keep(address, reader)
            return summing.result()
        except (OSError, EOFError, ProtobufError, IndexError) as error:
            raise BlockFailed(f"{type(error).__name__}: {error}") from error

    def checksum(self, site: str, block: LocatedBlock, length: int) -> BlockSum:
        """The sum of the stored checksums of a block's first bytes; raises ``BlockFailed``."""
        try:
            with closing(_Stream(self._address(site, block.nodes[0]))) as stream:
                stream.send(BLOCK_CHECKSUM, data_field(1, _base(block, length)))
                answer = _successful(stream.message("BlockOpResponse"), "BLOCK_CHECKSUM")
                found = Message(answer.data(3), "OpBlockChecksumResponse")
                stream.put(delimited(integer_field(1, SUCCESS)))
                return BlockSum(found.integer(4, 1), found.integer(1), found.integer(2), bytes(found.data(3)))
        except (OSError, EOFError, ProtobufError, IndexError) as error:
            raise BlockFailed(f"{type(error).__name__}: {error}") from error

    def _begin_reading(self, address: tuple[str, int], request: bytes) -> tuple[_Stream, Message]:
        """A connection on which a read was granted: one that was kept, if it still serves. After other requests than
        reads a DataNode closes it.
        """
        while True:
            kept = self._take(address)
            stream = kept or _Stream(address)
            try:
                stream.send(READ_BLOCK, request)
                return stream, _successful(stream.message("BlockOpResponse"), "READ_BLOCK")
            except (OSError, EOFError):
                stream.close()
                if kept is None:
                    raise
            except BaseException:
                stream.close()
                raise

    def _keep(self, address: tuple[str, int], stream: _Stream) -> None:
        with self._lock:
            self._kept.setdefault(address, []).append((time.monotonic(), stream))

    def _take(self, address: tuple[str, int]) -> _Stream | None:
        while True:
            with self._lock:
                kept = self._kept.get(address)
                if not kept:
                    return None
                since, stream = kept.pop()
            if time.monotonic() - since < KEPT_SECONDS:
                return stream
            stream.close()

    def _address(self, site: str, node: memoryview) -> tuple[str, int]:
        identity = bytes(first_field(node, 1, "DatanodeInfo"))
        known = self._addresses.get((site, identity))
        if known is None:
            named = Message(memoryview(identity), "DatanodeID")
            known = reached_as(self._sites[site], named.text(1), named.text(2)), named.integer(4)
            self._addresses[site, identity] = known
        return known

    def _read_request(self, block: LocatedBlock) -> bytes:
        header = data_field(1, _base(block, block.length)) + text_field(2, self._client)
        return data_field(1, header) + integer_field(2, 0) + integer_field(3, block.length)

    def _write_request(self, block: LocatedBlock, checksum: memoryview) -> bytes:
        header = data_field(1, _base(block, 0)) + text_field(2, self._client)
        others = b"".join(data_field(2, node) for node in block.nodes[1:])
        numbers = {5: len(block.nodes), 6: 0, 7: 0, 8: 0}
        request = data_field(1, header) + others + integer_field(4, PIPELINE_SETUP_CREATE)
        request += b"".join(integer_field(number, value) for number, value in numbers.items())
        request += data_field(9, checksum)
        if block.storages:
            request += integer_field(11, block.storages[0])
            request += b"".join(integer_field(12, storage) for storage in block.storages[1:])
        return request

    def _forward(self, reader: _Stream, writer: _Stream, expected_bytes: int, summing: _Summing) -> int:
        """Pass all packets on as they come; returns the number of the last one."""
        buffer = self._buffer()
        begin, end, passed_bytes = 0, 0, 0
        progress = _Progress()
        while True:
            frame, position = None, begin
            while (frame := _frame(buffer, position, end)) is not None:
                size, number, is_last, data_bytes, checksums = frame
                summing.add(checksums)
                position += size
                passed_bytes += data_bytes
                if is_last:
                    break
            if position > begin:
                writer.put(buffer[begin:position])
                writer.take_what_is_there()
                self._passed(position - begin)
                begin = position
            if frame is not None:
                break
            if passed_bytes > expected_bytes:
                raise BlockFailed(f"more than {expected_bytes} bytes come")
            progress.check(passed_bytes)
            if self._cancelled.is_set():
                raise BlockFailed("given up because the instruction ends")
            if len(buffer) - end < LONGEST_PACKET_BYTES:
                buffer[: end - begin] = bytes(buffer[begin:end])
                begin, end = 0, end - begin
            end += reader.receive(buffer[end:])
        if passed_bytes != expected_bytes:
            raise BlockFailed(f"{passed_bytes} of {expected_bytes} bytes came")
        return number

    def _wait_for(self, writer: _Stream, last: int) -> None:
        """Until the last packet is acknowledged; signs of life alone are no progress."""
        progress = _Progress()
        while writer.acknowledged < last:
            if self._cancelled.is_set():
                raise BlockFailed("given up because the instruction ends")
            writer.take_acknowledgement()
            progress.check(writer.acknowledged)

    def _buffer(self) -> memoryview:
        if not hasattr(self._buffers, "view"):
            self._buffers.view = memoryview(bytearray(BUFFER_BYTES))
        view: memoryview = self._buffers.view
        return view


class _Progress:
    """Sees to it that something grows: whoever sends without end, but nothing of what is wanted, is given up."""

    def __init__(self) -> None:
        self._reached = -1
        self._give_up_at = time.monotonic() + DATA_SECONDS

    def check(self, reached: int) -> None:
        """Raise ``BlockFailed`` when it has not grown for ``DATA_SECONDS``."""
        if reached > self._reached:
            self._reached, self._give_up_at = reached, time.monotonic() + DATA_SECONDS
        elif time.monotonic() > self._give_up_at:
            raise BlockFailed(f"nothing that is wanted has come for {DATA_SECONDS:.0f} s, though the DataNode sends")


class _Stream:
    """A connection to a DataNode."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.acknowledged = -1
        self._socket = socket.create_connection(address, CONNECT_SECONDS)
        self._socket.settimeout(DATA_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._rest = b""

    def close(self) -> None:
        self._socket.close()

    def send(self, code: int, request: bytes) -> None:
        """Ask for an operation."""
        self.put(struct.pack(">HB", VERSION, code) + delimited(request))

    def put(self, data: bytes | memoryview) -> None:
        self._socket.sendall(data)

    def receive(self, buffer: memoryview) -> int:
        """Bytes into the buffer, first those that came behind a message."""
        if self._rest:
            count = min(len(self._rest), len(buffer))
            buffer[:count] = self._rest[:count]
            self._rest = self._rest[count:]
            return count
        count = self._socket.recv_into(buffer)
        if count == 0:
            raise EOFError("the DataNode closed the connection")
        return count

    def message(self, name: str) -> Message:
        """The next message, which stands behind its length; all of it has to come in time."""
        give_up_at = time.monotonic() + DATA_SECONDS
        while True:
            found = _first_message(self._rest)
            if found is not None:
                begin, end = found
                data, self._rest = memoryview(self._rest[begin:end]), self._rest[end:]
                return Message(data, name)
            if len(self._rest) > LONGEST_ANSWER_BYTES:
                raise ProtobufError(f"{name} has more than {LONGEST_ANSWER_BYTES} bytes")
            more = self._socket.recv(RECEIVE_BYTES)
            if not more:
                raise EOFError("the DataNode closed the connection")
            self._rest += more
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"{name} does not come to its end")

    def take_what_is_there(self) -> None:
        """Take the acknowledgements that have come, so that they do not fill the connection."""
        if self._poll.poll(0):
            self._rest += self._socket.recv(RECEIVE_BYTES)  # nothing at the end: whoever still waits will find that out
        while _first_message(self._rest) is not None:
            self.take_acknowledgement()

    def take_acknowledgement(self) -> None:
        """Take one; raises ``BlockFailed`` unless every node of the pipeline has stored the packet soundly."""
        answer = self.message("PipelineAck")
        zigzag = answer.integer(1)
        number = (zigzag >> 1) ^ -(zigzag & 1)
        bad = [status for status in answer.integers(2) if status != SUCCESS]
        if bad:
            raise BlockFailed(f"packet {number} was answered with status {bad[0]}")
        if number != HEARTBEAT:
            self.acknowledged = number


def _base(block: LocatedBlock, length: int) -> bytes:
    return data_field(1, with_length(block.identity, length)) + data_field(2, block.token)


def _successful(answer: Message, what: str) -> Message:
    if answer.integer(1) != SUCCESS:
        raise BlockFailed(f"{what}: status {answer.integer(1)}, {answer.text(5, '')[:300]}")
    return answer


def _first_message(data: bytes) -> tuple[int, int] | None:
    """Where the first message begins and ends behind its length, if all of it is there."""
    length, shift, position = 0, 0, 0
    while position < len(data):
        byte = data[position]
        position += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            if length > LONGEST_ANSWER_BYTES:
                raise ProtobufError(f"a message of {length} bytes")
            return (position, position + length) if position + length <= len(data) else None
        if shift > 28:
            raise ProtobufError("a message's length has no end")
    return None


def _frame(buffer: memoryview, position: int, end: int) -> tuple[int, int, bool, int, memoryview] | None:
    """(size, number, whether it is the last, bytes of data, checksums) of the packet there, if all of it is there."""
    if end - position < PACKET.size + HEADER.size:
        return None
    body, header = PACKET.unpack_from(buffer, position)
    size: int = PACKET.size + header + body - 4
    if not HEADER.size <= header <= 64 or body < 4 or size > LONGEST_PACKET_BYTES:
        raise ProtobufError(f"a packet with a header of {header} and a body of {body} bytes")
    if end - position < size:
        return None
    tag_1, _, tag_2, number, tag_3, is_last, tag_4, data_bytes = HEADER.unpack_from(buffer, position + PACKET.size)
    if (tag_1, tag_2, tag_3, tag_4) != HEADER_TAGS or not 0 <= data_bytes <= body - 4:
        raise ProtobufError("a packet's header is not as expected")
    begin = position + PACKET.size + header
    return size, number, bool(is_last), data_bytes, buffer[begin : begin + body - 4 - data_bytes]
