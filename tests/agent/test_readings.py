"""Every byte of the copies is read within so many days, spread over the runs, and never more than is stated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.agent.core import readings
from infra.agent.core.operations import DigestFile, OperationFailed
from tests.agent.hbase_world import World as HBaseWorld
from tests.agent.hdfs_world import HEAD, World

FILES = 40
BYTES = 100
DAY_MS = 86_400_000
DAYS = 10
RECORD = "/.understudy/read/d1"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A copy whose verification can be repeated; a run may read a fifth of it."""
    monkeypatch.setattr(readings, "LEAST_BYTES", 1)
    world = World(tmp_path)
    for number in range(FILES):
        world.app.put(f"{HEAD}/d{number % 4}/f{number:02}", b"%0100d" % number)
    world.cut("r1")
    world.run(world.send_instruction("r1", None))
    world.run(world.apply_instruction("r1", None))
    world.run(world.instruction("FreezeCopies", "r1"))
    return world


def verify(world: World, percent: int = 20, level: str = "checksum", days: int = DAYS) -> dict[str, Any]:
    """Verify once more; a day later."""
    world.clock.advance_to(world.clock.now_ms + DAY_MS)
    instruction = world.digest_instruction("r1", level)
    payload = {**instruction.payload, "read_days": days, "read_percent": percent}
    found: dict[str, Any] = world.run(replace(instruction, payload=payload))
    return found


def bytes_read(world: World) -> int:
    """What was read by what was carried out last."""
    return sum(operation.length for operation in world.performed if isinstance(operation, DigestFile))


def test_everything_is_read_within_the_time_a_part_in_each_run(world: World) -> None:
    first = verify(world)["read"]
    assert (first["files"], first["bytes"], first["never_files"], first["oldest_ms"]) == (
        FILES,
        FILES * BYTES,
        FILES,
        None,
    )
    parts, never = [], []
    for _ in range(DAYS - 1):
        told = verify(world)
        assert told["content"]["verdict"] == "EQUAL"
        parts.append(bytes_read(world))
        assert told["bytes_read"] == parts[-1] <= FILES * BYTES * 20 // 100
        never.append(told["read"]["never_bytes"])
        assert told["read"]["overdue_files"] == 0
    assert never == sorted(never, reverse=True)
    assert never[-1] == 0, "all of it was read at least once"
    assert len([part for part in parts if part]) > 3, "and not at once"
    for _ in range(2 * DAYS):
        told = verify(world)["read"]
        age_ms = world.clock.now_ms - told["oldest_ms"]
        assert (told["never_bytes"], told["overdue_bytes"]) == (0, 0)
        assert age_ms <= DAYS * DAY_MS


def test_a_block_that_rots_is_found_by_default(world: World) -> None:
    verify(world)
    world.secondary.damage(f"{HEAD}/d1/f05")
    told = verify(world)
    for _ in range(DAYS):
        told = told if told["content"]["verdict"] == "DIFFERENT" else verify(world)
    assert (told["content"]["verdict"], told["content"]["found"]) == ("DIFFERENT", None)
    assert told["differences"][0].startswith("d1/f05: cannot be read")


def test_a_share_that_is_too_small_is_kept_and_the_rest_is_told(world: World) -> None:
    for _ in range(2 * DAYS):
        told = verify(world, percent=1)
        assert bytes_read(world) <= FILES * BYTES // 100
    assert told["read"]["due_bytes"] > 0
    assert told["read"]["overdue_files"] > 0
    for _ in range(2 * DAYS):
        told = verify(world, percent=30)
    assert (told["read"]["never_files"], told["read"]["overdue_files"]) == (0, 0)


def test_what_is_put_off_comes_first_and_a_file_is_read_in_pieces(world: World) -> None:
    for _ in range(2 * DAYS):
        verify(world, days=3_650)
    read: list[tuple[str, int, int]] = []
    world.clock.advance_to(world.clock.now_ms + 3_650 * DAY_MS)
    for _ in range(3 * FILES):
        verify(world, percent=1, days=3_650)  # 40 bytes
        read += [(one.path, one.offset, one.length) for one in world.performed if isinstance(one, DigestFile)]
    paths = {path for path, _, _ in read}
    assert len(paths) == FILES, "none of them starves"
    for path in paths:
        pieces = [(offset, length) for one, offset, length in read if one == path]
        assert sum(length for _, length in pieces) == BYTES
        assert [offset for offset, _ in pieces] == [sum(n for _, n in pieces[:k]) for k in range(len(pieces))]


@pytest.mark.parametrize("level", ["bytes", "metadata", "changed"])
def test_every_level_reads_and_the_level_bytes_reads_everything(world: World, level: str) -> None:
    verify(world, level=level)
    for _ in range(DAYS):
        told = verify(world, level=level)
    assert told["read"]["never_files"] == 0
    if level == "bytes":
        assert (told["files_read"], bytes_read(world)) == (FILES, FILES * BYTES)
        assert world.clock.now_ms - told["read"]["oldest_ms"] < 2 * readings.MINUTE_MS
    else:
        assert told["content"]["verdict"] == ("LISTED" if level == "metadata" else "EQUAL"), "all of it had moved"


@pytest.mark.parametrize("content", [b"", b"torn", b"{}\n", b'{"byteorder":"little"}\nx', b"\xff\n"])
def test_a_record_that_cannot_be_read_counts_everything_as_never_read(world: World, content: bytes) -> None:
    for _ in range(DAYS):
        verify(world)
    world.secondary.write(RECORD, content)
    assert verify(world)["read"]["never_files"] == FILES
    for _ in range(DAYS):
        told = verify(world)
    assert told["read"]["never_files"] == 0


def test_a_record_from_the_future_is_not_believed(world: World) -> None:
    for _ in range(DAYS):
        verify(world)
    world.clock.now_ms -= DAYS * DAY_MS
    assert verify(world)["read"]["never_files"] == FILES


def test_without_days_nothing_is_read_told_or_kept(world: World) -> None:
    told = world.run(world.digest_instruction("r1"))
    assert (told["read"], told["bytes_read"]) == (None, 0)
    assert world.secondary.find(RECORD) is None


def test_store_files_are_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings, "LEAST_BYTES", 1)
    world = HBaseWorld(tmp_path)
    world.fill("one")
    world.cut("us-r1")
    world.run(world.send("us-r1"))
    world.run(world.apply("us-r1"))
    damaged = world.path_of_some_file()
    is_found = False
    for day in range(DAYS + 1):
        if day == 1:
            world.hdfs["secondary"].damage(damaged)
        world.clock.advance_to(world.clock.now_ms + DAY_MS)
        instruction = world.digest("us-r1", "checksum", trial=False)
        payload = {**instruction.payload, "read_days": DAYS, "read_percent": 100}
        told = world.run(replace(instruction, payload=payload))
        is_found |= told["content"]["verdict"] == "DIFFERENT"
    assert is_found
    assert told["read"]["files"] > told["read"]["never_files"]


@pytest.mark.parametrize("transient", [True, False])
def test_a_record_that_is_lost_ends_no_verification_for_good(
    world: World, monkeypatch: pytest.MonkeyPatch, transient: bool
) -> None:
    verify(world)
    read = world.secondary.read

    def lost(path: str, *bounds: Any) -> bytes:
        if path == RECORD:
            raise OperationFailed("TOO_LARGE", "too many bytes", transient=transient)
        return read(path, *bounds)

    monkeypatch.setattr(world.secondary, "read", lost)
    if transient:
        with pytest.raises(OperationFailed, match="TOO_LARGE"):
            verify(world)
    else:
        assert verify(world)["read"]["never_files"] == FILES
