"""HDFS directories copied between the lab's two clusters by the agent's procedures, compared by reading both sides."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.agent.core import hdfs
from infra.agent.core.hdfs_component import HdfsComponent
from infra.agent.core.hdfs_entries import Entry
from infra.agent.core.hdfs_snapshots import allow_snapshots, create_snapshot, delete_snapshot, snapshot_path
from infra.agent.core.hdfs_walk import Walk
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import DigestFile, HdfsCall, OperationFailed
from infra.agent.core.work import Work, manifest_path, read_journal
from infra.agent.protocol import Instruction
from scripts.labkit.cluster import Cluster
from tests.contracts.hdfs_contract import once
from tests.lab.hdfs_peer import AgentDied, Gateway, RealWriter

MEBIBYTE = 1 << 20


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
            for found in self.ask(hdfs.list_directory(site, f"{self.path}/.snapshot")) or ():
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
        sent = self.send(run, base)
        applied = self.carry_out(self.apply, "ApplyStaged", run, base, head_mode="700")
        self.carry_out(self.component.freeze, "FreezeCopies", run, base)
        sample = {"percent": 0, "seed": run}
        digest = self.carry_out(self.component.digest, "DigestSnapshots", run, base, level=level, sample=sample)
        self.ask(self._seal(run))
        return {**sent, **applied, "digest": digest}

    def _seal(self, run: str) -> Procedure:
        """Keep the manifest with the recovery point."""
        target = manifest_path(run, self.data_set)
        staging = f"/.understudy/incoming/{self.epoch}/{run}"
        yield from hdfs.make_directory("secondary", target.rpartition("/")[0], "700")
        yield from hdfs.rename("secondary", f"{staging}/{self.data_set['id']}/manifest", target)
        yield from hdfs.delete("secondary", staging)

    def picture(self, site: str, root: str) -> dict[str, Any]:
        """Everything that a copy must agree in, read from a cluster."""

        def paint() -> Procedure:
            walk = Walk(site, root)
            found: dict[str, Any] = {}
            while (entry := (yield from walk.next())) is not None:
                if entry["p"]:
                    found[entry["p"]] = yield from self._facts(site, f"{root}/{entry['p']}", entry)
            return found

        return self.ask(paint())  # type: ignore[no-any-return]

    def _facts(self, site: str, path: str, entry: Entry) -> Procedure:
        facts = {name: entry.get(name) for name in ("t", "l", "m", "o", "g", "x", "b", "r", "s")}
        facts["acl"] = yield from hdfs.acl_entries(site, path)
        facts["attributes"] = yield from hdfs.extended_attributes(site, path)
        if entry["t"] == "f":
            facts["sha256"] = (yield DigestFile(site, path, entry["l"]))["sha256"]
        return facts

    def assert_equal(self, run: str) -> None:
        """The source's snapshot, the copy's snapshot and the head agree."""
        source = self.picture("primary", snapshot_path(self.path, run))
        assert source
        assert self.picture("secondary", snapshot_path(self.path, run)) == source
        assert self.picture("secondary", self.path) == source

    def rename(self, source: str, target: str) -> None:
        """As the application does it."""
        self.ask(hdfs.rename("primary", f"{self.path}/{source}", f"{self.path}/{target}"))


@pytest.fixture
def pair(
    cluster_a: Cluster, cluster_b: Cluster, unique_name: Callable[[str], str], tmp_path: Path
) -> Iterator[RealPair]:
    pair = RealPair(cluster_a, cluster_b, f"/data/{unique_name('hdfs')}", tmp_path)
    pair.set_up()
    yield pair
    pair.tear_down()


def populate(pair: RealPair) -> None:
    put, top = pair.app.put, pair.path
    put(f"{top}/one", b"1" * 5000)
    put(f"{top}/two", b"2" * 5000)
    put(f"{top}/empty", b"")
    put(f"{top}/dir #1/é %41+?.txt", b"odd name")
    put(f"{top}/dir #1/deep/er/x", b"x" * 3000)
    put(f"{top}/big", bytes(range(256)) * (5 * MEBIBYTE // 256) + b"end", MEBIBYTE)
    put(f"{top}/rewritten", b"r" * 4000)
    pair.ask(hdfs.make_directory("primary", f"{top}/sticky", "1777"))
    pair.ask(hdfs.set_owner("primary", f"{top}/one", "alice", "staff"))
    acl = (
        "user::rwx,user:bob:rw-,group::r-x,mask::rwx,other::---,default:user::rwx,default:group::r-x,default:other::---"
    )
    pair.ask(hdfs.set_acl("primary", f"{top}/dir #1", acl))
    pair.ask(hdfs.set_extended_attribute("primary", f"{top}/two", "user.k", "0x6162"))


def change(pair: RealPair) -> None:
    top = pair.path
    pair.rename("one", "turning")
    pair.rename("two", "one")
    pair.rename("turning", "two")
    pair.rename("dir #1", "renamed")
    pair.app.append(f"{top}/renamed/deep/er/x", b"more")
    pair.app.truncate(f"{top}/rewritten", 2000)
    pair.app.append(f"{top}/rewritten", b"w" * 2000)
    pair.app.put(f"{top}/big", bytes(range(255, -1, -1)) * (5 * MEBIBYTE // 256) + b"end", MEBIBYTE)
    pair.ask(hdfs.delete("primary", f"{top}/empty"))
    pair.ask(hdfs.make_directory("primary", f"{top}/empty/now a directory", "755"))
    pair.app.put(f"{top}/empty/now a directory/f", b"f")
    pair.rename("renamed/é %41+?.txt", "empty/moved")
    pair.ask(hdfs.set_modification_time("primary", f"{top}/sticky", 1_000_000_000_000))
    pair.ask(hdfs.set_extended_attribute("primary", f"{top}/renamed/deep", "user.new", "0x"))
    pair.ask(hdfs.set_permission("primary", f"{top}/one", "600"))


def test_first_copy_and_increment(pair: RealPair) -> None:
    populate(pair)
    first = pair.backup("r1", level="bytes")
    pair.assert_equal("r1")
    assert first["digest"]["differences"] == []
    assert first["digest"]["bytes_read"] == first["bytes"]
    assert first["digest"]["content"]["found"] == first["content_digest"]
    change(pair)
    second = pair.backup("r2", "r1")
    pair.assert_equal("r2")
    assert second["digest"]["differences"] == []
    assert second["healed"] is False
    assert (second["files_moved"], second["renamed"]) == (4, 4)
    third = pair.backup("r3", "r2", level="changed")
    assert (third["files_moved"], third["steps"]) == (0, 0)


def test_head_is_healed_without_the_source(pair: RealPair) -> None:
    populate(pair)
    pair.backup("r1")
    top = pair.path
    pair.ask(hdfs.delete("secondary", f"{top}/big"))
    move = (("destination", f"{top}/stolen"), ("renameoptions", "NONE"))
    pair.ask(once(HdfsCall("secondary", "PUT", "RENAME", f"{top}/dir #1", move)))
    pair.ask(hdfs.set_permission("secondary", f"{top}/one", "777"))
    pair.ask(hdfs.make_directory("secondary", f"{top}/foreign", "777"))
    result = pair.backup("r2", "r1")
    assert result["healed"] is True
    assert result["files_moved"] == 0
    pair.assert_equal("r2")


def test_agent_that_dies_again_and_again(pair: RealPair) -> None:
    populate(pair)
    pair.deaths = 8
    pair.backup("r1")
    pair.assert_equal("r1")
    change(pair)
    pair.ask(hdfs.delete("secondary", f"{pair.path}/sticky"))
    result = pair.backup("r2", "r1")
    assert result["healed"] is True
    assert result["digest"]["differences"] == []
    pair.assert_equal("r2")
    assert pair.died > 10


def test_file_open_over_three_runs(pair: RealPair) -> None:
    path = f"{pair.path}/log"
    pair.app.put(f"{pair.path}/quiet", b"q")
    pair.app.start(path, b"1" * 20_000)
    pair.open_files = ["log"]
    assert pair.backup("r1")["fuzzy"] == 1
    pair.app.grow(path, b"2" * 20_000)
    assert pair.backup("r2", "r1")["fuzzy"] == 1
    pair.app.close(path)
    pair.open_files = []
    result = pair.backup("r3", "r2", level="bytes")
    assert (result["fuzzy"], result["files_moved"]) == (0, 1)
    assert result["digest"]["differences"] == []
    pair.assert_equal("r3")
    assert pair.picture("secondary", pair.path)["log"]["l"] == 40_000


def test_foreign_tree_is_left_alone(pair: RealPair) -> None:
    pair.app.put(f"{pair.path}/f", b"f")
    pair.ask(hdfs.make_directory("secondary", f"{pair.path}/foreign", "755"))
    pair.cut("r1")
    pair.send("r1", None)
    with pytest.raises(OperationFailed, match="FOREIGN_TREE"):
        pair.carry_out(pair.apply, "ApplyStaged", "r1", None, head_mode="700")
    assert list(pair.picture("secondary", pair.path)) == ["foreign"]


def test_evicted_sender(pair: RealPair) -> None:
    pair.app.put(f"{pair.path}/f", b"f")
    pair.cut("r1")
    incoming = f"/.understudy/incoming/{pair.epoch}"
    pair.ask(hdfs.rename("secondary", incoming, f"{incoming}-evicted"))
    with pytest.raises(OperationFailed, match="EVICTED"):
        pair.send("r1", None)
    pair.ask(hdfs.rename("secondary", f"{incoming}-evicted", incoming))


def test_blocks_that_cannot_be_cut_that_way_again(pair: RealPair) -> None:
    top = pair.path
    pair.app.put(f"{top}/joined", b"a" * 700)
    pair.app.put(f"{top}/tail", b"b" * 3000)
    pair.ask(hdfs.concatenate("primary", f"{top}/joined", [f"{top}/tail"], 3700))
    assert pair.backup("r1")["digest"]["differences"] == []
    assert pair.backup("r2", "r1")["files_moved"] == 0
    pair.assert_equal("r2")
