"""What is damaged, open, refused or lost on the way of an HDFS directory, and how each is told or survived."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from infra.agent.core.hdfs import FileChecksum
from infra.agent.core.operations import DigestFile, OperationFailed
from tests.agent.hdfs_world import HEAD, World, picture
from tests.agent.test_hdfs_backup import copied, manifest_of, populate
from tests.fakes.hdfs_application import Application
from tests.fakes.hdfs_tree import refusal


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("capture", [False, True])
def test_file_open_over_three_runs(tmp_path: Path, capture: bool) -> None:
    world = World(tmp_path, capture_open_files=capture)
    populate(world)
    log = f"{HEAD}/sub/log"
    world.app.start(log, b"1" * 1500)
    world.open_files = ["sub/log"]
    world.backup("r1")
    assert manifest_of(world, "r1")["sub/log"]["f"] is True
    assert manifest_of(world, "r1")["sub/log"]["l"] == 1024
    assert manifest_of(world, "r1")["sub/log"]["c"].startswith("SHA-256:")
    world.app.grow(log, b"2" * 1500)
    result = world.backup("r2", "r1")
    assert result["files_moved"] == 1
    assert manifest_of(world, "r2")["sub/log"]["l"] == 2048
    world.app.close(log)
    world.open_files = []
    result = world.backup("r3", "r2")
    assert "f" not in manifest_of(world, "r3")["sub/log"]
    world.assert_equal("r3")
    assert picture(world.secondary, HEAD)["sub/log"]["data"] == b"1" * 1500 + b"2" * 1500
    assert world.backup("r4", "r3")["files_moved"] == 0


def test_file_that_was_open_and_of_no_length_at_the_cut_is_copied_when_it_has_some(world: World) -> None:
    world.app.start(f"{HEAD}/log", b"1" * 500)  # its only block is not yet known to have any bytes
    world.backup("r1", open_files=["log"])
    world.app.close(f"{HEAD}/log")
    result = world.backup("r2", "r1")
    world.assert_equal("r2")
    assert result["fuzzy"] == 0
    assert world.secondary.read(f"{HEAD}/log") == b"1" * 500


def test_open_file_that_nobody_named(world: World) -> None:
    world.app.start(f"{HEAD}/log", b"1" * 1500)
    world.backup("r1")
    assert manifest_of(world, "r1")["log"]["f"] is True


def test_file_closed_right_after_the_cut_is_fuzzy_though_nobody_named_it(world: World) -> None:
    world.app.start(f"{HEAD}/log", b"1" * 1500)
    world.cut("r1")
    world.app.grow(f"{HEAD}/log", b"2" * 100)
    world.app.close(f"{HEAD}/log")
    sent = world.run(world.send_instruction("r1", None))
    assert sent["fuzzy"] == 1


def opened_again(world: World, path: str) -> bool:
    inode = world.secondary.find(f"{HEAD}/{path}")
    return inode is not None and inode.is_open


def test_file_of_the_head_that_is_open_is_put_back(world: World) -> None:
    populate(world)
    world.backup("r1")
    opened = world.secondary.find(f"{HEAD}/sub/c")
    assert opened is not None
    opened.is_open = True
    result = world.backup("r2", "r1")
    assert result["healed"] is True
    assert not opened_again(world, "sub/c")
    world.assert_equal("r2")


def test_directory_of_the_head_that_was_moved_and_written_into_gets_its_time_back(world: World) -> None:
    populate(world)
    world.backup("r1")
    world.secondary.call("PUT", "RENAME", f"{HEAD}/sub", {"destination": f"{HEAD}/moved", "renameoptions": "NONE"})
    world.secondary.write(f"{HEAD}/moved/theirs", b"x")
    assert world.backup("r2", "r1")["healed"] is True
    world.assert_equal("r2")


def test_damaged_source(world: World) -> None:
    populate(world)
    world.primary.damage(f"{HEAD}/sub/c")
    world.cut("r1")
    with pytest.raises(OperationFailed, match="SOURCE_DAMAGED") as failed:
        world.run(world.send_instruction("r1", None))
    assert failed.value.detail["path"] == "sub/c"


def test_a_wrong_byte_on_the_way_is_copied_again(world: World) -> None:
    populate(world)
    world.cut("r1")
    instruction = world.send_instruction("r1", None)
    world.secondary.garble_copies = 1
    world.run(instruction)
    assert len(copied(world)) == 5 + 2 + 1  # five files, one of them in three pieces, and one again


def test_wrong_bytes_again_and_again(world: World) -> None:
    populate(world)
    world.cut("r1")
    world.secondary.garble_copies = 1000
    with pytest.raises(OperationFailed, match="COPY_DAMAGED") as failed:
        world.run(world.send_instruction("r1", None))
    assert failed.value.detail["path"]


def concatenated(world: World) -> None:
    """A file whose blocks cannot be cut that way by writing it: its first block is not full."""
    world.app.put(f"{HEAD}/joined", b"a" * 700)
    world.app.put(f"{HEAD}/tail", b"b" * 3000)
    world.primary.call("POST", "CONCAT", f"{HEAD}/joined", {"sources": f"{HEAD}/tail"})


def test_checksum_that_cannot_be_reproduced_is_replaced_by_a_hash(world: World) -> None:
    populate(world)
    concatenated(world)
    result = world.backup("r1")
    assert manifest_of(world, "r1")["joined"]["c"].startswith("SHA-256:")
    assert result["digest"]["content"] == {
        "verdict": "EQUAL",
        "expected": result["content_digest"],
        "found": result["content_digest"],
        "proved": "stored checksums",
    }
    result = world.backup("r2", "r1")
    assert (result["files_moved"], result["digest"]["content"]["verdict"]) == (0, "EQUAL")
    assert manifest_of(world, "r2")["joined"]["c"].startswith("SHA-256:")


def test_damage_in_transit_of_a_concatenated_file_is_found(world: World) -> None:
    concatenated(world)
    world.cut("r1")
    world.secondary.garble_copies = 1000
    with pytest.raises(OperationFailed, match="COPY_DAMAGED"):
        world.run(world.send_instruction("r1", None))


@pytest.mark.parametrize(
    ("op", "path"),
    [
        ("MKDIRS", "scratch"),
        ("RENAME", "scratch"),
        ("RENAME", "/moved/"),
        ("RENAME", "/data/sales/a.txt"),
        ("RENAME", "/out"),
        ("CONCAT", ""),
        ("SETOWNER", ""),
        ("SETTIMES", ""),
        ("SETPERMISSION", ""),
        ("SETACL", ""),
        ("REMOVEACL", ""),
        ("SETXATTR", ""),
        ("CREATESNAPSHOT", ""),
        ("ALLOWSNAPSHOT", ""),
        ("CREATE", "/pieces/"),
    ],
)
def test_lost_answers(world: World, op: str, path: str) -> None:
    populate(world)
    world.backup("r1")
    app = world.app
    app.rename(f"{HEAD}/a.txt", f"{HEAD}/b.txt")
    app.chmod(f"{HEAD}/é.txt", "644")
    app.put(f"{HEAD}/big", bytes(5000))
    app.remove_acl(f"{HEAD}/sub")
    app.set_acl(f"{HEAD}/sub/deep", "user::rwx,user:eve:r-x,group::r-x,mask::rwx,other::---")
    app.set_attribute(f"{HEAD}/sub", "user.more", "0x00")
    world.secondary.lose_answer(op, path)
    world.backup("r2", "r1")
    world.assert_equal("r2")
    assert world.secondary.faults_left == 0


def test_safe_mode_is_waited_out(world: World) -> None:
    populate(world)
    world.cut("r1")
    world.secondary.safe_mode = True
    world.clock.call_at(world.clock.now_ms + 60_000, lambda: setattr(world.secondary, "safe_mode", False))
    world.run(world.send_instruction("r1", None))


def test_safe_mode_that_does_not_end(world: World) -> None:
    populate(world)
    world.cut("r1")
    world.secondary.safe_mode = True
    with pytest.raises(OperationFailed, match="SafeModeException"):
        world.run(world.send_instruction("r1", None))


def test_quota_of_staging(world: World) -> None:
    populate(world)
    world.cut("r1")
    world.secondary.fail("CREATE", refusal("DSQuotaExceededException", "The DiskSpace quota is exceeded"), "/new/")
    with pytest.raises(OperationFailed, match="NO_SPACE"):
        world.run(world.send_instruction("r1", None))


def test_directory_above_or_below_is_snapshottable(world: World) -> None:
    populate(world)
    world.secondary.call("PUT", "MKDIRS", "/data", {})
    world.secondary.call("PUT", "ALLOWSNAPSHOT", "/data", {})
    world.cut("r1")
    world.run(world.send_instruction("r1", None))
    world.run(world.apply_instruction("r1", None))
    with pytest.raises(OperationFailed, match="NESTED_SNAPSHOTTABLE"):
        world.run(world.instruction("FreezeCopies", "r1"))


def foul(world: World, what: str) -> None:
    """Change the frozen copy of r1 in a way that no client could."""
    frozen = world.secondary.find(f"{HEAD}/.snapshot/r1")
    assert frozen is not None
    assert frozen.children is not None
    file = frozen.children["a.txt"]
    if what == "bytes":
        file.blocks[0] = replace(file.blocks[0], data=b"alphA")
    elif what == "length":
        file.blocks = []
    elif what == "missing":
        del frozen.children["a.txt"]
    elif what == "extra":
        frozen.children["zzz"] = file
    elif what == "mode":
        file.mode = "777"
    elif what == "attribute":
        file.attributes = {}
    elif what == "damaged":
        file.blocks[0].damaged = True


@pytest.mark.parametrize(
    ("what", "level", "content", "metadata", "told"),
    [
        ("bytes", "metadata", "LISTED", "EQUAL", None),
        ("bytes", "changed", "DIFFERENT", "EQUAL", "a.txt: has other bytes"),
        ("bytes", "checksum", "DIFFERENT", "EQUAL", "a.txt: has other bytes"),
        ("length", "metadata", "DIFFERENT", "EQUAL", "a.txt: has 0 bytes instead of 5"),
        ("missing", "metadata", "DIFFERENT", "EQUAL", "a.txt: is missing"),
        ("extra", "metadata", "DIFFERENT", "EQUAL", "zzz: should not be there"),
        ("mode", "metadata", "LISTED", "DIFFERENT", "a.txt: differs in mode"),
        ("attribute", "metadata", "LISTED", "DIFFERENT", "a.txt: differs in extended attributes"),
        ("damaged", "checksum", "EQUAL", "EQUAL", None),
        ("damaged", "bytes", "DIFFERENT", "EQUAL", "a.txt: cannot be read"),
    ],
)
def test_digest_finds(world: World, what: str, level: str, content: str, metadata: str, told: str | None) -> None:
    populate(world)
    world.cut("r1")
    world.run(world.send_instruction("r1", None))
    world.run(world.apply_instruction("r1", None))
    world.run(world.instruction("FreezeCopies", "r1"))
    foul(world, what)
    result = world.run(world.digest_instruction("r1", level))
    assert (result["content"]["verdict"], result["metadata"]["verdict"]) == (content, metadata)
    if level == "metadata" or told == "a.txt: cannot be read":
        assert result["content"]["found"] is None, "a digest of what was not read is no evidence"
        listed = result["content"].get("listed", {"expected": 1, "found": 2})
        assert (listed["expected"] == listed["found"]) == (content == "LISTED")
    else:
        assert (result["content"]["expected"] == result["content"]["found"]) == (content == "EQUAL")
    is_same_tree = metadata == "EQUAL" and what not in ("missing", "extra")
    assert (result["metadata"]["expected"] == result["metadata"]["found"]) == is_same_tree
    assert [difference[: len(told or "")] for difference in result["differences"]] == ([told] if told else [])


def known(world: World) -> bytes | None:
    """What is noted about damage."""
    found = world.secondary.find("/.understudy/damaged/d1")
    return None if found is None else found.data()


def test_a_damaged_copy_is_copied_again_by_the_next_run(world: World) -> None:
    populate(world)
    world.backup("r1")
    world.secondary.damage(f"{HEAD}/a.txt")
    result = world.backup("r2", "r1")
    assert (result["files_moved"], result["digest"]["content"]["verdict"]) == (0, "EQUAL"), "checksums do not show it"
    result = world.backup("r3", "r2", level="bytes")
    assert result["digest"]["differences"][0].startswith("a.txt: cannot be read")
    assert result["digest"]["damaged_in_base"] == ["a.txt"], "the recovery point before shares its blocks"
    assert known(world) == b'["a.txt"]'

    result = world.backup("r4", "r2", level="bytes")
    assert (result["files_moved"], result["replaced"]) == (1, 1)
    assert result["digest"]["content"]["verdict"] == "EQUAL"
    assert known(world) is None
    assert result["digest"]["damaged_in_base"] == []
    world.assert_equal("r4")
    assert world.backup("r5", "r4")["files_moved"] == 0


def test_damage_is_remembered_until_it_was_copied_anew_or_read(world: World) -> None:
    populate(world)
    world.backup("r1")
    world.cut("r2")
    world.run(world.send_instruction("r2", "r1"))
    world.secondary.call("PUT", "MKDIRS", "/.understudy/damaged", {})
    world.secondary.write("/.understudy/damaged/d1", b'["a.txt","gone.txt"]')
    world.run(world.apply_instruction("r2", "r1"))
    world.run(world.instruction("FreezeCopies", "r2"))
    world.run(world.digest_instruction("r2"))
    assert known(world) == b'["a.txt"]', "nobody has read it, and the other one is no more"
    world.run(world.digest_instruction("r2", "bytes"))
    assert known(world) is None


@pytest.mark.parametrize(("percent", "expected"), [(0, {0}), (50, {1, 2, 3}), (100, {4})])
def test_sample_is_read_at_every_level(world: World, percent: int, expected: set[int]) -> None:
    populate(world)
    world.cut("r1")
    world.run(world.send_instruction("r1", None))
    world.run(world.apply_instruction("r1", None))
    world.run(world.instruction("FreezeCopies", "r1"))
    result = world.run(world.digest_instruction("r1", "metadata", percent))
    assert result["files_read"] in expected
    assert (result["content"]["found"] is None) == (percent < 100)
    assert result["files_read"] == sum(isinstance(operation, DigestFile) for operation in world.performed)


def test_changed_level_looks_at_what_moved(world: World) -> None:
    populate(world)
    world.backup("r1")
    world.app.put(f"{HEAD}/new", b"new")
    result = world.backup("r2", "r1", level="changed")
    assert result["digest"]["content"]["proved"] == "checksums of what moved"
    assert (result["digest"]["content"]["verdict"], result["digest"]["content"]["found"]) == ("LISTED", None)
    asked = [operation.path for operation in world.performed if isinstance(operation, FileChecksum)]
    assert asked == [f"{HEAD}/.snapshot/r2/new"]


@pytest.mark.parametrize("change", ["extra", "gone", "other", "attributes"])
def test_a_head_that_somebody_changed_is_left_alone_where_that_is_wanted(world: World, change: str) -> None:
    populate(world)
    world.backup("r1")
    world.app.put(f"{HEAD}/a.txt", b"omega")
    world.cut("r2")
    sent = world.run(world.send_instruction("r2", "r1"))
    theirs = Application(world.secondary)
    {
        "extra": lambda: theirs.put(f"{HEAD}/sub/extra", b"theirs"),
        "gone": lambda: theirs.delete(f"{HEAD}/sub/c"),
        "other": lambda: theirs.put(f"{HEAD}/sub/c", b"theirs"),
        "attributes": lambda: theirs.chmod(f"{HEAD}/sub", "711"),
    }[change]()
    before = picture(world.secondary, HEAD)
    wanted = world.apply_instruction("r2", sent["base"])
    refusing = replace(wanted, payload={**wanted.payload, "refuses_changed_head": True})
    with pytest.raises(OperationFailed, match="HEAD_CHANGED") as refusal:
        world.run(refusing)
    assert "policy add" in refusal.value.remedy
    assert picture(world.secondary, HEAD) == before
    assert world.run(world.apply_instruction("r2", sent["base"]))["healed"]


def test_a_head_that_nobody_changed_is_applied_to_where_changes_are_refused(world: World) -> None:
    populate(world)
    world.backup("r1")
    world.app.put(f"{HEAD}/a.txt", b"omega")
    world.cut("r2")
    sent = world.run(world.send_instruction("r2", "r1"))
    wanted = world.apply_instruction("r2", sent["base"])
    world.run(replace(wanted, payload={**wanted.payload, "refuses_changed_head": True}))
    assert world.secondary.read(f"{HEAD}/a.txt") == b"omega"
