"""Instructions over several data sets: concurrent, merged, and a failure that names its data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.agent.core.hdfs import FileChecksum
from infra.agent.core.operations import OperationFailed
from infra.agent.core.procedures import PROCEDURES
from infra.agent.protocol import Instruction, canonical
from tests.agent.hdfs_world import EPOCH
from tests.fakes.executor import FakeExecutor, run_procedure
from tests.fakes.hdfs import FakeHdfs
from tests.fakes.hdfs_application import Application
from tests.fakes.hdfs_namespace import walk
from tests.fakes.virtual_time import VirtualClock

DATA_SETS = [{"id": name, "component": "hdfs", "path": f"/data/{name}"} for name in ("one", "two")]
STAGING = f"/.understudy/incoming/{EPOCH}/r"


class Pair:
    """Two clusters with two data sets."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = VirtualClock()
        self.hdfs = {"primary": FakeHdfs(self.clock), "secondary": FakeHdfs(self.clock)}
        self.count = 0
        for name in ("scratch", "recovery-points", f"incoming/{EPOCH}"):
            self.hdfs["secondary"].call("PUT", "MKDIRS", f"/.understudy/{name}", {"permission": "700"})
        app = Application(self.hdfs["primary"])
        for name, identity in (("primary", "PRIMARY"), ("secondary", "SECONDARY")):
            self.mark(name, 1, identity=identity)
        for data_set in DATA_SETS:
            app.put(f"{data_set['path']}/f", data_set["id"].encode())
            self.hdfs["primary"].call("PUT", "ALLOWSNAPSHOT", data_set["path"], {})
            self.hdfs["primary"].call("PUT", "CREATESNAPSHOT", data_set["path"], {"snapshotname": "r"})

    def mark(self, site: str, serial: int, **changed: Any) -> None:
        """Say who a cluster is."""
        marker = {"pair": "p", "cluster": site, "epoch": EPOCH, "serial": serial, **changed}
        self.hdfs[site].call("PUT", "MKDIRS", "/.understudy/identity", {"permission": "700"})
        self.hdfs[site].write(f"/.understudy/identity/{serial}.json", canonical(marker))

    def run(self, kind: str, site: str | None = "secondary", **payload: Any) -> Any:
        """Carry an instruction out."""
        self.count += 1
        sites = {name: {"cluster": name, "namenodes": [f"http://{name}"]} for name in ("primary", "secondary")}
        if site is not None:
            sites = {site: sites[site]}
        wanted = {"sites": sites, "snapshot": "r", "staging": STAGING, "data_sets": DATA_SETS, **payload}
        instruction = Instruction(f"i{self.count}", kind, "p", "b", EPOCH, 1, "r", kind, 0, 1 << 60, wanted)
        executor = FakeExecutor(self.clock, self.directory / instruction.id, hdfs=self.hdfs)
        executor.others[FileChecksum] = lambda operation: self.hdfs[operation.site].checksum(operation.path)
        try:
            return run_procedure(PROCEDURES[kind](instruction, b""), executor)
        finally:
            executor.appender.abandon()

    def send(self) -> list[Any]:
        """Send both data sets."""
        more: dict[str, Any] = {
            "base": None,
            "base_is_on_source": False,
            "recovery_point": None,
            "open_files": [],
            "workers": 2,
        }
        return [self.run("SendSnapshots", None, data_set=data_set, level="checksum", **more) for data_set in DATA_SETS]

    def apply(self) -> Any:
        """Apply both."""
        based = [{**data_set, "base": None, "recovery_point": None} for data_set in DATA_SETS]
        return self.run("ApplyStaged", data_sets=based, head_mode="755")


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def test_results_by_data_set(pair: Pair) -> None:
    assert [sent["files"] for sent in pair.send()] == [1, 1]
    assert pair.apply() == {"data_sets": {name: {"steps": 1, "healed": False} for name in ("one", "two")}}
    frozen = pair.run("FreezeCopies")
    assert set(frozen["data_sets"]) == {"one", "two"}
    sample = {"percent": 0, "seed": "r"}
    more: dict[str, Any] = {"level": "checksum", "sample": sample, "trial_clone": None}
    digests = pair.run("DigestSnapshots", **more)
    assert digests["trial_clone"] is None
    assert all(digest["content"]["verdict"] == "EQUAL" for digest in digests["data_sets"].values())
    opened = pair.run("OpenCopies", scratch="s")
    assert opened["data_sets"]["one"]["readable"] == "/data/one/.snapshot/r"
    assert pair.run("CloseCopies", scratch="s") == {"removed": []}


