"""What CheckCluster finds out about directories: what patterns stand for, snapshots, and what is in the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domain.values.data_set import DataSet, data_set_from_wire
from infra.agent.core.check_directories import data_set_id
from infra.agent.core.moment_targets import DirectoryTarget
from infra.agent.core.operations import OperationFailed
from tests.agent.check_world import DIRECTORY, TABLE, CheckWorld, codes
from tests.fakes.executor import run_procedure
from tests.fakes.hdfs_application import Application


@pytest.fixture
def world(tmp_path: Path) -> CheckWorld:
    return CheckWorld(tmp_path / "spool")


def test_what_the_patterns_stand_for_is_what_the_control_device_would_call_it(world: CheckWorld) -> None:
    world.app.put("/data/north/x/in", b"1")
    world.app.put("/data/north/y/in", b"1")
    world.app.put("/data/north/z", b"a file")
    for path in ("/data/north/x", "/data/north/y"):
        world.hdfs["primary"].call("PUT", "ALLOWSNAPSHOT", path, {})
    world.hbase["primary"].create_table("shop:one")
    world.hbase["primary"].create_table("shop:two")
    patterns = (
        {"id": "p1", "component": "hdfs", "path": "/data/n?rth/*"},
        {"id": "p2", "component": "hbase", "table": "shop:*"},
        TABLE,
    )
    result, bad = world.check(patterns=patterns)
    assert bad == {}
    found = {data_set_from_wire(value) for value in result["data_sets"]}
    assert found == {
        DataSet("hdfs", "/data/north/x"),
        DataSet("hdfs", "/data/north/y"),
        DataSet("hbase", "shop:one"),
        DataSet("hbase", "shop:two"),
        DataSet("hbase", "orders"),
    }
    for value in result["data_sets"]:
        assert data_set_from_wire(value).id == value["id"]


def test_a_pattern_never_stands_for_our_own_directory(world: CheckWorld) -> None:
    world.check()
    result, _ = world.check(patterns=({"id": "p", "component": "hdfs", "path": "/*"},))
    assert {value["path"] for value in result["data_sets"]} == {"/data", "/hbase"}


def test_letters_of_a_path_are_letters_and_no_expression(world: CheckWorld) -> None:
    world.app.put("/data/a.c+[x]/in", b"1")
    world.app.put("/data/abc/in", b"1")
    world.hdfs["primary"].call("PUT", "ALLOWSNAPSHOT", "/data/a.c+[x]", {})
    result, bad = world.check(patterns=({"id": "p", "component": "hdfs", "path": "/data/a.c+[x]*"},))
    assert bad == {}
    assert [value["path"] for value in result["data_sets"]] == ["/data/a.c+[x]"]


@pytest.mark.parametrize("path", ["/data/none", "/data/none/*", "/data/sales/a"])
def test_directories_that_are_not_there(world: CheckWorld, path: str) -> None:
    result, bad = world.check(patterns=({"id": "p", "component": "hdfs", "path": path},))
    assert codes(bad) == {(path, "NO_SUCH_DIRECTORY")}
    assert result["data_sets"] == []


def test_a_directory_that_does_not_allow_snapshots(world: CheckWorld) -> None:
    world.app.put("/data/other/a", b"1")
    _, bad = world.check(patterns=({"id": "p", "component": "hdfs", "path": "/data/other"},))
    assert codes(bad) == {("/data/other", "NOT_SNAPSHOTTABLE")}
    assert "-allowSnapshot /data/other" in bad["snapshots", "/data/other"]["remedy"]


def test_what_helps_can_be_pasted_into_a_shell_whatever_an_application_calls_its_directories(world: CheckWorld) -> None:
    path, quoted = "/data/a b; $(reboot)", "'/data/a b; $(reboot)'"
    world.app.put(f"{path}/a/b", b"1")
    _, bad = world.check(patterns=({"id": "p", "component": "hdfs", "path": path},))
    assert bad["snapshots", path]["remedy"].endswith(f" -allowSnapshot {quoted}")
    with pytest.raises(OperationFailed, match="NOT_SNAPSHOTTABLE") as refusal:
        run_procedure(DirectoryTarget({"id": "d", "path": path}, "us-1", {}).check(), world.executor)
    assert refusal.value.remedy.endswith(f" -allowSnapshot {quoted}")
    world.hdfs["primary"].call("PUT", "ALLOWSNAPSHOT", path, {})
    _, bad = world.check(patterns=({"id": "p", "component": "hdfs", "path": f"{path}/a"},))
    assert bad["snapshots", f"{path}/a"]["remedy"].endswith(f" -disallowSnapshot {quoted}")


@pytest.mark.parametrize("path", ["/data", "/data/sales/deep"])
@pytest.mark.parametrize("role", ["primary", "secondary"])
def test_a_directory_above_or_below_one_that_allows_snapshots(world: CheckWorld, path: str, role: str) -> None:
    app = world.app if role == "primary" else Application(world.hdfs["secondary"])
    app.put("/data/sales/deep/a", b"1")
    if role == "secondary":
        world.hdfs["secondary"].call("PUT", "ALLOWSNAPSHOT", "/data/sales", {})
    _, bad = world.check(role, patterns=({"id": "p", "component": "hdfs", "path": path},))
    assert bad["snapshots", path]["code"] == "NESTED_SNAPSHOTTABLE"
    assert "/data/sales" in bad["snapshots", path]["message"]


def test_an_empty_directory_with_snapshots_of_somebody_is_foreign(world: CheckWorld) -> None:
    secondary = world.hdfs["secondary"]
    secondary.call("PUT", "MKDIRS", "/data/sales", {})
    secondary.call("PUT", "ALLOWSNAPSHOT", "/data/sales", {})
    assert codes(world.check("secondary", (DIRECTORY,))[1]) == set()
    secondary.call("PUT", "CREATESNAPSHOT", "/data/sales", {"snapshotname": "mine"})
    assert codes(world.check("secondary", (DIRECTORY,))[1]) == {("/data/sales", "FOREIGN_TREE")}


def test_a_nested_target_is_found_although_nothing_stands_there_yet(world: CheckWorld) -> None:
    Application(world.hdfs["secondary"]).mkdir("/data")
    world.hdfs["secondary"].call("PUT", "ALLOWSNAPSHOT", "/data", {})
    _, bad = world.check("secondary", patterns=(DIRECTORY,))
    assert codes(bad) == {("/data/sales", "NESTED_SNAPSHOTTABLE")}


def test_snapshots_that_fill_a_directory_or_have_the_runs_name(world: CheckWorld) -> None:
    hdfs = world.hdfs["primary"]
    hdfs.call("PUT", "CREATESNAPSHOT", "/data/sales", {"snapshotname": "us-1"})
    world.hbase["primary"].call({"do": "snapshot", "table": "orders", "name": "us-1-default.orders"})
    _, bad = world.check()
    assert codes(bad) == {("/data/sales", "SNAPSHOT_EXISTS"), ("orders", "SNAPSHOT_EXISTS")}
    for number in range(20):
        hdfs.call("PUT", "CREATESNAPSHOT", "/data/sales", {"snapshotname": f"s{number}"})
    real = hdfs._getsnapshottabledirectorylist
    limited: Callable[..., dict[str, Any]] = lambda *a: {  # noqa: E731
        "SnapshottableDirectoryList": [{**e, "snapshotQuota": 25} for e in real(*a)["SnapshottableDirectoryList"]]
    }
    hdfs._getsnapshottabledirectorylist = limited  # type: ignore[method-assign]
    result, _ = world.check(patterns=(DIRECTORY,))
    assert "TOO_MANY_SNAPSHOTS" in {found["code"] for found in result["findings"]}


@pytest.mark.parametrize(("bit", "code"), [("encBit", "ENCRYPTION_ZONE"), ("ecBit", "ERASURE_CODED")])
def test_what_a_copy_cannot_keep(world: CheckWorld, bit: str, code: str) -> None:
    hdfs = world.hdfs["primary"]
    real = hdfs._getfilestatus

    def with_bit(path: str, params: dict[str, str], user: str) -> dict[str, Any]:
        answer = real(path, params, user)
        return {"FileStatus": {**answer["FileStatus"], bit: True}} if path == "/data/sales" else answer

    hdfs._getfilestatus = with_bit  # type: ignore[method-assign]
    _, bad = world.check()
    assert codes(bad) == {("/data/sales", code)}


def test_a_foreign_tree_and_a_file_in_the_way_on_the_secondary(world: CheckWorld) -> None:
    theirs = Application(world.hdfs["secondary"], "bob")
    theirs.put("/data/sales/theirs", b"1")
    theirs.put("/data/file", b"1")
    patterns = (DIRECTORY, {"id": "p", "component": "hdfs", "path": "/data/file"})
    result, bad = world.check("secondary", patterns=patterns)
    assert codes(bad) == {("/data/sales", "FOREIGN_TREE"), ("/data/file", "FOREIGN_TREE")}
    assert "bob" in bad["target", "/data/sales"]["message"]
    assert result["data_sets"] == []


@pytest.mark.parametrize("mark", ["ours", "another data set's", "none"])
def test_a_copy_of_ours_is_known_by_its_mark(world: CheckWorld, mark: str) -> None:
    hdfs = world.hdfs["secondary"]
    Application(hdfs).put("/data/sales/a", b"1")
    marked = {"ours": "/data/sales", "another data set's": "/data/other"}.get(mark)
    if marked is not None:
        value = "0x" + data_set_id("hdfs", marked).encode().hex()
        params = {"xattr.name": "trusted.understudy.copy", "xattr.value": value, "flag": "CREATE,REPLACE"}
        hdfs.call("PUT", "SETXATTR", "/data/sales", params)
    _, bad = world.check("secondary", patterns=(DIRECTORY,))
    assert codes(bad) == (set() if mark == "ours" else {("/data/sales", "FOREIGN_TREE")})


def test_an_empty_directory_is_free_only_if_it_is_the_replication_users(world: CheckWorld) -> None:
    hdfs = world.hdfs["secondary"]
    hdfs.call("PUT", "MKDIRS", "/data/sales", {"permission": "755"})
    assert world.check("secondary", patterns=(DIRECTORY,))[1] == {}
    hdfs.call("PUT", "SETOWNER", "/data/sales", {"owner": "bob", "group": "bob"})
    _, bad = world.check("secondary", patterns=(DIRECTORY,))
    assert codes(bad) == {("/data/sales", "FOREIGN_TREE")}
