"""An application that does everything twice: to the simulated HDFS, which tells what to expect, and to a real one.

So the generator of histories, which looks at the simulated tree to choose what to do next, drives a real cluster, and
the simulation is held to what the real one refuses and becomes.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

from infra.agent.core import hdfs
from infra.agent.core.operations import HdfsCall, OperationFailed
from tests.agent.hdfs_histories import OUTSIDE
from tests.agent.hdfs_world import HEAD
from tests.contracts.hdfs_contract import once
from tests.fakes.hdfs import FakeHdfs
from tests.fakes.hdfs_application import SMALL_BLOCK, Application
from tests.fakes.hdfs_namespace import walk
from tests.lab.hdfs_pair import RealPair

SETTLED_WITHIN_SECONDS = 60.0
# HDFS's client sends data on when it has nine checksums' worth (4608 bytes). With so many bytes both a real NameNode
# and the simulated one know all blocks of an open file but its last.
STARTED_BYTES, GROWN_BYTES = 5000, 9216
PATHS = ("destination", "sources")  # what else names them
COMPARED = ("t", "l", "o", "g", "x", "acl", "xattrs", "sha256")


class MirroredApplication(Application):
    """Acts as the superuser on both, because a real cluster asks for rights that the histories take away."""

    def __init__(self, simulated: FakeHdfs, pair: RealPair) -> None:
        super().__init__(simulated, "hdfs")
        self._pair = pair
        self._opened: dict[int, str] = {}
        self.refusals = 0

    def real(self, path: str) -> str:
        """Where a path of the simulation is on the real cluster."""
        for ours, theirs in ((HEAD, self._pair.path), (OUTSIDE, self.outside)):
            if path == ours or path.startswith(f"{ours}/"):
                return theirs + path[len(ours) :]
        raise AssertionError(path)

    @property
    def outside(self) -> str:
        """The real directory to which things are moved away."""
        return f"{self._pair.path}-outside"

    def _ask(self, method: str, op: str, path: str, user: str = "hdfs", **params: str) -> None:
        mapped = {name: self._real_value(name, value) for name, value in params.items()}
        request = HdfsCall("primary", method, op, self.real(path), tuple(mapped.items()))
        expected = _refusal_of(lambda: super(MirroredApplication, self)._ask(method, op, path, user, **params))
        found = _refusal_of(lambda: self._pair.ask(once(request)))
        assert _name(expected) == _name(found), (op, path, params, expected, found)
        if expected is not None:
            self.refusals += 1
            raise expected

    def _real_value(self, name: str, value: str) -> str:
        return ",".join(map(self.real, value.split(","))) if name in PATHS else value

    def put(self, path: str, data: bytes, mode: str = "644", block_size: int = SMALL_BLOCK) -> None:
        super().put(path, data, mode, block_size)
        self._pair.app.put(self.real(path), data, block_size)

    def append(self, path: str, data: bytes) -> None:
        super().append(path, data)
        self._pair.app.append(self.real(path), data)

    def truncate(self, path: str, length: int) -> None:
        super().truncate(path, length)
        self._pair.app.truncate(self.real(path), length)
        self._wait_until(lambda: length == 0 or self._is_closed(path), path)

    def rewrite(self, path: str, data: bytes) -> None:
        found: dict[str, Any] = self._pair.ask(hdfs.status("primary", self.real(path)))
        super().rewrite(path, data)
        self._pair.ask(hdfs.set_modification_time("primary", self.real(path), found["modificationTime"]))

    def start(self, path: str, data: bytes = b"") -> None:
        data = _stretched(data, STARTED_BYTES)
        super().put(path, data)
        inode = self._file(path)
        inode.is_open = True
        self._opened[inode.id] = f"{self.real(path)}#{inode.id}"
        self._pair.app.start(self.real(path), data, known_as=self._opened[inode.id])
        self._wait_until(lambda: self._real_length(path) == inode.length, path)

    def grow(self, path: str, data: bytes) -> None:
        data = _stretched(data, GROWN_BYTES)
        super().grow(path, data)
        inode = self._file(path)
        self._pair.app.grow(self._opened[inode.id], data)
        self._wait_until(lambda: self._real_length(path) == inode.length, path)

    def close(self, path: str) -> None:
        super().close(path)
        self._pair.app.close(self._opened.pop(self._file(path).id))

    def assert_as_expected(self, snapshot: str, picture: dict[str, Any]) -> None:
        """A real snapshot, seen as ``picture``, is what the simulated one is (times and ids aside)."""
        root = self.hdfs.find(f"{HEAD}/.snapshot/{snapshot}")
        assert root is not None
        expected = {}
        for path, inode in walk(root):
            facts: dict[str, Any] = {"o": inode.owner, "g": inode.group, "x": inode.mode}
            facts |= {"t": "d" if inode.is_directory else "f", "acl": sorted(inode.acl), "xattrs": inode.attributes}
            if not inode.is_directory:
                facts |= {"l": inode.length, "sha256": hashlib.sha256(inode.data()[: inode.length]).hexdigest()}
            expected[path] = facts
        expected.pop("")
        found = {
            path: {k: v for k, v in facts.items() if k in COMPARED and v is not None} for path, facts in picture.items()
        }
        paths = sorted(path for path in {*found, *expected} if found.get(path) != expected.get(path))
        assert not paths, [(path, found.get(path), expected.get(path)) for path in paths[:3]]

    def remove_outside(self) -> None:
        """Delete what was moved away."""
        self._pair.ask(hdfs.delete("primary", self.outside))

    def _is_closed(self, path: str) -> bool:
        """A file that is being truncated is being written, until its last block is recovered."""
        refused = _refusal_of(lambda: self._pair.ask(hdfs.checksum("primary", self.real(path))))
        assert refused is None or "under construction" in refused.message, refused
        return refused is None

    def _real_length(self, path: str) -> int:
        found: dict[str, Any] = self._pair.ask(hdfs.status("primary", self.real(path)))
        return int(found["length"])

    def _wait_until(self, is_so: Callable[[], bool], path: str) -> None:
        give_up_at = time.monotonic() + SETTLED_WITHIN_SECONDS
        while not is_so():
            assert time.monotonic() < give_up_at, f"{path} does not become what it should be"
            time.sleep(0.05)  # HDFS tells in no other way


def _stretched(data: bytes, size: int) -> bytes:
    return ((data or b"x") * size)[:size]


def _refusal_of(act: Callable[[], Any]) -> OperationFailed | None:
    try:
        act()
    except OperationFailed as refused:
        return refused
    return None


def _name(refused: OperationFailed | None) -> str:
    return "" if refused is None else hdfs.exception_of(refused)
