"""Settings of the secondary's NameNode, and kinds of files, that refuse what a run is going to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.agent.core import hdfs
from infra.agent.core.hdfs_snapshots import delete_snapshot, snapshot_path
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import OperationFailed
from scripts.labkit.cluster import Cluster
from tests.contracts.hdfs_contract import NAMES
from tests.lab.hdfs_pair import RealPair

STRANGE = ("svc@CORP.EXAMPLE", "domain users", "müller", "a:b", "c,d")
AS_HDFS = "HADOOP_USER_NAME=hdfs hdfs dfs"


@pytest.fixture
def pair(
    cluster_a: Cluster, cluster_b: Cluster, unique_name: Callable[[str], str], tmp_path: Path
) -> Iterator[RealPair]:
    pair = RealPair(cluster_a, cluster_b, f"/data/{unique_name('refusing')}", tmp_path)
    pair.set_up()
    for name in ("kept", "changed", "directory/below"):
        pair.app.put(f"{pair.path}/{name}", name.encode() * 1000)
    yield pair
    pair.tear_down()


def set_acl(pair: RealPair, name: str, *entries: str, permission: str = "640") -> None:
    pair.ask(hdfs.set_acl("primary", f"{pair.path}/{name}", hdfs.full_acl(list(entries), permission)))


def test_names_that_webhdfs_has_no_pattern_for_arrive(pair: RealPair) -> None:
    """On what is there already and on what is new, as owners, groups, access and default entries."""
    pair.backup("r1")
    pair.app.put(f"{pair.path}/new/file", b"new")
    entries = [*(f"user:{name}:r--" for name in STRANGE), *(f"group:{name}:r-x" for name in STRANGE), "group::r--"]
    for name in ("kept", "new/file"):
        set_acl(pair, name, *entries)
        pair.ask(hdfs.set_owner("primary", f"{pair.path}/{name}", STRANGE[0], STRANGE[2]))
    defaults = [
        "default:user::rwx",
        *(f"default:{entry}" for entry in entries),
        "default:mask::rwx",
        "default:other::---",
    ]
    for name in ("directory", "new"):
        set_acl(pair, name, *entries, *defaults, permission="750")
    assert pair.backup("r2", "r1", "bytes")["digest"]["differences"] == []
    picture = pair.assert_equal("r2")
    assert "user:svc@CORP.EXAMPLE:r--" in picture["kept"]["acl"]
    assert "default:group:müller:r-x" in picture["directory"]["acl"]
    assert (picture["new/file"]["o"], picture["new/file"]["g"]) == (STRANGE[0], STRANGE[2])


def test_default_acl_above_staging_is_not_inherited(pair: RealPair) -> None:
    above = f"/.understudy/incoming/{pair.epoch}"
    entries = [
        "default:user::rwx",
        "default:user:spy:r-x",
        "default:group::r-x",
        "default:mask::r-x",
        "default:other::---",
    ]
    for path in ("/.understudy/scratch", above):
        pair.ask(hdfs.set_acl("secondary", path, hdfs.full_acl(entries, "700")))
    try:
        assert pair.backup("r1")["digest"]["differences"] == []
        pair.app.put(f"{pair.path}/new/file", b"new")
        pair.app.append(f"{pair.path}/changed", b"more")
        assert pair.backup("r2", "r1")["digest"]["differences"] == []
        pair.assert_equal("r2")
    finally:
        for path in ("/.understudy/scratch", above):
            pair.ask(hdfs.remove_acl("secondary", path))


def test_files_with_other_checksums_or_none_are_proved(pair: RealPair, cluster_a: Cluster) -> None:
    """None are stored with NULL; CRC32, and other chunks, are not what the secondary's DataNodes would make."""
    settings = {
        "null": "-Ddfs.checksum.type=NULL",
        "crc32": "-Ddfs.checksum.type=CRC32",
        "chunks": "-Ddfs.bytes-per-checksum=1024",
    }
    pair.backup("r1")
    for name, setting in settings.items():
        cluster_a.ssh(
            f"head -c 300000 /dev/urandom > /tmp/{name}; {AS_HDFS} {setting} -put /tmp/{name} {pair.path}/{name}"
        )
    digest = pair.backup("r2", "r1")["digest"]
    assert digest["differences"] == []
    assert digest["files_read"] >= 1, "the one without checksums"
    pair.assert_equal("r2")
    pair.rename("null", "directory/null")
    assert pair.backup("r3", "r2", "bytes")["digest"]["differences"] == []
    pair.assert_equal("r3")


