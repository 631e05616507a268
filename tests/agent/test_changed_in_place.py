"""Contents changed in place, with length and time as before: blocks tell, and where none are told, that is said."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.agent.core.hdfs import FileChecksum, ListPage
from infra.agent.core.hdfs_asking import identify
from infra.agent.core.hdfs_compare import Side
from infra.agent.core.operations import OperationFailed
from infra.agent.core.work import manifest_path
from infra.agent.protocol import canonical
from tests.agent.hdfs_world import DATA_SET, EPOCH, HEAD, World, picture
from tests.agent.test_adopt import adopting
from tests.agent.test_adopt import world as adopted_world  # noqa: F401 - a fixture
from tests.fakes.hdfs import FakeHdfs
from tests.fakes.hdfs_application import SMALL_BLOCK, Application

FILES = {
    "small": b"s" * 80,
    "sub/blocks": b"b" * (3 * SMALL_BLOCK + 100),
    "sub/whole blocks": b"w" * (2 * SMALL_BLOCK),
    "sub/deep/other": b"o" * 500,
    "empty": b"",
    "last": b"l" * 900,
}
REWRITTEN = ("small", "sub/blocks", "sub/whole blocks")


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    for name, data in FILES.items():
        made.app.put(f"{HEAD}/{name}", data)
    return made


@pytest.fixture
def sealed(world: World) -> World:
    world.backup("r1")
    return world


def rewrite(app: Application, name: str) -> None:
    """Other bytes in the second half, and nothing that a listing shows."""
    app.rewrite(f"{HEAD}/{name}", b"#" * (len(FILES[name]) // 2))


def rewrite_all(world: World) -> None:
    for name in REWRITTEN:
        rewrite(world.app, name)


def manifest(world: World, run: str) -> dict[str, dict[str, Any]]:
    lines = world.secondary.read(manifest_path(run, DATA_SET)).splitlines()
    return {entry["p"]: entry for entry in map(json.loads, lines)}


def change_manifest(world: World, run: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Let a recovery point's manifest be another one, and sealed like that."""
    path = manifest_path(run, DATA_SET)
    entries = list(manifest(world, run).values())
    for entry in entries:
        change(entry)
    staged = f"/.understudy/incoming/{EPOCH}/{run}"
    world.secondary.call("PUT", "MKDIRS", f"{staged}/d1", {"permission": "700"})
    world.secondary.write(f"{staged}/d1/manifest", b"".join(canonical(entry) + b"\n" for entry in entries))
    sealed = json.loads(world.secondary.read(f"{path.rpartition('/')[0]}/manifest.json"))["data_sets"][0]
    sha256 = hashlib.sha256(world.secondary.read(f"{staged}/d1/manifest")).hexdigest()
    world.seal(run, {**sealed["copied"], "manifest_sha256": sha256}, sealed["verified"])


def summed_up(world: World, site: str) -> int:
    """Of how many files the last instruction has asked a cluster for the stored checksum."""
    return sum(isinstance(one, FileChecksum) and one.site == site for one in world.performed)


def assert_proved(world: World, run: str, result: dict[str, Any]) -> None:
    world.assert_equal(run)
    assert result["digest"]["content"]["verdict"] == "EQUAL"
    assert result["digest"]["content"]["found"] == result["content_digest"]
    assert (result["digest"]["unseen"], result["digest"]["content"]["proved"]) == (None, "stored checksums")


def test_an_increment_copies_the_new_bytes(sealed: World) -> None:
    rewrite_all(sealed)
    result = sealed.backup("r2", "r1")
    assert_proved(sealed, "r2", result)
    assert (result["files_moved"], result["replaced"], result["changed_attributes"]) == (3, 3, 0)
    again = sealed.backup("r3", "r2")
    assert (again["files_moved"], again["steps"]) == (0, 0)


def test_so_do_they_where_they_moved_along(sealed: World) -> None:
    sealed.app.rename(f"{HEAD}/sub", f"{HEAD}/renamed")
    sealed.app.rewrite(f"{HEAD}/renamed/blocks", b"#" * 10)
    result = sealed.backup("r2", "r1")
    assert_proved(sealed, "r2", result)
    assert (result["files_moved"], result["renamed"]) == (1, 1)


