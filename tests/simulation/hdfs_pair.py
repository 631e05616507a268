"""Two simulated Hadoop clusters with the agent's real procedures, for the whole control device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infra.agent.core.hdfs import FileChecksum
from infra.agent.protocol import Instruction
from infra.agent.shell.spool import Entry
from infra.settings import WorkerSettings
from tests.fakes.executor import FakeExecutor
from tests.fakes.gateway import FakeCluster, FakeGateway
from tests.fakes.hdfs import FakeHdfs
from tests.fakes.hdfs_application import Application
from tests.fakes.hdfs_namespace import walk
from tests.fakes.virtual_time import VirtualClock
from tests.simulation.world import World

HEAD = "/data/orders"


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


class HdfsGateway(FakeGateway):
    """A gateway whose agents can ask for stored checksums."""

    def executor_for(self, instruction: Instruction, entry: Entry) -> FakeExecutor:
        executor = super().executor_for(instruction, entry)
        executor.others[FileChecksum] = lambda operation: executor.hdfs[operation.site].checksum(operation.path)
        return executor


def hdfs_world(directory: Path) -> World:
    """A primary with a directory that an application fills, and an empty secondary, set up by its administrator."""
    clock = VirtualClock()
    north, south = SimulatedHdfs(clock), SimulatedHdfs(clock, shift_ms=-40)
    clusters = {"north": FakeCluster(north), "south": FakeCluster(south)}
    world = World(directory, clusters, WorkerSettings(longest_retry_seconds=2.0), clock)
    for name in clusters:
        world.gateways[name] = HdfsGateway(clock, directory / f"spool-{name}", name, clusters)
    first_contents(Application(north))
    north.call("PUT", "ALLOWSNAPSHOT", HEAD, {})
    return world


def first_contents(application: Application) -> None:
    """A small tree."""
    application.mkdir(HEAD, "750")
    for number in range(6):
        application.put(f"{HEAD}/2025/{number}", b"order %d\n" % number * (number + 1) * 30)
    application.put(f"{HEAD}/index", b"all")


def second_contents(application: Application) -> None:
    """What an application does between two backups."""
    application.rename(f"{HEAD}/2025/1", f"{HEAD}/first")
    application.delete(f"{HEAD}/2025/2")
    application.put(f"{HEAD}/2026/a", b"new" * 500)
    application.append(f"{HEAD}/index", b" of it")


def tree(hdfs: FakeHdfs, path: str) -> dict[str, Any]:
    """Everything below a directory as a user sees it: owner, group, mode, time and bytes; the root's own left out."""
    root = hdfs.find(path)
    assert root is not None, path
    return {
        name: (inode.owner, inode.group, inode.mode, inode.modified_ms, None if inode.is_directory else inode.data())
        for name, inode in walk(root)
        if name
    }
