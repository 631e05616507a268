"""Read a page of a directory's listing, with the files' blocks, as a NameNode's RPC answers it.

The result is what WebHDFS tells of each entry, and ``blocks`` besides: the identity of a file's contents
(``block_identity``). Nearly all entries are files whose fields come in the order in which Hadoop writes them; those are
taken apart by a few patterns, in a third of the time. Whatever is not exactly like that is read field by field.
"""

from __future__ import annotations

import re
from typing import Any, Dict

from infra.agent.core.block_identity import block, identity_of
from infra.agent.core.protobuf import Message, ProtobufError, fields

TYPES = {1: "DIRECTORY", 2: "FILE", 3: "SYMLINK"}
_BITS = ((1, "aclBit"), (2, "encBit"), (4, "ecBit"), (8, "snapshotEnabled"))
_OLD_BITS = 12  # where a NameNode before 3.0 has the first three, in the mode
_MODE = 0o1777

_V = rb"([\x80-\xff]{0,8}[\x00-\x7f])"  # of 63 bits: negative ones are rare
_ONE_MORE, _AFTER_THE_LAST = 0x12, 0x18
_NAMED = b"\x08\x02\x12"
_UP_TO_OWNER = re.compile(rb"\x18%b\x22[\x02-\x04]\x08%b\x2a([\x00-\x7f])" % (_V, _V))
_UP_TO_BLOCKS = re.compile(rb"\x38%b\x40%b\x50%b\x58%b\x62%b" % (_V, _V, _V, _V, _V))
_AFTER_BLOCKS = re.compile(rb"\x68%b\x70%b\x80\x01%b(?:\x90\x01%b)?" % (_V, _V, _V, _V))
_LOCATED = re.compile(rb"\x12%b\x0a([\x00-\x7f])\x0a([\x00-\x7f])" % _V)
_BLOCK = re.compile(rb"(\x10%b\x18%b)(?:\x20%b)?" % (_V, _V, _V))
_LENGTH = re.compile(rb"\x08%b" % _V)


class _Integers(Dict[bytes, int]):
    """Integers of which there are few, each read once."""

    def __missing__(self, encoded: bytes) -> int:
        self[encoded] = value = _integer(encoded)
        return value


class _Texts(Dict[bytes, str]):
    """The same of names of owners and groups."""

    def __missing__(self, encoded: bytes) -> str:
        self[encoded] = value = encoded.decode("utf-8")
        return value


class _Modes(Dict[bytes, str]):
    """The same of modes, as octal text."""

    def __missing__(self, encoded: bytes) -> str:
        self[encoded] = value = f"{_integer(encoded) & _MODE:o}"
        return value


class _OtherForm(Exception):
    """An entry that has to be read field by field."""


def page_of(answer: Message) -> dict[str, Any] | None:
    """The answer to ``getListing`` in the form of LISTSTATUS_BATCH; None where there is no such directory."""
    if not answer.has(1):
        return None
    integers, texts, modes = _Integers(), _Texts(), _Modes()
    entries: list[dict[str, Any]] = []
    remaining = 0
    for number, value in fields(answer.data(1)):
        if number == 1 and isinstance(value, memoryview):
            data = bytes(value)
            try:
                entries.append(_file(data, integers, texts, modes))
            except (_OtherForm, IndexError, UnicodeError):
                entries.append(_entry(data))
        elif number == 2 and isinstance(value, int):
            remaining = value
    return {
        "DirectoryListing": {"partialListing": {"FileStatuses": {"FileStatus": entries}}, "remainingEntries": remaining}
    }


