"""The lab's HDFS, behind the agent's own executor, keeps the contract that the simulated one keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.agent.core import hdfs
from infra.agent.core.hdfs_snapshots import delete_snapshot
from scripts.labkit.cluster import Cluster
from tests.contracts.hdfs_blocks_contract import HdfsBlocksContract
from tests.contracts.hdfs_contract import SITE, HdfsContract
from tests.contracts.hdfs_snapshot_contract import HdfsSnapshotContract
from tests.lab.hdfs_peer import RealPeer


class TestRealHdfs(HdfsContract, HdfsSnapshotContract, HdfsBlocksContract):
    @pytest.fixture
    def peer(self, cluster_a: Cluster, unique_name: Callable[[str], str], tmp_path: Path) -> Iterator[RealPeer]:
        peer = RealPeer(cluster_a, f"/data/{unique_name('contract')}", tmp_path)
        peer.run(hdfs.make_directory(SITE, peer.directory, "755"))
        yield peer
        peer.app.close_all()
        for found in peer.run(hdfs.list_directory(SITE, f"{peer.directory}/.snapshot")) or ():
            peer.run(delete_snapshot(SITE, peer.directory, found["pathSuffix"]))
        peer.run(hdfs.delete(SITE, peer.directory))
