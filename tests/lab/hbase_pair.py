"""Both real clusters and the agent's procedures for tables between them, run as agents run them, without gateways."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra.agent.core import hdfs
from infra.agent.core.hbase_component import HBaseComponent
from infra.agent.core.hbase_entries import Manifest
from infra.agent.core.hbase_files import locate
from infra.agent.core.hbase_layout import ARCHIVE
from infra.agent.core.hbase_snapshot import read_snapshot
from infra.agent.core.machine import Machine, Outcome, Procedure
from infra.agent.core.operations import HBaseCall, ReadFile, WriteFile
from infra.agent.core.work import Work, manifest_path, read_journal
from infra.agent.protocol import Instruction, canonical, hbase_snapshot_name
from infra.agent.shell.assembly import make_executor
from infra.agent.shell.reports import Log
from infra.agent.shell.spool import Spool
from scripts.labkit.lab import Lab
from tests.contracts.hdfs_contract import once
from tests.lab.hbase_peer import HBasePeer
from tests.lab.hdfs_peer import Disturb

USERS = {name: {"kind": "simple", "user": name} for name in ("hdfs", "hbase")}
ROOT = "/hbase"
LONG_AGO_MS = 1_000_000_000_000  # old enough for the cleaner of the archive


class RealTables:
    """Both clusters and the procedures between them, as agents run them, in an epoch of its own."""

    def __init__(self, lab: Lab, work: Path) -> None:
        self.epoch = 900_000_000 + secrets.randbelow(90_000_000)
        self.peers = {
            "primary": HBasePeer(lab.cluster("a"), work / "log-a"),
            "secondary": HBasePeer(lab.cluster("b"), work / "log-b"),
        }
        self.source, self.target = self.peers["primary"], self.peers["secondary"]
        self.component = HBaseComponent(piece_bytes=2 << 20)
        self.recovery_points: list[str] = []
        self.sites = {
            site: {
                "cluster": peer.cluster.name,
                "namenodes": [peer.cluster.webhdfs_url],
                "hbase": {"root": ROOT, "admin_command": []},
            }
            for site, peer in self.peers.items()
        }
        self._spool = Spool(str(work / "spool"))
        self._spool.open()
        self._count = 0
        self.ask(hdfs.make_directory("secondary", f"/.understudy/incoming/{self.epoch}", "700"))

    def close(self) -> None:
        """Remove everything that was made."""
        for recovery_point in self.recovery_points:
            self.ask(hdfs.delete("secondary", f"/.understudy/recovery-points/{recovery_point}"))
            self.ask(hdfs.delete("secondary", f"/.understudy/scratch/{recovery_point}"))
        self.ask(hdfs.delete("secondary", f"/.understudy/incoming/{self.epoch}"))
        for peer in self.peers.values():
            for table in peer.call({"do": "tables", "pattern": f"understudy_scratch:*{self.source.mark}*"})["tables"]:
                peer.console.run(f"drop({table['table']!r})")
            for snapshot in peer.call({"do": "list_snapshots", "pattern": f"us-*{self.source.mark}*"})["snapshots"]:
                peer.call({"do": "delete_snapshot", "name": snapshot["name"]})
            peer.close()

    def ask(self, procedure: Procedure) -> Any:
        """Run a procedure on both clusters."""
        return self.run(self.instruction("CheckCluster", "ask", ""), lambda journal: procedure)

    def instruction(self, kind: str, run: str, table: str, **payload: Any) -> Instruction:
        """An instruction about a table."""
        self._count += 1
        staging = f"/.understudy/incoming/{self.epoch}/{run}"
        wanted = {"sites": self.sites, "snapshot": run, "staging": staging, **payload}
        return Instruction(f"i{self._count}", kind, "lab", "b", self.epoch, 1, run, kind, 0, 1 << 60, wanted)

    def run(self, instruction: Instruction, make: Callable[[bytes], Procedure], disturb: Disturb | None = None) -> Any:
        """Run a procedure as an agent does; the administration processes are kept from one to the next."""
        files = {
            "instruction.json": canonical(instruction.to_wire()),
            "credentials.json": canonical(dict.fromkeys(self.sites, USERS)),
        }
        self._spool.create(instruction.id, files)
        entry = self._spool.entry(instruction.id)
        executor = make_executor(self._spool, lambda other: None, instruction, entry, Log(entry.path("log")))
        executor._performs[HBaseCall] = lambda call: self.peers[call.site].process.call(
            call.request, call.timeout_seconds
        )
        machine = Machine(make(b""))
        outcomes: list[Outcome] = []
        try:
            while not machine.done:
                for number, operation in machine.step(outcomes):
                    if disturb is not None:
                        disturb(number, operation)
                    executor.start(number, operation)
                outcomes = [] if machine.done else list(executor.wait(1.0))
        finally:
            executor.stop()
        if machine.failure is not None:
            raise machine.failure
        return machine.result

    def step(self, kind: str, run: str, table: str, payload: dict[str, Any], disturb: Disturb | None = None) -> Any:
        """One step of a run for one table."""
        steps = {
            "SendSnapshots": self.component.send,
            "ApplyStaged": self._apply,
            "FreezeCopies": self.component.freeze,
            "DigestSnapshots": self.component.digest,
            "RemoveSnapshots": self.component.remove,
            "OpenCopies": self.component.open_copy,
            "CloseCopies": self.component.close_copy,
        }
        data_set = {"id": "t1", "component": "hbase", "table": table}
        if kind in ("RemoveSnapshots", "OpenCopies", "CloseCopies"):
            payload = {"sites": {"secondary": self.sites["secondary"]}, **payload}
        instruction = self.instruction(kind, run, table, **payload)

        def make(journal: bytes) -> Procedure:
            return steps[kind](Work(instruction, read_journal(journal, "t1")), data_set)

        return self.run(instruction, make, disturb)

    def _apply(self, work: Work, data_set: dict[str, Any]) -> Procedure:
        yield from self.component.check_apply(work, data_set)
        return (yield from self.component.apply(work, data_set))

    def take(self, run: str, table: str) -> None:
        """Take the primary's snapshot."""
        self.source.call({"do": "snapshot", "table": table, "name": hbase_snapshot_name(run, table)})
        self.recovery_points.append(run)

    def send(self, run: str, table: str, base: str | None = None, disturb: Disturb | None = None) -> Any:
        """Take the primary's snapshot and send it."""
        self.take(run, table)
        return self.send_taken(run, table, base, disturb)

    def send_taken(self, run: str, table: str, base: str | None = None, disturb: Disturb | None = None) -> Any:
        """Send a snapshot that was taken."""
        known = {"base": base, "base_is_on_source": False, "recovery_point": base}
        return self.step(
            "SendSnapshots", run, table, {**known, "open_files": [], "workers": 4, "level": "checksum"}, disturb
        )

    def apply(self, run: str, table: str, disturb: Disturb | None = None) -> Any:
        """Apply what is staged."""
        return self.step("ApplyStaged", run, table, {"head_mode": "700"}, disturb)

    def digest(self, run: str, table: str, level: str = "checksum", trial: bool = True) -> Any:
        """Digest the secondary's snapshot."""
        trial_clone = table if trial else None
        sample = {"percent": 0, "seed": run}
        payload = {"level": level, "sample": sample, "trial_clone": trial_clone}
        return self.step("DigestSnapshots", run, table, payload)

    def backup(self, run: str, table: str, base: str | None = None) -> dict[str, Any]:
        """A whole run of one table."""
        return self.finish(run, table, self.send(run, table, base))

    def finish(self, run: str, table: str, sent: dict[str, Any]) -> dict[str, Any]:
        """What follows when a table was sent; it has to be found equal."""
        self.apply(run, table)
        assert self.step("FreezeCopies", run, table, {})["snapshot"] == hbase_snapshot_name(run, table)
        digest = self.digest(run, table)
        assert digest["content"]["verdict"] == digest["metadata"]["verdict"] == "EQUAL", digest["differences"]
        self.ask(self._seal(run))
        return {**sent, "digest": digest}

    def _seal(self, run: str) -> Procedure:
        path = manifest_path(run, {"id": "t1"})
        yield from hdfs.make_directory("secondary", path.rpartition("/")[0], "700")
        manifest = yield ReadFile("secondary", f"/.understudy/incoming/{self.epoch}/{run}/t1/manifest")
        yield WriteFile("secondary", path, manifest)

    def clone_of(self, site: str, run: str, table: str, with_expired: bool = False) -> list[str]:
        """What a clone of a side's snapshot holds; what has outlived its time to live too, if that is wanted."""
        peer = self.peers[site]
        clone = f"understudy_scratch:{peer.name('look')}"
        # A compaction would take away older versions.
        compacts = peer.console.run("allow_compactions(false)")
        peer.call({"do": "clone", "snapshot": hbase_snapshot_name(run, table), "table": clone, "timeout_ms": 60_000})
        if with_expired:
            peer.console.run(f"keep_for_ever({clone!r})")
        cells: list[str] = peer.console.run(f"scan({clone!r})")
        peer.console.run(f"drop({clone!r}); allow_compactions({str(compacts).lower()})")
        return cells

    def assert_equal(self, run: str, table: str, cells: int | None = None, with_expired: bool = False) -> list[str]:
        """Compare both sides' snapshots cell by cell; returns the cells, of which there have to be so many."""
        found = self.clone_of("secondary", run, table, with_expired)
        expected = self.clone_of("primary", run, table, with_expired)
        assert found == expected, sorted({*found} ^ {*expected})[:10]
        assert cells in (None, len(found))
        return found

    def plant_stray(self, site: str, table: str) -> str:
        """Put an old file that nothing names into a table's archive; the cleaner takes it away, if it works at all."""
        directory = f"{ROOT}/{ARCHIVE}/{table.replace(':', '/')}/{'0' * 32}/d"
        stray = f"{directory}/{'f' * 32}"

        def plant() -> Procedure:
            yield from hdfs.make_directory(site, directory, "755", user="hbase")
            yield WriteFile(site, stray, b"nothing names this", "644")
            yield from hdfs.set_owner(site, stray, "hbase", "hbase")
            yield from hdfs.set_modification_time(site, stray, LONG_AGO_MS)

        self.ask(plant())
        return stray

    def moved(self, run: str) -> list[str]:
        """The store files that a run has moved, as its manifest tells: "namespace/table/region/family/file"."""
        manifest = self.ask(once(ReadFile("secondary", manifest_path(run, {"id": "t1"}))))
        return [entry["p"] for _, entry in Manifest.parse(manifest).moved()]

    def files_on_secondary(self, run: str, table: str) -> list[str]:
        """Where the secondary's snapshot finds its files."""
        return self.files_on("secondary", run, table)

    def files_on(self, site: str, run: str, table: str) -> list[str]:
        """Where a side's snapshot finds its files."""
        directory = f"{ROOT}/.hbase-snapshot/{hbase_snapshot_name(run, table)}"
        snapshot = self.ask(read_snapshot(site, directory))
        found = self.ask(locate(site, ROOT, [item.file for item in snapshot.wanted]))
        return sorted(item.path for item in found.values())