def _file(data: bytes, integers: _Integers, texts: _Texts, modes: _Modes) -> dict[str, Any]:
    """A file of the usual form."""
    if data[:3] != _NAMED or data[3] > 0x7F:
        raise _OtherForm
    position = 4 + data[3]
    name = data[4:position]
    first = _UP_TO_OWNER.match(data, position)
    if first is None or _integer(first[2]) >> _OLD_BITS:
        raise _OtherForm
    position = first.end()
    owner_end = position + first[3][0]
    owner = data[position:owner_end]
    if data[owner_end : owner_end + 1] != b"\x32" or data[owner_end + 1] > 0x7F:
        raise _OtherForm
    position = owner_end + 2 + data[owner_end + 1]
    second = _UP_TO_BLOCKS.match(data, position)
    if second is None:
        raise _OtherForm
    begin = second.end()
    end = begin + integers[second[5]]
    third = _AFTER_BLOCKS.fullmatch(data, end)
    if third is None or (third[4] is not None and third[4] != b"\x00"):
        raise _OtherForm
    status = {
        "pathSuffix": name.decode("utf-8"),
        "type": "FILE",
        "length": _integer(first[1]),
        "permission": modes[first[2]],
        "owner": texts[owner],
        "group": texts[data[owner_end + 2 : position]],
        "modificationTime": _integer(second[1]),
        "replication": integers[second[3]],
        "blockSize": integers[second[4]],
        "fileId": _integer(third[1]),
        "childrenNum": integers[third[2]],
        "storagePolicy": integers[third[3]],
    }
    blocks = _usual_blocks(data, begin, end)
    if blocks:
        status["blocks"] = identity_of(blocks)
    return status


def _usual_blocks(data: bytes, begin: int, end: int) -> bytes:
    """The blocks among the message ``LocatedBlocks`` between two places."""
    length = _LENGTH.match(data, begin, end)
    if length is None:
        raise _OtherForm
    position = length.end()
    blocks = b""
    while position < end and data[position] == _ONE_MORE:
        located = _LOCATED.match(data, position, end)
        if located is None:
            raise _OtherForm
        position = located.end(1) + _integer(located[1])
        extended_begin = located.end() + located[3][0]
        found = _BLOCK.fullmatch(data, extended_begin, located.end(2) + located[2][0])
        if found is None or position > end:
            raise _OtherForm
        blocks += found[1]
    if data[position] != _AFTER_THE_LAST:
        raise _OtherForm
    return blocks


def _entry(data: bytes) -> dict[str, Any]:
    """Any entry, field by field."""
    found = Message(memoryview(data), "HdfsFileStatus")
    kind = TYPES.get(found.integer(1))
    if kind is None:
        raise ProtobufError(f"HdfsFileStatus.fileType {found.integer(1)} is unknown")
    mode = Message(found.data(4), "FsPermission").integer(1)
    status: dict[str, Any] = {
        "pathSuffix": found.text(2),
        "type": kind,
        "length": found.integer(3),
        "permission": f"{mode & _MODE:o}",
        "owner": found.text(5),
        "group": found.text(6),
        "modificationTime": found.signed(7, 0),
        "replication": found.integer(10, 0),
        "blockSize": found.integer(11, 0),
        "fileId": found.integer(13),
        "childrenNum": max(0, found.signed(14, 0)),
        "storagePolicy": found.integer(16, 0),
    }
    bits = found.integer(18, 0) | mode >> _OLD_BITS
    if found.has(15):
        bits |= 2
    if found.has(17):
        bits |= 4
    status.update({name: True for bit, name in _BITS if bits & bit})
    if found.has(12):
        blocks = b"".join(_block(located) for located in Message(found.data(12), "LocatedBlocks").repeated(2))
        if blocks:
            status["blocks"] = identity_of(blocks)
    return status


def _block(located: memoryview) -> bytes:
    extended = Message(Message(located, "LocatedBlock").data(1), "ExtendedBlock")
    return block(extended.integer(2), extended.integer(3))


def _integer(encoded: bytes) -> int:
    if len(encoded) == 1:
        return encoded[0]
    value = shift = 0
    for byte in encoded:
        value |= (byte & 0x7F) << shift
        shift += 7
    return value
