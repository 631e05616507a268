"""Planning: DistCp's listing against the agent's plan of a first copy, of files that only the NameNode knows."""

from __future__ import annotations

import subprocess
import sys
import time

from scripts.benchkit.measuring import BenchFailed, Row, Side
from scripts.benchkit.planner import PREFIX
from scripts.benchkit.trees import make_empty_files
from scripts.benchkit.world import ROOT, World

LISTED = "Build file listing completed"
SECONDS = 900


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
        done = subprocess.run(
            [sys.executable, "-m", "scripts.benchkit.planner", self.path],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
        )
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(PREFIX)]
        files, planned_seconds, peak_mib = line.removeprefix(PREFIX).split()
        if int(files) != self.count:
            raise BenchFailed(f"{files} files were planned")
        # An agent begins in a program that is loaded already: what loads this one's modules does not count.
        return Side(float(planned_seconds), {}, {"peak_mib": float(peak_mib)})

    def rival(self) -> Side:
        """DistCp is ended when it has listed."""
        world, target = self.world, f"/tmp/{World.mark()}"
        words = [
            str(world.a.layout.bin / "hadoop"),
            "org.apache.hadoop.tools.DistCp",
            "-numListstatusThreads",
            "20",
            world.uri(world.a, f"{self.path}/.snapshot/bench"),
            world.uri(world.b, target),
        ]
        began = time.monotonic()
        with world.started(words, "-Xmx640m -Dhadoop.root.logger=INFO,console") as process:
            assert process.stdout is not None
            for line in process.stdout:
                if LISTED in line:
                    seconds = time.monotonic() - began
                    break
            else:
                raise BenchFailed("DistCp does not list")
        world.forget(world.b, target)
        return Side(seconds)
