"""First copies: DistCp and ExportSnapshot against the agent's copy, each with its check.

The product's time is that of the state STAGING: from the instruction to the outcome, planning, the check of every file
and the manifest included. The rest of the run is told beside it.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime
from typing import Any

from scripts.benchkit.measuring import BenchFailed, Row, Side
from scripts.benchkit.processors import Processors, busy_share
from scripts.benchkit.world import World, spent

MEBIBYTE = 1 << 20
EXPORT = "-Dsnapshot.export.buffer.size=4194304 -Dmapreduce.task.io.sort.mb=8"


def staging(page: dict[str, Any]) -> Side:
    """A run's copy as a side."""
    seconds = spent(page)
    rest = {state: seconds[state] for state in ("APPLYING", "FREEZING", "VERIFYING")}
    moved = page["totals"]["bytes_moved"]
    return Side(
        seconds["STAGING"], rest, {"bytes_moved": moved, "mb_per_second": moved / 1_000_000 / seconds["STAGING"]}
    )


def watched_staging(world: World, service: str) -> tuple[dict[str, Any], Side]:
    """Back up; the run's page, and its copy as a side that tells how busy the machine was while it copied."""
    with Processors() as processors:
        page = world.back_up(service)
    side = staging(page)
    begins = next(datetime.fromisoformat(one["since"]) for one in page["durations"] if one["state"] == "STAGING")
    share = busy_share(processors.samples, begins.timestamp(), begins.timestamp() + side.seconds)
    return page, replace(side, facts={**side.facts, "cpu_share": share})


class _Directory(Row):
    """A directory that neither side has copied."""

    distcp = ""

    def contents(self) -> list[tuple[str, bytes]]:
        raise NotImplementedError

    def prepare(self, number: int) -> None:
        self.mark = World.mark()
        self.path = f"/data/{self.mark}"
        self.world.make_directory(self.path, self.contents())
        self.world.protect(self.mark, (self.path,))

    def product(self) -> Side:
        _, side = watched_staging(self.world, self.mark)
        self.world.must_be_equal(self.path, self.path)
        return side

    def rival(self) -> Side:
        client = self.world.a.webhdfs("hdfs")
        client.create_snapshot(self.path, "rival")
        source, target = f"{self.path}/.snapshot/rival", f"/tmp/{self.mark}"
        done = self.world.distcp(self.distcp, source, target)
        self.world.must_be_equal(source, target)
        client.delete_snapshot(self.path, "rival")
        return Side(done.seconds)

    def finish(self) -> None:
        self.world.forget(self.world.a, self.path)
        self.world.forget(self.world.b, self.path)
        self.world.forget(self.world.b, f"/tmp/{self.mark}")


class SmallFiles(_Directory):
    name = "small-files"
    work = "first copy of 1,000 files of 4 KiB, checked"
    instead = "DistCp, 2 maps"
    goal = 3.0
    distcp = "-m 2"

    def contents(self) -> list[tuple[str, bytes]]:
        count = 100 if self.is_small else 1000
        return [(f"d{number % 10}/f{number}", secrets.token_bytes(4096)) for number in range(count)]


class LargeFile(_Directory):
    name = "large-file"
    work = "first copy of one file of 512 MiB, checked"
    instead = "DistCp"
    goal = 3.0
    distcp = "-m 1 -copybuffersize 1048576"

    def contents(self) -> list[tuple[str, bytes]]:
        size = 32 if self.is_small else 512
        return [("large", secrets.token_bytes(MEBIBYTE) * size)]


class Table(Row):
    name = "table"
    work = "first copy of a table of 256 MiB, checked"
    instead = "ExportSnapshot, 2 mappers"
    goal = 3.0

    def prepare(self, number: int) -> None:
        self.mark = World.mark()
        rows = 256 if self.is_small else 2560
        with self.world.a.hbase() as connection:
            connection.create_table(self.mark, {"f": {}})
            with connection.table(self.mark).batch(batch_size=50) as batch:
                for row in range(rows):
                    batch.put(b"row%06d" % row, {b"f:q": secrets.token_bytes(100 << 10)})
        self.world.protect(self.mark, (), (self.mark,))
        self.world.command(self.world.a, f"hbase snapshot create -t {self.mark} -n {self.mark}-flushed", "hbase")

    def product(self) -> Side:
        page, side = watched_staging(self.world, self.mark)
        if page["totals"]["bytes"] < self._least_bytes:
            raise BenchFailed(f"only {page['totals']['bytes']} bytes of the table came")
        return side

    def rival(self) -> Side:
        target = self.world.uri(self.world.b, f"/tmp/{self.mark}")
        words = f"hbase snapshot export {EXPORT} -snapshot {self.mark}-flushed -copy-to {target} -mappers 2"
        done = self.world.command(self.world.a, words, "hdfs")
        copied = self.world.b.webhdfs("hdfs").content(f"/tmp/{self.mark}")["length"]
        if copied < self._least_bytes:
            raise BenchFailed(f"ExportSnapshot has copied only {copied} bytes")
        return Side(done.seconds, {}, {"bytes_moved": copied})

    @property
    def _least_bytes(self) -> int:
        return (256 if self.is_small else 2560) * (100 << 10)

    def finish(self) -> None:
        self.world.forget(self.world.b, f"/tmp/{self.mark}")
        with self.world.a.hbase() as connection:
            connection.delete_table(self.mark, disable=True)
