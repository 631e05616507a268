"""The live view as text, from fixed pages and live facts."""

from __future__ import annotations

from typing import Any

from api.cli.remote.page import RunPage
from api.cli.remote.progress import RunProgress, frame, steps
from tests.api.cli import pages


def copying(at_ms: int, moved: int) -> dict[str, Any]:
    told = {"step": "copy", "bytes": moved, "bytes_total": 4000, "files": 3, "files_total": 12, "at_ms": at_ms}
    return {
        "copies": {pages.FILES: told},
        "gateways": {"north": "reachable", "south": "connection refused", "west": "not asked yet"},
        "waiting_for": "the copies of 2 data sets",
    }


def test_before_the_moment_there_is_a_way_and_a_countdown() -> None:
    progress = RunProgress()
    assert frame(progress, 0) == ["waiting for the control device …"]
    progress.take_page(RunPage(pages.planned()))
    lines = frame(progress, pages.MOMENT_MS - 12_000)
    assert lines == [
        "run 1a2b3c4d5e6f of orders, as of 2026-05-04T03:00:00Z (in 12 s); push, north → south",
        "▸ PLANNED · checking · armed · snapshotted · staging · applying · freezing · verifying · sealing · completed",
        "",
    ]


def test_a_bar_a_rate_and_the_remaining_time_per_data_set() -> None:
    progress = RunProgress()
    progress.take_page(RunPage(pages.staging()))
    progress.take_live(copying(1_000, 0))
    progress.take_live(copying(3_000, 1000))
    assert frame(progress, pages.MOMENT_MS + 60_000, silent_seconds=14)[1:] == [
        "✓ planned ✓ checking ✓ armed ✓ snapshotted ▸ STAGING · applying · freezing · verifying · sealing · completed",
        "",
        "hdfs:/data/orders  ██████░░░░░░░░░░░░░░░░░░    25 %  0.98 KiB of 3.91 KiB, 3 of 12 files  500 B/s  6 s left",
        "hbase:orders       ░░░░░░░░░░░░░░░░░░░░░░░░  not begun",
        "waiting for the copies of 2 data sets",
        "not reachable: south: connection refused",
        "nothing new for 14 s",
    ]


def test_the_remaining_time_is_told_of_short_copies_too() -> None:
    progress = RunProgress()
    progress.take_page(RunPage(pages.staging()))
    progress.take_live(copying(1_000, 0))
    assert "  unknown time left" in frame(progress, pages.MOMENT_MS + 60_000)[3]
    progress.take_live(copying(2_000, 1900))
    assert "  a few seconds left" in frame(progress, pages.MOMENT_MS + 60_000)[3]


def test_what_is_staged_says_how_much_it_was() -> None:
    progress = RunProgress()
    progress.take_page(RunPage({**pages.completed(), "state": "VERIFYING"}))
    assert frame(progress, pages.MOMENT_MS + 60_000)[3:] == [
        "hdfs:/data/orders  ████████████████████████  staged  200 MiB in 31 files",
        "hbase:orders       ████████████████████████  staged  1.00 GiB in 12 files",
    ]


def test_many_data_sets_do_not_fill_the_screen_and_those_under_way_come_first() -> None:
    page = pages.staging()
    page["data_sets"] = [{"id": f"{n:032x}", "component": "hbase", "name": f"t{n:03}"} for n in range(100)]
    page["copies"] = {f"{n:032x}": "STAGED" if n < 95 else "COPYING" for n in range(100)}
    progress = RunProgress()
    progress.take_page(RunPage(page))
    lines = frame(progress, pages.MOMENT_MS)
    assert [line.split()[0] for line in lines[3:8]] == [f"hbase:t{n:03}" for n in range(95, 100)]
    assert lines[-1] == "… and 70 more"


def test_states_beside_the_way_are_shown_alone() -> None:
    assert steps("CLEANING") == "▸ CLEANING"
    assert steps("COMPLETED").endswith("✓ completed")
