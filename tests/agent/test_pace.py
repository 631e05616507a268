"""What an allowance holds back: how many operations in bulk are under way, of which kinds, and since when."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.agent.core.operations import CopyRange, DigestFile, HdfsCall, Operation, ReadFile, SpoolAppend
from infra.agent.protocol import Instruction, parse_instruction
from infra.agent.shell.disk import Disk
from infra.agent.shell.executor import Executor
from infra.agent.shell.pace import UNLIMITED, Allowance, Pace, read_allowance
from infra.agent.shell.reports import Log
from infra.agent.shell.spool import Entry

WIRE = Path(__file__).parent / "wire"
COPY = CopyRange("primary", "/a", 0, 10, "secondary", "/b", 1, 1, "600")


def instruction(kind: str) -> Instruction:
    return parse_instruction(json.loads((WIRE / f"{kind}.json").read_bytes()))


class Place:
    """An entry of a spool, with a pace of four threads and a clock that a test moves."""

    def __init__(self, directory: Path, kind: str = "SendSnapshots") -> None:
        self.now_seconds = 0.0
        self.rates: list[int | None] = []
        self.entry = Entry(Disk(), str(directory), "i1")
        self.pace = Pace(self.entry, instruction(kind), 4, lambda: self.now_seconds, self.rates.append)

    def allow(self, workers: int, bytes_per_second: int | None = None) -> None:
        """Say it, and let the time go by after which it is read."""
        self.entry.allow({"workers": workers, "bytes_per_second": bytes_per_second})
        self.now_seconds += 1.0

    def hold(self, *numbers: int) -> None:
        for number in numbers:
            assert self.pace.holds(number, COPY)

    def ready(self) -> list[int]:
        return [number for number, _ in self.pace.ready()]


def test_as_many_begin_as_are_allowed_and_in_their_order(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.allow(2)
    place.hold(1, 2, 3, 4)
    assert place.ready() == [1, 2]
    assert place.ready() == []
    place.pace.ended(2)
    assert place.ready() == [3]


def test_what_is_allowed_changes_while_it_runs(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.allow(3)
    place.hold(1, 2, 3, 4, 5)
    assert place.ready() == [1, 2, 3]
    place.allow(1)
    for number in (1, 2):
        place.pace.ended(number)
        assert place.ready() == [], "one is still under way"
    place.pace.ended(3)
    assert place.ready() == [4]
    place.allow(2)
    assert place.ready() == [5]


def test_without_workers_nothing_begins_and_what_is_no_transfer_goes_on(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.allow(0)
    place.hold(1)
    assert place.ready() == []
    for other in (
        SpoolAppend("journal", b"\n"),
        HdfsCall("primary", "GET", "LISTSTATUS", "/"),
        ReadFile("primary", "/small"),
        ReadFile("primary", "/small", 0, 1 << 20),
    ):
        assert not place.pace.holds(2, other)
    assert place.pace.holds(3, DigestFile("primary", "/a", 1))
    assert place.pace.holds(4, ReadFile("primary", "/a", 0, (1 << 20) + 1))
    place.allow(4)
    assert place.ready() == [1, 3, 4]


@pytest.mark.parametrize("kind", ["ApplyStaged", "TakeSnapshots", "FreezeCopies", "SealRecoveryPoint"])
def test_what_changes_a_head_or_has_a_moment_is_never_held_back(tmp_path: Path, kind: str) -> None:
    place = Place(tmp_path, kind)
    place.allow(0)
    assert not place.pace.holds(1, COPY)


def test_who_was_told_nothing_holds_nothing_back(tmp_path: Path) -> None:
    place = Place(tmp_path)
    assert read_allowance(place.entry) == UNLIMITED
    place.hold(*range(10))
    assert place.ready() == list(range(10))


def test_a_low_rate_is_not_divided_among_many_streams(tmp_path: Path) -> None:
    assert Allowance(16, 1_000_000).width == 15
    assert Allowance(4, 1_000_000).width == 4
    assert Allowance(16, 1).width == 1
    assert Allowance(0, 1_000_000).width == 0
    assert Allowance(None, None).width is None
    place = Place(tmp_path)
    place.allow(4, 100_000)
    place.hold(1, 2)
    assert place.ready() == [1]
    assert place.rates[-1] == 100_000


def test_the_last_word_stays_and_the_same_word_writes_nothing(tmp_path: Path) -> None:
    entry = Entry(Disk(), str(tmp_path), "i1")
    entry.allow({"workers": 3, "bytes_per_second": 7})
    written = (tmp_path / "allowance.json").stat().st_mtime_ns, (tmp_path / "allowance.json").stat().st_ino
    entry.allow({"workers": 3, "bytes_per_second": 7})
    assert ((tmp_path / "allowance.json").stat().st_mtime_ns, (tmp_path / "allowance.json").stat().st_ino) == written
    assert read_allowance(entry) == Allowance(3, 7)
    (tmp_path / "outcome.json").write_text("{}")
    entry.allow({"workers": 1, "bytes_per_second": None})
    assert read_allowance(entry) == Allowance(3, 7), "it is over"


def test_an_executor_begins_what_was_held_back_when_it_may(tmp_path: Path) -> None:
    entry = Entry(Disk(), str(tmp_path), "i1")
    entry.allow({"workers": 0, "bytes_per_second": None})
    begun: list[Operation] = []
    now = [0.0]
    pace = Pace(entry, instruction("SendSnapshots"), 2, lambda: now[0], lambda rate: None)
    performs: dict[type[Operation], Callable[[Any], Any]] = {CopyRange: begun.append, SpoolAppend: begun.append}
    executor = Executor(
        performs, 2, lambda: time.time() * 1000, threading.Event(), Log(str(tmp_path / "log")), lambda: None, pace
    )
    executor.start(1, COPY)
    executor.start(2, SpoolAppend("journal", b"\n"))
    assert [outcome.number for outcome in executor.wait(5)] == [2]
    assert executor.wait(0.05) == []
    entry.allow({"workers": 1, "bytes_per_second": None})
    now[0] += 1.0
    assert [outcome.number for outcome in executor.wait(5)] == [1]
    executor.start(3, COPY)
    assert [outcome.number for outcome in executor.wait(5)] == [3]
    assert len(begun) == 3
    executor.stop()
