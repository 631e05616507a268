"""A gateway's spool with more and more instructions that it still keeps: what a submission and a look take."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from infra.agent.protocol import canonical
from infra.agent.shell.admission import admit
from infra.agent.shell.disk import Disk
from infra.agent.shell.looking import look
from infra.agent.shell.spool import Spool
from scripts.benchkit.growing import Figure, Series
from scripts.benchkit.measuring import BenchFailed

NOW_MS = 1_750_000_000_000
TIMES = 50


class Unflushed(Disk):
    """Fills a spool without waiting for the disk."""

    def flush(self, descriptor: int, path: str) -> None:
        """Wait for nothing."""

    def flush_directory(self, path: str) -> None:
        """Wait for nothing."""


class ByEntries(Series):
    name = "spools"
    title = "A spool by the instructions in it"
    by = "instructions"
    figures = (
        Figure("submission_ms", "ms for a submission", limit=100.0),
        Figure("look_ms", "ms for a look at ten"),
        Figure("first_ms", "ms for the first one after a restart of the host"),
    )
    sizes = (100, 2_000, 20_000)
    small_sizes = (10, 40)

    def measure(self, size: int) -> Mapping[str, float]:
        with TemporaryDirectory() as directory:
            spool = Spool(str(Path(directory) / "spool"), Unflushed())
            spool.open()
            for number in range(size):
                submit(spool, f"i{number}")
            spool = Spool(spool.root)
            submissions = [_milliseconds(lambda n=number: submit(spool, f"new{n}")) for number in range(TIMES)]
            asked = canonical({"ids": [f"i{number}" for number in range(10)]})
            looks = [_milliseconds(lambda: look(asked, spool)) for _ in range(TIMES)]
            os.unlink(os.path.join(spool.root, "attempts.json"))  # as another boot makes it worth nothing
            first_ms = _milliseconds(lambda: submit(spool, "first"))
            if len(list(spool.entries())) != size + TIMES + 1:
                raise BenchFailed("instructions are missing")
        return {
            "submission_ms": statistics.median(submissions),
            "look_ms": statistics.median(looks),
            "first_ms": first_ms,
        }


def submit(spool: Spool, instruction_id: str) -> None:
    """Put an instruction of a step of its own into the spool."""
    instruction = {
        "version": 1,
        "id": instruction_id,
        "kind": "Abort",
        "pair": "pair",
        "cluster": "a",
        "epoch": 1,
        "term": 1,
        "run": f"run-{instruction_id}",
        "step": "step",
        "attempt": 1,
        "not_after_ms": NOW_MS + 1_000,
        "payload": {"instructions": []},
    }
    credentials = {"primary": {"hdfs": {"kind": "simple", "user": "hdfs"}}}
    if admit(canonical({"instruction": instruction, "credentials": credentials}), spool, lambda: NOW_MS).known:
        raise BenchFailed(f"{instruction_id} was there already")


def _milliseconds(call: object) -> float:
    assert callable(call)
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000
