"""The rights that `cluster check` tries: found when they are missing, and nothing stays behind either way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.agent.core.operations import OperationFailed
from tests.agent.check_world import CheckWorld, codes


@pytest.fixture
def world(tmp_path: Path) -> CheckWorld:
    return CheckWorld(tmp_path / "spool")


EPOCH = "/.understudy/incoming/1"
DENIED = OperationFailed("HDFS", "no", detail={"exception": "AccessControlException"})


def check(world: CheckWorld, role: str) -> tuple[dict[str, Any], set[tuple[str, str]], set[str]]:
    """The result, what is not good, and the checks that were made."""
    result, bad = world.check(role, patterns=(), tries_rights=True)
    return result, codes(bad), {found["check"] for found in result["findings"]}


def traces(world: CheckWorld) -> dict[str, object]:
    """All that a try could leave behind."""
    paths = {site: world.paths(site) for site in world.hdfs}
    snapshots = {site: hbase.snapshots.listed() for site, hbase in world.hbase.items()}
    return {"paths": paths, "snapshots": snapshots, "tables": {s: set(h.tables) for s, h in world.hbase.items()}}


@pytest.mark.parametrize("role", ["primary", "secondary"])
def test_every_right_is_tried_and_nothing_is_left(world: CheckWorld, role: str) -> None:
    world.hdfs["secondary"].call("PUT", "MKDIRS", EPOCH, {"permission": "700"})
    check(world, role)  # makes our own directories and the canary
    before = traces(world)
    _, bad, checks = check(world, role)
    assert bad == set()
    assert {"superuser", "staging", "hbase snapshots"} <= checks
    assert ("hbase directories" in checks) == (role == "secondary")
    assert traces(world) == before


def test_a_run_does_not_try_them(world: CheckWorld) -> None:
    result, _ = world.check()
    assert not {"superuser", "staging", "hbase snapshots"} & {found["check"] for found in result["findings"]}


@pytest.mark.parametrize(
    "op", ["SETOWNER", "SETPERMISSION", "SETTIMES", "SETACL", "RENAME", "ALLOWSNAPSHOT", "CREATESNAPSHOT"]
)
def test_a_right_of_the_superuser_that_is_missing(world: CheckWorld, op: str) -> None:
    check(world, "primary")
    before = traces(world)
    world.hdfs["primary"].fail(op, DENIED)
    assert check(world, "primary")[1] == {("a", "NO_RIGHT")}
    assert traces(world) == before


def test_what_could_not_be_removed_is_told(world: CheckWorld) -> None:
    check(world, "primary")
    world.hdfs["primary"].fail("DELETESNAPSHOT", DENIED)
    result, bad, _ = check(world, "primary")
    assert bad == {("a", "NO_RIGHT")}
    assert [f["check"] for f in result["findings"] if not f["ok"]] == ["superuser"]


def test_acls_that_are_switched_off_are_no_missing_right(world: CheckWorld) -> None:
    world.hdfs["primary"].fail("SETACL", OperationFailed("HDFS", "off", detail={"exception": "AclException"}))
    assert check(world, "primary")[1] == set()


def test_staging_is_tried_only_while_an_epoch_is_open(world: CheckWorld) -> None:
    assert "staging" not in check(world, "primary")[2]
    world.hdfs["secondary"].call("PUT", "MKDIRS", EPOCH, {"permission": "700"})
    assert "staging" in check(world, "primary")[2]


def test_archive_in_which_hbases_user_may_make_nothing(world: CheckWorld) -> None:
    hdfs = world.hdfs["secondary"]
    hdfs.call("PUT", "SETOWNER", "/hbase/archive/data", {"owner": "root", "group": "root"})
    hdfs.call("PUT", "SETPERMISSION", "/hbase/archive/data", {"permission": "755"})
    assert check(world, "secondary")[1] == {("b", "NO_RIGHT")}
    assert check(world, "primary")[1] == set()


@pytest.mark.parametrize("do", ["snapshot", "clone", "count"])
def test_hbase_that_may_not_be_administered(world: CheckWorld, do: str) -> None:
    check(world, "secondary")
    before = traces(world)
    world.hbase["secondary"].fail(do, "AccessDeniedException")
    assert check(world, "secondary")[1] == {("b", "NO_RIGHT")}
    assert traces(world) == before
