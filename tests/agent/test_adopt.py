"""A directory that DistCp has filled is taken over: what is equal stays, and nothing is lost that was not told."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from infra.agent.core.hdfs_ownership import OWNERSHIP, signature
from infra.agent.core.operations import OperationFailed
from infra.agent.protocol import Instruction
from tests.agent.hdfs_world import DATA_SET, EPOCH, HEAD, World, picture
from tests.agent.outage import arrive_late, outage
from tests.agent.test_hdfs_crashes import forked
from tests.fakes.hdfs_application import SMALL_BLOCK, Application

OTHER_BLOCK = 2 * SMALL_BLOCK

EQUAL = {"a": b"a" * 900, "sub/b": b"b" * 5000, "sub/deeper/empty": b"", "sub/other blocks": b"c" * 5000}
FILES = {**EQUAL, "changed": b"new", "missing": b"m" * 10, "same length": b"1234"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """The secondary holds what an older DistCp has left: other owners, modes, times and blocks, and more files."""
    found = World(tmp_path)
    for name, data in FILES.items():
        found.app.put(f"{HEAD}/{name}", data)
    theirs = Application(found.secondary, "distcp")
    for name, data in EQUAL.items():
        theirs.put(f"{HEAD}/{name}", data, "600", OTHER_BLOCK if "blocks" in name else SMALL_BLOCK)
    theirs.put(f"{HEAD}/changed", b"before")
    theirs.put(f"{HEAD}/same length", b"4321")
    theirs.put(f"{HEAD}/extra/of theirs", b"extra")
    return found


def adopting(world: World, run: str) -> tuple[dict[str, Any], Instruction]:
    """What the sender tells, and the ApplyStaged that follows."""
    world.cut(run)
    sent = world.run(world.send_instruction(run, None, adopts=True))
    return sent, taking_over(world, run, sent)


def taking_over(world: World, run: str, sent: dict[str, Any]) -> Instruction:
    data_set = {**DATA_SET, "base": None, "recovery_point": None, "from_head": True}
    data_set["as_found"] = sent["adopted"]["fingerprint"]
    return world.instruction("ApplyStaged", run, data_sets=[data_set], head_mode="700")


def assert_equal(world: World, run: str) -> None:
    """All is as at the source, but for how the blocks of one file are cut."""
    source = picture(world.primary, f"{HEAD}/.snapshot/{run}")
    found = picture(world.secondary, HEAD)
    sizes = [tree["sub/other blocks"].pop("block_size") for tree in (source, found)]
    assert (found, sizes) == (source, [SMALL_BLOCK, OTHER_BLOCK])


def root_of(world: World) -> tuple[Any, ...]:
    inode = world.secondary.find(HEAD)
    assert inode is not None
    return inode.owner, inode.group, inode.mode, dict(inode.attributes), inode.snapshots


def test_only_what_differs_is_copied_and_what_would_be_lost_is_listed(world: World) -> None:
    before, root = picture(world.secondary, HEAD), root_of(world)
    sent, _ = adopting(world, "r1")
    assert (sent["compared_with"], sent["files_moved"]) == ("head", 3)
    assert sent["bytes_moved"] == len(b"new") + 10 + 4
    counts = {name: count for name, count in sent["adopted"].items() if name != "fingerprint"}
    assert counts == {
        "deleted_files": 1, "deleted_directories": 1, "deleted_bytes": 5,
        "replaced_files": 2, "replaced_bytes": 10,
        "equal_files": 4, "equal_directories": 3, "equal_bytes": 10_900,
    }  # fmt: skip
    listed = world.secondary.read(f"/.understudy/incoming/{EPOCH}/r1/{DATA_SET['id']}/losses")
    losses = [json.loads(line) for line in listed.splitlines()]
    assert [(one["do"], one["p"], one.get("l")) for one in losses] == [
        ("deleted", "extra", None),
        ("deleted", "extra/of theirs", 5),
        ("replaced", "changed", 6),
        ("replaced", "same length", 4),
    ]
    page = world.run(world.instruction("ListLosses", "r1", data_set=DATA_SET, offset=0))
    assert page == {"losses": losses, "next": None}
    assert world.run(world.instruction("ListLosses", "r1", data_set=DATA_SET, offset=len(listed)))["losses"] == []
    with pytest.raises(OperationFailed, match="BAD_OFFSET"):
        world.run(world.instruction("ListLosses", "r1", data_set=DATA_SET, offset=3))
    second = listed.index(b"\n") + 1
    assert world.run(world.instruction("ListLosses", "r1", data_set=DATA_SET, offset=second))["losses"] == losses[1:]
    with pytest.raises(OperationFailed, match="NO_LIST"):
        world.run(world.instruction("ListLosses", "r2", data_set=DATA_SET, offset=0))
    assert picture(world.secondary, HEAD) == before, "nothing is changed before somebody has said yes"
    assert root_of(world) == root


def test_after_it_the_trees_are_equal_and_the_next_run_is_an_ordinary_one(world: World) -> None:
    _, apply = adopting(world, "r1")
    world.run(apply)
    world.run(world.instruction("FreezeCopies", "r1"))
    digest = world.run(world.digest_instruction("r1"))
    assert {digest[part]["verdict"] for part in ("content", "metadata")} == {"EQUAL"}, digest["differences"]
    assert_equal(world, "r1")
    assert root_of(world)[2:4] == ("700", {OWNERSHIP: signature(DATA_SET["id"])})
    world.seal("r1")
    world.app.put(f"{HEAD}/a", b"second")
    result = world.backup("r2", "r1")
    assert (result["compared_with"], result["files_moved"], result["deleted"]) == ("base", 1, 0)
    assert result["digest"]["content"]["verdict"] == "EQUAL"


@pytest.mark.parametrize("name", ["extra/one more", "a", "another"])
def test_a_tree_that_has_changed_since_it_was_compared_is_left_untouched(world: World, name: str) -> None:
    _, apply = adopting(world, "r1")
    world.secondary.write(f"{HEAD}/{name}", b"meanwhile")
    before, root = picture(world.secondary, HEAD), root_of(world)
    with pytest.raises(OperationFailed, match="HEAD_CHANGED"):
        world.run(apply)
    assert (picture(world.secondary, HEAD), root_of(world)) == (before, root)
    assert world.secondary.find(f"/.understudy/incoming/{EPOCH}/r1/{DATA_SET['id']}/begun") is None


@pytest.mark.parametrize("name", ["extra/one more", "a"])
def test_a_tree_that_changes_while_it_is_taken_over_is_given_back(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Somebody writes after the first look, until the tree is closed to others."""
    _, apply = adopting(world, "r1")
    root, call, wrote = root_of(world), world.secondary.call, []

    def meddling(method: str, op: str, path: str, *rest: Any) -> Any:
        if (op, path) == ("SETPERMISSION", HEAD) and not wrote:
            wrote.append(name)
            world.secondary.write(f"{HEAD}/{name}", b"meanwhile")
        return call(method, op, path, *rest)

    monkeypatch.setattr(world.secondary, "call", meddling)
    with pytest.raises(OperationFailed, match="HEAD_CHANGED"):
        world.run(apply)
    assert (wrote, root_of(world)) == ([name], root)
    assert world.secondary.find(f"/.understudy/incoming/{EPOCH}/r1/{DATA_SET['id']}/begun") is None
    assert world.secondary.read(f"{HEAD}/{name}") == b"meanwhile"
    assert world.secondary.read(f"{HEAD}/extra/of theirs") == b"extra"


