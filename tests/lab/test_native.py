"""The faster way over HDFS's own protocols, on the lab's clusters: it is really taken, and it agrees with WebHDFS."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.agent.core.hdfs import ExtendedAttributes, FileChecksum
from infra.agent.core.operations import CopyRange, DigestFile, HdfsCall, OperationFailed
from infra.agent.protocol import canonical
from infra.agent.shell.block_transfer import BlockTransfers
from infra.agent.shell.checksums import Checksums
from infra.agent.shell.connections import Connections
from infra.agent.shell.credentials import Credentials
from infra.agent.shell.datanodes import DataNodes
from infra.agent.shell.namenode_rpc import NameNodeRpc
from infra.agent.shell.native import Native
from infra.agent.shell.transfers import Transfers
from infra.agent.shell.webhdfs import Limits, WebHdfs
from scripts.labkit.cluster import Cluster
from tests.lab.breaking import damage
from tests.lab.hdfs_peer import CREDENTIALS, RealWriter, site_of

BLOCK = 1 << 20
SIZES = (1, 511, 512, 513, 65_536, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 777)


class Ways:
    """Both ways between the lab's clusters, in one directory on each."""

    def __init__(self, clusters: dict[str, Cluster], directory: str, work: Path) -> None:
        sites = {site: site_of(cluster) for site, cluster in clusters.items()}
        (work / "credentials.json").write_bytes(canonical(dict.fromkeys(sites, CREDENTIALS)))
        credentials, cancelled = Credentials(str(work / "credentials.json")), threading.Event()
        connections, limits = Connections(), Limits(transfer_seconds=20.0)
        self.web = WebHdfs(sites, credentials, connections, limits, cancelled)
        self.transfers = Transfers(DataNodes(sites, self.web, connections, limits), cancelled, limits)
        self.checksums = Checksums(sites, self.web, connections, limits)
        self.rpc = NameNodeRpc(self.web.call, credentials)
        self.blocks = BlockTransfers(sites, "us-test", cancelled, lambda size: None)
        self.fallen_back: list[str] = []
        self.native = Native(self.rpc, self.blocks, "us-test", cancelled, self.fallen_back.append)
        self.directory = directory
        self._connections = connections
        self.application = RealWriter(clusters["primary"])
        for site in sites:
            self.web.call(HdfsCall(site, "PUT", "MKDIRS", directory))

    def range(self, name: str, length: int, block_size: int = BLOCK) -> CopyRange:
        path = f"{self.directory}/{name}"
        return CopyRange("primary", path, 0, length, "secondary", path, block_size, 1, "600")

    def sha256(self, site: str, name: str, length: int) -> Any:
        return self.transfers.digest(DigestFile(site, f"{self.directory}/{name}", length))["sha256"]

    def close(self) -> None:
        for site in ("primary", "secondary"):
            self.web.call(HdfsCall(site, "DELETE", "DELETE", self.directory, (("recursive", "true"),)))
        self._connections.close()
        self.rpc.close()
        self.blocks.close()


@pytest.fixture
def ways(cluster_a: Cluster, cluster_b: Cluster, unique_name: Callable[[str], str], tmp_path: Path) -> Iterator[Ways]:
    made = Ways({"primary": cluster_a, "secondary": cluster_b}, f"/tmp/{unique_name('native')}", tmp_path)
    yield made
    made.close()


def test_copies_and_checksums_agree_with_webhdfs(ways: Ways) -> None:
    for size in SIZES:
        name = f"f{size}"
        ways.application.put(f"{ways.directory}/{name}", os.urandom(size), BLOCK)
        copied = ways.native.copy(ways.range(name, size))
        assert copied["bytes"] == size
        assert ways.sha256("secondary", name, size) == ways.sha256("primary", name, size)
        sums = {
            (site, way): ask(FileChecksum(site, f"{ways.directory}/{name}"))
            for site in ("primary", "secondary")
            for way, ask in (("native", ways.native.checksum), ("WebHDFS", ways.checksums.checksum))
        }
        assert set(sums.values()) == {copied["checksum"]}, sums


