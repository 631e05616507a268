"""A pair of simulated clusters with one HBase table, and the instructions of a backup run on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra.agent.core.hbase_component import HBaseComponent
from infra.agent.core.hdfs import FileChecksum
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import Operation
from infra.agent.core.work import Work, manifest_path, read_journal
from infra.agent.protocol import Instruction, hbase_snapshot_name
from tests.fakes.executor import FakeExecutor, Kill, run_procedure
from tests.fakes.hbase import FakeHBase
from tests.fakes.hdfs import FakeHdfs
from tests.fakes.virtual_time import VirtualClock

TABLE = "default:orders"
DATA_SET = {"id": "t1", "component": "hbase", "table": TABLE}
EPOCH = 7
# Small, so that a file of a few blocks is copied in pieces.
PIECE_BYTES = 2048


def _apply(component: HBaseComponent, work: Work, data_set: dict[str, Any]) -> Procedure:
    """What ApplyStaged does for one data set."""
    yield from component.check_apply(work, data_set)
    return (yield from component.apply(work, data_set))


STEPS: dict[str, Callable[[HBaseComponent, Work, dict[str, Any]], Procedure]] = {
    "SendSnapshots": HBaseComponent.send,
    "ApplyStaged": _apply,
    "FreezeCopies": HBaseComponent.freeze,
    "DigestSnapshots": HBaseComponent.digest,
    "RemoveSnapshots": HBaseComponent.remove,
    "OpenCopies": HBaseComponent.open_copy,
    "CloseCopies": HBaseComponent.close_copy,
}


class World:
    """Two clusters with HBase, set up as the administrator's script does it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = VirtualClock()
        self.hdfs = {
            "primary": FakeHdfs(self.clock, page_size=2),
            "secondary": FakeHdfs(self.clock, page_size=2, shift_ms=-1500),
        }
        self.primary = FakeHBase(self.hdfs["primary"], "a")
        self.secondary = FakeHBase(self.hdfs["secondary"], "b")
        self.component = HBaseComponent(PIECE_BYTES)
        self.count = 0
        self.performed: list[Operation] = []
        for hdfs in self.hdfs.values():
            for name in ("", "/scratch", "/recovery-points", "/identity", f"/incoming/{EPOCH}"):
                hdfs.call("PUT", "MKDIRS", f"/.understudy{name}", {"permission": "700"})
        self.primary.create_table(TABLE, ("f", "g"), splits=("m",))

    def fill(self, prefix: str, count: int = 3, size: int = 20) -> None:
        """Put rows in both regions and both families."""
        for number in range(count):
            for start in ("a", "q"):
                for family in ("f", "g"):
                    self.primary.put(TABLE, f"{start}-{prefix}-{number}", f"{prefix} " * size, family)

    def instruction(self, kind: str, run: str, site: str = "secondary", **payload: Any) -> Instruction:
        """An instruction of a run on the table."""
        self.count += 1
        sites = {
            name: {"cluster": name, "namenodes": [f"http://{name}"], "hbase": {"root": "/hbase", "admin_command": []}}
            for name in self.hdfs
            if kind == "SendSnapshots" or name == site
        }
        staging = f"/.understudy/incoming/{EPOCH}/{run}"
        payload = {"sites": sites, "snapshot": run, "staging": staging, "data_sets": [DATA_SET], **payload}
        return Instruction(f"{kind}-{self.count}", kind, "pair", "b", EPOCH, 1, run, kind, 0, 1 << 60, payload)

    def executor(self, instruction: Instruction) -> FakeExecutor:
        """The gateway's side of an instruction: asked again for the same one, it finds the same spool."""
        # In a push the sender has no administration process of the secondary, in a pull none of the primary.
        hbase = {} if instruction.kind == "SendSnapshots" else {"primary": self.primary, "secondary": self.secondary}
        executor = FakeExecutor(self.clock, self.directory / instruction.id, hdfs=self.hdfs, hbase=hbase)
        executor.others[FileChecksum] = lambda operation: self.hdfs[operation.site].checksum(operation.path)
        return executor

    def run(
        self, instruction: Instruction, kill: Kill | None = None, disturb: Callable[[int], object] | None = None
    ) -> Any:
        """Carry an instruction out, from its journal if it has one; ``disturb`` is called before each operation."""
        executor = self.executor(instruction)
        if disturb is not None:
            _disturb(executor, disturb)
        try:
            return run_procedure(self.procedure(instruction, executor.journal()), executor, kill)
        finally:
            self.performed = executor.performed
            executor.appender.abandon()

    def procedure(self, instruction: Instruction, journal: bytes) -> Procedure:
        """The component's procedure for the table of an instruction."""
        work = Work(instruction, read_journal(journal, DATA_SET["id"]))
        payload = instruction.payload
        data_set = payload["data_set"] if "data_set" in payload else payload["data_sets"][0]
        return STEPS[instruction.kind](self.component, work, data_set)

    def cut(self, run: str) -> None:
        """Take the primary's snapshot."""
        self.clock.advance_to(self.clock.now_ms + 1)
        self.primary.call({"do": "snapshot", "table": TABLE, "name": hbase_snapshot_name(run, TABLE)})
        self.clock.advance_to(self.clock.now_ms + 1)

    def send(self, run: str, base: str | None = None, **payload: Any) -> Instruction:
        """A SendSnapshots; ``base`` is also the name of its recovery point here."""
        wanted: dict[str, Any] = {
            "data_set": DATA_SET,
            "base": base,
            "base_is_on_source": base is not None,
            "recovery_point": base,
            "open_files": [],
            "level": "checksum",
            "workers": 4,
        }
        return self.instruction("SendSnapshots", run, **{**wanted, **payload})

    def apply(self, run: str, base: str | None = None) -> Instruction:
        """An ApplyStaged."""
        data_set = {**DATA_SET, "base": base, "recovery_point": base}
        return self.instruction("ApplyStaged", run, data_sets=[data_set], head_mode="700")

    def digest(self, run: str, level: str = "checksum", percent: int = 0, trial: bool = True) -> Instruction:
        """A DigestSnapshots."""
        sample = {"percent": percent, "seed": run}
        trial_clone = TABLE if trial else None
        return self.instruction("DigestSnapshots", run, level=level, sample=sample, trial_clone=trial_clone)

    def seal(self, run: str) -> None:
        """Keep the manifest with the recovery point and remove staging, as sealing does."""
        path = manifest_path(run, DATA_SET)
        hdfs = self.hdfs["secondary"]
        hdfs.call("PUT", "MKDIRS", path.rpartition("/")[0], {"permission": "700"})
        hdfs.write(path, hdfs.read(f"/.understudy/incoming/{EPOCH}/{run}/t1/manifest"))
        hdfs.call("DELETE", "DELETE", f"/.understudy/incoming/{EPOCH}/{run}", {"recursive": "true"})

    def backup(self, run: str, base: str | None = None, level: str = "checksum") -> dict[str, Any]:
        """A whole run; returns the sender's totals and the other steps' results for the table."""
        self.cut(run)
        sent = self.run(self.send(run, base))
        applied = self.run(self.apply(run, base))
        self.run(self.instruction("FreezeCopies", run))
        digest = self.run(self.digest(run, level))
        self.seal(run)
        return {**sent, **applied, "digest": digest}

    def contents_at(self, run: str) -> tuple[dict[tuple[str, str], str], dict[tuple[str, str], str]]:
        """What clones of the two sides' snapshots hold."""
        name = hbase_snapshot_name(run, TABLE)
        found = []
        for hbase in (self.primary, self.secondary):
            hbase.call({"do": "clone", "snapshot": name, "table": "understudy_scratch:look"})
            found.append(hbase.scan("understudy_scratch:look"))
            hbase.call({"do": "disable", "table": "understudy_scratch:look"})
            hbase.call({"do": "drop", "table": "understudy_scratch:look"})
        return found[0], found[1]

    def assert_equal(self, run: str) -> None:
        """Compare what both sides' snapshots hold, row by row, through clones."""
        primary, secondary = self.contents_at(run)
        assert primary
        assert secondary == primary

    def path_of_some_file(self) -> str:
        """A store file in the secondary's archive."""
        return next(path for path in self.archived() if "/orders/" in path)

    def archived(self) -> list[str]:
        """The files of the secondary's archive."""
        return sorted(files_below(self.hdfs["secondary"], "/hbase/archive/data"))


def files_below(hdfs: FakeHdfs, path: str) -> list[str]:
    """The paths of all files below a directory."""
    inode = hdfs.find(path)
    if inode is None or not inode.is_directory:
        return [] if inode is None else [path]
    return [file for name in inode.children or () for file in files_below(hdfs, f"{path}/{name}")]


def _disturb(executor: FakeExecutor, disturb: Callable[[int], object]) -> None:
    perform = executor.perform

    def disturbed(operation: Operation) -> Any:
        disturb(len(executor.performed) + 1)
        return perform(operation)

    executor.perform = disturbed  # type: ignore[method-assign]
