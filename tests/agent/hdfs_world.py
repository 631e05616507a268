"""A pair of simulated clusters with one HDFS data set, and the instructions of a backup run on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra.agent.core.hdfs import FileChecksum
from infra.agent.core.hdfs_adopt import list_losses
from infra.agent.core.hdfs_component import HdfsComponent
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import Operation
from infra.agent.core.work import Work, manifest_path, read_journal
from infra.agent.protocol import Instruction, canonical
from tests.fakes.executor import FakeExecutor, Kill, run_procedure
from tests.fakes.hdfs import FakeHdfs
from tests.fakes.hdfs_application import Application
from tests.fakes.hdfs_namespace import Inode, walk
from tests.fakes.virtual_time import VirtualClock

HEAD = "/data/sales"
DATA_SET = {"id": "d1", "component": "hdfs", "path": HEAD}
EPOCH = 7
# Small, so that a file of a few blocks is copied in pieces.
PIECE_BYTES = 2048


def _apply(component: HdfsComponent, work: Work, data_set: dict[str, Any]) -> Procedure:
    """What ApplyStaged does for one data set."""
    yield from component.check_apply(work, data_set)
    return (yield from component.apply(work, data_set))


STEPS: dict[str, Callable[[HdfsComponent, Work, dict[str, Any]], Procedure]] = {
    "SendSnapshots": HdfsComponent.send,
    "ApplyStaged": _apply,
    "FreezeCopies": HdfsComponent.freeze,
    "DigestSnapshots": HdfsComponent.digest,
    "RemoveSnapshots": HdfsComponent.remove,
    "OpenCopies": HdfsComponent.open_copy,
}


class World:
    """Two clusters, set up as the administrator's script does it."""

    def __init__(self, directory: Path, capture_open_files: bool = False) -> None:
        self.directory = directory
        self.clock = VirtualClock()
        self.primary = FakeHdfs(self.clock, capture_open_files)
        # The clocks of two clusters never agree.
        self.secondary = FakeHdfs(self.clock, capture_open_files, shift_ms=-1500)
        self.app = Application(self.primary)
        self.component = HdfsComponent(PIECE_BYTES)
        self.count = 0
        self.performed: list[Operation] = []
        self.open_files: list[str] = []
        self.from_head = False
        self.when_cut: Callable[[], None] = lambda: None
        for hdfs in (self.primary, self.secondary):
            for name in ("", "/scratch", "/recovery-points", "/identity", f"/incoming/{EPOCH}"):
                hdfs.call("PUT", "MKDIRS", f"/.understudy{name}", {"permission": "700"})
        self.app.mkdir(HEAD, "750")

    @property
    def hdfs(self) -> dict[str, FakeHdfs]:
        """By site."""
        return {"primary": self.primary, "secondary": self.secondary}

    def instruction(self, kind: str, run: str, **payload: Any) -> Instruction:
        """An instruction of a run on the data set."""
        self.count += 1
        sites = {site: {"cluster": site, "namenodes": [f"http://{site}"]} for site in self.hdfs}
        if kind != "SendSnapshots":
            sites.pop("primary" if payload.pop("site", "secondary") == "secondary" else "secondary")
        staging = f"/.understudy/incoming/{EPOCH}/{run}"
        payload = {"sites": sites, "snapshot": run, "staging": staging, "data_sets": [DATA_SET], **payload}
        return Instruction(f"{kind}-{self.count}", kind, "pair", "b", EPOCH, 1, run, kind, 0, 1 << 60, payload)

    def executor(self, instruction: Instruction) -> FakeExecutor:
        """The gateway's side of an instruction: asked again for the same one, it finds the same spool."""
        executor = FakeExecutor(self.clock, self.directory / instruction.id, hdfs=self.hdfs)
        executor.others[FileChecksum] = lambda operation: self.hdfs[operation.site].checksum(operation.path)
        return executor

    def run(self, instruction: Instruction, kill: Kill | None = None) -> Any:
        """Carry an instruction out, from its journal if it has one."""
        executor = self.executor(instruction)
        try:
            result = run_procedure(self.procedure(instruction, executor.journal()), executor, kill)
            if instruction.kind == "SendSnapshots":
                self.from_head = result["compared_with"] == "head"
            return result
        finally:
            self.performed = executor.performed
            executor.appender.abandon()

    def procedure(self, instruction: Instruction, journal: bytes) -> Procedure:
        """The component's procedure for the data set of an instruction."""
        if instruction.kind == "ListLosses":
            return list_losses(instruction, journal)
        work = Work(instruction, read_journal(journal, DATA_SET["id"]))
        payload = instruction.payload
        data_set = payload["data_set"] if "data_set" in payload else payload["data_sets"][0]
        return STEPS[instruction.kind](self.component, work, data_set)

    def cut(self, run: str) -> None:
        """Take the primary's snapshot."""
        self.primary.call("PUT", "ALLOWSNAPSHOT", HEAD, {})
        self.clock.advance_to(self.clock.now_ms + 1)
        self.primary.call("PUT", "CREATESNAPSHOT", HEAD, {"snapshotname": run})
        self.clock.advance_to(self.clock.now_ms + 1)
        self.when_cut()

    def send_instruction(self, run: str, base: str | None, **payload: Any) -> Instruction:
        """A SendSnapshots; ``base`` is also the name of its recovery point here."""
        wanted: dict[str, Any] = {
            "data_set": DATA_SET,
            "base": base,
            "base_is_on_source": base is not None,
            "recovery_point": base,
            "open_files": self.open_files,
            "level": "checksum",
            "workers": 4,
        }
        return self.instruction("SendSnapshots", run, **{**wanted, **payload})

    def apply_instruction(self, run: str, base: str | None) -> Instruction:
        """An ApplyStaged of what was sent last."""
        from_head = base is None and self.from_head
        data_set = {**DATA_SET, "base": base, "recovery_point": base, "from_head": from_head}
        return self.instruction("ApplyStaged", run, data_sets=[data_set], head_mode="700")

    def digest_instruction(
        self, run: str, level: str = "checksum", percent: int = 0, base: str | None = None, recheck_days: int = 7
    ) -> Instruction:
        """A DigestSnapshots; what has not changed since ``base`` is proved by that recovery point."""
        sample = {"percent": percent, "seed": run}
        proved_by = {"proved_by": {"snapshot": base, "recovery_point": base}} if base else {}
        more = {"data_sets": [{**DATA_SET, **proved_by}], "sample": sample, "recheck_days": recheck_days}
        return self.instruction("DigestSnapshots", run, level=level, trial_clone=None, **more)

    def seal(self, run: str, sent: dict[str, Any] | None = None, digest: dict[str, Any] | None = None) -> None:
        """Keep the manifests with the recovery point and remove staging, as sealing does."""
        path = manifest_path(run, DATA_SET)
        directory = path.rpartition("/")[0]
        self.secondary.call("PUT", "MKDIRS", directory, {"permission": "700"})
        told = {"snapshot": run, "data_sets": [{**DATA_SET, "copied": sent, "verified": digest}]}
        self.secondary.write(f"{directory}/manifest.json", canonical(told))
        self.secondary.write(path, self.secondary.read(f"/.understudy/incoming/{EPOCH}/{run}/d1/manifest"))
        self.secondary.call("DELETE", "DELETE", f"/.understudy/incoming/{EPOCH}/{run}", {"recursive": "true"})

    def backup(
        self, run: str, base: str | None = None, level: str = "checksum", recheck_days: int = 7, **payload: Any
    ) -> dict[str, Any]:
        """A whole run; returns the sender's totals and the other steps' results for the data set."""
        self.cut(run)
        sent = self.run(self.send_instruction(run, base, **payload))
        applied = self.run(self.apply_instruction(run, sent["base"]))
        self.run(self.instruction("FreezeCopies", run))
        digest = self.run(self.digest_instruction(run, level, base=sent["base"], recheck_days=recheck_days))
        self.seal(run, sent, digest)
        return {**sent, **applied, "digest": digest}

    def assert_equal(self, run: str) -> None:
        """Compare the source's snapshot with the head and with its snapshot, by what they are, not by a manifest."""
        source = picture(self.primary, f"{HEAD}/.snapshot/{run}")
        assert picture(self.secondary, f"{HEAD}/.snapshot/{run}") == source
        assert picture(self.secondary, HEAD) == source


def picture(hdfs: FakeHdfs, path: str) -> dict[str, Any]:
    """Everything that a copy must agree in, by path, but for the root's own attributes."""
    root = hdfs.find(path)
    assert root is not None
    return {name: _facts(hdfs, inode) for name, inode in walk(root) if name}


def _facts(hdfs: FakeHdfs, inode: Inode) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "owner": (inode.owner, inode.group, inode.mode),
        "time": inode.content.modified_ms,
        "acl": sorted(inode.acl),
        "attributes": inode.attributes,
        "policy": hdfs.effective_policy(inode),
    }
    if not inode.is_directory:
        facts.update(data=inode.data()[: inode.length], replication=inode.replication, block_size=inode.block_size)
    return facts
