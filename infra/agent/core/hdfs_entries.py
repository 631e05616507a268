"""Entries of an HDFS tree: how they are held, ordered, compared and digested.

An *entry* is a dict with the members of a manifest line (docs/agent.md) and, while it is worked with:
``i`` inode id (``I`` in the manifest, which has the source's), ``u`` inode id of the directory above ("up"), ``n``
ordinal in its tree, ``A`` True when it has an ACL, ``D`` True when its details (``c``, ``a``, ``e``) are known, ``F``
True when its contents must not be taken for known.
``B`` identifies the contents of a file that has any (``block_identity``), where that was told. In a manifest it is what
identified those that ``c`` is the checksum of, and ``K`` says since when they are only expected (see ``expect``).
``s`` is there only where an entry has a storage policy of its own: one that differs from the directory's above.

The order of a tree is depth first with siblings as HDFS lists them: their UTF-8 bytes compared as *signed* values
(``DFSUtilClient.compareBytes``), so "é" comes before "a". ``path_key`` turns that order into one of plain bytes.
"""

from __future__ import annotations

import hashlib
from binascii import hexlify
from typing import Any, Dict

from infra.agent.core.hdfs_plain import digest_lines
from infra.agent.core.operations import OperationFailed
from infra.agent.protocol import canonical
from infra.agent.quick_json import decode

Entry = Dict[str, Any]

DIRECTORY = "d"
FILE = "f"
# What every tree's copy has to agree in, beside contents: told by the listing alone.
LISTED_ATTRIBUTES = ("o", "g", "x", "r", "s", "A")
_MANIFEST = ("p", "t", "l", "m", "o", "g", "x", "a", "e", "b", "r", "s", "c", "f", "w", "q", "B", "K")
_CONTENT = ("p", "t", "l", "c")
_METADATA = ("p", "o", "g", "x", "a", "e")
_SIGNED = bytes(value ^ 0x80 for value in range(256))
_SIGNED_SLASH = b"/".translate(_SIGNED)  # in UTF-8 no other letter has this byte in it


def name_key(name: str) -> bytes:
    """A name's bytes such that their plain order is HDFS's order."""
    return name.encode("utf-8").translate(_SIGNED)


def path_key(path: str) -> bytes:
    """A key whose plain order is the order of a tree, free of spaces and newlines."""
    return b"/".join([hexlify(key) for key in name_key(path).split(_SIGNED_SLASH)])


def key_below(directory: bytes, name: str) -> bytes:
    """The ``path_key`` of a name below a directory (b"" is the root) whose key is known."""
    key = hexlify(name_key(name))
    return b"%s/%s" % (directory, key) if directory else key


def parent_of(path: str) -> str:
    """The path of the directory above; "" for the root's own children."""
    return path.rpartition("/")[0]


def name_of(path: str) -> str:
    """The last name of a path."""
    return path.rpartition("/")[2]


def depth_of(path: str) -> int:
    """How many names a path has."""
    return path.count("/") + 1 if path else 0


def below(root: str, path: str) -> str:
    """An absolute path from a root and a path relative to it."""
    return f"{root}/{path}" if path else root


def entry_of(status: dict[str, Any], path: str, parent_id: int, parent_policy: int) -> Entry:
    """Turn a FileStatus into an entry."""
    is_file = status["type"] == "FILE"
    entry: Entry = {
        "p": path,
        "t": FILE if is_file else DIRECTORY,
        "m": status["modificationTime"],
        "o": status["owner"],
        "g": status["group"],
        "x": status["permission"],
        "i": status["fileId"],
        "u": parent_id,
    }
    if is_file:
        entry.update(l=status["length"], b=status["blockSize"], r=status["replication"])
        if "blocks" in status:
            entry["B"] = status["blocks"]
    if status.get("aclBit"):
        entry["A"] = True
    if status["storagePolicy"] not in (0, parent_policy):  # 0: none, of what was moved away from under one since
        entry["s"] = status["storagePolicy"]
    return entry


