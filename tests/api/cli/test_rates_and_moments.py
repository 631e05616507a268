"""Rates from what agents tell, and moments from what people type."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from api.cli.remote.moments import moment
from api.cli.remote.rates import RateMeter


def test_a_rate_needs_two_readings_and_forgets_what_is_older_than_its_window() -> None:
    meter = RateMeter(window_seconds=10)
    meter.take(0, 0)
    assert (meter.per_second, meter.seconds_for(100)) == (None, None)
    meter.take(1_000, 1_000)
    assert meter.per_second == 1_000
    for second in range(2, 30):
        meter.take(second * 1_000, 1_000 + (second - 1) * 10)
    assert meter.per_second == 10
    assert meter.seconds_for(100) == 10


def test_a_copy_that_begins_anew_begins_its_rate_anew() -> None:
    meter = RateMeter()
    meter.take(0, 0)
    meter.take(1_000, 5_000)
    meter.take(2_000, 0)
    assert meter.per_second is None
    meter.take(3_000, 700)
    assert meter.per_second == 700


def test_the_same_news_twice_changes_nothing() -> None:
    meter = RateMeter()
    for at_ms, amount in ((0, 0), (1_000, 10), (1_000, 10), (500, 10)):
        meter.take(at_ms, amount)
    assert meter.per_second == 10


def test_a_standstill_is_no_remaining_time() -> None:
    meter = RateMeter()
    meter.take(0, 10)
    meter.take(1_000, 10)
    assert meter.per_second == 0
    assert meter.seconds_for(5) is None


@pytest.mark.parametrize(
    ("text", "ahead"),
    [("+90s", 90.0), ("+250ms", 0.25), ("+2m", 120.0), ("+1h", 3600.0)],
)
def test_distances_become_instants_at_once(text: str, ahead: float) -> None:
    now = datetime(2026, 5, 4, 5, 0, tzinfo=timezone(timedelta(hours=2)))
    assert datetime.fromisoformat(moment(text, now)) == now + timedelta(seconds=ahead)


def test_everything_else_is_left_to_the_api() -> None:
    for text in ("now", "2026-05-04T03:00:00Z", "2026-10-25T02:30", "+90", "tomorrow"):
        assert moment(text, datetime.now(UTC)) == text
