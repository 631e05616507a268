"""Operations performed on simulated clusters, in virtual time, with death at any point.

``FakeExecutor.perform`` has the effect of one operation. ``Stage`` lets numbered operations happen in virtual time and
hands their outcomes on; it is what a fake agent and ``run_procedure`` are made of. ``Kill`` says where an agent dies:
before an operation's effect, after it (the outcome is lost), or in the middle of it (half of what a SpoolAppend,
WriteFile, CopyRange, Upload or Download writes is there).

What the simulated clusters have to offer:
``hdfs.call(method, op, path, params: dict, user) -> dict``, ``hdfs.read(path, offset, length) -> bytes`` (length None:
to the end), ``hdfs.write(path, data, permission=, block_size=, replication=) -> None`` (the parent exists, an old file
is replaced), and ``hbase.call(request) -> dict``; all raise ``OperationFailed`` as the real ones do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from infra.agent.core.hdfs import EncryptionZones, ExtendedAttributes, Identify, ListPage, LocateAhead
from infra.agent.core.kept_manifests import JoinLayers, MakeLayer
from infra.agent.core.machine import Machine, Outcome, Procedure
from infra.agent.core.operations import (
    Ahead,
    CopyRange,
    DigestFile,
    Download,
    Fire,
    GatewayFacts,
    HBaseCall,
    HdfsCall,
    Milestone,
    Now,
    OpenFiles,
    Operation,
    OperationFailed,
    Progress,
    ReadFile,
    RunHook,
    SleepUntil,
    SpoolAppend,
    SpoolRead,
    SpoolSort,
    SpoolTruncate,
    StartWatchdog,
    Upload,
    WriteFile,
)
from infra.agent.core.ownership import Submitter
from infra.agent.shell.disk import Appender, Disk
from infra.agent.shell.layer_files import LayerFiles
from infra.agent.shell.spool import Entry
from infra.agent.shell.work_files import WorkFiles
from tests.fakes.virtual_time import Timer, VirtualClock


class AgentKilled(BaseException):
    """The agent dies here; a BaseException so that no code under test survives it."""


@dataclass(frozen=True)
class Kill:
    """Die at the ``operation``-th operation (counted from 1): "before" its effect, "after" it, or "torn" within it.

    ``in_flight_lands`` lets requests that were already on their way have their effect although nobody hears of it.
    """

    operation: int
    when: Literal["before", "after", "torn"]
    in_flight_lands: bool = False


class SimulatedDisk(Disk):
    """A disk that is fast, and forgets what was not flushed when the power goes."""

    def __init__(self) -> None:
        self._unflushed: dict[str, int] = {}

    def write(self, descriptor: int, data: bytes, path: str) -> None:
        if path not in self._unflushed:
            self._unflushed[path] = _size(path)
        super().write(descriptor, data, path)

    def flush(self, descriptor: int, path: str) -> None:
        self._unflushed.pop(path, None)

    def flush_directory(self, path: str) -> None:
        return None

    def lose_power(self) -> None:
        """Cut every file to what was flushed of it."""
        for path, size in self._unflushed.items():
            if _size(path) > size:
                with open(path, "r+b") as stream:
                    stream.truncate(size)
        self._unflushed.clear()


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except FileNotFoundError:
        return 0


class FakeExecutor:
    """Performs operations on simulated clusters, one at a time.

    ``hdfs`` and ``hbase`` are by site ("primary", "secondary"). ``hooks`` maps a hook's name to what it does.
    ``shift_ms`` is how far this gateway's clock is ahead of the world's.
    """

    def __init__(
        self,
        clock: VirtualClock,
        directory: Path | str,
        hdfs: Mapping[str, Any] | None = None,
        hbase: Mapping[str, Any] | None = None,
        hooks: Mapping[str, Callable[[str], str]] | None = None,
        disk: Disk | None = None,
        shift_ms: float = 0.0,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self.clock = clock
        self.shift_ms = shift_ms
        self.hdfs = dict(hdfs or {})
        self.hbase = dict(hbase or {})
        self.hooks = dict(hooks or {})
        self.facts = {**FACTS, **(facts or {}), "hooks": sorted(self.hooks)}
        self.controller: dict[str, Any] | None = None
        self.progress: list[dict[str, Any]] = []
        self.milestones: dict[str, dict[str, Any]] = {}
        self.watchdogs: list[tuple[float, str, str]] = []
        self.performed: list[Operation] = []
        disk = disk or SimulatedDisk()
        entry = Entry(disk, str(directory), Path(directory).name)
        Path(directory).mkdir(parents=True, exist_ok=True)
        self.appender = Appender(disk, str(directory))
        self._files = WorkFiles(entry, disk, self.appender, None)
        self._entry = entry
        self.journal_path = self._path("journal")
        self.others: dict[type[Operation], Callable[[Any], Any]] = {}

    def now_ms(self) -> float:
        """The gateway's clock."""
        return self.clock.now_ms + self.shift_ms

    def journal(self) -> bytes:
        """The whole lines of the journal as a new agent would find them."""
        data = self.journal_path.read_bytes() if self.journal_path.exists() else b""
        return data[: data.rfind(b"\n") + 1]

    def _path(self, name: str) -> Path:
        return Path(self._entry.work_path(name))

    def perform(self, operation: Operation) -> Any:
        """Have the operation's effect and return its result, or raise ``OperationFailed``."""
        self.performed.append(operation)
        perform = self.others.get(type(operation)) or getattr(self, f"_{type(operation).__name__}")
        return perform(operation)

    def perform_half(self, operation: Operation) -> None:
        """Have half of the effect of an operation that writes bytes, and none of any other."""
        if isinstance(operation, SpoolAppend):
            self._files.append(SpoolAppend(operation.name, operation.data[: len(operation.data) // 2], durable=False))
        elif isinstance(operation, WriteFile):
            self._site(operation.site).write(operation.path, operation.data[: len(operation.data) // 2])
        elif isinstance(operation, CopyRange):
            data = self._site(operation.source).read(operation.source_path, operation.offset, operation.length // 2)
            self._site(operation.target).write(operation.target_path, data)
        elif isinstance(operation, Upload):
            data = self._path(operation.name).read_bytes()
            self._site(operation.site).write(operation.path, data[: len(data) // 2])

    def _site(self, site: str) -> Any:
        if site not in self.hdfs:
            raise OperationFailed("HDFS_UNREACHABLE", f"there is no {site} HDFS in this test", transient=True)
        return self.hdfs[site]

    def _HdfsCall(self, call: HdfsCall) -> Any:
        return self._site(call.site).call(call.method, call.op, call.path, dict(call.params), call.user)

    def _ExtendedAttributes(self, operation: ExtendedAttributes) -> list[Any]:
        hdfs = self._site(operation.site)
        hexadecimal = {"encoding": "hex"}
        return [hdfs.call("GET", "GETXATTRS", path, hexadecimal, "hdfs")["XAttrs"] for path in operation.paths]

    def _EncryptionZones(self, operation: EncryptionZones) -> list[str]:
        zones: list[str] = self._site(operation.site).encryption_zones
        return zones

    def _LocateAhead(self, operation: LocateAhead) -> None:
        """Nothing depends on it."""

    def _ListPage(self, operation: ListPage) -> Any:
        return self._site(operation.site).list_page(operation.path, operation.start_after)

    def _Identify(self, operation: Identify) -> list[str | None]:
        hdfs = self._site(operation.site)
        return [hdfs.identify(path) for path in operation.paths]

    def _HBaseCall(self, call: HBaseCall) -> Any:
        if call.site not in self.hbase:
            raise OperationFailed("NO_HBASE", f"there is no {call.site} HBase in this test")
        return self.hbase[call.site].call(call.request)

    def _ReadFile(self, operation: ReadFile) -> bytes:
        data: bytes = self._site(operation.site).read(operation.path, operation.offset, operation.length)
        return data

    def _WriteFile(self, operation: WriteFile) -> None:
        self._site(operation.site).write(operation.path, operation.data, permission=operation.permission)

    def _CopyRange(self, operation: CopyRange) -> dict[str, Any]:
        data = self._site(operation.source).read(operation.source_path, operation.offset, operation.length)
        if len(data) != operation.length:
            raise OperationFailed("SOURCE_DAMAGED", f"{operation.source_path}: {len(data)} of {operation.length} bytes")
        self._site(operation.target).write(
            operation.target_path,
            data,
            permission=operation.permission,
            block_size=operation.block_size,
            replication=operation.replication,
        )
        shown = self._site(operation.source).shown_checksum(operation.source_path, operation.offset, operation.length)
        return {"bytes": len(data), "seconds": 0.001, "checksum": shown}

    def _DigestFile(self, operation: DigestFile) -> dict[str, Any]:
        data = self._site(operation.site).read(operation.path, operation.offset, operation.length)
        if len(data) != operation.length:
            raise OperationFailed("SOURCE_DAMAGED", f"{operation.path}: {len(data)} of {operation.length} bytes")
        return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}

    def _SpoolAppend(self, operation: SpoolAppend) -> None:
        self._files.append(operation)

    def _SpoolRead(self, operation: SpoolRead) -> bytes:
        return self._files.read(operation)

    def _SpoolTruncate(self, operation: SpoolTruncate) -> None:
        self._files.truncate(operation)

    def _SpoolSort(self, operation: SpoolSort) -> int:
        return self._files.sort(operation)

    def _MakeLayer(self, operation: MakeLayer) -> dict[str, Any]:
        return LayerFiles(self._files).make(operation)

    def _JoinLayers(self, operation: JoinLayers) -> dict[str, Any]:
        return LayerFiles(self._files).join(operation)

    def _Upload(self, operation: Upload) -> dict[str, Any]:
        data = self._path(operation.name).read_bytes()
        self._site(operation.site).write(operation.path, data)
        return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    def _Download(self, operation: Download) -> dict[str, Any]:
        data = self._site(operation.site).read(operation.path, 0, None)
        self.appender.forget(operation.name)
        self._path(operation.name).write_bytes(data)
        return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    def _Ahead(self, operation: Ahead) -> None:
        """A hint."""

    def _Progress(self, operation: Progress) -> None:
        self.progress.append(dict(operation.facts))

    def _Milestone(self, operation: Milestone) -> None:
        self.milestones.setdefault(operation.name, dict(operation.facts))

    def _Now(self, operation: Now) -> float:
        return self.now_ms()

    def _SleepUntil(self, operation: SleepUntil) -> float:
        return self.now_ms()

    def _Fire(self, operation: Fire) -> list[dict[str, Any]]:
        late_ms = self.now_ms() - operation.at_ms
        if late_ms > operation.tolerance_ms:
            raise OperationFailed("MOMENT_MISSED", f"{late_ms:.0f} ms past the moment", detail={"late_ms": late_ms})
        return [self._shot(call) for call in operation.calls]

    def _shot(self, call: Operation) -> dict[str, Any]:
        asked_ms = self.now_ms()
        try:
            return {"asked_ms": asked_ms, "value": self.perform(call), "done_ms": self.now_ms()}
        except OperationFailed as failed:
            failure = {
                "code": failed.code,
                "message": failed.message,
                "unknown": failed.unknown,
                "transient": failed.transient,
                "detail": failed.detail,
            }
            return {"asked_ms": asked_ms, "failure": failure, "done_ms": self.now_ms()}

    def _RunHook(self, operation: RunHook) -> dict[str, Any]:
        if operation.name not in self.hooks:
            raise OperationFailed("NO_SUCH_HOOK", f"{operation.name!r} is not there")
        return {"exit": 0, "output": self.hooks[operation.name](operation.argument)}

    def _StartWatchdog(self, operation: StartWatchdog) -> None:
        if operation.name not in self.hooks:
            raise OperationFailed("NO_SUCH_HOOK", f"{operation.name!r} is not there")
        self.watchdogs.append((self.now_ms() + operation.after_seconds * 1000, operation.name, operation.argument))

    def _OpenFiles(self, operation: OpenFiles) -> dict[str, Any]:
        return {"paths": self._site(operation.site).open_files(operation.path), "way": "NameNode RPC"}

    def _Submitter(self, operation: Submitter) -> dict[str, Any] | None:
        return self._entry.controller() or self.controller

    def _GatewayFacts(self, operation: GatewayFacts) -> dict[str, Any]:
        return dict(self.facts)


FACTS: dict[str, Any] = {
    "python": "3.11.0",
    "python_path": "/usr/bin/python3",
    "agent": "simulated",
    "user": "understudy",
    "boot_id": "00000000-0000-4000-8000-000000000001",
    "hostname": "gateway",
    "spool_free_bytes": 1 << 40,
    "reboot_safe": True,
    "hbase_admin_sha256": "0" * 64,
}


def one_millisecond(operation: Operation) -> float:
    """How long operations take unless a test says otherwise."""
    return 1.0


class Stage:
    """Lets operations happen in virtual time; an operation's effect and its outcome come at the same instant."""

    def __init__(
        self,
        executor: FakeExecutor,
        deliver: Callable[[Outcome], None],
        died: Callable[[], None],
        kill: Kill | None = None,
        latency_ms: Callable[[Operation], float] = one_millisecond,
    ) -> None:
        self._executor = executor
        self._deliver = deliver
        self._died = died
        self._kill = kill
        self._latency_ms = latency_ms
        self._under_way: dict[int, tuple[Operation, Timer]] = {}
        self.count = 0

    def start(self, number: int, operation: Operation) -> None:
        """Let an operation happen after its time."""
        clock = self._executor.clock
        at_ms = clock.now_ms + self._latency_ms(operation)
        if isinstance(operation, (SleepUntil, Fire)):
            at_ms = max(at_ms, operation.at_ms - self._executor.shift_ms)
        self._under_way[number] = (operation, clock.call_at(at_ms, lambda: self._happen(number)))

    def stop(self) -> None:
        """Nothing that is under way will happen."""
        for _, timer in self._under_way.values():
            timer.cancel()
        self._under_way.clear()

    def kill(self, in_flight_lands: bool = False) -> None:
        """The agent dies now."""
        for operation, timer in self._under_way.values():
            timer.cancel()
            if in_flight_lands and isinstance(operation, (HdfsCall, WriteFile, CopyRange, Upload)):
                self._executor.clock.call_at(timer.at_ms, lambda operation=operation: self._land(operation))  # type: ignore[misc]
        self._under_way.clear()
        self._executor.appender.abandon()
        self._died()

    def _land(self, operation: Operation) -> None:
        try:
            self._executor.perform(operation)
        except OperationFailed:
            return  # nobody hears of it

    def _happen(self, number: int) -> None:
        operation, _ = self._under_way.pop(number)
        self.count += 1
        dies_here = self._kill is not None and self._kill.operation == self.count
        if self._kill is not None and dies_here and self._kill.when != "after":
            if self._kill.when == "torn":
                self._executor.perform_half(operation)
            self.kill(self._kill.in_flight_lands)
            return
        try:
            outcome = Outcome(number, self._executor.perform(operation))
        except OperationFailed as failure:
            outcome = Outcome(number, failure=failure)
        if self._kill is not None and dies_here:
            self.kill(self._kill.in_flight_lands)
            return
        self._deliver(outcome)


def run_procedure(
    procedure: Procedure,
    executor: FakeExecutor,
    kill: Kill | None = None,
    latency_ms: Callable[[Operation], float] = one_millisecond,
    outstanding_limit: int = 64,
) -> Any:
    """Run a procedure to its end in virtual time: its result, or the failure it raised, or ``AgentKilled``.

    To go on after ``AgentKilled``, make the procedure anew with ``executor.journal()`` and run it on the same executor.
    """
    machine = Machine(procedure, outstanding_limit)
    dead: list[bool] = []

    def deliver(outcome: Outcome) -> None:
        for number, operation in machine.step([outcome]):
            stage.start(number, operation)

    stage = Stage(executor, deliver, lambda: dead.append(True), kill, latency_ms)
    for number, operation in machine.step():
        stage.start(number, operation)
    executor.clock.run_until(lambda: machine.done or bool(dead))
    if dead:
        raise AgentKilled
    if machine.failure is not None:
        raise machine.failure
    return machine.result