def test_removal_of_everything_of_a_run(pair: Pair) -> None:
    pair.send()
    pair.apply()
    pair.run("FreezeCopies")
    secondary = pair.hdfs["secondary"]
    secondary.call("PUT", "MKDIRS", "/.understudy/recovery-points/rp", {})
    result = pair.run("RemoveSnapshots", recovery_point="rp")
    assert result == {
        "removed": [
            "/data/one/.snapshot/r",
            "/data/two/.snapshot/r",
            STAGING,
            "/.understudy/recovery-points/rp",
        ],
        "absent": [],
    }
    again = pair.run("RemoveSnapshots", recovery_point="rp")
    assert again == {"removed": [], "absent": result["removed"]}
    for name in ("incoming/7/r", "scratch/r", "recovery-points/rp"):
        assert secondary.find(f"/.understudy/{name}") is None
    primary = pair.run("RemoveSnapshots", "primary", staging=None, recovery_point=None)
    assert primary["removed"] == ["/data/one/.snapshot/r", "/data/two/.snapshot/r"]


def test_a_failure_names_its_data_set_and_nothing_was_changed_before_it(pair: Pair) -> None:
    pair.send()
    pair.hdfs["secondary"].call("PUT", "MKDIRS", "/data/two/foreign", {})
    with pytest.raises(OperationFailed, match="FOREIGN_TREE") as failed:
        pair.apply()
    assert failed.value.detail["data_set"] == "two"
    assert failed.value.detail["changed"] is False
    assert pair.hdfs["secondary"].find("/data/one") is None


def test_what_an_earlier_attempt_has_changed_is_told_by_staging(pair: Pair) -> None:
    pair.send()
    secondary = pair.hdfs["secondary"]
    secondary.fail("RENAME", OperationFailed("HDFS_UNREACHABLE", "no answer"), "two/new")
    with pytest.raises(OperationFailed, match="HDFS_UNREACHABLE") as failed:
        pair.apply()
    assert "changed" not in failed.value.detail
    secondary.fail("GETALLSTORAGEPOLICY", OperationFailed("HDFS_UNREACHABLE", "no answer"))
    with pytest.raises(OperationFailed, match="HDFS_UNREACHABLE") as failed:
        pair.apply()
    assert "changed" not in failed.value.detail
    assert pair.apply()["data_sets"].keys() == {"one", "two"}


@pytest.mark.parametrize(
    ("moved", "code"), [(f"incoming/{EPOCH}", "EVICTED"), (f"incoming/{EPOCH}/r", "STAGING_MISSING")]
)
def test_without_staging_nobody_claims_that_nothing_was_changed(pair: Pair, moved: str, code: str) -> None:
    pair.send()
    away = {"destination": "/.understudy/away", "renameoptions": "NONE"}
    pair.hdfs["secondary"].call("PUT", "RENAME", f"/.understudy/{moved}", away)
    with pytest.raises(OperationFailed, match=code) as failed:
        pair.apply()
    assert "changed" not in failed.value.detail


