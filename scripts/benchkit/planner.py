"""Plan a first copy as an agent does, in a process of its own so that its memory can be told: planner PATH."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from infra.agent.core.hdfs_send import plan_copy
from infra.agent.core.machine import Procedure
from infra.agent.core.work import Work, read_journal
from scripts.labkit.lab import Lab
from tests.lab.hdfs_pair import RealPair

PREFIX = "planned: "


def main(path: str) -> None:
    """Tell how many files were planned, in how many seconds, and the most memory that it took, in MiB."""
    lab = Lab.load()
    with tempfile.TemporaryDirectory() as directory:
        pair = RealPair(lab.cluster("a"), lab.cluster("b"), path, Path(directory))
        nothing: dict[str, Any] = {"base": None, "base_is_on_source": False, "recovery_point": None, "open_files": []}
        instruction = pair.instruction("SendSnapshots", "bench", level="checksum", workers=16, **nothing)

        def plan(journal: bytes) -> Procedure:
            return plan_copy(Work(instruction, read_journal(journal, pair.data_set["id"])), pair.data_set)

        began = time.monotonic()
        planned = pair.gateway.run(instruction, plan)
        seconds = time.monotonic() - began
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{PREFIX}{planned['plan']['files_moved']} {seconds:.3f} {peak_mib:.1f}")


if __name__ == "__main__":
    main(sys.argv[1])
