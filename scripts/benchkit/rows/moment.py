"""The moment: one directory and four tables of 16 regions under write load, by a script and by the product."""

from __future__ import annotations

from scripts.benchkit.measuring import Row, Side
from scripts.benchkit.world import World
from scripts.labkit.application.control import start_application, stop_application
from scripts.labkit.application.settings import ApplicationSettings

TABLES = 4
REGIONS = 16


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
        page = self.world.back_up(self.service)
        cuts = list(page["snapshots"].values())
        asked = [cut["asked_cluster_ms"] for cut in cuts]
        done = [cut["done_cluster_ms"] for cut in cuts]
        facts = {
            "requests_within_ms": max(asked) - min(asked),
            "first_request_after_moment_ms": min(asked) - page["moment_ms"],
            "last_request_after_moment_ms": max(asked) - page["moment_ms"],
        }
        return Side((max(done) - min(asked)) / 1000, {}, facts)

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
