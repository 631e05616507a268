"""The protobuf wire format: just enough for files of HBase and for talking to HDFS, safe against any bytes.

A message is a sequence of fields, each a number, a wire type and a value (protobuf.dev, "Encoding"). Varints give
integers, lengths give bytes; the fixed-width types are read over; groups, which neither writes, are refused. Work
and memory are bounded by the number of bytes given, because nothing is nested here: a caller reads an inner message by
calling again with its bytes. What is written is made of ``integer_field`` and ``data_field``.
"""

from __future__ import annotations

from typing import Iterator, Union

VARINT, FIXED_64, LENGTH, FIXED_32 = 0, 1, 2, 5
LONGEST_VARINT_BYTES = 10
# In memory a field takes some 200 bytes, on the wire at least two: without a limit 1 MiB would become 96. What is read
# here has long fields where it has many (a NameNode's or HBase's entries), and few where they are short.
FIELDS_AT_LEAST = 4096
BYTES_PER_FIELD = 16
_FIXED_BYTES = {FIXED_64: 8, FIXED_32: 4}

Value = Union[int, memoryview]


class ProtobufError(ValueError):
    """The bytes are not a message of the expected form; the text says what is wrong and where."""


def fields(data: memoryview) -> Iterator[tuple[int, Value]]:
    """The fields of a message in order: (number, integer or bytes); raises ``ProtobufError``."""
    position, end = 0, len(data)
    while position < end:
        # Most integers have one byte: the loop of ``_varint`` is for the others.
        key = data[position]
        if key < 0x80:
            position += 1
        else:
            key, position = _varint(data, position)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            raise ProtobufError(f"field number 0 before byte {position}")
        if wire_type in (VARINT, LENGTH):
            if position < end and data[position] < 0x80:
                length = data[position]
                position += 1
            else:
                length, position = _varint(data, position)
            if wire_type == VARINT:
                yield number, length
                continue
        elif wire_type in _FIXED_BYTES:
            length = _FIXED_BYTES[wire_type]
        else:
            raise ProtobufError(f"wire type {wire_type} before byte {position}")
        if length > end - position:
            raise ProtobufError(f"field {number} claims {length} bytes at byte {position} of {end}")
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
        left = FIELDS_AT_LEAST + len(data) // BYTES_PER_FIELD
        for number, value in fields(data):
            self._values.setdefault(number, []).append(value)
            left -= 1
            if left < 0:
                raise ProtobufError(f"{name} has more fields than {len(data)} bytes can have that mean something")

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

    def integers(self, number: int) -> list[int]:
        """All values of a repeated field of unsigned integers that are not packed."""
        values: list[int] = []
        for value in self._values.get(number, []):
            if not isinstance(value, int):
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


def first_field(data: memoryview, number: int, name: str) -> memoryview:
    """The bytes of the first field of this number, without looking at what follows it; raises ``ProtobufError``."""
    for found, value in fields(data):
        if found == number and isinstance(value, memoryview):
            return value
    raise ProtobufError(f"{name} has no field {number}")


_SMALL = tuple(bytes([value]) for value in range(0x80))


def varint(value: int) -> bytes:
    """An unsigned integer."""
    if value < 0x80:
        return _SMALL[value]
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def integer_field(number: int, value: int) -> bytes:
    """A field with an unsigned integer, an enumeration's number or a bool."""
    return varint(number << 3 | VARINT) + varint(value)


def data_field(number: int, value: bytes | memoryview) -> bytes:
    """A field with bytes, UTF-8 text or an inner message."""
    return varint(number << 3 | LENGTH) + varint(len(value)) + value


def text_field(number: int, value: str) -> bytes:
    """A field with text."""
    return data_field(number, value.encode("utf-8"))


def delimited(message: bytes) -> bytes:
    """A message behind its length."""
    return varint(len(message)) + message


def split_delimited(data: memoryview) -> Iterator[memoryview]:
    """The messages that stand one after another, each behind its length; raises ``ProtobufError``."""
    position = 0
    while position < len(data):
        length, position = _varint(data, position)
        if length > len(data) - position:
            raise ProtobufError(f"a message claims {length} bytes, {len(data) - position} are there")
        yield data[position : position + length]
        position += length
