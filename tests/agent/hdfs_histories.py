"""Histories of an HDFS directory: actions drawn at random, applied to whatever the tree has become by then."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from hypothesis import note
from hypothesis import strategies as st

from infra.agent.core.operations import OperationFailed
from tests.agent.hdfs_world import HEAD, World
from tests.fakes.hdfs_application import Application
from tests.fakes.hdfs_namespace import walk

OUTSIDE = "/data/outside"
NAMES = ["a", "b", "é", "z", "a-b", "_", "ü#%+ ?", "deep"]
GROWN = [
    "a",
    "b/a",
    "b/b",
    "b/deep/a",
    "b/deep/é/a",
    "b/deep/é/b",
    "z/a-b",
    "z/_",
    "_/b/a",
    "_/b/z",
    "_/a/deep/b",
    "ü#%+ ?",
]
ACLS = [
    "user::rwx,user:bob:r-x,group::r-x,mask::rwx,other::---",
    "user::rw-,user:eve:rw-,group::---,mask::rw-,other::r--",
    "user::rwx,group::r-x,other::r-x,default:user::rwx,default:group::r-x,default:other::---",
]

Numbers = tuple[int, int, int]
actions = st.tuples(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000))
Steps = list[tuple[int, Numbers]]
steps = st.lists(st.tuples(st.integers(0, 100), actions), max_size=12)
# What is done before the cut, and between the cut and the copy.
Increment = tuple[Steps, Steps]
increments = st.lists(st.tuples(steps, st.one_of(st.just([]), steps)), min_size=1, max_size=4)


class History:
    """Applies actions to the data set's directory on one cluster of a world, the primary unless told otherwise."""

    def __init__(self, world: World, app: Application | None = None) -> None:
        self.app = app or world.app
        self.hdfs = self.app.hdfs
        self.told: list[str] = []
        self.app.mkdir(OUTSIDE)
        if app is None:
            for number, path in enumerate(GROWN):
                self.app.put(f"{HEAD}/{path}", self._data(100 * number))
        # In the head, policies are left alone: a listing does not show one that equals that of the directory above.
        self._actions: list[Callable[[Numbers], str]] = [] if app is not None else [self._policy]
        self._actions += [
            self._put,
            self._put,
            self._mkdir,
            self._overwrite,
            self._append,
            self._truncate,
            self._rewrite_end,
            self._rewrite_unseen,
            self._join_new,
            self._join,
            self._rename,
            self._rename,
            self._swap,
            self._cycle,
            self._delete,
            self._recreate,
            self._move_out,
            self._move_in,
            self._chmod,
            self._chown,
            self._touch,
            self._replicate,
            self._acl,
            self._attribute,
            self._start,
            self._grow_or_close,
        ]

    def go_on(self, what: Steps) -> None:
        """Do several actions, and say for a failure's report which ones."""
        for kind, numbers in what:
            self.act(kind, numbers)
        note("\n".join(self.told))
        self.told.clear()

    def act(self, kind: int, numbers: Numbers) -> None:
        """Do one action; what cannot be done in the present tree is left out."""
        action = self._actions[kind % len(self._actions)]
        try:
            done = action(numbers)
        except OperationFailed as refused:
            done = f"refused: {refused.message}"
        self.told.append(f"{action.__name__}: {done}")

    def _paths(self, files: bool = True, directories: bool = True, closed: bool = True) -> list[str]:
        root = self.hdfs.find(HEAD)
        assert root is not None
        return [
            f"{HEAD}/{path}"
            for path, inode in walk(root)
            if path and (directories if inode.is_directory else files) and not (closed and inode.is_open)
        ]

    def _pick(self, number: int, paths: list[str]) -> str:
        if not paths:
            raise OperationFailed("NOTHING", "there is nothing to choose from")
        return paths[number % len(paths)]

    def _pick_to_append(self, number: int) -> str:
        """A closed file without a short block in the middle, behind which HDFS's client overruns the last one."""
        path = self._pick(number, self._paths(directories=False))
        inode = self.hdfs.find(path)
        assert inode is not None
        if any(len(block.data) < inode.block_size for block in inode.blocks[:-1]):
            raise OperationFailed("NOTHING", f"{path} was joined")
        return path

    def _place(self, number: int, name: int) -> str:
        directory = self._pick(number, [HEAD, *self._paths(files=False)])
        return f"{directory}/{NAMES[name % len(NAMES)]}"

    def _data(self, number: int) -> bytes:
        return bytes([number % 251]) * (number * 7 % 5000)

    def _put(self, n: Numbers) -> str:
        path = self._place(n[0], n[1])
        self.app.put(path, self._data(n[2]))
        return path

    def _mkdir(self, n: Numbers) -> str:
        path = self._place(n[0], n[1])
        if self.hdfs.find(path) is None:
            self.app.mkdir(path, ["755", "700", "1777"][n[2] % 3])
        return path

    def _overwrite(self, n: Numbers) -> str:
        path = self._pick(n[0], self._paths(directories=False))
        inode = self.hdfs.find(path)
        assert inode is not None
        same_length = bytes([n[1] % 251]) * inode.length
        self.app.put(path, same_length if n[2] % 2 else self._data(n[2]))
        return path

    def _append(self, n: Numbers) -> str:
        path = self._pick_to_append(n[0])
        self.app.append(path, self._data(n[1]) or b"x")
        return path

    def _truncate(self, n: Numbers) -> str:
        path = self._pick(n[0], self._paths(directories=False))
        self.app.truncate(path, n[1])
        return path

    def _rewrite_end(self, n: Numbers) -> str:
        path = self._pick_to_append(n[0])
        inode = self.hdfs.find(path)
        assert inode is not None
        length = inode.length
        self.app.truncate(path, length // 2)
        self.app.append(path, bytes([n[1] % 251]) * (length - length // 2))
        return path

    def _rewrite_unseen(self, n: Numbers) -> str:
        path = self._pick_to_append(n[0])
        inode = self.hdfs.find(path)
        assert inode is not None
        self.app.rewrite(path, bytes([n[1] % 251]) * (inode.length - inode.length * (n[2] % 4) // 4))
        return path

    def _join_new(self, n: Numbers) -> str:
        path = self._pick(n[0], self._paths(directories=False))
        tails = [f"{path}-tail{number}" for number in range(1 + n[2] % 2)]
        for tail in tails:
            self.app.put(tail, self._data(n[1]) or b"x")
        self.app.concat(path, tails)
        return path

    def _join(self, n: Numbers) -> str:
        """To the one before it in the listing, if HDFS lets us: the other must be new, and in the same directory."""
        paths = self._paths(directories=False)
        path = self._pick(n[0], paths)
        target = self._pick(n[0] - 1, paths)
        self.app.concat(target, [path])
        return f"{target} + {path}"

    def _rename(self, n: Numbers) -> str:
        source, target = self._pick(n[0], self._paths()), self._place(n[1], n[2])
        self.app.rename(source, target)
        return f"{source} -> {target}"

    def _swap(self, n: Numbers) -> str:
        one, other = self._pick(n[0], self._paths()), self._pick(n[1], self._paths())
        self._rotate([one, other])
        return f"{one} <-> {other}"

    def _cycle(self, n: Numbers) -> str:
        paths = [self._pick(number, self._paths()) for number in n]
        self._rotate(paths)
        return " -> ".join(paths)

    def _rotate(self, paths: list[str]) -> None:
        related = any(one != other and other.startswith(f"{one}/") for one in paths for other in paths)
        if related or len(set(paths)) < len(paths):
            raise OperationFailed("NOTHING", "one is below another")
        self.app.rename(paths[0], f"{OUTSIDE}/turning")
        for target, source in itertools.pairwise(paths):
            self.app.rename(source, target)
        self.app.rename(f"{OUTSIDE}/turning", paths[-1])

    def _delete(self, n: Numbers) -> str:
        path = self._pick(n[0], self._paths())
        self.app.delete(path)
        return path

    def _recreate(self, n: Numbers) -> str:
        path = self._pick(n[0], self._paths(files=False))
        inode = self.hdfs.find(path)
        assert inode is not None
        files = {name: child.data() for name, child in (inode.children or {}).items() if not child.is_directory}
        self.app.delete(path)
        self.app.mkdir(path)
        for name, data in files.items():
            self.app.put(f"{path}/{name}", data if n[1] % 3 else b"new")
        return path

    def _move_out(self, n: Numbers) -> str:
        path = self._pick(n[0], self._paths())
        self.app.rename(path, f"{OUTSIDE}/{NAMES[n[1] % len(NAMES)]}")
        return path

    def _move_in(self, n: Numbers) -> str:
        outside = self.hdfs.find(OUTSIDE)
        assert outside is not None
        source = self._pick(n[0], [f"{OUTSIDE}/{name}" for name in sorted(outside.children or {})])
        target = self._place(n[1], n[2])
        self.app.rename(source, target)
        return f"{source} -> {target}"

    def _chmod(self, n: Numbers) -> str:
        path = self._pick(n[0], self._paths())
        self.app.chmod(path, ["640", "755", "600", "777"][n[1] % 4])
        return path

    def _chown(self, n: Numbers) -> str:
        path = self._pick(n[0], self._paths())
        self.app.chown(path, ["app", "alice"][n[1] % 2], ["app", "staff"][n[2] % 2])
        return path

    def _touch(self, n: Numbers) -> str:
        path = self._pick(n[0], self._paths())
        self.app.touch(path, 1_000_000 + n[1])
        return path

    def _replicate(self, n: Numbers) -> str:
        path = self._pick(n[0], self._paths(directories=False))
        self.app.replicate(path, 1 + n[1] % 2)  # with more, one DataNode lets nobody append
        return path

    def _acl(self, n: Numbers) -> str:
        path = self._pick(n[0], self._paths(files=n[1] % 4 != 2))
        if n[1] % 4 == 3:
            self.app.remove_acl(path)
        else:
            self.app.set_acl(path, ACLS[n[1] % 4])
        return path

    def _attribute(self, n: Numbers) -> str:
        path, name = self._pick(n[0], self._paths()), ["user.k", "trusted.k"][n[2] // 2 % 2]
        if n[1] % 3 == 0:
            self.app.remove_attribute(path, name)
        else:
            self.app.set_attribute(path, name, ["0x", "0x6162"][n[2] % 2])
        return path

    def _policy(self, n: Numbers) -> str:
        path = self._pick(n[0], self._paths(files=False))
        self.app.set_policy(path, ["ALL_SSD", "WARM"][n[1] % 2])
        return path

    def _start(self, n: Numbers) -> str:
        path = self._place(n[0], n[1])
        if self.hdfs.find(path) is None:
            self.app.start(path, self._data(n[2]))
        return path

    def _grow_or_close(self, n: Numbers) -> str:
        opened = [path for path in self._paths(directories=False, closed=False) if self._is_open(path)]
        path = self._pick(n[0], opened)
        self.app.grow(path, self._data(n[1]))
        if n[2] % 2:
            self.app.close(path)
        return path

    def _is_open(self, path: str) -> bool:
        inode = self.hdfs.find(path)
        return inode is not None and inode.is_open

    def open_files(self) -> list[str]:
        """The open files, relative to the data set."""
        paths = self._paths(directories=False, closed=False)
        return [path[len(HEAD) + 1 :] for path in paths if self._is_open(path)]
