"""A simulated primary with a directory and two tables, and the TakeSnapshots instructions of runs on it.

The world's clock is nobody's: the NameNode's is ``namenode_shift_ms`` ahead of it, the gateway's ``gateway_shift_ms``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from infra.agent.core.machine import Procedure
from infra.agent.core.operations import Fire, OpenFiles, Operation, OperationFailed
from infra.agent.core.take_snapshots import take_snapshots
from infra.agent.protocol import Instruction, canonical, hbase_snapshot_name
from tests.fakes.executor import FakeExecutor, Kill, run_procedure
from tests.fakes.hbase import FakeHBase
from tests.fakes.hdfs import FakeHdfs
from tests.fakes.hdfs_application import Application
from tests.fakes.virtual_time import VirtualClock

EPOCH = 3
SNAPSHOT = "us-run1"
DIRECTORY = "/data/sales"
TABLES = ("orders", "shop:items")
DATA_SETS: list[dict[str, Any]] = [
    {"id": "files", "component": "hdfs", "path": DIRECTORY},
    {"id": "orders", "component": "hbase", "table": TABLES[0]},
    {"id": "items", "component": "hbase", "table": TABLES[1]},
]
BARRIER = {"hold": "stop-writers", "release": "start-writers", "hold_max_seconds": 30}


class ShiftedHBase(FakeHBase):
    """Tells its clock and its readings by the gateway's clock, as the process on the gateway does."""

    gateway_shift_ms: Callable[[], float] = staticmethod(lambda: 0.0)  # type: ignore[assignment]

    def _do_clock(self, request: dict[str, Any]) -> dict[str, Any]:
        answer = super()._do_clock(request)
        return {**answer, "offset_ms": self.hdfs.shift_ms - self.gateway_shift_ms()}

    def _do_region_metrics(self, request: dict[str, Any]) -> dict[str, Any]:
        answer = super()._do_region_metrics(request)
        shift_ms = self.gateway_shift_ms()
        return {**answer, "asked_ms": answer["asked_ms"] + shift_ms, "done_ms": answer["done_ms"] + shift_ms}

    def _do_snapshot(self, request: dict[str, Any]) -> dict[str, Any]:
        answer = super()._do_snapshot(request)
        shift_ms = self.gateway_shift_ms()
        return {**answer, "asked_ms": answer["asked_ms"] + shift_ms, "done_ms": answer["done_ms"] + shift_ms}


class MomentWorld:
    """The primary, set up, and one gateway's executor for all agents of the instruction."""

    def __init__(self, directory: Path, namenode_shift_ms: int = 0, gateway_shift_ms: float = 0.0) -> None:
        self.clock = VirtualClock()
        self.hdfs = FakeHdfs(self.clock, shift_ms=namenode_shift_ms)
        self.hbase = ShiftedHBase(self.hdfs, "a")
        self.app = Application(self.hdfs)
        self.held: list[str] = []
        self.spool = directory / "spool"
        self.executor = FakeExecutor(
            self.clock,
            self.spool,
            hdfs={"primary": self.hdfs},
            hbase={"primary": self.hbase},
            hooks={"stop-writers": self._hold, "start-writers": self._release},
            shift_ms=gateway_shift_ms,
        )
        self.hbase.gateway_shift_ms = lambda: self.executor.shift_ms
        for name in ("identity", "clock", "scratch"):
            self.hdfs.call("PUT", "MKDIRS", f"/.understudy/{name}", {"permission": "700"})
        self.write_marker(1)
        self.app.mkdir(DIRECTORY)
        self.app.put(f"{DIRECTORY}/a", b"1" * 100)
        self.hdfs.call("PUT", "ALLOWSNAPSHOT", DIRECTORY, {})
        for table in TABLES:
            self.hbase.create_table(table, splits=("m",))
            self.hbase.put(table, "row", "value")

    def write_marker(self, serial: int, **changed: Any) -> None:
        marker = {"pair": "pair", "cluster": "a", "identity": "PRIMARY", "epoch": EPOCH, "serial": serial, **changed}
        self.hdfs.write(f"/.understudy/identity/{serial}.json", canonical(marker))

    def namenode_ms(self) -> float:
        """What the NameNode's clock shows."""
        return self.clock.now_ms + self.hdfs.shift_ms

    def instruction(
        self, in_ms: float = 30_000.0, data_sets: Sequence[dict[str, Any]] = tuple(DATA_SETS), **payload: Any
    ) -> Instruction:
        """TakeSnapshots for the moment that comes in ``in_ms``."""
        site = {"cluster": "a", "namenodes": ["http://a"], "hbase": {"root": "/hbase"}}
        return Instruction(
            id="i1",
            kind="TakeSnapshots",
            pair="pair",
            cluster="a",
            epoch=EPOCH,
            term=1,
            run="run1",
            step="snapshots",
            attempt=1,
            not_after_ms=1 << 60,
            payload={
                "sites": {"primary": site},
                "moment_ms": int(self.namenode_ms() + in_ms),
                "fire_tolerance_ms": 250,
                "warm_up_ms": 15_000,
                "snapshot": SNAPSHOT,
                "data_sets": list(data_sets),
                "barrier": None,
                **payload,
            },
        )

    def run(self, instruction: Instruction, kill: Kill | None = None, **more: Any) -> Any:
        """Let an agent carry the instruction out, from the journal that is there."""
        procedure: Procedure = take_snapshots(instruction, self.executor.journal())
        try:
            return run_procedure(procedure, self.executor, kill, **more)
        finally:
            self.executor.appender.abandon()

    def snapshots(self) -> dict[str, float]:
        """The run's snapshots that are there, with the servers' stamps."""
        found: dict[str, float] = {}
        made = self.hdfs.find(f"{DIRECTORY}/.snapshot/{SNAPSHOT}")
        if made is not None:
            found["files"] = made.modified_ms
        stamps = {facts["name"]: facts["creation_ms"] for facts in self.hbase.snapshots.listed()}
        for data_set in DATA_SETS[1:]:
            name = hbase_snapshot_name(SNAPSHOT, data_set["table"])
            if name in stamps:
                found[data_set["id"]] = stamps[name]
        return found

    def fired(self) -> list[Operation]:
        """The calls of every ``Fire`` that asked for a snapshot."""
        fires = [operation for operation in self.executor.performed if isinstance(operation, Fire)]
        return [call for fire in fires for call in fire.calls if "napshot" in repr(call)]

    def at(self, in_ms: float, action: Callable[[], object]) -> None:
        """Let something happen in the world after a while."""
        self.clock.call_at(self.clock.now_ms + in_ms, action)

    def set_gateway_clock(self, by_ms: float) -> None:
        """Somebody sets the gateway's clock forward or back."""
        self.executor.shift_ms += by_ms

    def lose_spool(self) -> None:
        """The gateway's disk is replaced: nothing is known there of what was done."""
        for file in self.spool.iterdir():
            file.unlink()

    def cannot_list_open_files(self) -> None:
        """Neither way works on this gateway."""

        def fail(operation: Any) -> dict[str, Any]:
            raise OperationFailed("OPEN_FILES_UNKNOWN", "hdfs: No such file or directory")

        self.executor.others[OpenFiles] = fail

    def _hold(self, argument: str) -> str:
        self.held.append(argument)
        return ""

    def _release(self, argument: str) -> str:
        if argument in self.held:
            self.held.remove(argument)
        return ""
