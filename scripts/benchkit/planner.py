"""Plan a copy as an agent does, in a process of its own so that its memory can be told: planner PATH SNAPSHOT [BASE].

Without a base it is a first copy. The base is a snapshot that both clusters have, of a recovery point of that name.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from infra.agent.core.hdfs_send import plan_copy
from infra.agent.core.machine import Procedure
from infra.agent.core.work import Work, read_journal
from scripts.benchkit.world import ROOT
from scripts.labkit.lab import Lab
from tests.lab.hdfs_pair import RealPair

PREFIX = "planned: "
SECONDS = 1800


def planned(path: str, *snapshots: str) -> dict[str, Any]:
    """What ``main`` tells of a snapshot, and of its base."""
    done = subprocess.run(
        [sys.executable, "-m", "scripts.benchkit.planner", path, *snapshots],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(PREFIX)]
    found: dict[str, Any] = json.loads(line.removeprefix(PREFIX))
    return found


def main(path: str, snapshot: str, base: str | None = None) -> None:
    """Tell what was planned, in how many seconds, and the most memory that it took, in MiB.

    An agent begins in a program that is loaded already, so what loads this one's modules does not count as time.
    """
    lab = Lab.load()
    with tempfile.TemporaryDirectory() as directory:
        pair = RealPair(lab.cluster("a"), lab.cluster("b"), path, Path(directory))
        start: dict[str, Any] = {"base": base, "base_is_on_source": base is not None, "recovery_point": base}
        instruction = pair.instruction("SendSnapshots", snapshot, level="checksum", workers=16, open_files=[], **start)

        def plan(journal: bytes) -> Procedure:
            return plan_copy(Work(instruction, read_journal(journal, pair.data_set["id"])), pair.data_set)

        began = time.monotonic()
        found = pair.gateway.run(instruction, plan)
        seconds = time.monotonic() - began
    told = {**found["plan"], "compared_with": found["start"]["compared_with"], "seconds": seconds}
    print(f"{PREFIX}{json.dumps({**told, 'peak_mib': _peak_mib()})}")


def _peak_mib() -> float:
    """Of this program alone: what ``getrusage`` tells counts the benchmark, too, from which it was started."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