@pytest.mark.parametrize("lost", ["the seal", "the manifest", "the snapshot here", "both snapshots there"])
def test_whatever_it_is_compared_with(sealed: World, lost: str) -> None:
    rewrite_all(sealed)
    if lost == "the seal":
        sealed.secondary.call("DELETE", "DELETE", "/.understudy/recovery-points/r1/manifest.json", {})
    elif lost == "the manifest":
        sealed.secondary.call("DELETE", "DELETE", "/.understudy/recovery-points/r1", {"recursive": "true"})
    else:
        hdfs = sealed.primary if lost == "the snapshot here" else sealed.secondary
        hdfs.call("DELETE", "DELETESNAPSHOT", HEAD, {"snapshotname": "r1"})
    result = sealed.backup("r2", "r1")
    assert_proved(sealed, "r2", result)
    assert result["files_moved"] == 3


def test_a_file_that_was_replaced_by_another_one_of_its_length_and_time(sealed: World) -> None:
    inode = sealed.primary.find(f"{HEAD}/small")
    assert inode is not None
    sealed.app.put("/data/outside/other", b"#" * 80)
    sealed.app.delete(f"{HEAD}/small")
    sealed.app.rename("/data/outside/other", f"{HEAD}/small")
    sealed.app.touch(f"{HEAD}/small", inode.modified_ms)
    result = sealed.backup("r2", "r1")
    assert_proved(sealed, "r2", result)
    assert result["files_moved"] == 1


def test_what_was_changed_between_the_cut_and_the_copy_comes_with_the_next_run(world: World) -> None:
    world.when_cut = lambda: rewrite_all(world)
    world.backup("r1")
    world.assert_equal("r1")
    world.when_cut = lambda: None
    assert_proved(world, "r2", world.backup("r2", "r1"))


def test_other_generations_of_the_same_bytes_are_copied_by_nobody(sealed: World) -> None:
    """A recovered lease does that, and nothing else."""
    inode = sealed.primary.find(f"{HEAD}/sub/blocks")
    assert inode is not None
    before = manifest(sealed, "r1")["sub/blocks"]["B"]
    inode.blocks[-1] = replace(inode.blocks[-1], generation=sealed.primary.new_generation())
    result = sealed.backup("r2", "r1")
    assert_proved(sealed, "r2", result)
    assert (result["files_moved"], result["steps"]) == (0, 0)
    assert manifest(sealed, "r2")["sub/blocks"]["B"] != before


def test_a_manifest_from_before_has_every_file_summed_up_once(sealed: World) -> None:
    change_manifest(sealed, "r1", lambda entry: entry.pop("B", None))
    rewrite(sealed.app, "small")
    sealed.cut("r2")
    sent = sealed.run(sealed.send_instruction("r2", "r1"))
    assert (sent["files_moved"], summed_up(sealed, "primary")) == (1, 5)
    sealed.run(sealed.apply_instruction("r2", "r1"))
    sealed.run(sealed.instruction("FreezeCopies", "r2"))
    sealed.seal("r2", sent, sealed.run(sealed.digest_instruction("r2", base="r1")))
    sealed.assert_equal("r2")
    assert [name for name, entry in manifest(sealed, "r2").items() if "B" not in entry] == [
        "",
        "empty",
        "sub",
        "sub/deep",
    ]
    sealed.cut("r3")
    assert sealed.run(sealed.send_instruction("r3", "r2"))["files_moved"] == 0
    assert summed_up(sealed, "primary") == 0


def test_a_plan_by_listings_alone_of_an_agent_from_before_is_made_anew(sealed: World) -> None:
    rewrite_all(sealed)
    sealed.cut("r2")
    instruction = sealed.send_instruction("r2", "r1")
    sealed.run(instruction)
    journal = sealed.directory / instruction.id / "journal"
    told = journal.read_bytes()
    assert sealed.run(instruction)["files_moved"] == 3
    assert not any(isinstance(one, ListPage) for one in sealed.performed), "it goes on with its plan"
    journal.write_bytes(told.replace(b'"form":3', b'"form":2'))
    assert sealed.run(instruction)["files_moved"] == 3
    assert any(isinstance(one, ListPage) for one in sealed.performed)


