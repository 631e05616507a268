"""What applications do to a tree between two moments, each change by its name, and what happens around a moment.

Random histories (``test_real_histories``) mix most of these; here are the ones that are hardest to see, side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.agent.core import hdfs
from scripts.labkit.cluster import Cluster
from tests.lab.hdfs_pair import MEBIBYTE, RealPair

LONG_AGO_MS = 1_500_000_000_000


@pytest.fixture
def pair(
    cluster_a: Cluster, cluster_b: Cluster, unique_name: Callable[[str], str], tmp_path: Path
) -> Iterator[RealPair]:
    pair = RealPair(cluster_a, cluster_b, f"/data/{unique_name('changes')}", tmp_path)
    pair.set_up()
    pair.ask(hdfs.make_directory("primary", f"{pair.path}-outside", "777"))
    yield pair
    pair.tear_down()
    pair.ask(hdfs.delete("primary", f"{pair.path}-outside"))


def assert_copied(pair: RealPair, run: str, result: dict[str, Any]) -> dict[str, Any]:
    """The run's own verification finds both sides equal, as does the test; returns what is there."""
    assert result["digest"]["differences"] == []
    assert result["digest"]["content"]["verdict"] == result["digest"]["metadata"]["verdict"] == "EQUAL"
    return pair.assert_equal(run)


def put(pair: RealPair, *names: str) -> None:
    for name in names:
        pair.app.put(f"{pair.path}/{name}", f"first {name}".encode() * 100)


def delete(pair: RealPair, name: str) -> None:
    assert pair.ask(hdfs.delete("primary", f"{pair.path}/{name}"))


def modified_at(pair: RealPair, name: str, at_ms: int) -> None:
    pair.ask(hdfs.set_modification_time("primary", f"{pair.path}/{name}", at_ms))


def rename_everything(pair: RealPair) -> None:
    pair.rename("parent/inner", "parent/in")
    pair.rename("parent", "mother")
    pair.app.append(f"{pair.path}/mother/in/changed", b"more")
    delete(pair, "mother/in/gone")
    put(pair, "mother/in/new")
    for source, target in (("c", "waiting"), ("b", "c"), ("a", "b"), ("waiting", "a")):
        pair.rename(f"cycle/{source}", f"cycle/{target}")
    for source, target in (("3", "4"), ("2", "3"), ("1", "2")):
        pair.rename(f"chain/{source}", f"chain/{target}")
    pair.rename("outer/inside", "inside")  # what was below goes above
    pair.rename("outer", "inside/outer")
    pair.ask(hdfs.rename("primary", f"{pair.path}/leaves", f"{pair.path}-outside/leaves"))


def replace_everything(pair: RealPair) -> None:
    top = pair.path
    for name in ("recreated", "same length", "same length and time"):
        delete(pair, name)
    put(pair, "recreated")
    pair.app.put(f"{top}/same length", b"F" * len(b"first same length" * 100))
    pair.app.put(f"{top}/same length and time", b"F" * len(b"first same length and time" * 100))
    modified_at(pair, "same length and time", LONG_AGO_MS)
    pair.app.put(f"{top}/overwritten, same time", b"O" * len(b"first overwritten, same time" * 100))
    modified_at(pair, "overwritten, same time", LONG_AGO_MS)
    pair.app.append(f"{top}/appended", b"a" * 2000)
    pair.app.truncate(f"{top}/truncated", 1001)
    pair.app.truncate(f"{top}/cut and grown", 700)
    pair.app.append(f"{top}/cut and grown", b"g" * (len(b"first cut and grown" * 100) - 700))
    for name in ("tail 1", "tail 2"):  # new ones: HDFS joins none that is in a snapshot
        pair.app.put(f"{top}/{name}", name[-1:].encode() * MEBIBYTE, MEBIBYTE)
    pair.ask(hdfs.concatenate("primary", f"{top}/joined", [f"{top}/tail 1", f"{top}/tail 2"], 3 * MEBIBYTE))
    delete(pair, "file, then directory")
    put(pair, "file, then directory/file")
    delete(pair, "directory, then file")
    put(pair, "directory, then file")


def touch_everything(pair: RealPair) -> None:
    """Nothing but what is told about files and directories."""
    top = pair.path
    for path in (f"{top}/told/file", f"{top}/told/directory"):
        pair.ask(hdfs.set_owner("primary", path + " owner", "alice", "staff"))
        pair.ask(hdfs.set_permission("primary", path + " mode", "1700"))
        pair.ask(hdfs.set_acl("primary", path + " acl", "user::rwx,user:bob:r--,group::r-x,mask::r-x,other::---"))
        pair.ask(hdfs.set_extended_attribute("primary", path + " attribute", "user.k", "0x00ff"))
        pair.ask(hdfs.set_modification_time("primary", path + " time", LONG_AGO_MS))
    pair.ask(hdfs.set_replication("primary", f"{top}/told/file replication", 2))


