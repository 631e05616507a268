"""What the secondary refuses is found by trying it, before anything is changed; what must not be read is left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.agent.core import hdfs
from infra.agent.core.hdfs_trash import MODE, TRASH
from infra.agent.core.operations import OperationFailed
from infra.agent.core.refusals import about, refusal_of
from infra.agent.core.unreadable import Unreadable
from tests.agent.check_world import DIRECTORY, CheckWorld, codes
from tests.agent.hdfs_world import EPOCH, HEAD, World, picture
from tests.fakes.hdfs import FakeHdfs
from tests.fakes.hdfs_tree import refusal

ACLS = "The ACL operation has been rejected.  Support for ACLs has been disabled by setting dfs.namenode.acls.enabled"
ACL = "user::rw-,user:alice:r--,group::r--,mask::r--,other::---"


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    for name in ("kept", "changed", "sub/below", "sub/file"):
        world.app.put(f"{HEAD}/{name}", name.encode() * 50)
    world.backup("r0")
    return world


def refuse(cluster: FakeHdfs, op: str, is_refused: Callable[[str, dict[str, str]], bool], *what: str) -> None:
    """Let a cluster refuse some requests for good, whenever they come; ``what`` is the exception and its message."""
    method = f"_{op.lower()}"
    usual = getattr(cluster, method)

    def perform(path: str, params: dict[str, str], user: str) -> Any:
        if is_refused(path, params):
            raise refusal(*what)
        return usual(path, params, user)

    setattr(cluster, method, perform)


def switch_acls_off(cluster: FakeHdfs) -> None:
    for op in ("SETACL", "REMOVEACL", "REMOVEDEFAULTACL", "GETACLSTATUS"):
        refuse(cluster, op, lambda path, params: True, "AclException", ACLS)


def test_a_mere_chmod_arrives_where_acls_are_off(world: World) -> None:
    switch_acls_off(world.secondary)
    world.app.chmod(f"{HEAD}/kept", "600")
    world.backup("r1", "r0")
    world.assert_equal("r1")


@pytest.mark.parametrize("name", ["kept", "new"])
def test_an_acl_is_refused_with_the_file_before_anything_is_changed(world: World, name: str) -> None:
    switch_acls_off(world.secondary)
    world.app.put(f"{HEAD}/new", b"new")
    world.app.set_acl(f"{HEAD}/{name}", ACL)
    world.cut("r1")
    before = picture(world.secondary, HEAD)
    with pytest.raises(OperationFailed, match="ACLS_OFF") as failed:
        world.run(world.send_instruction("r1", "r0"))
    assert failed.value.message.startswith(f"{name}: ")
    assert failed.value.detail["path"] == name
    assert "dfs.namenode.acls.enabled" in failed.value.remedy
    assert picture(world.secondary, HEAD) == before


def change_for(world: World, op: str) -> str:
    """Change something that asks ``op`` of what is kept; returns its path."""
    if op == "SETXATTR":
        world.app.set_attribute(f"{HEAD}/kept", "user.large", "0x" + "00" * 40)
    elif op == "SETREPLICATION":
        world.app.replicate(f"{HEAD}/kept", 9)
    elif op == "SETSTORAGEPOLICY":
        world.app.set_policy(f"{HEAD}/kept", "WARM")
    else:
        world.app.rename(f"{HEAD}/kept", f"{HEAD}/{'n' * 90}")
        return "n" * 90
    return "kept"


@pytest.mark.parametrize(
    ("op", "is_refused", "what", "code"),
    [
        (
            "SETXATTR",
            lambda path, params: len(params["xattr.value"]) > 42,
            ("HadoopIllegalArgumentException", "The XAttr is too big."),
            "LIMIT_REACHED",
        ),
        (
            "SETREPLICATION",
            lambda path, params: int(params["replication"]) > 3,
            ("IOException", "Requested replication factor of 9 exceeds maximum of 3"),
            "LIMIT_REACHED",
        ),
        (
            "SETSTORAGEPOLICY",
            lambda path, params: True,
            ("IOException", "Failed to set storage policy since dfs.storage.policy.enabled is set to false."),
            "NO_STORAGE_POLICY",
        ),
        (
            "MKDIRS",
            lambda path, params: len(path.rpartition("/")[2]) > 80,
            ("PathComponentTooLongException", "The maximum path component name limit is exceeded: limit=80 length=90"),
            "LIMIT_REACHED",
        ),
    ],
    ids=["attribute", "replicas", "policy", "name"],
)
def test_what_a_step_of_the_plan_asks_for_is_tried_with_its_very_value(
    world: World, op: str, is_refused: Callable[[str, dict[str, str]], bool], what: tuple[str, str], code: str
) -> None:
    path = change_for(world, op)
    world.cut("r1")
    refuse(world.secondary, op, is_refused, *what)
    with pytest.raises(OperationFailed, match=code) as failed:
        world.run(world.send_instruction("r1", "r0"))
    assert failed.value.detail["path"] == path
    assert "would be refused on the secondary" in failed.value.message


def test_what_was_made_for_a_trial_is_removed(world: World) -> None:
    for op in ("SETXATTR", "SETREPLICATION", "SETSTORAGEPOLICY"):
        change_for(world, op)
    world.app.rename(f"{HEAD}/sub/file", f"{HEAD}/file")
    world.app.set_acl(f"{HEAD}/sub", f"user::rwx,group::r-x,other::---,default:{ACL.replace(',', ',default:')}")
    world.backup("r1", "r0")
    world.assert_equal("r1")
    scratch = world.secondary.find("/.understudy/scratch/r1")
    assert scratch is not None
    assert not [name for name in scratch.children or () if "trial" in name]


def test_a_default_acl_above_staging_is_not_inherited(world: World) -> None:
    for path in ("/.understudy/scratch", f"/.understudy/incoming/{EPOCH}"):
        specification = f"user::rwx,group::---,other::---,default:{ACL.replace(',', ',default:')}"
        world.secondary.call("PUT", "SETACL", path, {"aclspec": specification})
    world.app.put(f"{HEAD}/new/file", b"new")
    assert world.backup("r1", "r0")["digest"]["differences"] == []
    world.assert_equal("r1")


def mark(world: World, name: str) -> None:
    world.app.set_attribute(f"{HEAD}/{name}", hdfs.UNREADABLE_MARK, "0x")


@pytest.mark.parametrize("name", ["kept", "new/one"])
def test_a_file_that_may_not_be_read_is_named_with_its_attribute(world: World, name: str) -> None:
    world.app.put(f"{HEAD}/new/one", b"1")
    mark(world, name)
    world.cut("r1")
    with pytest.raises(Unreadable) as failed:
        world.run(world.send_instruction("r1", "r0"))
    assert failed.value.code == "UNREADABLE"
    assert failed.value.message.startswith(name)
    assert hdfs.UNREADABLE_MARK in failed.value.message
    assert "--leave-out-unreadable" in failed.value.remedy


def test_files_that_may_not_be_read_are_left_out_in_every_run_and_told(world: World) -> None:
    for number in range(4):
        world.app.put(f"{HEAD}/new/{number}", b"%d" % number)
    mark(world, "new/1")
    mark(world, "new/2")
    mark(world, "kept")
    done = world.backup("r1", "r0", leaves_out_unreadable=True)
    assert done["left_out"]["files"] == 3
    assert sorted(done["left_out"]["paths"]) == ["kept", "new/1", "new/2"]
    assert (done["deleted"], done["files_moved"]) == (1, 2)
    assert done["digest"]["differences"] == []
    assert sorted(picture(world.secondary, HEAD)) == [
        "changed",
        "new",
        "new/0",
        "new/3",
        "sub",
        "sub/below",
        "sub/file",
    ]
    world.app.append(f"{HEAD}/changed", b"more")
    world.app.rename(f"{HEAD}/new/1", f"{HEAD}/sub/moved")
    done = world.backup("r2", "r1", leaves_out_unreadable=True)
    assert (done["left_out"]["files"], done["deleted"], done["replaced"]) == (3, 0, 1)
    assert done["digest"]["differences"] == []
    world.app.delete(f"{HEAD}/sub/moved")
    assert world.backup("r3", "r2", leaves_out_unreadable=True)["left_out"]["files"] == 2


def test_a_first_copy_leaves_them_out_too_and_says_nothing_where_there_are_none(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.app.put(f"{HEAD}/a", b"1")
    world.app.put(f"{HEAD}/b", b"2")
    mark(world, "b")
    done = world.backup("r0", leaves_out_unreadable=True)
    assert (done["left_out"], done["files"]) == ({"files": 1, "paths": ["b"]}, 1)
    world.app.delete(f"{HEAD}/b")
    assert "left_out" not in world.backup("r1", "r0", leaves_out_unreadable=True)


def make_trash_root(world: World, mode: str = MODE) -> None:
    world.secondary.call("PUT", "MKDIRS", f"{HEAD}/{TRASH}", {"permission": mode})


def apply_refusing(world: World, run: str, base: str) -> None:
    world.app.append(f"{HEAD}/changed", b"more")
    world.cut(run)
    world.run(world.send_instruction(run, base))
    instruction = world.apply_instruction(run, base)
    instruction.payload["refuses_changed_head"] = True
    world.run(instruction)


def test_an_empty_trash_root_of_hdfs_is_nobody_s_change(world: World) -> None:
    make_trash_root(world)
    apply_refusing(world, "r1", "r0")
    assert TRASH not in picture(world.secondary, HEAD)


def test_what_somebody_has_put_there_is_a_change(world: World) -> None:
    make_trash_root(world, "755")
    with pytest.raises(OperationFailed, match="HEAD_CHANGED"):
        apply_refusing(world, "r1", "r0")
    world.secondary.call("PUT", "SETPERMISSION", f"{HEAD}/{TRASH}", {"permission": MODE})
    world.secondary.write(f"{HEAD}/{TRASH}/deleted", b"x")
    with pytest.raises(OperationFailed, match="HEAD_CHANGED"):
        apply_refusing(world, "r2", "r0")


def test_a_trash_root_of_the_source_is_copied_like_anything_else(world: World) -> None:
    world.app.mkdir(f"{HEAD}/{TRASH}", MODE)
    world.app.put(f"{HEAD}/{TRASH}/alice/deleted", b"x")
    world.backup("r1", "r0")
    world.assert_equal("r1")
    apply_refusing(world, "r2", "r1")


@pytest.fixture
def checked(tmp_path: Path) -> CheckWorld:
    return CheckWorld(tmp_path / "spool")


def test_the_check_looks_into_the_tree_and_tries_what_it_sees(checked: CheckWorld) -> None:
    checked.app.put("/data/sales/deep/er/secret", b"x")
    checked.app.put("/data/sales/deep/er/other", b"x")
    checked.app.set_attribute("/data/sales/deep/er/secret", hdfs.UNREADABLE_MARK, "0x")
    checked.app.set_acl("/data/sales/deep/er/other", ACL)
    checked.hdfs["primary"].encryption_zones = ["/data/sales/zone", "/elsewhere"]
    switch_acls_off(checked.hdfs["secondary"])
    result, _ = checked.check(patterns=(DIRECTORY,))
    told = {(f["code"], f["subject"]): f for f in result["findings"] if not f["ok"]}
    assert set(told) == {(code, "/data/sales") for code in ("UNREADABLE", "ACLS_OFF", "ENCRYPTION_ZONE")}
    assert "/data/sales/deep/er/secret" in told["UNREADABLE", "/data/sales"]["message"]
    assert "/data/sales/deep/er/other" in told["ACLS_OFF", "/data/sales"]["message"]
    result, _ = checked.check(patterns=(DIRECTORY,), leaves_out_unreadable=True)
    assert {"LEFT_OUT", "ACLS_OFF"} <= {found["code"] for found in result["findings"]}
    assert "UNREADABLE" not in {found["code"] for found in result["findings"]}


def test_a_survey_ends_with_its_time_and_says_so(checked: CheckWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.agent.core.check_sources.SURVEY_MS", 0.0)
    result, bad = checked.check(patterns=(DIRECTORY,))
    assert bad == {}
    assert "0 entries were looked at beforehand, not all, for want of time" in [
        f["message"] for f in result["findings"]
    ]


def test_the_secondary_is_asked_whether_it_allows_what_every_run_does(checked: CheckWorld) -> None:
    result, bad = checked.check("secondary", ())
    assert bad == {}
    (told,) = [f["message"] for f in result["findings"] if f["check"] == "copies"]
    assert "-saveNamespace" in told
    assert not [name for name in checked.paths("secondary") if "border" in name]


def test_a_try_that_an_agent_left_when_it_died_is_no_refusal(
    checked: CheckWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.agent.core.check_staging._remove", lambda border: iter(()))
    assert checked.check("secondary", ())[1] == {}
    monkeypatch.undo()
    (head,) = [name for name in checked.paths("secondary") if name.endswith("border/head")]
    checked.hdfs["secondary"].call("PUT", "MKDIRS", f"{head}/in", {"permission": "700"})
    assert checked.check("secondary", ())[1] == {}
    assert not [name for name in checked.paths("secondary") if "border" in name]


@pytest.mark.parametrize(
    ("op", "what", "code"),
    [
        (
            "RENAME",
            ("SnapshotException", "they are not under the same snapshot root."),
            "RENAMES_FORBIDDEN",
        ),
        (
            "CREATESNAPSHOT",
            ("SnapshotException", "the file system snapshot limit is 3"),
            "LIMIT_REACHED",
        ),
        ("REMOVEACL", ("AclException", ACLS), "NO_ACLS"),
    ],
)
def test_what_every_run_does_and_the_secondary_forbids(
    checked: CheckWorld, op: str, what: tuple[str, str], code: str
) -> None:
    refuse(checked.hdfs["secondary"], op, lambda path, params: "/scratch/" in path, *what)
    _, bad = checked.check("secondary", ())
    assert codes(bad) == {("b", code)}
    assert not [name for name in checked.paths("secondary") if "border" in name]


@pytest.mark.parametrize(("bit", "code"), [("encBit", "ENCRYPTION_ZONE"), ("ecBit", "ERASURE_CODED")])
def test_staging_that_is_not_plain(checked: CheckWorld, bit: str, code: str) -> None:
    usual = checked.hdfs["secondary"]._getfilestatus

    def status(path: str, params: dict[str, str], user: str) -> dict[str, Any]:
        answer = usual(path, params, user)
        return {"FileStatus": {**answer["FileStatus"], bit: True}} if path == "/.understudy" else answer

    checked.hdfs["secondary"]._getfilestatus = status  # type: ignore[method-assign]
    _, bad = checked.check("secondary", ())
    assert codes(bad) == {("/.understudy", code)}


def test_a_failure_about_the_root_names_it() -> None:
    found = refusal_of("SnapshotException", "no")
    assert found is not None
    failure = about(OperationFailed(found.code, "no", found.remedy), "", "it is refused")
    assert failure.message == "the directory itself: it is refused: no"
