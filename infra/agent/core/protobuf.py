"""Read the protobuf wire format: just enough for files of HBase and answers of a NameNode, safe against any bytes.

A message is a sequence of fields, each a number, a wire type and a value (protobuf.dev, "Encoding"). Varints give
integers, lengths give bytes; the fixed-width types are read over; groups, which neither writes, are refused. Work
and memory are bounded by the number of bytes given, because nothing is nested here: a caller reads an inner message by
calling again with its bytes.
"""

from __future__ import annotations

from typing import Iterator, Union

VARINT, FIXED_64, LENGTH, FIXED_32 = 0, 1, 2, 5
LONGEST_VARINT_BYTES = 10
_FIXED_BYTES = {FIXED_64: 8, FIXED_32: 4}

Value = Union[int, memoryview]


class ProtobufError(ValueError):
    """The bytes are not a message of the expected form; the text says what is wrong and where."""


def fields(data: memoryview) -> Iterator[tuple[int, Value]]:
    """The fields of a message in order: (number, integer or bytes); raises ``ProtobufError``."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            raise ProtobufError(f"field number 0 before byte {position}")
        if wire_type == VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire_type == LENGTH:
            length, position = _varint(data, position)
        elif wire_type in _FIXED_BYTES:
            length = _FIXED_BYTES[wire_type]
        else:
            raise ProtobufError(f"wire type {wire_type} before byte {position}")
        if length > len(data) - position:
            raise ProtobufError(f"field {number} claims {length} bytes at byte {position} of {len(data)}")
        if wire_type == LENGTH:
            yield number, data[position : position + length]
        position += length


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """An unsigned integer of at most 64 bits, and the position after it."""
    value = 0
    for count in range(LONGEST_VARINT_BYTES):
        if position >= len(data):
            raise ProtobufError(f"an integer is cut off at byte {position}")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            if value >> 64:
                raise ProtobufError(f"an integer before byte {position} has more than 64 bits")
            return value, position
    raise ProtobufError(f"an integer before byte {position} has more than {LONGEST_VARINT_BYTES} bytes")


class Message:
    """The fields of one message by their numbers; unknown ones are kept and never looked at."""

    def __init__(self, data: memoryview, name: str) -> None:
        self._name = name
        self._values: dict[int, list[Value]] = {}
        for number, value in fields(data):
            self._values.setdefault(number, []).append(value)

    def has(self, number: int) -> bool:
        """Tell whether the field is there."""
        return number in self._values

    def integer(self, number: int, default: int | None = None) -> int:
        """An unsigned integer; the last one counts, as protobuf says."""
        value = self._last(number, default)
        if isinstance(value, int):
            return value
        raise self._unexpected(number)

    def signed(self, number: int, default: int) -> int:
        """An int32 or int64: negative ones stand as their complement to 2⁶⁴."""
        value = self.integer(number, default)
        return value - (1 << 64) if value >> 63 == 1 else value

    def data(self, number: int, default: bytes | None = None) -> memoryview:
        """Bytes, or an inner message."""
        value = self._last(number, None if default is None else memoryview(default))
        if isinstance(value, memoryview):
            return value
        raise self._unexpected(number)

    def text(self, number: int, default: str | None = None) -> str:
        """Text in UTF-8."""
        value = self.data(number, None if default is None else default.encode("utf-8"))
        try:
            return bytes(value).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ProtobufError(f"{self._name}.{number} is not UTF-8") from error

    def repeated(self, number: int) -> list[memoryview]:
        """All values of a repeated field of bytes or messages."""
        values: list[memoryview] = []
        for value in self._values.get(number, []):
            if not isinstance(value, memoryview):
                raise self._unexpected(number)
            values.append(value)
        return values

    def _last(self, number: int, default: Value | None) -> Value:
        values = self._values.get(number)
        if values:
            return values[-1]
        if default is None:
            raise ProtobufError(f"{self._name} has no field {number}")
        return default

    def _unexpected(self, number: int) -> ProtobufError:
        return ProtobufError(f"{self._name}.{number} is not of the expected type")
