"""How far ahead the soonest moment lies."""

from __future__ import annotations

import pytest

from domain.protection.lead import LEAST_MS, MOST_MS, UNKNOWN_MS, Preparation, soonest_ms


@pytest.mark.parametrize(
    ("newest", "expected"),
    [
        ([], UNKNOWN_MS),
        ([Preparation(30_000, 1_000)], 1_400),
        ([Preparation(30_000, 100)], LEAST_MS),
        ([Preparation(2_000, None)], 4_000),
        ([Preparation(2_000, 1_000), Preparation(30_000, 5_000), Preparation(30_000, 900)], 1_400),
        ([Preparation(2_000, 1_000), Preparation(30_000, 5_000)], 6_200),
        ([Preparation(2_000, None), Preparation(30_000, 900), Preparation(30_000, 1_000)], 4_000),
        ([Preparation(30_000, 900), Preparation(2_000, None), Preparation(1_000, None)], 4_000),
        ([Preparation(2_000, 1_000)] * 3 + [Preparation(30_000, 20_000)], 1_400),
        ([Preparation(1_801, 1_001)], 1_402),
        ([Preparation(86_400_000, None)], MOST_MS),
        ([Preparation(86_400_000, 50_000_000)], MOST_MS),
    ],
)
def test_the_newest_runs_say_how_long_the_next_one_needs(newest: list[Preparation], expected: int) -> None:
    assert soonest_ms(newest) == expected