def check_supported(status: dict[str, Any], path: str) -> None:
    """Refuse what is not copied faithfully: symbolic links, encryption zones, erasure coding."""
    code = ""
    if status["type"] not in ("FILE", "DIRECTORY"):
        code, what = "SYMLINK", "a symbolic link"
    elif status.get("encBit"):
        code, what = "ENCRYPTED", "in an encryption zone"
    elif status.get("ecBit"):
        code, what = "ERASURE_CODED", "erasure coded"
    if code:
        raise OperationFailed(
            code,
            f"{path or 'the directory itself'} is {what}, which is not copied",
            remedy="Leave it out of the data set, or move it out of the directory.",
        )


def same_contents_listed(have: Entry, want: Entry) -> bool:
    """Tell whether two listings show the same type, length and modification time."""
    return have["t"] == want["t"] and have["m"] == want["m"] and have.get("l") == want.get("l")


def same_blocks(have: Entry, want: Entry) -> bool:
    """Tell whether the blocks do not speak against equal contents; both are states of one inode.

    They do also where those of what one has were never told: then nobody has looked. Where those of what is wanted are
    not told, nothing speaks.
    """
    return want.get("B") is None or have.get("B") == want["B"]


def known_since(line: Entry, cut_ms: int) -> int:
    """Since when the contents of a file are known that a manifest names, as of whose cut at ``cut_ms`` it was written.

    0: nobody knows any more, because the manifest is older than the identities of contents.
    """
    if "K" in line:
        return int(line["K"])
    return cut_ms if "B" in line or line.get("w") else 0


def expect(have: Entry, want: Entry) -> None:
    """Take the contents of a file for those that one has, where only its listing says so: ``K`` tells since when.

    ``have["K"]`` is ``known_since`` of them.
    """
    if want["t"] == FILE and want["l"] and "B" not in want and "K" in have:
        want["K"] = have["K"]
        if "B" in have:
            want["B"] = have["B"]


def same_attributes_listed(have: Entry, want: Entry) -> bool:
    """Tell whether two listings show the same attributes; ACLs and extended attributes are not in a listing."""
    for name in LISTED_ATTRIBUTES:  # noqa: SIM110 - asked for every entry: a generator costs more than the work
        if have.get(name) != want.get(name):
            return False
    return True


_IN_MANIFEST = frozenset(_MANIFEST)


def manifest_line(entry: Entry) -> bytes:
    """An entry of the source as a line of its manifest."""
    line = {name: value for name, value in entry.items() if name in _IN_MANIFEST and value not in (None, [], {})}
    if "i" in entry:
        line["I"] = entry["i"]
    if "f" in line:
        line.pop("B", None)  # what is copied of it is not all that its blocks hold
    return canonical(line)


class TreeDigest:
    """The two digests of a tree, fed with its entries in order.

    The root's own attributes are in neither: on the secondary they are the protection's until promotion. Nor is the
    time of a directory, which snapshots do not freeze.
    """

    def __init__(self) -> None:
        self._content = hashlib.sha256()
        self._metadata = hashlib.sha256()
        self.files = 0
        self.directories = 0
        self.bytes = 0
        self.fuzzy = 0

    def add(self, entry: Entry) -> None:
        """Take the next entry."""
        self._content.update(_line(entry, _CONTENT))
        if entry["p"]:
            self._metadata.update(_line(entry, (*_METADATA, "m") if entry["t"] == FILE else _METADATA))
        if entry["t"] == FILE:
            self.files += 1
            self.bytes += entry["l"]
            self.fuzzy += bool(entry.get("f"))
        else:
            self.directories += 1

    def add_line(self, line: bytes) -> None:
        """Take the next entry as a line of a manifest."""
        plain = digest_lines(line)
        if plain is None:
            self.add(decode(line))
            return
        content, metadata, length = plain
        self._content.update(content)
        self._metadata.update(metadata)
        self.files += 1
        self.bytes += length

    def content(self) -> str:
        """SHA-256 over the lines of (path, type, length, checksum)."""
        return self._content.hexdigest()

    def metadata(self) -> str:
        """SHA-256 over the lines of (path, owner, group, mode, ACL, extended attributes, a file's time)."""
        return self._metadata.hexdigest()


def _line(entry: Entry, names: tuple[str, ...]) -> bytes:
    return canonical({name: entry[name] for name in names if entry.get(name) not in (None, [], {})}) + b"\n"