@pytest.mark.parametrize("is_recorded", [True, False])
def test_a_head_that_was_changed_in_place_is_healed(sealed: World, is_recorded: bool) -> None:
    if not is_recorded:  # by an agent from before
        path = "/.understudy/recovery-points/r1/manifest.json"
        told = json.loads(sealed.secondary.read(path))
        del told["data_sets"][0]["verified"]["blocks"]
        sealed.secondary.write(path, canonical(told))
    rewrite(Application(sealed.secondary, "hdfs"), "sub/blocks")
    sealed.app.put(f"{HEAD}/later", b"later")
    result = sealed.backup("r2", "r1")
    assert_proved(sealed, "r2", result)
    assert result["healed"] is True


def test_a_head_that_was_changed_in_place_is_refused_where_that_is_wanted(sealed: World) -> None:
    rewrite(Application(sealed.secondary, "hdfs"), "sub/blocks")
    sealed.cut("r2")
    sealed.run(sealed.send_instruction("r2", "r1"))
    apply = sealed.apply_instruction("r2", "r1")
    refusing = replace(apply, payload={**apply.payload, "refuses_changed_head": True})
    with pytest.raises(OperationFailed) as refused:
        sealed.run(refusing)
    assert refused.value.code == "HEAD_CHANGED"
    assert "1 files are missing or other ones" in refused.value.message


def test_one_listing_shows_a_head_to_be_at_its_base(sealed: World) -> None:
    sealed.cut("r2")
    sealed.run(sealed.send_instruction("r2", "r1"))
    sealed.run(sealed.apply_instruction("r2", "r1"))
    trees = {one.path.partition("/.snapshot/")[2] for one in sealed.performed if isinstance(one, ListPage)}
    assert trees == {""}


def test_no_proof_is_carried_over_to_other_blocks(sealed: World) -> None:
    sealed.cut("r2")
    sealed.run(sealed.send_instruction("r2", "r1"))
    sealed.run(sealed.apply_instruction("r2", "r1"))
    rewrite(Application(sealed.secondary, "hdfs"), "sub/blocks")
    sealed.run(sealed.instruction("FreezeCopies", "r2"))
    digest = sealed.run(sealed.digest_instruction("r2", base="r1", recheck_days=3000))
    assert (digest["carried"]["files"], digest["files_computed"]) == (4, 1)
    assert digest["differences"] == ["sub/blocks: has other bytes"]
    assert digest["content"]["verdict"] == "DIFFERENT"


def test_what_is_adopted_may_not_have_been_changed_in_place_since_it_was_compared(adopted_world: World) -> None:  # noqa: F811
    _, apply = adopting(adopted_world, "r1")
    before = picture(adopted_world.secondary, HEAD)
    Application(adopted_world.secondary, "distcp").rewrite(f"{HEAD}/sub/b", b"#" * 100)
    now = picture(adopted_world.secondary, HEAD)
    assert {name for name, facts in now.items() if facts != before[name]} == {"sub/b"}
    with pytest.raises(OperationFailed) as refused:
        adopted_world.run(apply)
    assert refused.value.code == "HEAD_CHANGED"
    assert picture(adopted_world.secondary, HEAD) == now


def test_what_was_compared_over_webhdfs_alone_is_taken_over_as_it_was_seen(adopted_world: World) -> None:  # noqa: F811
    adopted_world.secondary.tells_blocks = False
    _, apply = adopting(adopted_world, "r1")
    adopted_world.secondary.tells_blocks = True
    assert adopted_world.run(apply)["steps"] > 0


