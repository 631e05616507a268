"""One HDFS data set copied between the lab's two clusters by the agent's procedures, within the test's process."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from infra.agent.core import hdfs
from infra.agent.core.hdfs_component import HdfsComponent
from infra.agent.core.hdfs_entries import Entry
from infra.agent.core.hdfs_snapshots import allow_snapshots, create_snapshot, delete_snapshot, snapshot_path
from infra.agent.core.hdfs_walk import Walk
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.operations import DigestFile, ReadFile, WriteFile
from infra.agent.core.work import Work, manifest_path, read_journal
from infra.agent.protocol import Instruction, canonical
from scripts.labkit.cluster import Cluster
from tests.lab.hdfs_peer import AgentDied, Gateway, RealWriter

MEBIBYTE = 1 << 20
AT_ONCE = 32


class RealPair:
    """One data set on the lab's two clusters; acts as an agent does, in an epoch of its own."""

    def __init__(self, source: Cluster, target: Cluster, path: str, work: Path) -> None:
        self.path = path
        self.epoch = 900_000_000 + secrets.randbelow(90_000_000)
        self.data_set = {"id": path.rpartition("/")[2], "component": "hdfs", "path": path}
        self.app = RealWriter(source)
        self.gateway = Gateway(work, {"primary": source, "secondary": target})
        self.component = HdfsComponent(piece_bytes=2 * MEBIBYTE)
        self.open_files: list[str] = []
        self.recovery_points: list[str] = []
        self.verified: dict[str, Any] = {}
        self.deaths = 0
        self.died = 0
        self._count = 0

    def set_up(self) -> None:
        """What the administrator, and a pair's making, do once."""
        for name in ("scratch", "recovery-points", f"incoming/{self.epoch}"):
            self.ask(hdfs.make_directory("secondary", f"/.understudy/{name}", "700"))
        self.ask(hdfs.make_directory("primary", self.path, "750"))
        self.ask(hdfs.set_owner("primary", self.path, "app", "app"))
        self.ask(allow_snapshots("primary", self.path))

    def tear_down(self) -> None:
        """Remove everything that this data set left."""
        self.app.close_all()
        for site in ("primary", "secondary"):
            snapshots: Iterable[dict[str, Any]] = self.ask(hdfs.list_directory(site, f"{self.path}/.snapshot")) or ()
            for found in snapshots:
                self.ask(delete_snapshot(site, self.path, found["pathSuffix"]))
            self.ask(hdfs.delete(site, self.path))
        for recovery_point in self.recovery_points:
            self.ask(hdfs.delete("secondary", f"/.understudy/recovery-points/{recovery_point}"))
            self.ask(hdfs.delete("secondary", f"/.understudy/scratch/{recovery_point}"))
        self.ask(hdfs.delete("secondary", f"/.understudy/incoming/{self.epoch}"))

    def ask(self, procedure: Procedure) -> Any:
        """Run a procedure on both clusters."""
        return self.gateway.run(self.instruction("CheckCluster", "ask"), lambda journal: procedure)

    def instruction(self, kind: str, run: str, **payload: Any) -> Instruction:
        """An instruction about the data set."""
        self._count += 1
        staging = f"/.understudy/incoming/{self.epoch}/{run}"
        wanted = {"sites": self.gateway.sites, "snapshot": run, "staging": staging, **payload}
        return Instruction(f"i{self._count}", kind, "lab", "b", self.epoch, 1, run, kind, 0, 1 << 60, wanted)

    def carry_out(self, step: Callable[..., Procedure], kind: str, run: str, of: str | None, **payload: Any) -> Any:
        """One step of a run, as its instruction; ``of`` is its base.

        With ``deaths`` the agent dies so often on the way, each time having come a little farther. Who goes on applying
        then is another attempt, which knows nothing of the one before.
        """
        instruction = self.instruction(kind, run, **payload)
        data_set = {**self.data_set, "base": of, "recovery_point": of}

        def make(journal: bytes) -> Procedure:
            return step(Work(instruction, read_journal(journal, data_set["id"] or "")), data_set)

        for death in range(self.deaths):
            try:
                self.gateway.run(instruction, make, die_at=20 + 25 * death)
            except AgentDied:
                self.died += 1
                if kind == "ApplyStaged":
                    instruction = self.instruction(kind, run, **payload)
        return self.gateway.run(instruction, make)

    def cut(self, run: str) -> None:
        """The source's snapshot."""
        self.recovery_points.append(run)
        self.ask(create_snapshot("primary", self.path, run))

    def send(self, run: str, base: str | None) -> Any:
        """Fill staging."""
        payload = {
            "base": base,
            "base_is_on_source": base is not None,
            "recovery_point": base,
            "open_files": self.open_files,
            "level": "checksum",
            "workers": 8,
        }
        return self.carry_out(self.component.send, "SendSnapshots", run, base, **payload)

    def apply(self, work: Work, data_set: dict[str, Any]) -> Procedure:
        """What ApplyStaged does for one data set."""
        yield from self.component.check_apply(work, data_set)
        return (yield from self.component.apply(work, data_set))

    def backup(self, run: str, base: str | None = None, level: str = "checksum") -> dict[str, Any]:
        """A whole run; returns the results of its steps."""
        self.cut(run)
        return self.copy(run, base, level)

    def copy(self, run: str, base: str | None = None, level: str = "checksum") -> dict[str, Any]:
        """What follows when the source's snapshot is there."""
        sent = self.send(run, base)
        return {**sent, **self.finish(run, base, level)}

    def finish(self, run: str, base: str | None = None, level: str = "checksum") -> dict[str, Any]:
        """What follows when staging is filled."""
        applied = self.apply_staged(run, base)
        self.carry_out(self.component.freeze, "FreezeCopies", run, base)
        sample = {"percent": 0, "seed": run}
        digest = self.carry_out(self.component.digest, "DigestSnapshots", run, base, level=level, sample=sample)
        self.verified[run] = digest
        self.ask(self._seal(run))
        return {**applied, "digest": digest}

    def apply_staged(self, run: str, base: str | None) -> dict[str, Any]:
        """Change the copy; another attempt each time."""
        return self.carry_out(self.apply, "ApplyStaged", run, base, head_mode="700")  # type: ignore[no-any-return]

    def _seal(self, run: str) -> Procedure:
        """Keep the manifest with the recovery point."""
        target = manifest_path(run, self.data_set)
        staging = f"/.understudy/incoming/{self.epoch}/{run}"
        yield from hdfs.make_directory("secondary", target.rpartition("/")[0], "700")
        yield from hdfs.rename("secondary", f"{staging}/{self.data_set['id']}/manifest", target)
        yield from self.tell_sealed(run)
        yield from hdfs.delete("secondary", staging)

    def tell_sealed(self, run: str) -> Procedure:
        """Write what a recovery point's own manifest says of the source manifest that is kept with it."""
        target = manifest_path(run, self.data_set)
        content = yield ReadFile("secondary", target)
        copied = {"manifest_sha256": hashlib.sha256(content).hexdigest()}
        facts = {**self.data_set, "copied": copied, "verified": self.verified.get(run)}
        told = {"snapshot": run, "data_sets": [facts]}
        yield WriteFile("secondary", f"{target.rpartition('/')[0]}/manifest.json", canonical(told))

    def picture(self, site: str, root: str) -> dict[str, Any]:
        """Everything that a copy must agree in, read from a cluster."""

        def paint() -> Procedure:
            walk = Walk(site, root)
            entries: list[Entry] = []
            while (entry := (yield from walk.next())) is not None:
                if entry["p"]:
                    entries.append(entry)
            facts = yield Together((self._facts(site, f"{root}/{e['p']}", e) for e in entries), AT_ONCE)
            return {entry["p"]: found for entry, found in zip(entries, facts, strict=True)}

        return self.ask(paint())  # type: ignore[no-any-return]

    def _facts(self, site: str, path: str, entry: Entry) -> Procedure:
        facts: dict[str, Any] = {name: entry.get(name) for name in ("t", "l", "m", "o", "g", "x", "b", "r", "s")}
        facts["acl"] = yield from hdfs.acl_entries(site, path)
        facts["xattrs"] = yield from hdfs.extended_attributes(site, path)
        if entry["t"] == "f":
            facts["sha256"] = (yield DigestFile(site, path, entry["l"]))["sha256"]
        return facts

    def assert_equal(self, run: str, may_be_empty: bool = False) -> dict[str, Any]:
        """The source's snapshot, the copy's snapshot and the head agree; returns the picture of all three."""
        source = self.picture("primary", snapshot_path(self.path, run))
        assert source or may_be_empty
        for place in (snapshot_path(self.path, run), self.path):
            found = self.picture("secondary", place)
            paths = sorted(path for path in {*source, *found} if source.get(path) != found.get(path))
            assert not paths, [(path, source.get(path), found.get(path)) for path in paths[:3]]
        return source

    def rename(self, source: str, target: str) -> None:
        """As the application does it."""
        self.ask(hdfs.rename("primary", f"{self.path}/{source}", f"{self.path}/{target}"))
