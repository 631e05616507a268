"""Planning: DistCp's listings against the agent's plans, of files that only the NameNode knows.

DistCp is ended when it has listed, the agent when its plan is written: nothing is copied.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from hdfs import InsecureClient

from infra.agent.core.work import manifest_path
from scripts.benchkit.measuring import BenchFailed, Row, Side
from scripts.benchkit.planner import planned
from scripts.benchkit.trees import (
    CHANGED,
    IN_A_DIRECTORY,
    SNAPSHOT,
    change_files,
    make_empty_files,
    make_files,
)
from scripts.benchkit.world import World
from tests.lab.hdfs_pair import RealPair

LISTED = "Build file listing completed"
# Of a difference nothing else is told; the list is sorted and looked through for duplicates by then.
DIFFERENCE_LISTED = "Number of paths in the copy list"
POLL_SECONDS = 0.02


class Planning(Row):
    name = "planning"
    work = "planning the first copy of a tree of 100,000 files"
    instead = "DistCp's listing, 20 threads"
    goal = 2.0
    path = ""

    def prepare(self, number: int) -> None:
        if self.path:
            return
        self.count = 2_000 if self.is_small else 100_000
        self.path = f"/data/plan{self.count}"
        make_empty_files(self.world.a, self.path, self.count)

    def product(self) -> Side:
        found = planned(self.path, SNAPSHOT)
        if found["files_moved"] != self.count:
            raise BenchFailed(f"{found['files_moved']} files were planned")
        return Side(found["seconds"], {}, {"peak_mib": found["peak_mib"]})

    def rival(self) -> Side:
        world, target = self.world, f"/tmp/{World.mark()}"
        words = ("-numListstatusThreads", "20", world.uri(world.a, f"{self.path}/.snapshot/{SNAPSHOT}"))
        seconds = until_listed(world, LISTED, *words, world.uri(world.b, target))
        world.forget(world.b, target)
        return Side(seconds)


class Difference(Row):
    name = "difference"
    work = "planning a difference of 10,000 changes in a tree of 100,000 files"
    instead = "DistCp's listing for -update -diff, without the deletes and renames that it does before"
    goal = 2.0
    path = ""

    def prepare(self, number: int) -> None:
        if not self.path:
            self.count, self.changes = (2_000, 200) if self.is_small else (100_000, 10_000)
            # Not the other row's tree: with a copy on the secondary, a plan is none of a first copy.
            self.path = f"/data/difference{self.count}"
            make_empty_files(self.world.a, self.path, self.count)
            self._copy()
            change_files(self.world.a, self.path, self.count, self.changes)
        self._make_target()

    def _copy(self) -> None:
        """A recovery point of the tree on the secondary, by the agent's own steps; one that is there already is taken.

        Its manifest is kept aside besides: a control device that starts on the lab removes all recovery points.
        """
        world, kept = self.world, f"{self.path}.manifest"
        client = world.b.webhdfs("hdfs")
        with TemporaryDirectory() as directory:
            pair = RealPair(world.a, world.b, self.path, Path(directory))
            manifest = manifest_path(SNAPSHOT, pair.data_set)
            wanted = (kept, f"{self.path}/.snapshot/{SNAPSHOT}")
            if any(client.status(one, strict=False) is None for one in wanted):
                world.forget(world.b, self.path)
                pair.set_up()
                pair.copy(SNAPSHOT, None, "metadata")
                _copy_file(client, manifest, kept)
            elif client.status(manifest, strict=False) is None:
                client.makedirs(manifest.rpartition("/")[0], permission="700")
                _copy_file(client, kept, manifest)
                pair.ask(pair.tell_sealed(SNAPSHOT))

    def _make_target(self) -> None:
        """What DistCp changes on its target before it lists: the files that were deleted or renamed, and no other.

        It never looks at the rest of its target, so a round does not need all of it.
        """
        world = self.world
        self.target = f"/tmp/{World.mark()}"
        directories = -(-self.count // IN_A_DIRECTORY)
        each = self.changes // directories // 2
        for number in range(directories):
            first = number * IN_A_DIRECTORY
            make_files(world.b, f"{self.target}/d{number:04}", first, first + each)
        client = world.b.webhdfs("hdfs")
        client.allow_snapshot(self.target)
        client.create_snapshot(self.target, SNAPSHOT)

    def product(self) -> Side:
        found = planned(self.path, CHANGED, SNAPSHOT)
        quarter = self.changes // 4
        seen = {name: found[name] for name in ("files_moved", "deleted", "renamed", "compared_with")}
        wanted = {"files_moved": 2 * quarter, "deleted": quarter, "renamed": quarter, "compared_with": "base"}
        if seen != wanted:
            raise BenchFailed(f"{seen} was planned, not {wanted}")
        return Side(found["seconds"], {}, {"peak_mib": found["peak_mib"]})

    def rival(self) -> Side:
        """DistCp works in a directory of its target while it deletes and renames there; that time does not count."""
        world = self.world
        client = world.b.webhdfs("hdfs")
        seen: list[float] = []
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(POLL_SECONDS):
                if any(name.startswith(".distcp.diff.tmp") for name in client.list(self.target)):
                    seen.append(time.monotonic())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            words = ("-update", "-diff", SNAPSHOT, CHANGED, world.uri(world.a, self.path))
            seconds = until_listed(world, DIFFERENCE_LISTED, *words, world.uri(world.b, self.target))
        finally:
            ended.set()
            watcher.join()
        if not seen:
            raise BenchFailed("DistCp was not seen to change its target")
        changing = seen[-1] - seen[0]
        return Side(seconds - changing, {"changing_the_target": changing})

    def finish(self) -> None:
        self.world.forget(self.world.b, self.target)


def _copy_file(client: InsecureClient, source: str, target: str) -> None:
    with client.read(source) as content:
        client.write(target, content.read(), overwrite=True)


def until_listed(world: World, told: str, *words: str) -> float:
    """Seconds from the start of DistCp until it tells that it has its list; it is ended then."""
    program = [str(world.a.layout.bin / "hadoop"), "org.apache.hadoop.tools.DistCp", *words]
    began = time.monotonic()
    with world.started(program, "-Xmx640m -Dhadoop.root.logger=INFO,console") as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            if told in line:
                return time.monotonic() - began
            lines.append(line)
    raise BenchFailed(f"DistCp does not list: {''.join(lines)[-2000:]}")
