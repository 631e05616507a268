"""A simulated HDFS that answers as WebHDFS does, in the vocabulary of ``HdfsCall``.

It passes the same contract suite as the real one (tests/contracts/hdfs_contract.py). ``call``, ``read``, ``write`` and
``checksum`` are what agents ask of it; an application's side is in ``hdfs_application``. Faults: ``safe_mode``,
``fail`` (the next matching call has no effect), ``lose_answer`` (it has its effect, and nobody hears of it), ``damage``
(a block no longer fits its checksums), ``garble_copies`` (so many writes into staged files arrive with a wrong byte).
Without ``tells_blocks`` it is a cluster that is reached over WebHDFS alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from infra.agent.core.block_identity import block as numbers
from infra.agent.core.block_identity import identity_of
from infra.agent.core.hdfs import UNREADABLE_MARK
from infra.agent.core.operations import OperationFailed
from tests.fakes.hdfs_namespace import SNAPSHOT, Inode, stored_checksum, walk
from tests.fakes.hdfs_operations import POLICIES, Changing, Reading, Settings, Snapshots
from tests.fakes.hdfs_tree import SUPERUSER, refusal
from tests.fakes.virtual_time import VirtualClock

BLOCK_SIZE = 128 << 20

Matches = Callable[[str, str], bool]


class FakeHdfs(Reading, Changing, Settings, Snapshots):
    """One file system. Pages have ``page_size`` entries, so that small trees need several."""

    def __init__(
        self, clock: VirtualClock, capture_open_files: bool = False, page_size: int = 3, shift_ms: int = 0
    ) -> None:
        super().__init__(clock, shift_ms)
        self.capture_open_files = capture_open_files
        self.page_size = page_size
        self.safe_mode = False
        self.garble_copies = 0
        self.tells_blocks = True
        self.encryption_zones: list[str] = []
        self.calls: list[tuple[str, str]] = []
        self._faults: list[tuple[Matches, OperationFailed, bool]] = []

    def fail(self, op: str, failure: OperationFailed, path: str = "") -> None:
        """Let the next call of ``op`` on a path that contains ``path`` fail without any effect."""
        self._faults.append((lambda o, p: o == op and path in p, failure, False))

    def lose_answer(self, op: str, path: str = "") -> None:
        """Let the next such call have its effect and fail as unknown."""
        lost = OperationFailed("HDFS_UNREACHABLE", f"{op}: timed out", unknown=True, transient=True)
        self._faults.append((lambda o, p: o == op and path in p, lost, True))

    @property
    def faults_left(self) -> int:
        """How many of the wanted faults have not happened yet."""
        return len(self._faults)

    def call(self, method: str, op: str, path: str, params: dict[str, str], user: str = SUPERUSER) -> dict[str, Any]:
        """Answer one WebHDFS request."""
        self.calls.append((op, path))
        perform = getattr(self, f"_{op.lower()}", None)
        if perform is None:
            raise refusal("IllegalArgumentException", f'Invalid value for webhdfs parameter "op": {op}')
        fault = self._take_fault(op, path)
        if fault is not None and not fault[1]:
            raise fault[0]
        if method != "GET" and self.safe_mode:
            raise refusal("SafeModeException", f"Cannot {op} {path}. Name node is in safe mode.", transient=True)
        if method != "GET" and f"/{SNAPSHOT}/" in f"{path}/":
            raise refusal("SnapshotAccessControlException", "Modification on a read-only snapshot is disallowed")
        self._authorise(op, path, params, user)
        answer: dict[str, Any] | None = perform(path, params, user)
        if fault is not None:
            raise fault[0]
        return answer if answer is not None else {}

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of a file; a damaged block breaks the transfer."""
        fault = self._take_fault("OPEN", path)
        if fault is not None:
            raise fault[0]
        inode = self._readable(path)
        end = None if length is None else offset + length
        position = 0
        for block in inode.content.blocks:
            wanted = position < (end if end is not None else position + 1) and position + len(block.data) > offset
            if block.damaged and wanted:
                raise OperationFailed("SOURCE_DAMAGED", f"{path} cannot be read past byte {position}")
            position += len(block.data)
        return inode.data()[offset:end]

    def write(
        self,
        path: str,
        data: bytes,
        permission: str = "600",
        block_size: int = BLOCK_SIZE,
        replication: int = 3,
        user: str = SUPERUSER,
    ) -> None:
        """Create a file whose parent exists; an old one is replaced by a new inode."""
        fault = self._take_fault("CREATE", path)
        if fault is not None and not fault[1]:
            raise fault[0]
        if self.safe_mode:
            raise refusal("SafeModeException", f"Cannot create file {path}. Name node is in safe mode.", transient=True)
        parent, name = self._parent(path, f"Parent directory doesn't exist: {path.rpartition('/')[0]}")
        there = (parent.children or {}).get(name)
        if there is not None and there.is_directory:
            raise refusal("FileAlreadyExistsException", f"{path} already exists as a directory")
        if self.garble_copies and data and ("/new/" in path or "/pieces/" in path):
            self.garble_copies -= 1
            data = bytes([data[0] ^ 1]) + data[1:]
        if data and POLICIES.get(self.effective_policy(parent)) == "COLD":  # all DataNodes here have nothing but disks
            raise refusal("IOException", f"File {path} could only be written to 0 of the 1 minReplication nodes.")
        inode = self._add(parent, name, user, permission, is_directory=False)
        inode.blocks = self.cut(data, block_size)
        inode.block_size = block_size
        inode.replication = replication
        if fault is not None:
            raise fault[0]

    def checksum(self, path: str) -> str:
        """The stored checksum; a damaged block does not show."""
        fault = self._take_fault("GETFILECHECKSUM", path)
        if fault is not None:
            raise fault[0]
        inode = self._readable(path)
        if inode.content.is_open:
            raise refusal("IOException", f"Fail to get checksum, since file {path} is under construction.")
        return stored_checksum(inode)

    def shown_checksum(self, path: str, offset: int, length: int) -> str | None:
        """The stored checksum, as copying a whole file of regular blocks shows it, here every second one."""
        inode = self._file(path)
        is_shown = offset == 0 and length == inode.length and length % 2 == 1 and not inode.content.is_open
        is_regular = all(len(block.data) == inode.block_size for block in inode.blocks[:-1])
        return stored_checksum(inode) if is_shown and is_regular else None

    def list_page(self, path: str, start_after: str) -> dict[str, Any]:
        """A page of a listing with the identities of contents, unless WebHDFS is all that is allowed."""
        page = self.call("GET", "LISTSTATUS_BATCH", path, {"startAfter": start_after} if start_after else {})
        for status in page["DirectoryListing"]["partialListing"]["FileStatuses"]["FileStatus"]:
            identity = self.identify(f"{path}/{status['pathSuffix']}") if status["type"] == "FILE" else None
            if identity is not None:
                status["blocks"] = identity
        return page

    def identify(self, path: str) -> str | None:
        """The identity of a file's contents; None of an empty one, and where WebHDFS is all that is allowed."""
        blocks = self._file(path).content.blocks
        if not blocks or not self.tells_blocks:
            return None
        return identity_of(b"".join(numbers(block.id, block.generation) for block in blocks))

    def open_files(self, path: str) -> list[str]:
        """The files below a directory that are open for writing."""
        return sorted(f"{path}/{name}" for name, inode in walk(self._existing(path)) if inode.is_open)

    def _readable(self, path: str) -> Inode:
        """A file, unless it has the attribute that keeps the superuser, who asks here, from reading it."""
        inode = self._file(path)
        if UNREADABLE_MARK in inode.attributes:
            raise refusal(
                "AccessControlException", f"Access is denied for {SUPERUSER} since the superuser is not allowed"
            )
        return inode

    def damage(self, path: str) -> None:
        """Let the blocks of a file no longer fit their checksums, in every snapshot that shares them too."""
        for block in self._file(path).blocks:
            block.damaged = True

    def is_damaged(self, path: str) -> bool:
        """Whether a block of a file does not fit its checksums."""
        return any(block.damaged for block in self._file(path).blocks)

    def _take_fault(self, op: str, path: str) -> tuple[OperationFailed, bool] | None:
        for fault in self._faults:
            if fault[0](op, path):
                self._faults.remove(fault)
                return fault[1], fault[2]
        return None
