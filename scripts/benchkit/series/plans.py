"""What planning a first copy takes of an agent: time and memory by files that only the NameNode knows."""

from __future__ import annotations

from collections.abc import Mapping

from scripts.benchkit.growing import Figure, Series
from scripts.benchkit.measuring import BenchFailed
from scripts.benchkit.planner import planned
from scripts.benchkit.trees import SNAPSHOT, make_empty_files

KEPT_FILES = 100_000
"""Trees up to this size stay on the lab for the next benchmark; a larger one goes, its NameNode has little memory."""


class AgentMemory(Series):
    name = "planning"
    title = "Planning a first copy"
    by = "files"
    figures = (Figure("seconds", "s to plan"), Figure("peak_mib", "MiB of memory at most", limit=200.0))
    sizes = (10_000, 100_000)
    small_sizes = (1_000, 2_000)
    huge_sizes = (1_000_000,)

    def measure(self, size: int) -> Mapping[str, float]:
        world, path = self.world, f"/data/plan{size}"
        try:
            make_empty_files(world.a, path, size)
            found = planned(path, SNAPSHOT)
        finally:
            if size > KEPT_FILES:
                world.forget(world.a, path)
        if found["files_moved"] != size:
            raise BenchFailed(f"{found['files_moved']} files were planned, not {size}")
        return found
