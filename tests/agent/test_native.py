"""HDFS's own protocols in place of WebHDFS: what is done that way, what is not, and that nothing depends on it."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.agent.core.block_identity import block, identity_of
from infra.agent.core.hdfs import EncryptionZones, ExtendedAttributes, FileChecksum, Identify, ListPage, LocateAhead
from infra.agent.core.operations import CopyRange, HdfsCall, OperationFailed
from infra.agent.core.protobuf import data_field, integer_field, text_field
from infra.agent.protocol import canonical
from infra.agent.shell.block_transfer import BlockTransfers
from infra.agent.shell.credentials import Credentials
from infra.agent.shell.namenode_rpc import NameNodeRpc
from infra.agent.shell.native import FAILURES_IN_A_ROW, Native, zones_unknown
from tests.agent.hdfs_wire import Cluster, refusal

WEB = {"by": "WebHDFS"}
BLOCK = 4096


class World:
    """Two clusters, and the native way between them; whatever falls back to WebHDFS is counted."""

    def __init__(self, directory: Path) -> None:
        self.clusters = {"primary": Cluster(), "secondary": Cluster()}
        self.fallen_back: list[Any] = []
        self.log: list[str] = []
        self.passed = 0
        self.cancelled = threading.Event()
        self.sites: dict[str, dict[str, Any]] = {site: {} for site in self.clusters}
        self.namenode_host = "127.0.0.1"
        self.rpc_address: str | None = None
        credentials = directory / "credentials.json"
        user = {"hdfs": {"kind": "simple", "user": "hdfs"}}
        credentials.write_bytes(canonical(dict.fromkeys(self.clusters, user)))
        rpc = NameNodeRpc(self._ask, Credentials(str(credentials)), self.sites)
        blocks = BlockTransfers(self.sites, "us-test", self.cancelled, self._count)
        self.native = Native(rpc, blocks, "us-test", self.cancelled, self.log.append)
        self.ways = {
            CopyRange: self.native.or_else(self.native.copy, self._web),
            LocateAhead: self.native.or_else(self.native.locate_ahead, self._web),
            ListPage: self.native.or_else(self.native.list_page, self._web),
            Identify: self.native.or_else(self.native.identify, self._web),
            FileChecksum: self.native.or_else(self.native.checksum, self._web),
            ExtendedAttributes: self.native.or_else(self.native.extended_attributes, self._web),
            HdfsCall: self.native.or_else(self.native.call, self._web),
        }
        self._closers = (rpc.close, blocks.close, *(cluster.close for cluster in self.clusters.values()))

    def _ask(self, call: HdfsCall, is_read: bool) -> dict[str, Any]:
        assert (call.op, dict(call.params), is_read) == ("CREATE", {"noredirect": "true"}, True)
        address = self.rpc_address or f"{self.namenode_host}:{self.clusters[call.site].namenode.port}"
        return {"Location": f"http://dn:9864/webhdfs/v1/x?op=CREATE&namenoderpcaddress={address}&overwrite=false"}

    def _web(self, operation: Any) -> Any:
        self.fallen_back.append(operation)
        return WEB

    def _count(self, size: int) -> None:
        self.passed += size

    def perform(self, operation: Any) -> Any:
        return self.ways[type(operation)](operation)

    def copy(self, size: int, offset: int = 0, length: int | None = None, block_size: int = BLOCK) -> Any:
        """Copy a part of the file /f; the target is /t."""
        wanted = size - offset if length is None else length
        return self.perform(CopyRange("primary", "/f", offset, wanted, "secondary", "/t", block_size, 1, "600"))

    def close(self) -> None:
        for close in self._closers:
            close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("size", [0, 1, 511, 512, 4095, 4096, 4097, 3 * 4096, 10 * 4096 + 7])
def test_a_file_arrives_whole_and_has_the_checksum_of_its_source(world: World, size: int) -> None:
    source, target = world.clusters["primary"], world.clusters["secondary"]
    source.put("/f", content(size))
    world.clusters["secondary"].datanode.heartbeats = 1
    copied = world.copy(size)
    assert copied["bytes"] == size
    assert target.read("/t") == content(size)
    assert target.files["/t"].is_complete
    assert [len(target.blocks[number].data) for number in target.files["/t"].blocks] == [
        len(source.blocks[number].data) for number in source.files["/f"].blocks
    ]
    if size:
        assert world.perform(FileChecksum("secondary", "/t")) == world.perform(FileChecksum("primary", "/f"))
    assert copied["checksum"] == (world.perform(FileChecksum("primary", "/f")) if size else None)
    assert not world.fallen_back
    assert world.passed >= size


@pytest.mark.parametrize("node", ["dn.inside", "dn1"], ids=["by address", "by name"])
def test_hosts_are_reached_by_the_names_that_a_site_has_for_them(world: World, node: str) -> None:
    world.namenode_host = "nn.inside"
    for site, cluster in world.clusters.items():
        cluster.host = "dn.inside"
        world.sites[site]["known_as"] = {"nn.inside": "127.0.0.1", node: "127.0.0.1"}
    world.clusters["primary"].put("/f", content(100))
    world.copy(100)
    assert world.clusters["secondary"].read("/t") == content(100)
    assert not world.fallen_back


def test_connections_are_used_again_after_a_read_if_they_still_serve(world: World) -> None:
    source = world.clusters["primary"].datanode
    world.clusters["primary"].put("/f", content(100))
    for _ in range(3):
        world.copy(100)
    assert source.connections == 1
    source.closes_after_reads = True
    world.copy(100)
    world.copy(100)
    assert source.connections == 2
    assert world.copy(100)["checksum"] == world.perform(FileChecksum("primary", "/f"))
    assert not world.fallen_back


def test_a_piece_of_whole_blocks_is_copied_alone(world: World) -> None:
    world.clusters["primary"].put("/f", content(5 * BLOCK + 9))
    assert world.copy(0, offset=2 * BLOCK, length=2 * BLOCK)["checksum"] is None
    assert world.clusters["secondary"].read("/t") == content(5 * BLOCK + 9)[2 * BLOCK : 4 * BLOCK]
    world.copy(0, offset=4 * BLOCK, length=BLOCK + 9)
    assert world.clusters["secondary"].read("/t") == content(5 * BLOCK + 9)[4 * BLOCK :]
    assert not world.fallen_back


def test_checksums_are_the_ones_of_hdfs(world: World) -> None:
    """The values that Hadoop 3.4.3 gave over WebHDFS for files of zeros, with CRC32 in place of CRC32C."""
    world.clusters["primary"].put("/f", b"\0" * 1000)
    found = world.perform(FileChecksum("primary", "/f"))
    assert found.startswith("MD5-of-0MD5-of-512CRC32:000002000000000000000000")
    assert found.endswith("00000000")
    world.clusters["primary"].put("/f", b"\0" * (BLOCK + 1))
    assert world.perform(FileChecksum("primary", "/f")).startswith("MD5-of-8MD5-of-512CRC32:000002000000000000000008")


def test_where_a_file_of_a_snapshot_lies_is_asked_once_for_checksum_copy_and_proof(world: World) -> None:
    path = "/d/.snapshot/us-1/f"
    world.clusters["primary"].put(path, content(100))
    world.perform(FileChecksum("primary", path))
    world.perform(CopyRange("primary", path, 0, 100, "secondary", "/t", BLOCK, 1, "600"))
    world.perform(FileChecksum("secondary", "/t"))
    assert world.clusters["primary"].namenode.calls == ["getBlockLocations"]
    assert world.clusters["secondary"].namenode.calls == ["create", "addBlock", "complete"]
    # A proof later on looks anew.
    world.perform(FileChecksum("secondary", "/t"))
    world.perform(FileChecksum("secondary", "/t"))
    assert not world.fallen_back


def test_files_that_are_located_ahead_are_not_located_again(world: World) -> None:
    paths = ("/d/.snapshot/us-1/f", "/d/.snapshot/us-1/g")
    for path in paths:
        world.clusters["primary"].put(path, content(100))
    world.perform(LocateAhead("primary", paths))
    world.perform(FileChecksum("primary", paths[0]))
    world.perform(CopyRange("primary", paths[1], 0, 100, "secondary", "/t", BLOCK, 1, "600"))
    assert world.clusters["primary"].namenode.calls == ["getBlockLocations"] * len(paths)
    assert not world.fallen_back


def test_a_file_that_cannot_be_located_ahead_is_no_trouble(world: World) -> None:
    world.clusters["primary"].put("/f", content(100))
    world.perform(LocateAhead("primary", ("/f", "/is/not/there")))
    assert world.fallen_back  # where nothing is done about it
    assert world.perform(FileChecksum("primary", "/f")) != WEB


def test_what_is_replaced_is_not_taken_for_what_was_there(world: World) -> None:
    primary, secondary = world.clusters["primary"], world.clusters["secondary"]
    primary.put("/f", content(100))
    world.copy(100)
    secondary.datanode.acknowledges_with = 1
    world.copy(100)
    assert len(world.fallen_back) == 1
    secondary.datanode.acknowledges_with = 0
    secondary.put("/t", content(70))  # as WebHDFS would have written it
    proof = world.perform(FileChecksum("secondary", "/t"))
    primary.put("/f", content(70))
    assert proof == world.perform(FileChecksum("primary", "/f"))


def test_the_namenode_may_take_its_time_with_blocks(world: World) -> None:
    world.clusters["primary"].put("/f", content(3 * BLOCK))
    namenode = world.clusters["secondary"].namenode
    namenode.completes_late = 3
    late = "org.apache.hadoop.hdfs.server.namenode.NotReplicatedYetException"
    namenode.faults["addBlock"] = [lambda: refusal(late), lambda: refusal(late)]
    world.copy(3 * BLOCK)
    assert world.clusters["secondary"].read("/t") == content(3 * BLOCK)
    assert namenode.calls.count("complete") == 4
    assert not world.fallen_back


def test_directories_modes_owners_and_times_are_made_and_other_requests_are_left_to_webhdfs(world: World) -> None:
    world.clusters["secondary"].put("/t", b"x")
    owner = HdfsCall("secondary", "PUT", "SETOWNER", "/t", (("owner", "alice"), ("group", "app")))
    times = HdfsCall("secondary", "PUT", "SETTIMES", "/t", (("modificationtime", "1234"), ("accesstime", "-1")))
    assert world.perform(owner) == world.perform(times) == {}
    file = world.clusters["secondary"].files["/t"]
    assert (file.owner, file.group, file.modified_ms) == ("alice", "app", 1234)
    made = HdfsCall("secondary", "PUT", "MKDIRS", "/d", (("permission", "700"),))
    mode = HdfsCall("secondary", "PUT", "SETPERMISSION", "/t", (("permission", "1755"),))
    assert (world.perform(made), world.perform(mode)) == ({"boolean": True}, {})
    assert world.clusters["secondary"].modes == {"/d": 0o700, "/t": 0o1755}
    others = [
        HdfsCall("secondary", "PUT", "MKDIRS", "/d"),
        HdfsCall("secondary", "PUT", "RENAME", "/d", (("destination", "/e"),)),
        HdfsCall("secondary", "PUT", "SETOWNER", "/t", (("owner", "hbase"),), user="hbase"),
    ]
    assert [world.perform(call) for call in others] == [WEB] * len(others)
    assert world.fallen_back == others


def test_acls_may_have_names_of_any_letters(world: World) -> None:
    cluster = world.clusters["secondary"]
    specification = (
        "user::rwx,user:svc@CORP.EXAMPLE:r--,group:domain users:r-x,user:a:b,c:-w-,mask::rwx,other::---,"
        "default:user::rwx,default:group:müller:--x"
    )
    assert world.perform(HdfsCall("secondary", "PUT", "SETACL", "/t", (("aclspec", specification),))) == {}
    assert cluster.acls["/t"] == [
        (0, 0, 7, ""),
        (0, 0, 4, "svc@CORP.EXAMPLE"),
        (1, 0, 5, "domain users"),
        (0, 0, 2, "a:b,c"),
        (2, 0, 7, ""),
        (3, 0, 0, ""),
        (0, 1, 7, ""),
        (1, 1, 1, "müller"),
    ]
    assert world.perform(HdfsCall("secondary", "PUT", "REMOVEDEFAULTACL", "/t")) == {}
    assert len(cluster.acls["/t"]) == 6
    assert world.perform(HdfsCall("secondary", "PUT", "REMOVEACL", "/t")) == {}
    assert (cluster.acls, world.fallen_back) == ({}, [])


def test_encryption_zones_are_listed_page_by_page_and_unknown_where_the_port_cannot_be_reached(world: World) -> None:
    way = world.native.or_else(world.native.encryption_zones, zones_unknown)
    assert way(EncryptionZones("primary")) == []
    world.clusters["primary"].zones = ["/z", "/a", "/m"]
    assert way(EncryptionZones("primary")) == ["/a", "/m", "/z"]
    world.rpc_address = "nowhere"
    with pytest.raises(OperationFailed, match="ZONES_UNKNOWN"):
        way(EncryptionZones("secondary"))


RENAME = HdfsCall("primary", "PUT", "RENAME", "/a", (("destination", "/b"), ("renameoptions", "NONE")))


def test_a_rename_never_replaces_and_its_refusals_are_told_by_webhdfs(world: World) -> None:
    source = world.clusters["primary"]
    source.put("/a", b"x")
    assert world.perform(RENAME) == {}
    assert list(source.files) == ["/b"]
    assert not world.fallen_back
    source.namenode.faults["rename2"] = [lambda: refusal("x.FileNotFoundException", "no")]
    assert world.perform(RENAME) == WEB


def test_a_rename_of_which_nobody_knows_whether_it_was_done_is_not_done_again(world: World) -> None:
    world.clusters["primary"].namenode.faults["rename2"] = [lambda: b"\x00\x00\x00\x02\x7fx"]
    with pytest.raises(OperationFailed) as caught:
        world.perform(RENAME)
    assert (caught.value.unknown, caught.value.transient) == (True, True)
    assert not world.fallen_back


def test_extended_attributes_of_many_are_asked_at_once_and_answered_in_any_order(world: World) -> None:
    source = world.clusters["primary"]
    for name in ("/a", "/b", "/c"):
        source.put(name, b"x")
    user = integer_field(1, 0) + text_field(2, "app.ü") + data_field(3, b"\x00\xff")
    source.files["/b"].attributes = data_field(1, user) + data_field(1, integer_field(1, 4) + text_field(2, "empty"))
    source.namenode.answers_at_once = 3
    assert world.perform(ExtendedAttributes("primary", ("/a", "/b", "/c"))) == [
        [],
        [{"name": "user.app.ü", "value": "0x00ff"}, {"name": "raw.empty", "value": "0x"}],
        [],
    ]
    assert source.namenode.connections == 1
    source.files["/c"].attributes = data_field(1, integer_field(1, 9) + text_field(2, "what"))
    assert world.perform(ExtendedAttributes("primary", ("/c", "/b", "/a"))) == WEB


def test_one_refusal_among_many_leaves_all_to_webhdfs_and_the_connection_in_use(world: World) -> None:
    source = world.clusters["primary"]
    source.put("/a", b"x")
    source.namenode.faults["getXAttrs"] = [lambda: refusal("x.AccessControlException", "no")]
    asked = ExtendedAttributes("primary", ("/a", "/a"))
    assert world.perform(asked) == WEB
    assert world.perform(asked) == [[], []]
    assert source.namenode.connections == 1
    assert not world.log


def test_refusals_do_not_speak_against_the_way(world: World) -> None:
    source = world.clusters["primary"]
    source.put("/a", b"x")
    for _ in range(2 * FAILURES_IN_A_ROW):
        deny = lambda: refusal("x.AccessControlException", "no")  # noqa: E731
        source.namenode.faults["getXAttrs"] = [deny]
        assert world.perform(ExtendedAttributes("primary", ("/a",))) == WEB
    assert world.perform(ExtendedAttributes("primary", ("/a",))) == [[]]


def break_nothing(world: World) -> None:
    world.clusters["primary"].datanode.read_short_by = 1


def break_off(world: World) -> None:
    world.clusters["primary"].datanode.ends_before_packet = 1


def turn_bytes(world: World) -> None:
    """Damage on the way, or on the source's disk: the target's DataNode finds it by the stored checksums."""
    world.clusters["primary"].datanode.turns_bytes = True


def refuse(world: World) -> None:
    world.clusters["secondary"].datanode.refuses = True


def never_close(world: World) -> None:
    world.clusters["secondary"].namenode.completes_late = 1 << 60
    threading.Timer(0.3, world.cancelled.set).start()


def encrypt(world: World) -> None:
    world.clusters["primary"].namenode.located_extra = data_field(6, b"")


def be_written(world: World) -> None:
    world.clusters["primary"].namenode.located_extra = integer_field(3, 1)


def deny(world: World) -> None:
    world.clusters["secondary"].namenode.faults["create"] = [lambda: refusal("x.AccessControlException", "no")]


def babble(world: World) -> None:
    world.clusters["primary"].namenode.faults["getBlockLocations"] = [lambda: b"\x00\x00\x00\x02\x7fx"]


@pytest.mark.parametrize(
    "fault", [break_nothing, break_off, turn_bytes, refuse, never_close, encrypt, be_written, deny, babble]
)
def test_whatever_goes_wrong_is_done_over_webhdfs(world: World, fault: Any) -> None:
    world.clusters["primary"].put("/f", content(3 * BLOCK))
    fault(world)
    assert world.copy(3 * BLOCK) == WEB


def test_irregular_blocks_are_left_to_webhdfs(world: World) -> None:
    source = world.clusters["primary"]
    source.put("/f", content(100))
    source.files["/f"].blocks.append(source.new_block(content(50)))  # as concatenation leaves it
    assert world.copy(150) == WEB
    source.put("/f", content(2 * BLOCK))
    assert world.copy(0, offset=100, length=BLOCK) == WEB
    assert world.copy(0, offset=0, length=BLOCK + 5) == WEB
    assert world.copy(2 * BLOCK, block_size=BLOCK // 2) == WEB
    assert not world.log, "that is no failure"


def test_a_cluster_that_fails_again_and_again_is_left_alone_for_a_while(world: World) -> None:
    world.clusters["primary"].put("/f", content(10))
    refuse(world)
    for _ in range(FAILURES_IN_A_ROW + 2):
        assert world.copy(10) == WEB
    assert len(world.log) == 1
    assert "WebHDFS alone" in world.log[0]
    assert world.clusters["secondary"].datanode.connections == FAILURES_IN_A_ROW


@pytest.mark.parametrize("address", ["nameservice1", "127.0.0.1:1"])
def test_a_namenode_that_cannot_be_asked_costs_little(world: World, address: str) -> None:
    world.rpc_address = address
    world.clusters["primary"].put("/f", content(10))
    assert world.copy(10) == WEB
    assert world.perform(FileChecksum("primary", "/f")) == WEB


def test_a_page_of_a_listing_names_the_blocks(world: World) -> None:
    source = world.clusters["primary"]
    for name, size in (("a", 10), ("b", 3 * BLOCK), ("c", 0)):
        source.put(f"/{name}", content(size))
    page = world.perform(ListPage("primary", "/", "a"))
    b, c = page["DirectoryListing"]["partialListing"]["FileStatuses"]["FileStatus"]
    assert (b["pathSuffix"], b["length"], c["pathSuffix"]) == ("b", 3 * BLOCK, "c")
    assert b["blocks"] == identity_of(b"".join(block(number, 1001) for number in source.files["/b"].blocks))
    assert "blocks" not in c
    assert world.perform(Identify("primary", ("/c", "/b"))) == [None, b["blocks"]]
    assert world.fallen_back == []


def test_of_a_directory_that_is_not_there_webhdfs_is_asked(world: World) -> None:
    assert world.perform(ListPage("primary", "/none", "")) == WEB
    assert world.perform(Identify("primary", ("/none",))) == WEB


def test_what_was_identified_is_not_looked_up_again_to_be_copied(world: World) -> None:
    source = world.clusters["primary"]
    source.put("/f", content(100))
    world.perform(Identify("primary", ("/f",)))
    world.copy(100)
    assert source.namenode.calls.count("getBlockLocations") == 1
