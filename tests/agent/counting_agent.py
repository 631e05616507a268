"""The agent's program with two more kinds of instruction, made for tests of the spool and the processes.

Count appends one line per number to the journal, with a pause between two; Roll does the same under the name of a kind
that may only be rolled forward. Run it like the agent: ``python -m tests.agent.counting_agent submit --spool DIR``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from infra.agent.__main__ import main
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import Milestone, Now, OperationFailed, Progress, SleepUntil, SpoolAppend
from infra.agent.core.procedures import PROCEDURES
from infra.agent.payloads import PAYLOADS
from infra.agent.protocol import Instruction
from infra.agent.shapes import Check, whole


def count(instruction: Instruction, journal: bytes) -> Procedure:
    """Write the numbers below ``up_to`` into the journal, each exactly once however often it is interrupted."""
    done = [int(line) for line in journal.splitlines()]
    if done != list(range(len(done))):
        raise OperationFailed("JOURNAL_DAMAGED", f"{done}")
    for number in range(len(done), instruction.payload["up_to"]):
        yield SpoolAppend("journal", b"%d\n" % number)
        yield Progress({"step": "count", "files": number + 1, "files_total": instruction.payload["up_to"]})
        now = yield Now()
        yield SleepUntil(now + instruction.payload["pause_ms"])
        if number == 0:
            yield Milestone("begun", {"began_with": len(done)})
    return {"counted": instruction.payload["up_to"], "found": len(done)}


SHAPE: dict[str, Check] = {"up_to": whole(0, 1_000_000), "pause_ms": whole(0, 60_000)}


def holder(entry: Path) -> int:
    """The process id that holds the lock of an entry."""
    pid: int = json.loads((entry / "lock").read_text())["pid"]
    return pid


def register() -> None:
    """Make the kinds known."""
    for kind in ("Count", "ApplyStaged"):
        PAYLOADS[kind] = SHAPE
        PROCEDURES[kind] = count


if __name__ == "__main__":
    register()
    sys.exit(main(sys.argv[1:], [sys.executable, "-m", "tests.agent.counting_agent"]))
