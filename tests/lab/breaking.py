"""Ways to break a run on the lab: agents that die, copies that are hit, blocks that rot; and what a run has left.

Nothing here knows how the product recovers; it only makes things go wrong at the instant that a test wants.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import requests

from infra.agent.shell.locks import is_held
from scripts.labkit.cluster import Cluster
from tests.lab.data import put

STAGING = "/.understudy/incoming"
WORK_FILES = 2  # manifest and plan
LITTLE_BYTES = 2 << 30  # HDFS keeps a default block free for each that it is writing, as HBase's logs


def agents_of(cluster: Cluster) -> dict[int, str]:
    """The running agents on a cluster's gateway: process id → the id of its instruction."""
    spool = cluster.layout.spool
    found = {}
    for lock in spool.glob("instructions/*/lock"):
        if not is_held(str(lock)):
            continue
        try:
            pid = int(json.loads(lock.read_text())["pid"])
            words = (Path("/proc") / str(pid) / "cmdline").read_bytes().decode().rstrip("\0").split("\0")
        except (OSError, ValueError):
            continue  # it has not said yet who it is, or has ended meanwhile
        if str(spool) in words:
            found[pid] = lock.parent.name
    return found


class AgentKiller:
    """Kills the agents of both gateways while it is entered: each instruction's as soon as it is seen, and once more.

    The second time is ``later_seconds`` after its next agent has been seen, so it is hit in the middle of its work, if
    that lasts. ``killed`` counts by kind of instruction.
    """

    def __init__(self, clusters: Sequence[Cluster], later_seconds: float = 0.4) -> None:
        self.killed: Counter[str] = Counter()
        self._clusters = clusters
        self._later_seconds = later_seconds
        self._seen_at: dict[tuple[str, int], float] = {}
        self._deaths: Counter[str] = Counter()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._kill_on)

    def __enter__(self) -> AgentKiller:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _kill_on(self) -> None:
        while not self._ended.wait(0.01):
            for cluster in self._clusters:
                for pid, instruction in agents_of(cluster).items():
                    self._look_at(cluster, pid, instruction)

    def _look_at(self, cluster: Cluster, pid: int, instruction: str) -> None:
        now = time.monotonic()
        seen_at = self._seen_at.setdefault((instruction, pid), now)
        deaths = self._deaths[instruction]
        if deaths == 0 or (deaths == 1 and now - seen_at >= self._later_seconds):
            kind = kind_of(cluster, instruction)
            os.kill(pid, signal.SIGKILL)
            self._deaths[instruction] += 1
            self.killed[kind] += 1


def kind_of(cluster: Cluster, instruction: str) -> str:
    """The kind of an instruction in a cluster's spool."""
    wire = json.loads((cluster.layout.spool / "instructions" / instruction / "instruction.json").read_text())
    return str(wire["kind"])


def wait_until_bytes_arrive(cluster: Cluster, run: str) -> None:
    """Return when the copies of a run have begun to arrive on the secondary: its staging holds a file's bytes."""
    client = cluster.webhdfs("hdfs")
    epochs = client.list(STAGING)
    staged = [f"{STAGING}/{epoch}/{run.replace('-', '')}" for epoch in epochs]
    give_up_at = time.monotonic() + 120
    while time.monotonic() < give_up_at:
        for directory in staged:
            found = client.content(directory, strict=False)
            if found is not None and found["fileCount"] > WORK_FILES:
                return
        time.sleep(0.02)
    raise AssertionError(f"nothing of run {run} arrived")


def damage(cluster: Cluster, path: str) -> None:
    """Turn bytes of a file's first block on the DataNode's disk, as a failing disk does."""
    done = cluster.ssh(f"HADOOP_USER_NAME=hdfs hdfs fsck {path} -files -blocks")
    block = next(word for word in done.stdout.replace(":", " ").split() if word.startswith("blk_"))
    (file,) = [found for found in cluster.layout.data.rglob(block.rpartition("_")[0]) if found.is_file()]
    with file.open("r+b") as stream:
        stream.seek(1000)
        stream.write(b"damage" * 10)


def staged_by(page: dict[str, Any], *clusters: Cluster) -> list[str]:
    """What is still there of what a run needed only while it ran: its staging and scratch."""
    run = str(page["id"]).replace("-", "")
    paths = (f"{STAGING}/{page['epoch']}/{run}", f"/.understudy/scratch/{run}")
    return [f"{c.name}: {path}" for c in clusters for path in paths if c.webhdfs("hdfs").status(path, strict=False)]


def left_by(page: dict[str, Any], *clusters: Cluster) -> list[str]:
    """What is still there of a run that has failed: its snapshots on either side, its staging and scratch."""
    found = staged_by(page, *clusters)
    for cluster in clusters:
        client = cluster.webhdfs("hdfs")
        paths = [f"{one['name']}/.snapshot/{page['snapshot']}" for one in page["data_sets"]]
        found += [f"{cluster.name}: {path}" for path in paths if client.status(path, strict=False)]
        hbase = cluster.webhdfs("hbase")
        has_any = hbase.status("/hbase/.hbase-snapshot", strict=False) is not None  # not before the first one
        tables = hbase.list("/hbase/.hbase-snapshot") if has_any else ()
        found += [f"{cluster.name}: {name}" for name in tables if name.startswith(page["snapshot"])]
    return found


def limit(cluster: Cluster, path: str, names: int, space: int) -> None:
    """Set the quotas of a directory, as the administrator does it; -1 takes one away."""
    answer = put(cluster, path, "SETQUOTA", namespacequota=str(names), storagespacequota=str(space))
    assert answer == 200, (path, answer)


@contextmanager
def little_room(cluster: Cluster, share: float = 0.0) -> Iterator[int]:
    """HDFS has only two gigabytes left, or this share of its capacity, for a while; yields how many bytes are free.

    The DataNode leaves the rest to others. What these write meanwhile comes out of their part, so it changes nothing.
    """
    disk = os.statvfs(cluster.layout.data)
    total, unused, available = (disk.f_frsize * blocks for blocks in (disk.f_blocks, disk.f_bfree, disk.f_bavail))
    others = total - unused - room(cluster)["used"]
    left = max(LITTLE_BYTES, int((total - others - available) * share / (1 - share)))
    assert available > 4 * left, "the disk has too little room for the test itself"
    try:
        cluster.set_reserved_bytes(others + available - left)
        yield _remaining(cluster, 0, 2 * left)
    finally:
        cluster.set_reserved_bytes(0)
        _remaining(cluster, 2 * left, total)


def room(cluster: Cluster) -> dict[str, int]:
    """What the NameNode tells of its cluster's room: ``capacity``, ``used``, ``remaining``."""
    answer = requests.get(f"{cluster.webhdfs_url}/webhdfs/v1/?op=GETSTATUS&user.name=hdfs", timeout=20)
    found: dict[str, int] = answer.json()["FsStatus"]
    return found


def _remaining(cluster: Cluster, more_than: int, less_than: int) -> int:
    """How many bytes are free, when the DataNode that was restarted has told the NameNode so."""
    give_up_at = time.monotonic() + 30
    while not more_than < (remaining := room(cluster)["remaining"]) < less_than:
        assert time.monotonic() < give_up_at, f"{cluster.name} has {remaining} bytes left"
        time.sleep(0.1)  # with the next heartbeat
    return remaining
