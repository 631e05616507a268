"""Proofs that are carried over: what they save, what ends them, and what is found all the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.agent.core.hdfs import FileChecksum
from infra.agent.protocol import canonical
from tests.agent.hdfs_world import DATA_SET, EPOCH, HEAD, World
from tests.fakes.hdfs_application import Application
from tests.fakes.hdfs_tree import SUPERUSER

FILES = 40
DAY_MS = 86_400_000
HOUR_MS = DAY_MS // 24
MANIFEST = "/.understudy/recovery-points/r1/manifest.json"


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    for number in range(FILES):
        world.app.put(f"{HEAD}/d{number % 4}/f{number:02}", b"%04d" % number)
    return world


@pytest.fixture
def sealed(world: World) -> World:
    """A world with one recovery point; an hour later, one file has changed."""
    world.backup("r1")
    later(world, HOUR_MS)
    world.app.put(f"{HEAD}/d1/f01", b"new!")
    return world


def later(world: World, by_ms: int) -> None:
    world.clock.advance_to(world.clock.now_ms + by_ms)


def looked_at(world: World) -> list[str]:
    """The files whose stored checksum was asked for by what was carried out last."""
    return [operation.path.split("/", 5)[5] for operation in world.performed if isinstance(operation, FileChecksum)]


def staged(world: World, run: str) -> dict[str, Any]:
    """A run as far as APPLY."""
    world.cut(run)
    sent: dict[str, Any] = world.run(world.send_instruction(run, "r1"))
    world.run(world.apply_instruction(run, sent["base"]))
    return sent


def verify(world: World, run: str, **more: Any) -> dict[str, Any]:
    """Freeze and verify."""
    world.run(world.instruction("FreezeCopies", run))
    result: dict[str, Any] = world.run(world.digest_instruction(run, base="r1", **more))
    return result


def test_only_what_changed_is_looked_at(sealed: World) -> None:
    sent = staged(sealed, "r2")
    digest = verify(sealed, "r2", recheck_days=3_000)
    assert looked_at(sealed) == ["d1/f01"]
    assert digest["files_computed"] == 1
    frozen_ms = sealed.secondary.call("GET", "GETFILESTATUS", f"{HEAD}/.snapshot/r1", {})["FileStatus"]
    assert digest["carried"] == {
        "files": FILES - 1,
        "by_listing": 0,
        "recovery_point": "r1",
        "computed_since_ms": frozen_ms["modificationTime"],
        "recheck_days": 3_000,
    }
    assert digest["content"]["verdict"] == "EQUAL"
    assert digest["content"]["found"] == digest["content"]["expected"] == sent["content_digest"]


def no_manifest(world: World) -> None:
    world.secondary.call("DELETE", "DELETE", MANIFEST, {})


def torn_manifest(world: World) -> None:
    world.secondary.write(MANIFEST, world.secondary.read(MANIFEST)[:-9])


def proved_less(world: World) -> None:
    sealed = json.loads(world.secondary.read(MANIFEST))
    sealed["data_sets"][0]["verified"]["content"]["proved"] = "names and lengths"
    world.secondary.write(MANIFEST, json.dumps(sealed).encode())


def other_snapshot(world: World) -> None:
    sealed = json.loads(world.secondary.read(MANIFEST))
    world.secondary.write(MANIFEST, json.dumps({**sealed, "snapshot": "r0"}).encode())


def other_source_manifest(world: World) -> None:
    path = MANIFEST.replace("manifest.json", f"{DATA_SET['id']}.manifest")
    world.secondary.write(path, world.secondary.read(path).replace(b"d2/f02", b"d2/f03"))


def no_source_manifest(world: World) -> None:
    world.secondary.call("DELETE", "DELETE", MANIFEST.replace("manifest.json", f"{DATA_SET['id']}.manifest"), {})


def no_snapshot(world: World) -> None:
    world.secondary.call("DELETE", "DELETESNAPSHOT", HEAD, {"snapshotname": "r1"})


@pytest.mark.parametrize(
    "spoil",
    [no_manifest, torn_manifest, proved_less, other_snapshot, other_source_manifest, no_source_manifest, no_snapshot],
)
def test_nothing_is_carried_over_from_what_is_not_proved_and_sealed(
    sealed: World, spoil: Callable[[World], None]
) -> None:
    staged(sealed, "r2")
    spoil(sealed)
    digest = verify(sealed, "r2", recheck_days=3_000)
    assert digest["carried"] is None
    assert digest["files_computed"] == len(looked_at(sealed)) == FILES
    assert digest["content"]["verdict"] == "EQUAL"


@pytest.mark.parametrize("level", ["bytes", "metadata", "changed"])
def test_other_levels_do_as_before(sealed: World, level: str) -> None:
    staged(sealed, "r2")
    digest = verify(sealed, "r2", level=level)
    assert digest["carried"] is None
    assert digest["files_computed"] == {"bytes": FILES, "metadata": 0, "changed": 1}[level]


def test_a_sample_is_read_whatever_is_proved(sealed: World) -> None:
    staged(sealed, "r2")
    sealed.secondary.damage(f"{HEAD}/d2/f02")
    digest = verify(sealed, "r2", percent=100)
    assert digest["files_read"] == FILES - 1
    assert digest["differences"][0].startswith("d2/f02: cannot be read")


def rewrite(app: Application) -> None:
    app.put(f"{HEAD}/d2/f02", b"evil")


def cut_and_write_back(app: Application) -> None:
    app.truncate(f"{HEAD}/d2/f02", 0)
    app.append(f"{HEAD}/d2/f02", b"evil")


def exchange(app: Application) -> None:
    app.rename(f"{HEAD}/d2/f02", f"{HEAD}/d2/aside")
    app.rename(f"{HEAD}/d2/f06", f"{HEAD}/d2/f02")
    app.rename(f"{HEAD}/d2/aside", f"{HEAD}/d2/f06")


@pytest.mark.parametrize("change", [rewrite, cut_and_write_back, exchange])
def test_a_head_changed_between_apply_and_freeze_is_found(sealed: World, change: Callable[[Application], None]) -> None:
    staged(sealed, "r2")
    change(Application(sealed.secondary, SUPERUSER))
    digest = verify(sealed, "r2", recheck_days=3_000)
    assert digest["content"]["verdict"] == "DIFFERENT"
    assert any(difference.startswith("d2/f02: has other bytes") for difference in digest["differences"])


def test_metadata_of_what_is_carried_over_is_compared(sealed: World) -> None:
    staged(sealed, "r2")
    Application(sealed.secondary, SUPERUSER).chown(f"{HEAD}/d2/f02", "eve", "eve")
    digest = verify(sealed, "r2", recheck_days=3_000)
    assert digest["metadata"]["verdict"] == "DIFFERENT"
    assert digest["differences"] == ["d2/f02: differs in owner, group"]


def test_what_is_known_to_be_damaged_is_looked_at(sealed: World) -> None:
    staged(sealed, "r2")
    sealed.secondary.call("PUT", "MKDIRS", "/.understudy/damaged", {"permission": "700"})
    sealed.secondary.write(f"/.understudy/damaged/{DATA_SET['id']}", b'["d2/f02"]')
    verify(sealed, "r2", recheck_days=3_000)
    assert sorted(looked_at(sealed)) == ["d1/f01", "d2/f02"]


def test_every_file_is_looked_at_again_within_the_time_and_not_all_at_once(world: World) -> None:
    days, runs = 2, 30
    world.backup("r0", recheck_days=days)
    newest = dict.fromkeys([f"d{number % 4}/f{number:02}" for number in range(FILES)], world.secondary.now_ms())
    numbers = []
    for run in range(1, runs):
        later(world, 5 * HOUR_MS)
        started_ms = world.secondary.now_ms()
        digest = world.backup(f"r{run}", f"r{run - 1}", recheck_days=days)["digest"]
        for path in looked_at(world):
            newest[path] = started_ms
        assert started_ms - min(newest.values()) <= days * DAY_MS
        carried = digest["carried"]
        assert started_ms - days * DAY_MS < carried["computed_since_ms"] <= min(newest.values()) + 1_000
        numbers.append(digest["files_computed"])
    assert max(numbers) < FILES / 2


def test_a_rotten_stored_checksum_is_found_by_the_recheck(world: World) -> None:
    world.backup("r0", recheck_days=1)
    inode = world.secondary.find(f"{HEAD}/d2/f02")
    assert inode is not None
    inode.blocks[0].data = b"rot!"
    verdicts = []
    for run in range(1, 6):
        later(world, 6 * HOUR_MS)
        digest = world.backup(f"r{run}", f"r{run - 1}", recheck_days=1)["digest"]
        verdicts.append(digest["content"]["verdict"])
        if verdicts[-1] == "DIFFERENT":
            break
    assert verdicts[-1] == "DIFFERENT"


def test_another_period_begins_with_looking_at_everything(sealed: World) -> None:
    sealed.backup("r2", "r1", recheck_days=3_000)
    later(sealed, HOUR_MS)
    digest = sealed.backup("r3", "r2", recheck_days=2_000)["digest"]
    assert (digest["files_computed"], digest["carried"]) == (FILES, None)
    later(sealed, HOUR_MS)
    assert sealed.backup("r4", "r3", recheck_days=2_000)["digest"]["carried"]["files"] > FILES - 3


def test_a_file_that_the_difference_names_is_looked_at_though_length_and_time_are_the_same(sealed: World) -> None:
    staged(sealed, "r2")
    sealed.secondary.call("PUT", "SETPERMISSION", f"{HEAD}/d2/f02", {"permission": "600"})
    digest = verify(sealed, "r2", recheck_days=3_000)
    assert sorted(looked_at(sealed)) == ["d1/f01", "d2/f02"]
    assert digest["carried"]["files"] == FILES - 2


@pytest.mark.parametrize("other", [{"w": True}, {"c": "MD5-of-0MD5-of-512CRC32C:0000"}], ids=["moved", "checksum"])
def test_a_file_of_which_the_run_says_something_else_is_looked_at(sealed: World, other: dict[str, Any]) -> None:
    """No older proof speaks of bytes that came over the network in this run, nor of another checksum."""
    staged(sealed, "r2")
    path = f"/.understudy/incoming/{EPOCH}/r2/d1/manifest"
    lines = [json.loads(line) for line in sealed.secondary.read(path).splitlines()]
    moved = [{**line, **other} if line["p"] == "d3/f03" else line for line in lines]
    sealed.secondary.write(path, b"".join(canonical(line) + b"\n" for line in moved))
    verify(sealed, "r2", recheck_days=3_000)
    assert sorted(looked_at(sealed)) == ["d1/f01", "d3/f03"]