def test_owner_and_time_are_what_webhdfs_tells(ways: Ways) -> None:
    path = f"{ways.directory}/ü #%+?"
    ways.application.put(path, b"x")
    ways.native.call(HdfsCall("primary", "PUT", "SETOWNER", path, (("owner", "alice"), ("group", "app"))))
    times = (("modificationtime", "1234567890123"), ("accesstime", "-1"))
    ways.native.call(HdfsCall("primary", "PUT", "SETTIMES", path, times))
    status = ways.web.call(HdfsCall("primary", "GET", "GETFILESTATUS", path))["FileStatus"]
    assert (status["owner"], status["group"], status["modificationTime"]) == ("alice", "app", 1234567890123)


@pytest.mark.parametrize("mode", ["700", "755", "1777"])
def test_directories_and_modes_are_what_webhdfs_makes(ways: Ways, mode: str) -> None:
    above = f"{ways.directory}/with default ACL"
    ways.web.call(HdfsCall("primary", "PUT", "MKDIRS", above))
    acl = "user::rwx,group::r-x,other::---,default:user::rwx,default:user:bob:rwx,default:group::r-x,default:other::r-x"
    ways.web.call(HdfsCall("primary", "PUT", "SETACL", above, (("aclspec", acl),)))
    told = []
    for way, call in (("native", ways.native.call), ("web", ways.web.call)):
        path = f"{above}/{way} ü/deep"
        assert call(HdfsCall("primary", "PUT", "MKDIRS", path, (("permission", mode),))) == {"boolean": True}
        assert call(HdfsCall("primary", "PUT", "MKDIRS", path, (("permission", mode),))) == {"boolean": True}
        for name in (path, f"{above}/{way} ü"):
            status = ways.web.call(HdfsCall("primary", "GET", "GETFILESTATUS", name))["FileStatus"]
            found = ways.web.call(HdfsCall("primary", "GET", "GETACLSTATUS", name))["AclStatus"]
            told.append((status["permission"], status["owner"], status["group"], found))
        call(HdfsCall("primary", "PUT", "SETPERMISSION", path, (("permission", mode),)))
        status = ways.web.call(HdfsCall("primary", "GET", "GETFILESTATUS", path))["FileStatus"]
        told.append((status["permission"],))
    assert told[:3] == told[3:]


def test_extended_attributes_are_what_webhdfs_tells(ways: Ways) -> None:
    paths = tuple(f"{ways.directory}/{name}" for name in ("plain", "ü #%+?", "directory"))
    for path in paths[:2]:
        ways.application.put(path, b"x")
    ways.web.call(HdfsCall("primary", "PUT", "MKDIRS", paths[2]))
    for name, value in (("user.a", "0x00ff"), ("user.empty", "0x"), ("trusted.ü", '"text"')):
        params = (("xattr.name", name), ("xattr.value", value), ("flag", "CREATE"))
        for path in paths[1:]:
            ways.web.call(HdfsCall("primary", "PUT", "SETXATTR", path, params))
    asked = ExtendedAttributes("primary", paths)
    told = [
        sorted((one["name"], one.get("value") or "0x") for one in each)
        for each in ways.native.extended_attributes(asked)
    ]
    web = [
        sorted((one["name"], one.get("value") or "0x") for one in each) for each in ways.web.extended_attributes(asked)
    ]
    assert told == web
    assert [len(each) for each in told] == [0, 3, 3]


def test_a_damaged_block_is_refused_by_the_other_clusters_datanode(ways: Ways, cluster_a: Cluster) -> None:
    ways.application.put(f"{ways.directory}/f", os.urandom(BLOCK), BLOCK)
    damage(cluster_a, f"{ways.directory}/f")
    copy = ways.native.or_else(ways.native.copy, ways.transfers.copy)
    with pytest.raises(OperationFailed, match="SOURCE_DAMAGED"):
        copy(ways.range("f", BLOCK))
