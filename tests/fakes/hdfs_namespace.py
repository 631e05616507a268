"""The namespace of a simulated HDFS: inodes, frozen trees, and the difference between two of them.

What it holds true to: inode ids survive renames and are never reused; siblings are ordered by their signed bytes; with
capture of open files off (Hadoop's default) a file that is open at the cut goes on growing inside the snapshot until
something records a modification of it; the difference knows ids, names, attributes and lengths, never modification
times; storage policies are recorded by snapshots, as the difference shows, but what listings show is today's; the time
of a directory below the root is today's in every snapshot until something else of the directory is changed; blocks are
shared by snapshots, their generation stamps are today's, and a block that a snapshot shares is copied when it is cut.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

SNAPSHOT = ".snapshot"
CRC_CHUNK = 512


@dataclass
class Block:
    """A block's bytes; ``damaged`` means that a replica no longer fits its stored checksums."""

    data: bytes
    id: int
    generation: int
    damaged: bool = False


@dataclass
class Inode:
    """A file (``children`` is None) or a directory, live or frozen."""

    id: int
    owner: str
    group: str
    mode: str
    modified_ms: int
    children: dict[str, Inode] | None = None
    blocks: list[Block] = field(default_factory=list)
    block_size: int = 0
    replication: int = 0
    acl: list[str] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)
    policy: int = 0
    is_open: bool = False
    quota: int = -1
    space_quota: int = -1
    snapshots: dict[str, Inode] | None = None
    parent: Inode | None = None
    followers: list[Inode] = field(default_factory=list)
    live: Inode | None = None
    present: Inode | None = None

    @property
    def shown_policy(self) -> int:
        """The storage policy that listings show: today's, also in a snapshot."""
        return self.policy if self.present is None else self.present.policy

    @property
    def is_directory(self) -> bool:
        return self.children is not None

    @property
    def content(self) -> Inode:
        """The inode whose blocks and times count: of what snapshots have not frozen, the live one."""
        return self.live if self.live is not None else self

    @property
    def length(self) -> int:
        """What the NameNode knows: of an open file, the blocks before the last one."""
        inode = self.content
        blocks = inode.blocks[:-1] if inode.is_open else inode.blocks
        return sum(len(block.data) for block in blocks)

    def data(self) -> bytes:
        """All bytes there are."""
        return b"".join(block.data for block in self.content.blocks)

    def record_modification(self) -> None:
        """From now on snapshots keep what the file or directory was until here."""
        for follower in self.followers:
            follower.blocks = list(self.blocks)
            follower.modified_ms = self.modified_ms
            follower.live = None
            follower.is_open = False
        self.followers.clear()

    def metadata(self) -> tuple[Any, ...]:
        """What the difference compares besides names and lengths."""
        return (self.owner, self.group, self.mode, self.acl, self.attributes, self.replication, self.policy)


def sort_key(name: str) -> bytes:
    """HDFS's order of siblings."""
    return bytes(value ^ 0x80 for value in name.encode("utf-8"))


def children_in_order(directory: Inode) -> list[tuple[str, Inode]]:
    """A directory's entries as a NameNode lists them."""
    assert directory.children is not None
    return sorted(directory.children.items(), key=lambda item: sort_key(item[0]))


def freeze(inode: Inode, capture_open_files: bool, parent: Inode | None = None) -> Inode:
    """A frozen copy of a tree with the same ids."""
    frozen = replace(
        inode,
        children=None if inode.children is None else {},
        blocks=list(inode.blocks),
        acl=list(inode.acl),
        attributes=dict(inode.attributes),
        snapshots=None,
        parent=parent,
        followers=[],
        live=None,
        present=inode,
    )
    if inode.is_open:
        if capture_open_files:
            frozen.blocks = frozen.blocks[:-1]
            frozen.is_open = False
        else:
            _follow(frozen, inode)
    elif inode.is_directory and parent is not None:
        _follow(frozen, inode)
    for name, child in (inode.children or {}).items():
        assert frozen.children is not None
        frozen.children[name] = freeze(child, capture_open_files, frozen)
    return frozen


def _follow(frozen: Inode, inode: Inode) -> None:
    frozen.live = inode
    inode.followers.append(frozen)


def walk(inode: Inode, path: str = "") -> Iterator[tuple[str, Inode]]:
    """Every inode of a tree with its path, the root first, depth first, in HDFS's order."""
    yield path, inode
    if inode.children is not None:
        for name, child in children_in_order(inode):
            yield from walk(child, f"{path}/{name}" if path else name)


def difference(older: Inode, newer: Inode) -> dict[str, list[dict[str, Any]]]:
    """The lists of a snapshot difference listing, unpaged."""
    before = {inode.id: (path, inode) for path, inode in walk(older)}
    after = {inode.id: (path, inode) for path, inode in walk(newer)}
    lists: dict[str, list[dict[str, Any]]] = {"modifyList": [], "createList": [], "deleteList": []}
    for identity, (path, inode) in before.items():
        if identity in after:
            there = after[identity][1]
            if _has_changed(inode, there):
                lists["modifyList"].append(_item(path, inode, True))
            if _place(path, inode) != _place(*after[identity]):
                lists["deleteList"].append({**_item(path, inode, True), "targetPath": after[identity][0]})
                lists["createList"].append(_item(after[identity][0], there, True))
        elif inode.parent is not None and inode.parent.id in after:
            lists["deleteList"].append(_item(path, inode, False))
    for identity, (path, inode) in after.items():
        if identity not in before and inode.parent is not None and inode.parent.id in before:
            lists["createList"].append(_item(path, inode, False))
    return lists


def _place(path: str, inode: Inode) -> tuple[int, str]:
    return (inode.parent.id if inode.parent is not None and path else 0, path.rpartition("/")[2])


def _item(path: str, inode: Inode, is_reference: bool) -> dict[str, Any]:
    parent = inode.parent.id if inode.parent is not None and path else inode.id
    return {"dirId": parent, "fileId": inode.id, "isReference": is_reference, "sourcePath": path}


def _has_changed(before: Inode, after: Inode) -> bool:
    if before.metadata() != after.metadata():
        return True
    if before.children is None or after.children is None:
        return before.length != after.length
    return {name: child.id for name, child in before.children.items()} != {
        name: child.id for name, child in after.children.items()
    }


def stored_checksum(inode: Inode) -> str:
    """An MD5 over the blocks' MD5s over their chunks' CRCs; so, as in HDFS, it depends on how blocks are cut."""
    blocks = inode.content.blocks
    if not inode.length:
        return f"MD5-of-0MD5-of-0CRC32:{hashlib.md5().hexdigest()}"
    per_block = inode.block_size // CRC_CHUNK if len(blocks) > 1 else 0
    outer = hashlib.md5()
    for block in blocks:
        inner = hashlib.md5()
        for start in range(0, len(block.data), CRC_CHUNK):
            inner.update(zlib.crc32(block.data[start : start + CRC_CHUNK]).to_bytes(4, "big"))
        outer.update(inner.digest())
    return f"MD5-of-{per_block}MD5-of-{CRC_CHUNK}CRC32C:{outer.hexdigest()}"


def pieces(data: bytes, block_size: int) -> list[bytes]:
    """Data as it is cut into blocks."""
    return [data[start : start + block_size] for start in range(0, len(data), block_size)]
