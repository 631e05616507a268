"""Increments: a script of snapshots, DistCp -update -diff and ExportSnapshot against a run."""

from __future__ import annotations

import secrets

from scripts.benchkit.measuring import Row, Side
from scripts.benchkit.rows.copies import EXPORT
from scripts.benchkit.trees import make_files
from scripts.benchkit.world import CommandFailed, World, spent

TRIES = 4


class Increment(Row):
    name = "increment"
    work = "incremental run, 1 of 1,000 files changed and a table with one new file: command to recovery point"
    instead = "script: snapshots, DistCp -update -diff, ExportSnapshot (both at once), snapshot; nothing verified"
    goal = 3.0
    service = ""

    def prepare(self, number: int) -> None:
        if not self.service:
            self._begin()
        self.number = number
        self.world.write(self.path, [("d1/f1", secrets.token_bytes(4096))])
        with self.world.a.hbase() as connection:
            connection.table(self.service).put(b"row1", {b"f:q": secrets.token_bytes(1000)})

    def _begin(self) -> None:
        self.service = World.mark()
        self.path = f"/data/{self.service}"
        self.copied = f"/tmp/{self.service}"
        count = 100 if self.is_small else 1000
        files = [(f"d{number % 10}/f{number}", secrets.token_bytes(4096)) for number in range(count)]
        self.world.make_directory(self.path, files)
        with self.world.a.hbase() as connection:
            connection.create_table(self.service, {"f": {}})
            for row in range(100):
                connection.table(self.service).put(b"row%d" % row, {b"f:q": secrets.token_bytes(1000)})
        policy = ("--warm-up-seconds", "1")
        self.world.protect(self.service, (self.path,), (self.service,), *policy)
        self.world.back_up(self.service)
        self._cut("r0")
        self.world.distcp("-m 2", f"{self.path}/.snapshot/r0", self.copied)
        self.world.command(self.world.b, f"hdfs dfsadmin -allowSnapshot {self.copied}")
        self.world.command(self.world.b, f"hdfs dfs -createSnapshot {self.copied} r0")
        self.last = "r0"

    def product(self) -> Side:
        """From the first command on: a moment that was too near, so that there had to be another run, counts."""
        seconds = 0.0
        for missed in range(TRIES):
            try:
                page, needed = self.world.run(self.service, "--at", "soonest")
            except CommandFailed as failure:
                if "MOMENT_MISSED" not in str(failure) or missed == TRIES - 1:
                    raise
                seconds += failure.seconds
                continue
            break
        self.world.must_be_equal(f"{self.path}/.snapshot/{page['snapshot']}", self.path)
        return Side(seconds + needed, spent(page), {"missed_moments": missed})

    def rival(self) -> Side:
        world, name = self.world, f"r{self.number + 1}"
        cut = self._cut(name)
        copies = world.together(
            lambda: world.distcp(f"-update -diff {self.last} {name} -m 2", self.path, self.copied),
            lambda: world.command(world.a, self._export(name), "hbase"),
        )
        done = world.command(world.b, f"hdfs dfs -createSnapshot {self.copied} {name}")
        self.last = name
        world.must_be_equal(f"{self.path}/.snapshot/{name}", self.copied)
        parts = {"snapshots": cut, "copies": max(copy.seconds for copy in copies), "snapshot": done.seconds}
        return Side(sum(parts.values()), parts)

    def _export(self, name: str) -> str:
        target = self.world.uri(self.world.b, "/hbase")
        return f"hbase snapshot export {EXPORT} -snapshot {self.service}-{name} -copy-to {target} -mappers 2"

    def _cut(self, name: str) -> float:
        """Both snapshots at once; the seconds until both are there."""
        world = self.world
        done = world.together(
            lambda: world.command(world.a, f"hdfs dfs -createSnapshot {self.path} {name}"),
            lambda: world.command(
                world.a, f"hbase snapshot create -t {self.service} -n {self.service}-{name}", "hbase"
            ),
        )
        return max(one.ended for one in done) - min(one.began for one in done)


class Rename(Row):
    name = "rename"
    work = "a run that renamed a directory of 10,000 files and replaced 100: copied, and applied"
    instead = "DistCp -update -diff"
    goal = 5.0
    service = ""

    def prepare(self, number: int) -> None:
        if not self.service:
            self._begin()
        self.number = number
        client = self.world.a.webhdfs("hdfs")
        client.rename(f"{self.path}/large{number}", f"{self.path}/large{number + 1}")
        self.world.write(self.path, [(f"others/f{one}", secrets.token_bytes(100)) for one in range(100)])

    def _begin(self) -> None:
        self.service = World.mark()
        self.path = f"/data/{self.service}"
        self.copied = f"/tmp/{self.service}"
        count = 1000 if self.is_small else 10_000
        self.world.make_directory(self.path, [(f"others/f{number}", secrets.token_bytes(100)) for number in range(100)])
        make_files(self.world.a, f"{self.path}/large0", 0, count)
        self.world.protect(self.service, (self.path,))
        self.world.back_up(self.service)
        self.world.command(self.world.a, f"hdfs dfs -createSnapshot {self.path} r0")
        self.world.distcp("-m 2 -direct", f"{self.path}/.snapshot/r0", self.copied)
        self.world.command(self.world.b, f"hdfs dfsadmin -allowSnapshot {self.copied}")
        self.world.command(self.world.b, f"hdfs dfs -createSnapshot {self.copied} r0")
        self.last = "r0"

    def product(self) -> Side:
        page = self.world.back_up(self.service)
        self.world.must_be_equal(f"{self.path}/.snapshot/{page['snapshot']}", self.path, every=1000)
        parts = spent(page)
        return Side(parts["STAGING"] + parts["APPLYING"], parts, {"renamed": page["totals"]["renamed"]})

    def rival(self) -> Side:
        name = f"r{self.number + 1}"
        self.world.a.webhdfs("hdfs").create_snapshot(self.path, name)
        done = self.world.distcp(f"-update -diff {self.last} {name} -m 2", self.path, self.copied)
        self.world.must_be_equal(f"{self.path}/.snapshot/{name}", self.copied, every=1000)
        self.world.b.webhdfs("hdfs").create_snapshot(self.copied, name)
        self.last = name
        return Side(done.seconds)
