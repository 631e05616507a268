"""Where things are in a simulated HDFS, and who may touch them: paths, inodes, quotas, rights."""

from __future__ import annotations

from collections.abc import Iterator

from infra.agent.core.operations import OperationFailed
from infra.agent.core.refusals import refusal_of
from tests.fakes.hdfs_acl import inherit, permits
from tests.fakes.hdfs_namespace import SNAPSHOT, Block, Inode, pieces, walk
from tests.fakes.virtual_time import VirtualClock

SUPERUSER = "hdfs"
SUPERUSER_ALONE = frozenset(["ALLOWSNAPSHOT", "DISALLOWSNAPSHOT", "SETOWNER"])
CHANGING_A_DIRECTORY = frozenset(["MKDIRS", "RENAME", "DELETE", "CONCAT"])


def refusal(exception: str, message: str, transient: bool = False) -> OperationFailed:
    """A remote exception as the shell hands it on."""
    found = refusal_of(exception, message)
    return OperationFailed(
        found.code if found else "HDFS",
        f"{exception}: {message}",
        remedy=found.remedy if found else "",
        transient=transient,
        detail={"exception": exception, "status": 403},
    )


class Tree:
    """The present tree, with the snapshots that hang in it."""

    def __init__(self, clock: VirtualClock, shift_ms: int) -> None:
        self.clock = clock
        self.shift_ms = shift_ms
        self._next_id = 16385
        self._next_block = 1 << 30
        self._next_generation = 1000
        self.root = self._new(None, SUPERUSER, "supergroup", "755", is_directory=True)

    def now_ms(self) -> int:
        """The NameNode's clock."""
        return int(self.clock.now_ms) + self.shift_ms

    def new_generation(self) -> int:
        """A generation stamp, as each block gets when it is made, appended to or cut."""
        self._next_generation += 1
        return self._next_generation

    def new_block(self, data: bytes) -> Block:
        """A block of its own."""
        self._next_block += 1
        return Block(data, self._next_block, self.new_generation())

    def cut(self, data: bytes, block_size: int) -> list[Block]:
        """Data as new blocks."""
        return [self.new_block(piece) for piece in pieces(data, block_size)]

    def first_bytes(self, inode: Inode, length: int) -> list[Block]:
        """The blocks of a file when the data behind so many bytes is cut off: they may be of any lengths."""
        kept: list[Block] = []
        for block in inode.blocks:
            if length <= 0:
                break
            if length >= len(block.data):
                kept.append(block)
            elif self._is_shared(inode, block):
                kept.append(self.new_block(block.data[:length]))
            else:
                kept.append(Block(block.data[:length], block.id, self.new_generation()))
            length -= len(block.data)
        return kept

    def _is_shared(self, inode: Inode, block: Block) -> bool:
        return any(block in frozen.content.blocks for frozen in self._frozen_of(inode))

    def _frozen_of(self, inode: Inode) -> Iterator[Inode]:
        """What snapshots have of an inode, wherever it is now below the directories that have them."""
        above = inode.parent
        while above is not None:
            for root in (above.snapshots or {}).values():
                yield from (frozen for _, frozen in walk(root) if frozen.present is inode)
            above = above.parent

    def find(self, path: str) -> Inode | None:
        """The inode at a path, snapshots included."""
        inode: Inode | None = self.root
        names = [name for name in path.split("/") if name]
        while names and inode is not None:
            name = names.pop(0)
            if name == SNAPSHOT:
                if inode.snapshots is None:
                    return None
                inode = self._snapshot_directory(inode)
            else:
                inode = (inode.children or {}).get(name)
        return inode

    def _snapshot_directory(self, inode: Inode) -> Inode:
        return Inode(0, inode.owner, inode.group, inode.mode, inode.modified_ms, children=dict(inode.snapshots or {}))

    def _existing(self, path: str) -> Inode:
        inode = self.find(path)
        if inode is None:
            raise refusal("FileNotFoundException", f"File does not exist: {path}")
        return inode

    def _file(self, path: str) -> Inode:
        inode = self._existing(path)
        if inode.is_directory:
            raise refusal("FileNotFoundException", f"Path is not a file: {path}")
        return inode

    def _parent(self, path: str, message: str) -> tuple[Inode, str]:
        above, _, name = path.rpartition("/")
        parent = self.find(above)
        if parent is None:
            raise refusal("FileNotFoundException", message)
        if not parent.is_directory:
            raise refusal("ParentNotDirectoryException", f"{above} (is not a directory)")
        return parent, name

    def _new(self, parent: Inode | None, owner: str, group: str, mode: str, is_directory: bool) -> Inode:
        self._next_id += 1
        inode = Inode(self._next_id, owner, group, mode, self.now_ms(), children={} if is_directory else None)
        inode.parent = parent
        return inode

    def _add(self, parent: Inode, name: str, owner: str, mode: str, is_directory: bool) -> Inode:
        assert parent.children is not None
        self._check_quota(parent)
        inode = self._new(parent, owner, parent.group, mode.lstrip("0").rjust(3, "0"), is_directory)
        inherit(parent, inode)
        parent.children[name] = inode
        parent.modified_ms = self.now_ms()
        return inode

    def _check_quota(self, directory: Inode) -> None:
        above: Inode | None = directory
        while above is not None:
            if above.quota >= 0 and sum(1 for _ in walk(above)) >= above.quota:
                raise refusal("NSQuotaExceededException", "The NameSpace quota is exceeded")
            above = above.parent

    def _authorise(self, op: str, path: str, params: dict[str, str], user: str) -> None:
        if user == SUPERUSER:
            return
        inode = self.find(path)
        allowed = op not in SUPERUSER_ALONE and self._may_traverse(path, user)
        if op.startswith("LIST"):
            allowed = allowed and (inode is None or permits(inode, user, 4))
        elif op in CHANGING_A_DIRECTORY:
            for changed in [path, params.get("destination", path)]:
                above = self._nearest(changed.rpartition("/")[0])
                allowed = allowed and self._may_traverse(changed, user) and permits(above, user, 2)
        elif not op.startswith("GET"):
            allowed = allowed and inode is not None and inode.owner == user
        if not allowed:
            raise refusal("AccessControlException", f'Permission denied: user={user}, inode="{path}"')

    def _may_traverse(self, path: str, user: str) -> bool:
        names = path.split("/")[:-1]
        found = (self.find("/".join(names[: count + 1])) for count in range(len(names)))
        return all(inode is None or permits(inode, user, 1) for inode in found)

    def _nearest(self, path: str) -> Inode:
        inode = self.find(path)
        while inode is None:
            path = path.rpartition("/")[0]
            inode = self.find(path)
        return inode