def test_each_kind_of_change(pair: RealPair) -> None:
    top = pair.path
    put(pair, "parent/inner/changed", "parent/inner/gone", "parent/other", "outer/inside/x", "outer/y", "leaves/z")
    put(pair, "cycle/a", "cycle/b", "cycle/c/x", "chain/1", "chain/2/x", "chain/3")
    put(pair, "recreated", "same length", "same length and time", "overwritten, same time", "appended", "truncated")
    put(pair, "cut and grown", "file, then directory", "directory, then file/x", "kept/1", "kept/2")
    pair.app.put(f"{top}/joined", b"j" * MEBIBYTE, MEBIBYTE)
    for name in ("same length and time", "overwritten, same time"):
        modified_at(pair, name, LONG_AGO_MS)
    for what in ("owner", "mode", "acl", "attribute", "time", "replication"):
        put(pair, f"told/file {what}")
        pair.ask(hdfs.make_directory("primary", f"{top}/told/directory {what}", "750"))
    first = assert_copied(pair, "r1", pair.backup("r1", level="bytes"))

    rename_everything(pair)
    result = pair.backup("r2", "r1", "bytes")
    assert_copied(pair, "r2", result)
    assert result["files_moved"] == 2, "what was only renamed is not copied again"

    replace_everything(pair)
    result = pair.backup("r3", "r2", "bytes")
    found = assert_copied(pair, "r3", result)
    assert result["files_moved"] == 9, "one was recreated with the bytes that it had"
    for name in ("same length and time", "overwritten, same time", "cut and grown"):
        assert found[name]["sha256"] != first[name]["sha256"]
        assert found[name]["l"] == first[name]["l"]
        assert name == "cut and grown" or found[name]["m"] == first[name]["m"]

    touch_everything(pair)
    pair.ask(hdfs.rename("primary", f"{top}-outside/leaves", f"{top}/told/back again"))
    result = pair.backup("r4", "r3", "bytes")
    assert_copied(pair, "r4", result)
    assert result["files_moved"] == 1, "of what came back"


def test_what_is_deleted_moved_and_overwritten_between_the_moment_and_the_copy(pair: RealPair) -> None:
    put(pair, "deleted", "moved", "directory/below", "overwritten", "truncated", "appended", "gone/a/b")
    pair.cut("r1")
    delete(pair, "deleted")
    delete(pair, "gone")
    pair.rename("moved", "directory/moved")
    pair.rename("directory", "elsewhere")
    put(pair, "directory", "later")
    pair.app.put(f"{pair.path}/overwritten", b"over")
    pair.app.truncate(f"{pair.path}/truncated", 10)
    pair.app.append(f"{pair.path}/appended", b"later")
    found = assert_copied(pair, "r1", pair.copy("r1", level="bytes"))
    assert {"deleted", "moved", "directory/below", "gone/a/b"} <= set(found)
    assert "later" not in found
    assert found["appended"]["l"] == len(b"first appended" * 100)
    found = assert_copied(pair, "r2", pair.backup("r2", "r1", "bytes"))
    assert {"elsewhere/moved", "elsewhere/below", "directory", "later"} <= set(found)


@pytest.fixture
def frozen_open_files(cluster_a: Cluster, cluster_b: Cluster) -> Iterator[None]:
    """Snapshots freeze open files (dfs.namenode.snapshot.capture.openfiles) on both clusters, as some set it."""
    try:
        for cluster in (cluster_a, cluster_b):
            cluster.set_capture_open_files(True)
        yield
    finally:
        for cluster in (cluster_a, cluster_b):
            cluster.set_capture_open_files(False)


@pytest.mark.usefixtures("frozen_open_files")
def test_directories_that_are_written_into_after_the_moment_and_in_the_copy(pair: RealPair, cluster_b: Cluster) -> None:
    """A snapshot shows a directory's time of today, so neither the cut nor the frozen copy tells what it was."""
    for name in ("quiet/f", "busy/f", "theirs/f"):
        pair.app.put(f"{pair.path}/{name}", b"1")
    pair.backup("r1")
    pair.assert_equal("r1")
    pair.cut("r2")
    pair.app.put(f"{pair.path}/busy/later", b"2")
    cluster_b.webhdfs("hdfs").write(f"{pair.path}/theirs/foreign", data=b"3")
    result = pair.copy("r2", "r1")
    assert result["healed"] is True
    assert result["digest"]["differences"] == []
    assert sorted(pair.assert_equal("r2")) == ["busy", "busy/f", "quiet", "quiet/f", "theirs", "theirs/f"]


def test_file_that_is_open_where_snapshots_freeze_open_files(pair: RealPair) -> None:
    path = f"{pair.path}/log"
    put(pair, "quiet")
    pair.app.start(path, b"1" * 20_000)
    pair.open_files = ["log"]
    first = pair.backup("r1")
    assert first["digest"]["differences"] == []
    pair.app.grow(path, b"2" * 20_000)
    second = pair.backup("r2", "r1")
    assert second["digest"]["differences"] == []
    pair.app.close(path)
    pair.open_files = []
    found = assert_copied(pair, "r3", pair.backup("r3", "r2", "bytes"))
    assert found["log"]["l"] == 40_000
    assert (first["fuzzy"], second["fuzzy"]) == (1, 1)
