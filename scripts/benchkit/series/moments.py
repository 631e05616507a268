"""The moment's width over more and more tables, under write load."""

from __future__ import annotations

from collections.abc import Mapping

from scripts.benchkit.growing import Figure, Series
from scripts.benchkit.rows.moment import REGIONS, cut_facts
from scripts.benchkit.world import World
from scripts.labkit.application.control import start_application, stop_application
from scripts.labkit.application.settings import ApplicationSettings


class ByTables(Series):
    name = "tables"
    title = f"One moment over a directory and tables of {REGIONS} regions, under load"
    by = "tables"
    figures = (Figure("width_ms", "ms wide"), Figure("slowest_request_ms", "ms off the moment"))
    sizes = (1, 2, 4, 8)
    small_sizes = (1, 2)

    def measure(self, size: int) -> Mapping[str, float]:
        """The second of two moments: the first one finds HBase's administration cold."""
        world, mark = self.world, World.mark()
        settings = ApplicationSettings(
            name=mark,
            directory=f"/data/{mark}",
            tables=tuple(f"{mark}_{number}" for number in range(size)),
            region_count=REGIONS,
        )
        start_application(world.lab, settings)
        try:
            world.command(world.a, f"hdfs dfsadmin -allowSnapshot {settings.directory}")
            world.protect(mark, (settings.directory,), settings.tables)
            world.back_up(mark)
            facts = cut_facts(world.back_up(mark))
        finally:
            stop_application(world.lab, mark)
            with world.a.hbase() as connection:
                for table in settings.tables:
                    connection.delete_table(table, disable=True)
            world.forget(world.a, settings.directory)
            world.forget(world.b, settings.directory)
        return {"width_ms": facts["width_ms"], "slowest_request_ms": facts["largest_deviation_ms"]}
