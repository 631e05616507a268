"""Two simulated Hadoop clusters, HDFS and HBase, with the agent's real procedures, for the whole control device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infra.agent.core.hdfs import FileChecksum
from infra.agent.protocol import Instruction
from infra.agent.shell.spool import Entry
from infra.settings import WorkerSettings
from tests.fakes.executor import FakeExecutor
from tests.fakes.gateway import FakeCluster, FakeGateway
from tests.fakes.hbase import FakeHBase
from tests.fakes.hdfs import FakeHdfs
from tests.fakes.hdfs_application import Application
from tests.fakes.hdfs_namespace import walk
from tests.fakes.virtual_time import VirtualClock
from tests.simulation.world import World

DIRECTORY = "/data/orders"
TABLES = ("shop:accounts", "shop:carts")


class SimulatedHdfs(FakeHdfs):
    """Answers also what only CheckCluster and TakeSnapshots ask."""

    def _getfilestatus(self, path: str, params: dict[str, str], user: str) -> dict[str, Any]:
        answer: dict[str, Any] = super()._getfilestatus(path, params, user)
        inode = self.find(path)
        if inode is not None and inode.snapshots is not None:
            answer["FileStatus"]["snapshotEnabled"] = True
        return answer

    def _getsnapshottabledirectorylist(self, path: str, params: dict[str, str], user: str) -> dict[str, Any]:
        found = [(name, inode) for name, inode in walk(self.root) if inode.snapshots is not None]
        listed = [
            {
                "parentFullPath": f"/{name}".rpartition("/")[0] or "/",
                "dirStatus": {"pathSuffix": name.rpartition("/")[2]},
                "snapshotNumber": len(inode.snapshots or ()),
            }
            for name, inode in found
        ]
        return {"SnapshottableDirectoryList": listed}

    def _getstatus(self, path: str, params: dict[str, str], user: str) -> dict[str, Any]:
        return {"FsStatus": {"remaining": 1 << 40, "used": 0, "capacity": 1 << 40}}


class Executioner:
    """Kills one agent: the one whose operation is the ``target``-th of all operations of all agents.

    Stands in for a ``Kill``, which counts the operations of one agent.
    """

    def __init__(self, target: int, when: str) -> None:
        self.target = target
        self.when = when
        self.in_flight_lands = False
        self.count = 0

    @property
    def operation(self) -> object:
        """Equal to the number of the operation that happens now if that is the one; asked once for each."""
        self.count += 1
        return _Anything() if self.count == self.target else None


class _Anything:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class HadoopGateway(FakeGateway):
    """A gateway whose agents can ask for stored checksums; an ``executioner`` watches all of them."""

    executioner: Executioner | None = None

    def executor_for(self, instruction: Instruction, entry: Entry) -> FakeExecutor:
        executor = super().executor_for(instruction, entry)
        executor.others[FileChecksum] = lambda operation: executor.hdfs[operation.site].checksum(operation.path)
        return executor

    def start(self, entry: Entry) -> None:
        instruction = entry.instruction()
        if self.executioner is not None and instruction is not None:
            self.kill_agent_of(instruction.kind, self.executioner)  # type: ignore[arg-type]
        super().start(entry)


YEAR_2040_MS = 2_208_988_800_000


class HadoopWorld(World):
    """A primary with a directory and two tables that an application fills, and an empty secondary."""

    def __init__(self, directory: Path, executioner: Executioner | None = None) -> None:
        clock = VirtualClock()
        self.north = SimulatedHdfs(clock)
        self.south = SimulatedHdfs(clock, shift_ms=-40)
        self.tables = {"north": FakeHBase(self.north, "north"), "south": FakeHBase(self.south, "south")}
        clusters = {
            "north": FakeCluster(self.north, self.tables["north"]),
            "south": FakeCluster(self.south, self.tables["south"]),
        }
        super().__init__(directory, clusters, WorkerSettings(longest_retry_seconds=2.0), clock)
        for name in clusters:
            gateway = HadoopGateway(clock, directory / f"spool-{name}", name, clusters)
            gateway.executioner = executioner
            self.gateways[name] = gateway
        self.application = Application(self.north)
        self._first_contents()
        self.north.call("PUT", "ALLOWSNAPSHOT", DIRECTORY, {})

    def _first_contents(self) -> None:
        self.application.mkdir(DIRECTORY, "750")
        for number in range(4):
            self.application.put(f"{DIRECTORY}/2025/{number}", b"order %d\n" % number * (number + 1) * 30)
        self.application.put(f"{DIRECTORY}/index", b"all")
        for table in TABLES:
            self.tables["north"].create_table(table, splits=("m",))
            for row in ("a", "x"):
                self.tables["north"].put(table, row, f"{table} {row} 1")

    def rows(self) -> dict[str, dict[tuple[str, str], str]]:
        """What the application has in its tables now."""
        return {table: self.tables["north"].scan(table) for table in TABLES}

    def change(self) -> None:
        """What the application does between two backups."""
        self.application.rename(f"{DIRECTORY}/2025/1", f"{DIRECTORY}/first")
        self.application.delete(f"{DIRECTORY}/2025/2")
        self.application.put(f"{DIRECTORY}/2026/a", b"new" * 500)
        self.application.append(f"{DIRECTORY}/index", b" of it")
        self.application.rewrite(f"{DIRECTORY}/2025/3", b"another order")
        self.application.touch(f"{DIRECTORY}/2025/0", YEAR_2040_MS)
        for table in TABLES:
            self.tables["north"].put(table, "a", f"{table} a 2")
            self.tables["north"].compact(table)


def tree(hdfs: FakeHdfs, path: str) -> dict[str, Any]:
    """Everything below a directory as a user sees it: owner, group, mode, time and bytes; the root's own left out."""
    root = hdfs.find(path)
    assert root is not None, path
    return {
        name: (inode.owner, inode.group, inode.mode, inode.modified_ms, None if inode.is_directory else inode.data())
        for name, inode in walk(root)
        if name
    }
