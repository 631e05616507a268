"""Tables copied between the lab's two clusters by the agent's procedures, compared by scanning clones on both sides."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.agent.core import hbase_clones, hdfs
from infra.agent.core.hbase_component import HBaseComponent
from infra.agent.core.hbase_files import locate
from infra.agent.core.hbase_layout import ARCHIVE
from infra.agent.core.hbase_snapshot import read_snapshot
from infra.agent.core.machine import Machine, Outcome, Procedure
from infra.agent.core.operations import HBaseCall, Operation, OperationFailed, ReadFile, WriteFile
from infra.agent.core.work import Work, manifest_path, read_journal
from infra.agent.protocol import Instruction, canonical, hbase_snapshot_name
from infra.agent.shell.assembly import make_executor
from infra.agent.shell.reports import Log
from infra.agent.shell.spool import Spool
from scripts.labkit.lab import Lab
from tests.lab.hbase_peer import HBasePeer

USERS = {name: {"kind": "simple", "user": name} for name in ("hdfs", "hbase")}
ROOT = "/hbase"
LONG_AGO_MS = 1_000_000_000_000
Disturb = Callable[[int], object]


class RealPair:
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
                    _tell(disturb, number, operation)
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

    def send(self, run: str, table: str, base: str | None = None) -> Any:
        """Take the primary's snapshot and send it."""
        self.source.call({"do": "snapshot", "table": table, "name": hbase_snapshot_name(run, table)})
        self.recovery_points.append(run)
        known = {"base": base, "base_is_on_source": False, "recovery_point": base}
        return self.step("SendSnapshots", run, table, {**known, "open_files": [], "workers": 4, "level": "checksum"})

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
        sent = self.send(run, table, base)
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

    def clone_of(self, site: str, run: str, table: str) -> list[str]:
        """What a clone of a side's snapshot holds."""
        peer = self.peers[site]
        clone = f"understudy_scratch:{peer.name('look')}"
        peer.call({"do": "clone", "snapshot": hbase_snapshot_name(run, table), "table": clone, "timeout_ms": 60_000})
        cells: list[str] = peer.console.run(f"scan({clone!r})")
        peer.console.run(f"drop({clone!r})")
        return cells

    def assert_equal(self, run: str, table: str, cells: int) -> None:
        """Compare both sides' snapshots cell by cell."""
        found = self.clone_of("secondary", run, table)
        assert found == self.clone_of("primary", run, table)
        assert len(found) == cells

    def files_on_secondary(self, run: str, table: str) -> list[str]:
        """Where the secondary's snapshot finds its files."""
        directory = f"{ROOT}/.hbase-snapshot/{hbase_snapshot_name(run, table)}"
        snapshot = self.ask(read_snapshot("secondary", directory))
        found = self.ask(locate("secondary", ROOT, [item.file for item in snapshot.wanted]))
        return sorted(item.path for item in found.values())


def _tell(disturb: Disturb | None, number: int, operation: Operation) -> None:
    if disturb is not None:
        disturb(number)


@pytest.fixture(scope="module")
def pair(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealPair]:
    found = RealPair(lab, tmp_path_factory.mktemp("hbase"))
    yield found
    found.close()


@pytest.fixture
def table(pair: RealPair) -> str:
    """A table of three regions and two families with sixty rows of two cells, flushed."""
    name = f"default:{pair.source.name('copied')}"
    pair.source.create_table(name, ("d", "e"), ("g", "p"))
    for prefix in "ahq":
        pair.source.console.run(f"fill({name!r}, %w[d e], {prefix!r}, 20, 3)")
    pair.source.call({"do": "flush", "table": name})
    return name


@pytest.fixture
def run(pair: RealPair) -> str:
    """A name for a run; others are made from it."""
    return f"us-{pair.source.name('run')}".replace("_", "-")


def test_increments_copy_new_files_alone(pair: RealPair, table: str, run: str) -> None:
    first = pair.backup(run, table)
    assert (first["files"], first["files_moved"], first["full"]) == (6, 6, True)
    assert first["digest"]["trial_clone"]["rows_seen"] == 60
    pair.assert_equal(run, table, 120)
    for prefix in "ah":
        pair.source.console.run(f"fill({table!r}, %w[d], {f'{prefix}2'!r}, 5, 3)")
    second = pair.backup(f"{run}-2", table, base=run)
    assert (second["files"], second["files_moved"], second["entries_in_base"]) == (8, 2, 6)
    pair.assert_equal(f"{run}-2", table, 130)
    pair.source.console.run(f"compact({table!r})")
    third = pair.backup(f"{run}-3", table, base=f"{run}-2")
    assert third["files"] == 6
    pair.assert_equal(f"{run}-3", table, 130)
    nothing = pair.backup(f"{run}-4", table, base=f"{run}-3")
    assert (nothing["files_moved"], nothing["bytes_moved"]) == (0, 0)
    removed = pair.step("RemoveSnapshots", run, table, {})
    assert removed["removed"] == [hbase_snapshot_name(run, table)]
    pair.assert_equal(f"{run}-2", table, 130)


def test_a_table_that_was_split(pair: RealPair, table: str, run: str) -> None:
    pair.source.console.run(f"split({table!r}, 'a-00010')")
    pair.source.console.run(f"fill({table!r}, %w[d], 'a-new', 5, 3)")
    directory = f"{ROOT}/.hbase-snapshot/{hbase_snapshot_name(run, table)}"
    pair.backup(run, table)
    snapshot = pair.ask(read_snapshot("secondary", directory))
    assert any(file.is_whole_reference for region in snapshot.regions for file in region.files)
    pair.assert_equal(run, table, 125)


