"""Skew, verdict and grades: what is published about a run's snapshots never claims more than was measured."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.protection.consistency import CONSISTENT, DEGRADED, FAILED, assess, with_copy, with_left_out
from domain.values.clock import ClockOffset
from domain.values.interval import Interval

instants = st.floats(0.0, 1e12)
offsets = st.builds(ClockOffset, st.floats(-1e6, 1e6), st.floats(0.0, 1e4))


def snapshot(asked: float, done: float, grade: str = "BOUNDED", open_files: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "asked_cluster_ms": asked,
        "done_cluster_ms": done,
        "evidence": {"grade": grade, "reason": "why"},
        "open_files": list(open_files),
    }


def clocks(before: ClockOffset, after: ClockOffset) -> dict[str, Any]:
    def told(offset: ClockOffset) -> dict[str, Any]:
        return {
            "namenode": {"offset_ms": offset.offset_ms, "uncertainty_ms": offset.uncertainty_ms},
            "hbase": None,
        }

    return {"before": told(before), "after": told(after)}


SURE = ClockOffset(0.0, 0.0)
ONE = {"a": snapshot(1_000, 1_010, "EXACT"), "b": snapshot(1_001, 1_400), "c": snapshot(1_002, 1_300)}


def test_the_skew_is_from_the_first_request_to_the_last_completion() -> None:
    found = assess(ONE, clocks(SURE, SURE), 500)
    assert (found.earliest_ms, found.latest_ms, found.skew_ms) == (1_000, 1_400, 400)
    assert found.verdict == CONSISTENT
    assert [(grade.data_set, grade.grade) for grade in found.grades] == [
        ("a", "EXACT"),
        ("b", "BOUNDED"),
        ("c", "BOUNDED"),
    ]
    assert found.to_json()["grades"][1] == {
        "data_set": "b",
        "grade": "BOUNDED",
        "reason": "why",
        "from_ms": 1_001,
        "until_ms": 1_400,
        "fuzzy_files": 0,
    }


def test_uncertainty_and_drift_widen_it_at_both_ends() -> None:
    found = assess(ONE, clocks(ClockOffset(5.0, 2.0), ClockOffset(8.0, 4.0)), 500)
    assert found.uncertainty_ms == 4 + 3
    assert found.skew_ms == 400 + 2 * 7


@pytest.mark.parametrize(("limit", "verdict"), [(400, CONSISTENT), (399, FAILED)])
def test_the_policys_limit_decides(limit: int, verdict: str) -> None:
    assert assess(ONE, clocks(SURE, SURE), limit).verdict == verdict


@pytest.mark.parametrize(
    "fuzzy", [snapshot(1_000, 1_100, "FUZZY"), snapshot(1_000, 1_100, "EXACT", ("open",))], ids=["grade", "files"]
)
def test_anything_fuzzy_degrades_and_never_hides_a_failure(fuzzy: dict[str, Any]) -> None:
    both = {**ONE, "d": fuzzy}
    assert assess(both, clocks(SURE, SURE), 500).verdict == DEGRADED
    assert assess(both, clocks(SURE, SURE), 10).verdict == FAILED
    assert assess(both, clocks(SURE, SURE), 500).grades[3].fuzzy_files == len(fuzzy["open_files"])


@pytest.mark.parametrize(
    ("grade", "files", "reason"),
    [
        ("EXACT", 1, "the copy found that 1 file was open at the cut; all others are of one instant"),
        ("BOUNDED", 2, "the copy found that 2 files were open at the cut"),
        ("FUZZY", 3, "why; the copy found that 3 files were open at the cut"),
    ],
)
def test_what_the_copy_found_open_makes_a_data_set_fuzzy(grade: str, files: int, reason: str) -> None:
    before = assess({**ONE, "d": snapshot(1_000, 1_100, grade)}, clocks(SURE, SURE), 500)
    found = with_copy(before, "d", files)
    assert (found.verdict, found.skew_ms) == (DEGRADED, before.skew_ms)
    assert found.grades[:3] == before.grades[:3], "the others are as they were"
    assert (found.grades[3].grade, found.grades[3].reason, found.grades[3].fuzzy_files) == ("FUZZY", reason, files)
    assert with_copy(before, "d", 0) == before
    assert with_copy(assess(ONE, clocks(SURE, SURE), 10), "a", files).verdict == FAILED


@pytest.mark.parametrize(("files", "added"), [(1, "1 file is"), (3, "3 files are")])
def test_what_the_copy_left_out_is_said_and_the_grade_holds_for_all_others(files: int, added: str) -> None:
    before = assess({**ONE, "d": snapshot(1_000, 1_100, "EXACT")}, clocks(SURE, SURE), 500)
    found = with_left_out(before, "d", files)
    assert (found.verdict, found.grades[:3]) == (before.verdict, before.grades[:3])
    assert found.grades[3].grade == "EXACT"
    assert found.grades[3].reason == f"why; {added} left out, which the superuser may not read"
    assert with_left_out(before, "d", 0) == before


@given(st.lists(st.tuples(instants, instants), min_size=1, max_size=8), offsets, offsets)
def test_every_snapshot_lies_within_what_is_claimed(
    found: list[tuple[float, float]], before: ClockOffset, after: ClockOffset
) -> None:
    snapshots = {str(number): snapshot(*ends) for number, ends in enumerate(found)}
    consistency = assess(snapshots, clocks(before, after), 1_000)
    assert consistency.skew_ms >= 0
    assert consistency.uncertainty_ms >= max(before.uncertainty_ms, after.uncertainty_ms)
    for asked, done in found:
        for instant in (asked, done):
            assert consistency.earliest_ms <= instant - consistency.uncertainty_ms + 1e-3
            assert consistency.latest_ms >= instant + consistency.uncertainty_ms - 1e-3


@given(offsets, offsets, st.floats(0.0, 1.0))
def test_drift_covers_every_offset_between_two_measurements(
    before: ClockOffset, after: ClockOffset, way: float
) -> None:
    """Whichever truth between both measurements holds at the cut, using the first one errs by no more than is told."""
    truth = (
        before.offset_ms
        + way * (after.offset_ms - before.offset_ms)
        + (2 * way - 1) * max(before.uncertainty_ms, after.uncertainty_ms)
    )
    assert abs(truth - before.offset_ms) <= before.with_drift_to(after) + 1e-6


@given(offsets)
def test_clocks_are_never_less_apart_than_measured(offset: ClockOffset) -> None:
    assert offset.apart_ms >= abs(offset.offset_ms)
    assert ClockOffset.from_json({"offset_ms": offset.offset_ms, "uncertainty_ms": offset.uncertainty_ms}) == offset


def test_a_negative_uncertainty_is_no_measurement() -> None:
    with pytest.raises(ValueError, match="negative"):
        ClockOffset.from_json({"offset_ms": 1, "uncertainty_ms": -0.1})


@given(st.lists(st.tuples(instants, st.floats(0.0, 1e6)), min_size=1, max_size=6), st.floats(0.0, 1e6))
def test_intervals_hold_what_they_are_made_of(found: list[tuple[float, float]], by_ms: float) -> None:
    intervals = [Interval(begin, begin + length) for begin, length in found]
    whole = Interval.around(intervals)
    wide = whole.widened(by_ms)
    assert wide.length_ms == pytest.approx(whole.length_ms + 2 * by_ms, abs=1e-3)
    for one in intervals:
        assert wide.from_ms <= whole.from_ms <= one.from_ms <= one.until_ms <= whole.until_ms <= wide.until_ms


def test_an_interval_does_not_end_before_it_begins() -> None:
    with pytest.raises(ValueError, match="does not end"):
        Interval(2.0, 1.0)
