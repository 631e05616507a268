"""An application of a simulated HDFS: what a user does to files, appends and open files included."""

from __future__ import annotations

from tests.fakes.hdfs import FakeHdfs
from tests.fakes.hdfs_namespace import Block, Inode, pieces
from tests.fakes.hdfs_tree import refusal

SMALL_BLOCK = 1024


class Application:
    """Writes as ``user``; every action takes a millisecond, so that no two have the same time."""

    def __init__(self, hdfs: FakeHdfs, user: str = "app") -> None:
        self.hdfs = hdfs
        self.user = user

    def _ask(self, method: str, op: str, path: str, user: str = "hdfs", **params: str) -> None:
        self.hdfs.clock.advance_to(self.hdfs.clock.now_ms + 1)
        self.hdfs.call(method, op, path, params, user)

    def mkdir(self, path: str, mode: str = "755") -> None:
        """Make a directory of this user's, and the ones above it."""
        self._ask("PUT", "MKDIRS", path, permission=mode)
        self._ask("PUT", "SETOWNER", path, owner=self.user, group=self.user)

    def put(self, path: str, data: bytes, mode: str = "644", block_size: int = SMALL_BLOCK) -> None:
        """Write a whole file, replacing one that is there."""
        above = path.rpartition("/")[0]
        if self.hdfs.find(above) is None:
            self.mkdir(above)
        self.hdfs.clock.advance_to(self.hdfs.clock.now_ms + 1)
        self.hdfs.write(path, data, mode, block_size, 2, self.user)

    def append(self, path: str, data: bytes) -> None:
        """Append and close."""
        self.hdfs.clock.advance_to(self.hdfs.clock.now_ms + 1)
        inode = self._file(path)
        inode.record_modification()
        if self._is_last_partial(inode):
            inode.blocks[-1].generation = self.hdfs.new_generation()  # snapshots that share the block see it, too
        self._extend(inode, data)
        inode.modified_ms = self.hdfs.now_ms()

    def truncate(self, path: str, length: int) -> None:
        """Cut a file."""
        self.hdfs.clock.advance_to(self.hdfs.clock.now_ms + 1)
        inode = self._file(path)
        if length > inode.length:
            message = f"Cannot truncate to a larger file size. Current size: {inode.length}, truncate size: {length}."
            raise refusal("HadoopIllegalArgumentException", message)
        if length == inode.length:
            return
        inode.record_modification()
        inode.blocks = self.hdfs.first_bytes(inode, length)
        inode.modified_ms = self.hdfs.now_ms()

    def rewrite(self, path: str, data: bytes) -> None:
        """Put other bytes at the end of a file, so that no listing shows it: length and time are as before."""
        inode = self._file(path)
        length, modified_ms = inode.length, inode.modified_ms
        self.truncate(path, length - len(data))
        self.append(path, data)
        self.touch(path, modified_ms)

    def start(self, path: str, data: bytes = b"") -> None:
        """Create a file and keep it open."""
        self.put(path, data)
        self._file(path).is_open = True

    def grow(self, path: str, data: bytes) -> None:
        """Write into a file that is open."""
        self._extend(self._file(path), data)

    def close(self, path: str) -> None:
        """Close a file that is open."""
        self.hdfs.clock.advance_to(self.hdfs.clock.now_ms + 1)
        inode = self._file(path)
        inode.is_open = False
        inode.modified_ms = self.hdfs.now_ms()

    def concat(self, path: str, sources: list[str]) -> None:
        """Append whole files, which vanish."""
        self._ask("POST", "CONCAT", path, sources=",".join(sources))

    def rename(self, source: str, target: str) -> None:
        """Rename without overwriting."""
        self._ask("PUT", "RENAME", source, destination=target, renameoptions="NONE")

    def delete(self, path: str) -> None:
        """Delete with everything below."""
        self._ask("DELETE", "DELETE", path, recursive="true")

    def chmod(self, path: str, mode: str) -> None:
        """Set the mode."""
        self._ask("PUT", "SETPERMISSION", path, permission=mode)

    def chown(self, path: str, owner: str, group: str) -> None:
        """Set owner and group."""
        self._ask("PUT", "SETOWNER", path, owner=owner, group=group)

    def replicate(self, path: str, replication: int) -> None:
        """Set how many replicas there shall be."""
        self._ask("PUT", "SETREPLICATION", path, replication=str(replication))

    def touch(self, path: str, at_ms: int) -> None:
        """Set the modification time alone."""
        self._ask("PUT", "SETTIMES", path, modificationtime=str(at_ms), accesstime="-1")

    def set_acl(self, path: str, specification: str) -> None:
        """Set the whole ACL."""
        self._ask("PUT", "SETACL", path, aclspec=specification)

    def remove_acl(self, path: str) -> None:
        """Leave the mode alone."""
        self._ask("PUT", "REMOVEACL", path)

    def set_attribute(self, path: str, name: str, value: str) -> None:
        """Set an extended attribute."""
        self._ask("PUT", "SETXATTR", path, **{"xattr.name": name, "xattr.value": value, "flag": "CREATE,REPLACE"})

    def remove_attribute(self, path: str, name: str) -> None:
        """Remove an extended attribute."""
        self._ask("PUT", "REMOVEXATTR", path, **{"xattr.name": name})

    def set_policy(self, path: str, name: str) -> None:
        """Set the storage policy."""
        self._ask("PUT", "SETSTORAGEPOLICY", path, storagepolicy=name)

    def _file(self, path: str) -> Inode:
        inode = self.hdfs.find(path)
        assert inode is not None
        assert not inode.is_directory
        return inode

    def _extend(self, inode: Inode, data: bytes) -> None:
        if not self._is_last_partial(inode):
            inode.blocks = inode.blocks + self.hdfs.cut(data, inode.block_size)
            return
        *kept, last = inode.blocks
        first, *others = pieces(last.data + data, inode.block_size)
        new = [self.hdfs.new_block(piece) for piece in others]
        inode.blocks = [*kept, Block(first, last.id, last.generation), *new]

    def _is_last_partial(self, inode: Inode) -> bool:
        return bool(inode.blocks) and len(inode.blocks[-1].data) < inode.block_size