class TestWhereNoBlocksAreTold:
    """A cluster that is reached over WebHDFS alone, where it tells no blocks either."""

    @pytest.fixture
    def alone(self, world: World) -> World:
        world.primary.tells_blocks = world.secondary.tells_blocks = False
        world.backup("r1")
        return world

    def test_the_first_copy_is_proved(self, world: World) -> None:
        world.primary.tells_blocks = world.secondary.tells_blocks = False
        result = world.backup("r1", level="bytes")
        assert (result["digest"]["unseen"], result["digest"]["content"]["proved"]) == (None, "bytes")

    def test_what_was_not_looked_at_is_said_to_be_as_of_an_earlier_moment(self, alone: World) -> None:
        rewrite(alone.app, "small")
        alone.app.put(f"{HEAD}/later", b"later")
        cuts = [cut_ms(alone.primary, "r1")]
        for run, base in (("r2", "r1"), ("r3", "r2")):
            digest = alone.backup(run, base, level="bytes")["digest"]
            cuts.append(cut_ms(alone.primary, run))
            assert digest["content"]["proved"] == "bytes, some of it as of an earlier moment"
        assert digest["unseen"] == {"files": 6, "bytes": sum(map(len, FILES.values())) + 5, "since_ms": cuts[0]}
        assert {name: entry["K"] for name, entry in manifest(alone, "r3").items() if "K" in entry} == {
            **{name: cuts[0] for name, data in FILES.items() if data},
            "later": cuts[1],
        }

    def test_it_is_found_as_soon_as_blocks_are_told(self, alone: World) -> None:
        rewrite(alone.app, "small")
        alone.backup("r2", "r1")
        alone.primary.tells_blocks = alone.secondary.tells_blocks = True
        result = alone.backup("r3", "r2")
        assert_proved(alone, "r3", result)
        assert result["files_moved"] == 1
        assert not any("K" in entry for entry in manifest(alone, "r3").values())

    def test_identities_outlive_a_run_without_them(self, sealed: World) -> None:
        """The checksum stays that of the contents that were identified then."""
        sealed.primary.tells_blocks = False
        assert sealed.backup("r2", "r1")["digest"]["unseen"]["since_ms"] == cut_ms(sealed.primary, "r1")
        sealed.primary.tells_blocks = True
        sealed.cut("r3")
        sent = sealed.run(sealed.send_instruction("r3", "r2"))
        assert (sent["files_moved"], summed_up(sealed, "primary")) == (0, 0)

    def test_of_a_manifest_from_before_nobody_knows_since_when(self, alone: World) -> None:
        change_manifest(alone, "r1", lambda entry: entry.pop("w", None))
        assert alone.backup("r2", "r1")["digest"]["unseen"] == {
            "files": 5,
            "bytes": sum(map(len, FILES.values())),
            "since_ms": 0,
        }

    def test_what_an_agent_from_before_has_copied_was_not_looked_at(self, world: World) -> None:
        """Its manifest says of nothing but what it moved that anybody has."""
        world.backup("r1")
        world.cut("r2")
        world.run(world.send_instruction("r2", "r1"))
        world.run(world.apply_instruction("r2", "r1"))
        world.run(world.instruction("FreezeCopies", "r2"))
        staged = f"/.understudy/incoming/{EPOCH}/r2/d1/manifest"
        entries = [json.loads(line) for line in world.secondary.read(staged).splitlines()]
        for entry in entries:
            entry.pop("B", None)
        world.secondary.write(staged, b"".join(canonical(entry) + b"\n" for entry in entries))
        digest = world.run(world.digest_instruction("r2", "bytes"))
        assert digest["unseen"] == {"files": 5, "bytes": sum(map(len, FILES.values())), "since_ms": 0}
        assert digest["content"]["proved"] == "bytes, some of it as of an earlier moment"

    def test_what_was_looked_at_by_its_checksum_is_not_expected(self, alone: World) -> None:
        alone.app.touch(f"{HEAD}/small", 1_000_000)
        digest = alone.backup("r2", "r1")["digest"]
        assert digest["unseen"]["files"] == 4
        assert manifest(alone, "r2")["small"]["K"] == cut_ms(alone.primary, "r2")

    def test_proofs_are_carried_over_by_the_listing_and_that_is_said(self, alone: World) -> None:
        carried = alone.backup("r2", "r1", recheck_days=3000)["digest"]["carried"]
        assert (carried["files"], carried["by_listing"]) == (5, 5)


def cut_ms(hdfs: FakeHdfs, run: str) -> int:
    found: int = hdfs.call("GET", "GETFILESTATUS", f"{HEAD}/.snapshot/{run}", {})["FileStatus"]["modificationTime"]
    return found


def test_files_of_very_many_blocks_are_not_identified_all_at_once() -> None:
    sizes = [1] * 126 + [500, 501, 5000, 0, 1]
    entries = [{"p": str(n), "t": "f", "l": size, "b": 1} for n, size in enumerate(sizes)]
    for name, size in (("known", 2), ("known, small", 1)):
        entries.append({"p": name, "t": "f", "l": size, "b": 1, "B": "00"})
    together = next(identify(Side("primary", "/t"), entries))
    asked = [next(procedure) for procedure in together.procedures]
    assert [[path[3:] for path in request.paths] for request in asked] == [
        [str(n) for n in range(125)],
        ["125", "126"],
        ["127"],
        ["128"],
        ["130", "known, small"],
    ]
