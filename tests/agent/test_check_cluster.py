"""CheckCluster on simulated clusters: what it finds, what it leaves behind (nothing), and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domain.values.data_set import DataSet, data_set_from_wire
from infra.agent.core.check_cluster import check_cluster
from infra.agent.core.check_directories import data_set_id
from infra.agent.core.hdfs import FileChecksum
from infra.agent.core.operations import CopyRange, OpenFiles, Operation, OperationFailed
from infra.agent.protocol import Instruction
from tests.fakes.executor import FakeExecutor, run_procedure
from tests.fakes.hbase import FakeHBase
from tests.fakes.hdfs_application import Application
from tests.fakes.hdfs_namespace import walk
from tests.fakes.virtual_time import VirtualClock
from tests.simulation.hadoop_pair import SimulatedHdfs

Findings = dict[tuple[str, str], dict[str, Any]]
DIRECTORY = {"id": data_set_id("hdfs", "/data/sales"), "component": "hdfs", "path": "/data/sales"}
TABLE = {"id": data_set_id("hbase", "orders"), "component": "hbase", "table": "orders"}


class CheckWorld:
    """A primary with a directory and a table, and an empty secondary."""

    def __init__(self, directory: Path) -> None:
        self.clock = VirtualClock()
        self.hdfs = {"primary": SimulatedHdfs(self.clock), "secondary": SimulatedHdfs(self.clock, shift_ms=-30)}
        self.hbase = {site: FakeHBase(hdfs, site) for site, hdfs in self.hdfs.items()}
        self.executor = FakeExecutor(self.clock, directory, hdfs=self.hdfs, hbase=self.hbase)
        self.executor.others[FileChecksum] = lambda o: self.hdfs[o.site].checksum(o.path)
        self.app = Application(self.hdfs["primary"])
        self.app.put("/data/sales/a", b"1")
        self.hdfs["primary"].call("PUT", "ALLOWSNAPSHOT", "/data/sales", {})
        self.hbase["primary"].create_table("orders", splits=("m",))

    def instruction(self, role: str, patterns: tuple[dict[str, Any], ...], copies_here: bool) -> Instruction:
        sites = {
            site: {"cluster": name, "namenodes": [f"http://{name}"], "hbase": {"root": "/hbase"}}
            for site, name in (("primary", "a"), ("secondary", "b"))
        }
        payload = {
            "sites": sites,
            "role": role,
            "patterns": list(patterns),
            "copies_here": copies_here,
            "snapshot": "us-1",
        }
        return Instruction("i1", "CheckCluster", "pair", "a", 1, 1, "run1", f"check-{role}", 1, 1 << 60, payload)

    def check(
        self,
        role: str = "primary",
        patterns: tuple[dict[str, Any], ...] = (DIRECTORY, TABLE),
        copies_here: bool = True,
    ) -> tuple[dict[str, Any], Findings]:
        """The result, and the findings that are not good by check and subject."""
        result = run_procedure(check_cluster(self.instruction(role, patterns, copies_here), b""), self.executor)
        bad = {(f["check"], f["subject"]): f for f in result["findings"] if not f["ok"]}
        for found in bad.values():
            assert found["remedy"], found
            assert found["message"], found
        return result, bad

    def paths(self, site: str) -> set[str]:
        return {name for name, _ in walk(self.hdfs[site].root)}


@pytest.fixture
def world(tmp_path: Path) -> CheckWorld:
    return CheckWorld(tmp_path / "spool")


def codes(bad: Findings) -> set[tuple[str, str]]:
    return {(subject, found["code"]) for (_, subject), found in bad.items()}


@pytest.mark.parametrize("copies_here", [False, True])
@pytest.mark.parametrize("role", ["primary", "secondary"])
def test_clusters_that_are_fit_are_found_fit_and_left_as_they_were(
    world: CheckWorld, role: str, copies_here: bool
) -> None:
    world.check(role, copies_here=copies_here)  # makes our own directories and the canary
    before = {site: world.paths(site) for site in world.hdfs}
    result, bad = world.check(role, copies_here=copies_here)
    assert bad == {}
    assert {site: world.paths(site) for site in world.hdfs} == before
    assert result["safe_mode"] is False
    assert result["marker"] is None
    assert result["hbase"]["version"] == "2.6.4"
    assert result["space"]["free_bytes"] > 0
    offset = result["clocks"]["namenode"]
    assert abs(offset["offset_ms"] - (0 if role == "primary" else -30)) <= offset["uncertainty_ms"]
    checks = {found["check"] for found in result["findings"]}
    assert ("checksums" in checks) == copies_here


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


def test_tables_that_are_missing_disabled_or_unfit(world: CheckWorld) -> None:
    hbase = world.hbase["primary"]
    hbase.create_table("closed")
    hbase.disable("closed")
    hbase.create_table("special")
    real = hbase._summary

    def special(table: Any) -> dict[str, Any]:
        facts = real(table)
        if table.name == "default:special":
            facts |= {"read_only": True, "coprocessors": ["com.example.Audit", "org.apache.hadoop.hbase.x.Own"]}
        return facts

    hbase._summary = special  # type: ignore[method-assign]
    tables = ("closed", "special", "none", "no*")
    patterns = tuple({"id": t, "component": "hbase", "table": t} for t in tables)
    result, _ = world.check(patterns=patterns)
    found = {(f["subject"], f["code"]) for f in result["findings"] if not f["ok"]}
    assert found == {
        ("closed", "TABLE_DISABLED"),
        ("special", "TABLE_READ_ONLY"),
        ("special", "COPROCESSORS"),
        ("none", "NO_SUCH_TABLE"),
        ("no*", "NO_SUCH_TABLE"),
    }
    assert {value["table"] for value in result["data_sets"]} == {"closed", "special"}


@pytest.mark.parametrize(
    ("settings", "role", "code"),
    [
        ({"snapshot_ttl_seconds": 3600}, "primary", "SNAPSHOT_TTL"),
        ({"cleaner_ttl_ms": 1000}, "secondary", "CLEANER_TTL"),
        ({"snapshot_working_directory": "hdfs://x/tmp"}, "secondary", "SNAPSHOT_WORKING_DIRECTORY"),
        ({"snapshot_working_directory": "hdfs://x/tmp"}, "primary", None),
    ],
)
def test_settings_of_hbase_that_would_lose_snapshots(
    world: CheckWorld, settings: dict[str, Any], role: str, code: str | None
) -> None:
    hbase = world.hbase[role]
    real = hbase._do_status

    def status(request: dict[str, Any]) -> dict[str, Any]:
        answer = real(request)
        return {**answer, "settings": {**answer["settings"], **settings}}

    hbase._do_status = status  # type: ignore[method-assign]
    _, bad = world.check(role)
    assert {found["code"] for found in bad.values()} == ({code} if code else set())


def test_hbase_that_does_not_answer_is_told_and_the_rest_is_looked_at(world: CheckWorld) -> None:
    world.executor.hbase.clear()
    result, bad = world.check()
    assert codes(bad) == {("a", "NO_HBASE")}
    assert [value["component"] for value in result["data_sets"]] == ["hdfs"]
    assert result["clocks"]["namenode"] is not None


def test_hbases_files_must_be_usable_as_its_user(world: CheckWorld) -> None:
    world.hdfs["secondary"].call("PUT", "SETPERMISSION", "/hbase", {"permission": "700"})
    world.hdfs["secondary"].call("PUT", "SETOWNER", "/hbase", {"owner": "root", "group": "root"})
    for role, copies_here in (("secondary", False), ("primary", True)):
        _, bad = world.check(role, copies_here=copies_here)
        assert bad["hbase files", "b"]["code"] == "NO_RIGHT"
    assert world.check("primary", copies_here=False)[1] == {}


def test_a_read_only_cluster_is_told_at_once(world: CheckWorld) -> None:
    world.check()
    world.hdfs["primary"].safe_mode = True
    began = world.clock.now_ms
    result, bad = world.check()
    assert result["safe_mode"] is True
    assert result["clocks"]["namenode"] is None
    assert bad == {}, "the control device has a finding of its own for it"
    assert world.clock.now_ms - began < 10_000


def test_a_namenode_that_cannot_be_reached_fails_the_check(world: CheckWorld) -> None:
    del world.executor.hdfs["primary"]
    with pytest.raises(OperationFailed, match="HDFS_UNREACHABLE"):
        world.check()


@pytest.mark.parametrize("copies_here", [False, True])
def test_the_other_cluster_is_needed_only_by_the_one_who_copies(world: CheckWorld, copies_here: bool) -> None:
    del world.executor.hdfs["secondary"]
    world.executor.hbase.pop("secondary")
    patterns = (DIRECTORY,)
    _, bad = world.check(patterns=patterns, copies_here=copies_here)
    assert codes(bad) == ({("b", "HDFS_UNREACHABLE")} if copies_here else set())


def test_datanodes_that_cannot_be_reached_are_found_by_a_file(world: CheckWorld) -> None:
    lost = OperationFailed("HDFS_UNREACHABLE", "no route to host", transient=True)
    world.hdfs["secondary"].fail("CREATE", lost)
    _, bad = world.check()
    assert codes(bad) == {("b", "HDFS_UNREACHABLE")}


def test_bytes_that_come_back_otherwise_are_found(world: CheckWorld) -> None:
    hdfs = world.hdfs["primary"]
    real = hdfs.read
    hdfs.read = lambda *a: bytes(reversed(real(*a)))  # type: ignore[method-assign]
    result, bad = world.check()
    assert codes(bad) == {("a", "PROBE_DIFFERS")}
    assert "checksums" not in {found["check"] for found in result["findings"]}


def test_checksums_that_cannot_be_compared_are_found(world: CheckWorld) -> None:
    real = world.executor.others[FileChecksum]
    world.executor.others[FileChecksum] = lambda o: f"{o.site}:{real(o)}"
    _, bad = world.check()
    assert codes(bad) == {("both clusters", "CHECKSUMS_DIFFER")}


def test_the_probe_is_copied_with_the_block_size_of_the_original(world: CheckWorld) -> None:
    world.check()
    (copied,) = [o for o in world.executor.performed if isinstance(o, CopyRange)]
    assert (copied.source, copied.target) == ("primary", "secondary")
    assert copied.block_size == 128 << 20


def test_a_credential_that_is_not_the_superusers_is_found(world: CheckWorld) -> None:
    denied = OperationFailed("HDFS", "no", detail={"exception": "AccessControlException"})
    world.hdfs["primary"].fail("SETXATTR", denied)
    _, bad = world.check(copies_here=False)
    assert codes(bad) == {("a", "NO_RIGHT")}


def cannot_list(operation: Operation) -> list[str]:
    raise OperationFailed("OPEN_FILES_UNKNOWN", "hdfs: not found", remedy="Put it into the PATH.")


@pytest.mark.parametrize("role", ["primary", "secondary"])
def test_only_the_primarys_gateway_must_list_open_files(world: CheckWorld, role: str) -> None:
    world.executor.others[OpenFiles] = cannot_list
    expected = {("hdfs command", "OPEN_FILES_UNKNOWN")} if role == "primary" else set()
    assert codes(world.check(role)[1]) == expected


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"reboot_safe": False}, "NOT_REBOOT_SAFE"),
        ({"python": "3.7.9"}, "NO_FITTING_PYTHON"),
        ({"spool_free_bytes": 1 << 20}, "SPOOL_TIGHT"),
    ],
)
def test_a_gateway_that_is_not_fit(world: CheckWorld, facts: dict[str, Any], code: str) -> None:
    world.executor.facts.update(facts)
    assert codes(world.check()[1]) == {("gateway", code)}


@pytest.mark.parametrize(("remaining", "code"), [(5, "SPACE_TIGHT"), (0, "NO_SPACE"), (50, None)])
@pytest.mark.parametrize("role", ["primary", "secondary"])
def test_room_is_needed_on_the_secondary(world: CheckWorld, role: str, remaining: int, code: str | None) -> None:
    status = {"FsStatus": {"remaining": remaining, "used": 100 - remaining, "capacity": 100}}
    world.hdfs[role]._getstatus = lambda *a: status  # type: ignore[method-assign]
    _, bad = world.check(role)
    expected = {("b", code)} if code and role == "secondary" else set()
    assert codes(bad) == expected


def test_an_old_namenode_that_knows_fewer_operations_is_looked_at_as_far_as_it_goes(world: CheckWorld) -> None:
    unknown = OperationFailed("HDFS", "op", detail={"exception": "IllegalArgumentException"})
    world.hdfs["primary"].fail("GETSTATUS", unknown)
    world.hdfs["primary"].fail("GETSNAPSHOTTABLEDIRECTORYLIST", unknown)
    result, bad = world.check()
    assert bad == {}
    assert result["space"] is None