DIGEST: dict[str, Any] = {"level": "checksum", "sample": {"percent": 0, "seed": "r"}, "trial_clone": None}
COPY: dict[str, Any] = {
    "data_set": DATA_SETS[0],
    "base": None,
    "base_is_on_source": False,
    "recovery_point": None,
    "open_files": [],
    "level": "checksum",
    "workers": 2,
}
APPLY = {"data_sets": [{**DATA_SETS[0], "base": None, "recovery_point": None}], "head_mode": "755"}
# The kind, the sites that it names (None: both), its payload, and whether the cluster has to be in its role.
BOUND: list[tuple[str, str | None, dict[str, Any], bool]] = [
    ("SendSnapshots", None, COPY, True),
    ("ReplicateSnapshots", None, COPY, True),
    ("ApplyStaged", "secondary", APPLY, True),
    ("FreezeCopies", "secondary", {}, True),
    ("DigestSnapshots", "secondary", DIGEST, True),
    ("OpenCopies", "secondary", {"scratch": "s"}, False),
    ("CloseCopies", "secondary", {"scratch": "s"}, False),
    ("RemoveSnapshots", "secondary", {"recovery_point": None}, False),
    ("RemoveSnapshots", "primary", {"recovery_point": None, "staging": None}, False),
]
OTHERS: list[dict[str, Any]] = [{"pair": "other"}, {"cluster": "other"}, {"epoch": EPOCH + 1}, {"identity": "FENCED"}]


@pytest.mark.parametrize("other", OTHERS, ids=str)
@pytest.mark.parametrize(("kind", "site", "payload", "in_its_role"), BOUND, ids=lambda value: str(value)[:20])
def test_nothing_is_changed_on_a_cluster_that_is_another_one_by_its_marker(
    pair: Pair, kind: str, site: str | None, payload: dict[str, Any], in_its_role: bool, other: dict[str, Any]
) -> None:
    pair.send()
    for marked in (site,) if site is not None else ("primary", "secondary"):
        identity = {"primary": "PRIMARY", "secondary": "SECONDARY"}[marked]
        pair.mark(marked, 2, **{"identity": identity, **other})
        before = {name: tree(hdfs) for name, hdfs in pair.hdfs.items()}
        if "identity" in other and not in_its_role:
            continue
        with pytest.raises(OperationFailed, match="MARKER_MISMATCH") as failed:
            pair.run(kind, site, **payload)
        assert {name: tree(hdfs) for name, hdfs in pair.hdfs.items()} == before
        assert failed.value.detail == ({"changed": False} if kind == "ApplyStaged" else {})
        pair.mark(marked, 3, identity=identity)


def tree(hdfs: FakeHdfs) -> dict[str, int]:
    """Every path of a cluster, and when it was changed."""
    return {name: inode.content.modified_ms for name, inode in walk(hdfs.root)}


def test_what_belongs_to_a_recovery_point_is_opened_and_removed_in_any_role(pair: Pair) -> None:
    pair.send()
    pair.apply()
    pair.run("FreezeCopies")
    pair.mark("secondary", 2, identity="PRIMARY")
    assert pair.run("OpenCopies", scratch="s")["data_sets"].keys() == {"one", "two"}
    assert pair.run("CloseCopies", scratch="s") == {"removed": []}
    assert f"{DATA_SETS[0]['path']}/.snapshot/r" in pair.run("RemoveSnapshots", recovery_point=None)["removed"]


def test_what_has_begun_is_applied_though_the_epoch_has_changed(pair: Pair) -> None:
    pair.send()
    secondary = pair.hdfs["secondary"]
    secondary.fail("RENAME", OperationFailed("HDFS_UNREACHABLE", "no answer"), "two/new")
    with pytest.raises(OperationFailed, match="HDFS_UNREACHABLE"):
        pair.apply()
    pair.mark("secondary", 2, identity="PROMOTING", epoch=EPOCH + 1)
    assert pair.apply()["data_sets"].keys() == {"one", "two"}
    assert secondary.read("/data/two/f") == b"two"