def test_acls_that_are_off_on_the_secondary(pair: RealPair, cluster_b: Cluster) -> None:
    """A mere chmod arrives; an ACL is refused before anything is changed, with the file and the setting."""
    pair.backup("r1")
    before = pair.picture("secondary", pair.path)
    with cluster_b.configured({"dfs.namenode.acls.enabled": False}):
        pair.ask(hdfs.set_permission("primary", f"{pair.path}/kept", "600"))
        pair.ask(hdfs.set_permission("primary", f"{pair.path}/directory", "710"))
        sent = pair.cut("r2"), pair.send("r2", "r1")
        assert sent[1]["changed_attributes"] == 2
        pair.apply_staged("r2", "r1")
        for run, name in (("r3", "kept"), ("r4", "new")):
            if name == "new":
                pair.ask(hdfs.remove_acl("primary", f"{pair.path}/kept"))
                pair.app.put(f"{pair.path}/new", b"new")
            set_acl(pair, name, "user:alice:r--", "group::r--")
            pair.cut(run)
            with pytest.raises(OperationFailed, match="ACLS_OFF") as failed:
                pair.send(run, "r1")
            assert name in failed.value.message, failed.value.message
            assert "dfs.namenode.acls.enabled" in failed.value.remedy
    found: dict[str, Any] = pair.picture("secondary", pair.path)
    assert (found["kept"]["x"], found["directory"]["x"]) == ("600", "710")
    assert {name: facts["sha256"] for name, facts in found.items() if facts["t"] == "f"} == {
        name: facts["sha256"] for name, facts in before.items() if facts["t"] == "f"
    }


def test_listings_of_one_entry_a_page(pair: RealPair, cluster_a: Cluster, cluster_b: Cluster) -> None:
    """Names that HDFS orders otherwise than people do become the borders of pages."""
    with cluster_a.configured({"dfs.ls.limit": 1}), cluster_b.configured({"dfs.ls.limit": 1}):
        for name in (*NAMES, *(f"below/{name}" for name in NAMES)):
            pair.app.put(f"{pair.path}/{name}", name.encode())
        assert pair.backup("r1")["digest"]["differences"] == []
        pair.assert_equal("r1")
        pair.ask(hdfs.delete("primary", f"{pair.path}/é"))
        pair.rename("below", "ü-below")
        pair.app.append(f"{pair.path}/a", b"more")
        assert pair.backup("r2", "r1")["digest"]["differences"] == []
        pair.assert_equal("r2")
        pair.ask(hdfs.delete("secondary", f"{pair.path}/💾"))
        assert pair.backup("r3", "r2")["healed"]
        pair.assert_equal("r3")


@pytest.mark.by_hand
def test_snapshots_that_expire_out_of_order_survive_restarts(pair: RealPair, cluster_b: Cluster) -> None:
    """HDFS has lost files by renames into and out of snapshottable directories (HDFS-16972, HDFS-13101 and others)."""
    pair.backup("r0")
    pictures = {}
    for number in range(1, 7):
        pair.app.put(f"{pair.path}/new-{number}/file", b"%d" % number * 500)
        pair.app.append(f"{pair.path}/changed", b"more")
        pair.rename("directory" if number == 1 else f"moved-{number - 1}", f"moved-{number}")
        if number > 2:
            pair.rename(f"new-{number - 2}/file", f"moved-{number}/from-{number}")
            pair.ask(hdfs.delete("primary", f"{pair.path}/new-{number - 2}"))
        pair.backup(f"r{number}", f"r{number - 1}")
        pictures[f"r{number}"] = pair.assert_equal(f"r{number}")
    for gone in ("r3", "r1", "r5"):
        pair.ask(delete_snapshot("secondary", pair.path, gone))
        pictures.pop(gone)
        for words in ("-safemode enter", "-saveNamespace", "-safemode leave"):
            cluster_b.ssh(f"HADOOP_USER_NAME=hdfs hdfs dfsadmin {words}")
        cluster_b.kill("namenode")
        cluster_b.start("namenode")
        pair.ask(wait_until_writable())
        for run, picture in pictures.items():
            assert pair.picture("secondary", snapshot_path(pair.path, run)) == picture, run
    pair.app.put(f"{pair.path}/last", b"last")
    pair.backup("r7", "r6", "bytes")
    pair.assert_equal("r7")


def wait_until_writable() -> Procedure:
    yield from hdfs.make_directory("secondary", "/.understudy/scratch", "700")
