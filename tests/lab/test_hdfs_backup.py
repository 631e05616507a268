"""HDFS directories copied between the lab's two clusters by the agent's procedures, compared by reading both sides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.agent.core import hdfs
from infra.agent.core.operations import HdfsCall, OperationFailed
from scripts.labkit.cluster import Cluster
from tests.contracts.hdfs_contract import once
from tests.lab.hdfs_pair import MEBIBYTE, RealPair


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