def test_a_table_that_is_a_clone_of_a_split_one(pair: RealPair, table: str, run: str) -> None:
    pair.source.console.run(f"split({table!r}, 'a-00010')")
    clone = f"default:{pair.source.name('cloned')}"
    pair.source.console.run(f"$admin.snapshot('{run}-origin', TableName.valueOf({table!r}))")
    pair.source.console.run(f"$admin.cloneSnapshot('{run}-origin', TableName.valueOf({clone!r}))")
    pair.source.console.run(f"fill({clone!r}, %w[d e], 'own', 5, 3)")
    # Its origin goes: what the clone leads to is in the archive alone.
    pair.source.console.run(f"drop({table!r})")
    pair.backup(run, clone)
    assert any(table.partition(":")[2] in path for path in pair.files_on_secondary(run, clone))
    pair.assert_equal(run, clone, 130)


def test_a_disabled_table(pair: RealPair, table: str, run: str) -> None:
    pair.source.disable(table)
    pair.backup(run, table)
    pair.assert_equal(run, table, 120)


def test_medium_sized_objects(pair: RealPair, run: str) -> None:
    table = f"default:{pair.source.name('mob')}"
    pair.source.create_table_with(table, {"m": {"mob_threshold": 100}, "d": {}}, [])
    pair.source.console.run(f"fill({table!r}, %w[m d], 'a', 20, 40)")
    pair.backup(run, table)
    pair.assert_equal(run, table, 40)
    clone = f"default:{pair.source.name('mobclone')}"
    pair.source.console.run(f"$admin.cloneSnapshot({hbase_snapshot_name(run, table)!r}, TableName.valueOf({clone!r}))")
    with pytest.raises(OperationFailed) as caught:
        pair.send(f"{run}-2", clone)
    assert caught.value.code == "MOB_LINKS"


def test_the_cleaner_spares_what_is_applied(pair: RealPair, table: str, run: str) -> None:
    """The control is an old file of the same archive that nothing names: the very same cleaner takes it."""
    pair.send(run, table)
    directory = f"{ROOT}/{ARCHIVE}/{table.replace(':', '/')}/{'0' * 32}/d"
    stray = f"{directory}/{'f' * 32}"
    pair.ask(_stray(directory, stray))
    pair.apply(run, table, disturb=lambda number: _clean(pair) if number % 10 == 0 else None)
    files = pair.files_on_secondary(run, table)
    assert len(files) == 6
    for path in files:
        pair.ask(hdfs.set_modification_time("secondary", path, LONG_AGO_MS))
    _clean(pair)
    assert pair.ask(hdfs.status("secondary", stray)) is None
    assert pair.files_on_secondary(run, table) == files
    pair.assert_equal(run, table, 120)


def _stray(directory: str, path: str) -> Procedure:
    yield from hdfs.make_directory("secondary", directory, "755", user="hbase")
    yield WriteFile("secondary", path, b"nothing names this", "644")
    yield from hdfs.set_owner("secondary", path, "hbase", "hbase")
    yield from hdfs.set_modification_time("secondary", path, LONG_AGO_MS)


def _clean(pair: RealPair) -> None:
    pair.target.console.run("$admin.runCleanerChore")


def test_files_of_another_owner_are_found_and_a_clone_that_hangs_ends(
    pair: RealPair, table: str, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.backup(run, table)
    path = pair.files_on_secondary(run, table)[0]
    pair.ask(hdfs.set_owner("secondary", path, "understudy", "supergroup"))
    pair.ask(hdfs.set_permission("secondary", path, "600"))
    with pytest.raises(OperationFailed, match=path) as caught:
        pair.digest(run, table)
    assert caught.value.code == "WRONG_OWNER"
    monkeypatch.setattr(hbase_clones, "OPEN_SECONDS", 15.0)
    with pytest.raises(OperationFailed) as caught:
        pair.step("OpenCopies", run, table, {"scratch": "look"})
    assert caught.value.code == "CLONE_HANGS"
    # Given back to HBase, the region opens by itself, and the clone can be closed.
    pair.ask(hdfs.set_owner("secondary", path, "hbase", "hbase"))
    monkeypatch.undo()
    opened = pair.step("OpenCopies", run, table, {"scratch": "look"})
    assert len(pair.target.console.run(f"scan({opened['readable']!r})")) == 120
    with pytest.raises(OperationFailed) as caught:
        pair.step("RemoveSnapshots", run, table, {})
    assert caught.value.code == "CLONE_LIVES"
    assert pair.step("CloseCopies", run, table, {"scratch": "look"}) == {"removed": [opened["readable"]]}
    assert pair.step("RemoveSnapshots", run, table, {})["removed"]


def test_a_master_that_restarts_during_apply(pair: RealPair, table: str, run: str) -> None:
    """It empties ``.tmp``, where the snapshot is being made; apply notices and does it again."""
    pair.send(run, table)
    cluster = pair.target.cluster
    restarted: list[int] = []

    def restart(number: int) -> None:
        working = f"{ROOT}/.hbase-snapshot/.tmp/{hbase_snapshot_name(run, table)}"
        if not restarted and cluster.webhdfs("hdfs").status(working, strict=False) is not None:
            cluster.kill("hmaster")
            cluster.start("hmaster")
            restarted.append(number)
            assert cluster.webhdfs("hdfs").status(working, strict=False) is None

    pair.apply(run, table, disturb=restart)
    assert restarted
    assert pair.digest(run, table)["content"]["verdict"] == "EQUAL"
    pair.assert_equal(run, table, 120)
