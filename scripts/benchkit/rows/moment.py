"""The moment: one directory and four tables of 16 regions under write load, by a script and by the product."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any

from scripts.benchkit.measuring import Row, Side
from scripts.benchkit.world import World
from scripts.labkit.application.control import start_application, stop_application
from scripts.labkit.application.settings import ApplicationSettings

TABLES = 4
REGIONS = 16
METRICS_SECONDS = 6.0  # HBase's metrics may be that old


def cut_facts(page: dict[str, Any]) -> dict[str, float]:
    """What a run's own evidence says of its cut, in milliseconds.

    No moment can be narrower than its slowest table: HBase flushes a table's regions one after another, and takes the
    directory's snapshot in an instant.
    """
    cuts = list(page["snapshots"].values())
    asked = [cut["asked_cluster_ms"] for cut in cuts]
    done = [cut["done_cluster_ms"] for cut in cuts]
    each = [end - begin for begin, end in zip(asked, done, strict=True)]
    return {
        "width_ms": max(done) - min(asked),
        "requests_within_ms": max(asked) - min(asked),
        "largest_deviation_ms": max(abs(one - page["moment_ms"]) for one in asked),
        "slowest_snapshot_ms": max(each),
        "fastest_snapshot_ms": min(each),
    }


class Moment(Row):
    name = "moment"
    work = "one moment over 1 directory and 4 tables of 16 regions, under load: earliest request to latest completion"
    instead = "script: hdfs dfs -createSnapshot, then hbase snapshot create, table after table"
    goal = 8.0
    service = ""

    def prepare(self, number: int) -> None:
        self.number = number
        if self.service:
            return
        self.service = World.mark()
        self.settings = ApplicationSettings(
            name=self.service,
            directory=f"/data/{self.service}",
            tables=tuple(f"{self.service}_{table}" for table in range(1 if self.is_small else TABLES)),
            region_count=2 if self.is_small else REGIONS,
        )
        start_application(self.world.lab, self.settings)
        self.world.command(self.world.a, f"hdfs dfsadmin -allowSnapshot {self.settings.directory}")
        self.world.protect(self.service, (self.settings.directory,), self.settings.tables)

    def product(self) -> Side:
        before = self._flushed_bytes()
        facts = cut_facts(self.world.back_up(self.service))
        time.sleep(METRICS_SECONDS)
        flushed = {"regions": self._regions(), "flushed_bytes": self._flushed_bytes() - before}
        return Side(facts["width_ms"] / 1000, {}, {**flushed, **facts})

    def _regions(self) -> int:
        with self.world.a.hbase() as connection:
            return sum(len(connection.table(table).regions()) for table in self.settings.tables)

    def _flushed_bytes(self) -> int:
        """All that the primary's RegionServer has flushed since its start."""
        port = self.world.a.layout.ports.regionserver_http
        url = f"http://127.0.0.1:{port}/jmx?qry=Hadoop:service=HBase,name=RegionServer,sub=Server"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(json.load(answer)["beans"][0]["flushedMemstoreBytes"])

    def rival(self) -> Side:
        world, name = self.world, f"rival{self.number}"
        done = [world.command(world.a, f"hdfs dfs -createSnapshot {self.settings.directory} {name}")]
        for table in self.settings.tables:
            done.append(world.command(world.a, f"hbase snapshot create -t {table} -n {name}-{table}", "hbase"))
        return Side(done[-1].ended - done[0].began, {str(at): one.seconds for at, one in enumerate(done)})

    def close(self) -> None:
        """End the application."""
        if self.service:
            stop_application(self.world.lab, self.service)