def test_snapshots_that_somebody_takes_meanwhile_do_no_harm(world: World) -> None:
    _, apply = adopting(world, "r1")
    world.secondary.call("PUT", "ALLOWSNAPSHOT", HEAD, {})
    world.secondary.call("PUT", "CREATESNAPSHOT", HEAD, {"snapshotname": "theirs"})
    world.run(apply)
    inode = world.secondary.find(HEAD)
    assert inode is not None
    assert list(inode.snapshots or ()) == ["theirs"]
    assert world.secondary.read(f"{HEAD}/.snapshot/theirs/extra/of theirs") == b"extra"


@pytest.mark.parametrize("lands", [False, True])
def test_another_attempt_ends_what_an_outage_interrupted(world: World, tmp_path: Path, lands: bool) -> None:
    """The NameNode stops answering at one request after the other; that one has its effect, or has not."""
    sent, _ = adopting(world, "r1")
    first = 1
    while True:
        again = forked(world, tmp_path)
        with outage(again.secondary, first, lands) as happened, suppress(OperationFailed):
            again.run(taking_over(again, "r1", sent))
        if not happened.has_begun:
            break
        again.run(taking_over(again, "r1", sent))
        arrive_late(again.secondary, happened.unanswered)
        assert_equal(again, "r1")
        first += 3
    assert first > 20


def test_the_copy_of_another_data_set_is_never_adopted(world: World) -> None:
    attributes = {"xattr.name": OWNERSHIP, "xattr.value": signature("d2"), "flag": "CREATE"}
    world.secondary.call("PUT", "SETXATTR", HEAD, attributes)
    world.cut("r1")
    sent = world.run(world.send_instruction("r1", None, adopts=True))
    assert sent["compared_with"] == "nothing"
    with pytest.raises(OperationFailed, match="FOREIGN_TREE"):
        world.run(world.apply_instruction("r1", None))


def test_without_being_asked_nothing_is_adopted(world: World) -> None:
    world.cut("r1")
    assert world.run(world.send_instruction("r1", None))["compared_with"] == "nothing"
    with pytest.raises(OperationFailed, match="FOREIGN_TREE"):
        world.run(world.apply_instruction("r1", None))


@pytest.mark.parametrize("was_told", [True, False])
def test_which_contents_are_identified_may_be_up_to_chance(
    world: World, monkeypatch: pytest.MonkeyPatch, was_told: bool
) -> None:
    """As over WebHDFS alone, where not every file of a large tree is asked for."""
    identify = world.secondary.identify
    if not was_told:
        monkeypatch.setattr(world.secondary, "identify", lambda path: None if path.endswith("/a") else identify(path))
    _, instruction = adopting(world, "r1")
    monkeypatch.setattr(world.secondary, "identify", lambda path: None if path.endswith("sub/b") else identify(path))
    if was_told:  # then nobody knows whether contents are what they were
        with pytest.raises(OperationFailed, match="HEAD_CHANGED"):
            world.run(instruction)
        monkeypatch.setattr(world.secondary, "identify", identify)
    world.run(instruction)
    assert_equal(world, "r1")
