"""Instructions over several data sets: concurrent, merged, and a failure that names its data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.agent.core import components
from infra.agent.core.hdfs import FileChecksum
from infra.agent.core.operations import OperationFailed
from infra.agent.protocol import Instruction
from tests.agent.hdfs_world import EPOCH
from tests.fakes.executor import FakeExecutor, run_procedure
from tests.fakes.hdfs import FakeHdfs
from tests.fakes.hdfs_application import Application
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
        for data_set in DATA_SETS:
            app.put(f"{data_set['path']}/f", data_set["id"].encode())
            self.hdfs["primary"].call("PUT", "ALLOWSNAPSHOT", data_set["path"], {})
            self.hdfs["primary"].call("PUT", "CREATESNAPSHOT", data_set["path"], {"snapshotname": "r"})

    def run(self, step: Any, kind: str, site: str | None = "secondary", **payload: Any) -> Any:
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
            return run_procedure(step(instruction, b""), executor)
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
        return [
            self.run(components.send_snapshots, "SendSnapshots", None, data_set=data_set, level="checksum", **more)
            for data_set in DATA_SETS
        ]

    def apply(self) -> Any:
        """Apply both."""
        based = [{**data_set, "base": None, "recovery_point": None} for data_set in DATA_SETS]
        return self.run(components.apply_staged, "ApplyStaged", data_sets=based, head_mode="755")


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def test_results_by_data_set(pair: Pair) -> None:
    assert [sent["files"] for sent in pair.send()] == [1, 1]
    assert pair.apply() == {"data_sets": {name: {"steps": 1, "healed": False} for name in ("one", "two")}}
    frozen = pair.run(components.freeze_copies, "FreezeCopies")
    assert set(frozen["data_sets"]) == {"one", "two"}
    sample = {"percent": 0, "seed": "r"}
    more: dict[str, Any] = {"level": "checksum", "sample": sample, "trial_clone": None}
    digests = pair.run(components.digest_snapshots, "DigestSnapshots", **more)
    assert digests["trial_clone"] is None
    assert all(digest["content"]["verdict"] == "EQUAL" for digest in digests["data_sets"].values())
    opened = pair.run(components.open_copies, "OpenCopies", scratch="s")
    assert opened["data_sets"]["one"]["readable"] == "/data/one/.snapshot/r"
    assert pair.run(components.close_copies, "CloseCopies", scratch="s") == {"removed": []}


def test_removal_of_everything_of_a_run(pair: Pair) -> None:
    pair.send()
    pair.apply()
    pair.run(components.freeze_copies, "FreezeCopies")
    secondary = pair.hdfs["secondary"]
    secondary.call("PUT", "MKDIRS", "/.understudy/recovery-points/rp", {})
    result = pair.run(components.remove_snapshots, "RemoveSnapshots", recovery_point="rp")
    assert result == {
        "removed": [
            "/data/one/.snapshot/r",
            "/data/two/.snapshot/r",
            STAGING,
            "/.understudy/recovery-points/rp",
        ],
        "absent": [],
    }
    again = pair.run(components.remove_snapshots, "RemoveSnapshots", recovery_point="rp")
    assert again == {"removed": [], "absent": result["removed"]}
    for name in ("incoming/7/r", "scratch/r", "recovery-points/rp"):
        assert secondary.find(f"/.understudy/{name}") is None
    primary = pair.run(components.remove_snapshots, "RemoveSnapshots", "primary", staging=None, recovery_point=None)
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
