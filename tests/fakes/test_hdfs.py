"""The simulated HDFS keeps the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.agent.core.hdfs import FileChecksum
from infra.agent.core.machine import Procedure
from tests.contracts.hdfs_blocks_contract import HdfsBlocksContract
from tests.contracts.hdfs_contract import SITE, HdfsContract
from tests.contracts.hdfs_snapshot_contract import HdfsSnapshotContract
from tests.fakes.executor import FakeExecutor, run_procedure
from tests.fakes.hdfs import FakeHdfs
from tests.fakes.hdfs_application import Application
from tests.fakes.virtual_time import VirtualClock


class FakePeer:
    """A simulated HDFS behind the simulated executor."""

    def __init__(self, directory: Path, capture: bool) -> None:
        self.directory = "/data/contract"
        self.captures_open_files = capture
        clock = VirtualClock()
        hdfs = FakeHdfs(clock, capture_open_files=capture)
        self.app = Application(hdfs, "hdfs")
        self.executor = FakeExecutor(clock, directory, hdfs={SITE: hdfs})
        self.executor.others[FileChecksum] = lambda operation: hdfs.checksum(operation.path)
        self.app.mkdir(self.directory)

    def run(self, procedure: Procedure) -> Any:
        """Run a procedure in virtual time."""
        return run_procedure(procedure, self.executor)


class TestFakeHdfs(HdfsContract, HdfsSnapshotContract, HdfsBlocksContract):
    @pytest.fixture(params=[False, True], ids=["capture-off", "capture-on"])
    def peer(self, tmp_path: Path, request: pytest.FixtureRequest) -> FakePeer:
        return FakePeer(tmp_path, request.param)
