"""CheckCluster on simulated clusters: what it finds, what it leaves behind (nothing), and how it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.agent.core.hdfs import FileChecksum
from infra.agent.core.operations import CopyRange, OpenFiles, Operation, OperationFailed
from tests.agent.check_world import DIRECTORY, CheckWorld, codes


@pytest.fixture
def world(tmp_path: Path) -> CheckWorld:
    return CheckWorld(tmp_path / "spool")


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


def test_tables_that_are_missing_disabled_or_unfit(world: CheckWorld) -> None:
    hbase = world.hbase["primary"]
    hbase.create_table("closed")
    hbase.disable("closed")
    hbase.create_table("changing")
    hbase.tables["default:changing"].state = "CHANGING"
    hbase.create_table("special")
    real = hbase._summary

    def special(table: Any) -> dict[str, Any]:
        facts = real(table)
        if table.name == "default:closed":
            facts |= {"read_only": True}  # nothing is flushed
        if table.name == "default:special":
            facts |= {"read_only": True, "coprocessors": ["com.example.Audit", "org.apache.hadoop.hbase.x.Own"]}
        return facts

    hbase._summary = special  # type: ignore[method-assign]
    tables = ("closed", "changing", "special", "none", "no*")
    patterns = tuple({"id": t, "component": "hbase", "table": t} for t in tables)
    result, _ = world.check(patterns=patterns)
    found = {(f["subject"], f["code"]) for f in result["findings"] if not f["ok"]}
    assert found == {
        ("changing", "TABLE_CHANGING"),
        ("special", "TABLE_READ_ONLY"),
        ("special", "COPROCESSORS"),
        ("none", "NO_SUCH_TABLE"),
        ("no*", "NO_SUCH_TABLE"),
    }
    assert {value["table"] for value in result["data_sets"]} == {"closed", "changing", "special"}


def test_every_class_that_a_table_brings_is_told_whosever_it_is(world: CheckWorld) -> None:
    attributes = {"coprocessor$1": "|org.apache.hadoop.hbase.x.Own|1|", "SPLIT_POLICY": "com.example.Split"}
    world.hbase["primary"].tables["default:orders"].attributes = attributes
    _, bad = world.check()
    message = bad["tables", "orders"]["message"]
    assert "org.apache.hadoop.hbase.x.Own" in message
    assert "SPLIT_POLICY com.example.Split" in message


def test_an_administration_from_before_codecs_were_told_is_told_itself(world: CheckWorld) -> None:
    hbase = world.hbase["primary"]
    real = hbase._summary

    def older(table: Any) -> dict[str, Any]:
        return {name: value for name, value in real(table).items() if name not in ("codecs", "ciphers", "plugins")}

    hbase._summary = older  # type: ignore[method-assign]
    _, bad = world.check()
    assert codes(bad) == {("orders", "ADMIN_COMMAND_OLD")}


@pytest.mark.parametrize("role", ["primary", "secondary"])
@pytest.mark.parametrize(
    ("exception", "code"), [("UnsupportedOperationException", "SNAPSHOTS_OFF"), ("AccessDeniedException", "NO_RIGHT")]
)
def test_an_hbase_that_allows_no_snapshots_is_told(world: CheckWorld, role: str, exception: str, code: str) -> None:
    world.hbase[role].fail("delete_snapshot", exception)
    result, _ = world.check(role)
    cluster = {"primary": "a", "secondary": "b"}[role]
    assert {(f["check"], f["subject"], f["code"]) for f in result["findings"] if not f["ok"]} == {
        ("hbase snapshots", cluster, code)
    }


@pytest.mark.parametrize("longest", [255, 2_000])
def test_the_secondary_tells_what_clones_need(world: CheckWorld, longest: int) -> None:
    world.hdfs["secondary"].longest_name_bytes = longest
    result, bad = world.check("secondary")
    assert bad == {}
    conditions = result["hbase"]["clones"]
    assert conditions["longest_name_bytes"] == min(longest, 1_000)
    assert conditions["codecs"]["LZO"]
    assert not [path for path in world.paths("secondary") if "nnn" in path]
    assert "clones" not in world.check("primary")[0]["hbase"]


def test_a_secondary_that_cannot_tell_what_clones_need_is_no_target(world: CheckWorld) -> None:
    world.hbase["secondary"].fail("clone_conditions", "AccessDeniedException")
    result, bad = world.check("secondary")
    assert result["hbase"]["clones"] is None
    assert codes(bad) == {("b", "NO_RIGHT")}
    failure = OperationFailed("HDFS", "no", detail={"exception": "IOException"})
    world.hdfs["secondary"].fail("MKDIRS", failure, "nnn")
    assert codes(world.check("secondary")[1]) == {("b", "HDFS")}


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


def cannot_list(operation: Operation) -> dict[str, Any]:
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
