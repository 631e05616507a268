"""Plain files, which most trees consist of: compared and digested as lines of a manifest, without becoming entries.

A *plain* file has nothing but what its listing shows, and a stored checksum: no ACL, no extended attributes, no storage
policy of its own, and it was not open at the cut. Its line in a manifest is then the same bytes whoever writes it, so
it is compared with a listing by comparing bytes. Whatever is not plain goes the general way (``hdfs_entries``), which
says the very same about plain files, only slower: tests hold both to that.
"""

from __future__ import annotations

import json.encoder
import re
from typing import Any, Dict, Match

from infra.agent.names import NO_NAMES

_TEXT = rb'"(?:[^"\\]|\\.)*"'
_BEGINNING = rb'\{(?:"B":"([0-9a-f]+)",)?(?:"I":(\d+),)?(?:"K":(\d+),)?"b":(\d+),(?:"c":("[^"\\]*"),)?'
_REST = rb'"g":(%b),"l":(\d+),"m":(\d+),"o":(%b),"p":(%b),"r":\d+,"t":"f",(?:"w":true,)?"x":("\d+")\}' % (
    _TEXT,
    _TEXT,
    _TEXT,
)
_beginning = re.compile(_BEGINNING)
_whole = re.compile(_BEGINNING + _REST)
_MOVED, _NOT_MOVED = b'"t":"f","w":true,"x":', b'"t":"f","x":'
_quote = json.encoder.encode_basestring
PLAIN_TYPE = "FILE"
_NO_NAMES = frozenset(name.encode("ascii") for name in NO_NAMES)


class Quoted(Dict[str, bytes]):
    """The few names of owners and groups as JSON, each made once."""

    def __missing__(self, name: str) -> bytes:
        self[name] = quoted = _quote(name).encode("utf-8")
        return quoted


def is_plain(found: dict[str, Any], policy: int) -> bool:
    """Tell whether a FileStatus in a directory of a storage policy is that of a plain file, as far as it shows."""
    return (
        found["type"] == PLAIN_TYPE
        and found["storagePolicy"] == policy
        and not (found.get("aclBit") or found.get("encBit") or found.get("ecBit"))
    )


def rest_of_line(found: dict[str, Any], path: str, names: Quoted) -> bytes:
    """How a plain file's line ends, from its group on: all that tells it from others but id, block size and bytes."""
    return b'"g":%b,"l":%d,"m":%d,"o":%b,"p":%b,"r":%d,"t":"f","x":"%b"}' % (
        names[found["group"]],
        found["length"],
        found["modificationTime"],
        names[found["owner"]],
        _quote(path).encode("utf-8"),
        found["replication"],
        found["permission"].encode("ascii"),
    )


def without_moved(line: bytes) -> bytes:
    """A plain file's line without the mark that its run has moved it."""
    return line.replace(_MOVED, _NOT_MOVED)  # within a name quotation marks are escaped


def beginning_of_line(line: bytes, rest: bytes) -> Match[bytes] | None:
    """How a line begins (identity of the contents, inode id, since when they are expected, block size, checksum).

    None unless it is that of a plain file which ends in ``rest``.
    """
    if not line.endswith(rest):
        return None
    return _beginning.fullmatch(line, 0, len(line) - len(rest))


def line_of(recorded: bytes, found: dict[str, Any], rest: bytes, cut_ms: int) -> bytes | None:
    """The new line of a plain file in place of the one that is recorded, which was written as of a cut at ``cut_ms``.

    None unless the file is the same, by everything that its listing shows.
    """
    line = without_moved(recorded)
    begins = beginning_of_line(line, rest)
    if begins is None:
        return None
    blocks, inode, since, block_size, checksum = begins.groups()
    if (
        inode is None
        or int(inode) != found["fileId"]
        or int(block_size) != found["blockSize"]
        or (checksum is None and found["length"] != 0)
    ):
        return None
    if "blocks" in found:
        if blocks != found["blocks"].encode("ascii"):
            return None
        return line if since is None else line[: begins.start(3) - 4] + line[begins.end(3) + 1 :]
    if since is None and found["length"]:
        known_ms = cut_ms if blocks is not None or line is not recorded else 0
        return b'%b"K":%d,%b' % (line[: begins.start(4) - 4], known_ms, line[begins.start(4) - 4 :])
    return line


def entry_line(found: dict[str, Any], path: str, names: Quoted, up: int, ordinal: int) -> bytes:
    """A plain file as a record: what ``hdfs_entries.entry_of`` gives, and its ordinal."""
    blocks = b'"B":"%b",' % found["blocks"].encode("ascii") if "blocks" in found else b""
    return b'{%b"p":%b,"t":"f","m":%d,"o":%b,"g":%b,"x":"%b","i":%d,"u":%d,"l":%d,"b":%d,"r":%d,"n":%d}' % (
        blocks,
        _quote(path).encode("utf-8"),
        found["modificationTime"],
        names[found["owner"]],
        names[found["group"]],
        found["permission"].encode("ascii"),
        found["fileId"],
        up,
        found["length"],
        found["blockSize"],
        found["replication"],
        ordinal,
    )


def new_line(found: dict[str, Any], path: str, names: Quoted, up: int, ordinal: int, staged: str) -> bytes:
    """The same with the place where it is to be staged."""
    return b'%b,"path":%b}' % (entry_line(found, path, names, up, ordinal)[:-1], _quote(staged).encode("utf-8"))


def line_below(line: bytes, directory: str, up: int, cut_ms: int) -> tuple[int, bytes] | None:
    """(inode id, record) of a line of the source's manifest that is a plain file's right in a directory; else None.

    The record is what ``hdfs_trees.Recorded`` makes of the line; ``up`` is the directory's inode id, and the manifest
    was written as of a cut at ``cut_ms``.
    """
    found = _whole.fullmatch(line)
    if found is None or found[2] is None:
        return None
    above = _quote(directory).encode("utf-8")[:-1] + (b"/" if directory else b"")
    path = found[10]
    name = path[len(above) : -1]
    # A name with an escaped letter may be another one than it looks, once it is decoded.
    if not path.startswith(above) or b"/" in name or b"\\u" in name or name in _NO_NAMES:
        return None
    blocks, inode, since = found[1], found[2], found[3]
    unmoved = without_moved(line)
    known = b'"B":"%b",' % blocks if blocks is not None else b""
    if since is None:
        since = b"%d" % (cut_ms if blocks is not None or unmoved is not line else 0)
    rest = unmoved[found.start(4) - 4 :]
    return int(inode), b'{"i":%b,"u":%d,"D":true,%b"K":%b,%b' % (inode, up, known, since, rest)


def digest_lines(line: bytes) -> tuple[bytes, bytes, int] | None:
    """What a plain file's line adds to the digests of content and metadata, and its length; else None."""
    found = _whole.fullmatch(line)
    if found is None:
        return None
    checksum, group, length, time, owner, path, mode = found.groups()[4:]
    proof = b"" if checksum is None else b'"c":%b,' % checksum
    return (
        b'{%b"l":%b,"p":%b,"t":"f"}\n' % (proof, length, path),
        b'{"g":%b,"m":%b,"o":%b,"p":%b,"x":%b}\n' % (group, time, owner, path, mode),
        int(length),
    )
