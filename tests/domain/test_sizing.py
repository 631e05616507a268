"""How long a first copy takes: predicted from what was measured, and from nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from domain.preflight.finding import Facts
from domain.preflight.space import check
from domain.protection.backup_run import states
from domain.protection.policy import Barrier, Settings
from domain.protection.sizing import Copied, Rates, Size, forecast, measured, size_of
from tests.domain.builders import ACCOUNTS, ORDERS, succeeded
from tests.domain.voyage import Voyage

SIZE = Size(files=1_000, directories=10, bytes=1_000_000, consumed_bytes=3_000_000)
RATES = Rates(bytes_per_second=10_000.0, files_per_second=100.0, copies=2, largest_bytes=50_000)


def test_rates_are_what_copies_have_reached() -> None:
    many_files, one_file = Copied(bytes=4_000, files=400, seconds=4.0), Copied(bytes=50_000, files=1, seconds=5.0)
    idle = (Copied(0, 0, 1.0), Copied(10, 1, 0.0), Copied(0, 3, 1.0))
    assert measured((many_files, one_file, *idle)) == Rates(10_000.0, 100.0, 2, 50_000)
    assert measured(idle) is None
    assert measured(()) is None


def test_the_time_lies_between_both_at_once_and_one_after_the_other() -> None:
    predicted = forecast(SIZE, RATES, None, is_most=False)
    assert (predicted.at_least_seconds, predicted.at_most_seconds) == (100.0, 110.0)


def test_a_lower_limit_holds_in_place_of_what_was_reached() -> None:
    assert forecast(SIZE, RATES, 1_000, is_most=False).at_least_seconds == 1_000.0
    assert forecast(SIZE, RATES, 1_000_000, is_most=False).at_least_seconds == 100.0


def test_without_a_measurement_a_limit_tells_the_least_alone() -> None:
    predicted = forecast(SIZE, None, 1_000, is_most=False)
    assert (predicted.at_least_seconds, predicted.at_most_seconds) == (1_000.0, None)


def test_where_nothing_is_known_nothing_is_predicted() -> None:
    predicted = forecast(SIZE, None, None, is_most=False)
    assert (predicted.at_least_seconds, predicted.at_most_seconds) == (None, None)


def test_of_what_is_taken_over_only_the_most_is_known() -> None:
    predicted = forecast(SIZE, RATES, None, is_most=True)
    assert (predicted.at_least_seconds, predicted.at_most_seconds) == (None, 110.0)


def told(files: int, consumed_bytes: int) -> dict[str, int]:
    return {"files": files, "directories": 1, "bytes": files * 10, "consumed_bytes": consumed_bytes}


def test_a_sum_is_told_only_when_every_size_is_known() -> None:
    assert size_of([{"size": told(1, 30)}, {"size": told(2, 60)}]) == Size(3, 2, 30, 90)
    assert size_of([{"size": told(1, 30)}, {}]) is None
    assert size_of([{"size": told(1, 30)}, {"size": None}]) is None
    assert size_of([]) is None


def sides(free: int | None, stands: int | None = None, adopts: bool = False) -> Facts:
    """A directory that takes 300 bytes and a table that takes 90, where so much is free and stands there."""
    directory: dict[str, Any] = {**ORDERS.to_wire(), "size": told(10, 300)}
    table = {**ACCOUNTS.to_wire(), "size": told(3, 90)}
    target = {**ORDERS.to_wire(), **({"stands": told(5, stands)} if stands is not None else {})}
    return Facts(
        primary={"data_sets": [directory, table]},
        secondary={"data_sets": [target], "space": None if free is None else {"free_bytes": free}},
        names={"primary": "north", "secondary": "south"},
        pair="p",
        epoch=1,
        max_skew_ms=1,
        adopts=adopts,
    )


@pytest.mark.parametrize("facts", [sides(390), sides(None), sides(100, 200, adopts=True), sides(0, 500, adopts=True)])
def test_room_enough_or_not_known(facts: Facts) -> None:
    assert check(facts) == []


@pytest.mark.parametrize(("facts", "needed", "missing"), [(sides(389), 390, 1), (sides(99, 200, adopts=True), 100, 1)])
def test_a_first_copy_that_does_not_fit_is_refused_with_figures(facts: Facts, needed: int, missing: int) -> None:
    (finding,) = check(facts)
    assert (finding.code, finding.subject, finding.refuses) == ("NOT_ENOUGH_SPACE", "south", True)
    assert f"needs {needed} bytes" in finding.message
    assert f"{missing} bytes more" in finding.remedy


def test_a_run_keeps_what_was_predicted_of_its_first_copy() -> None:
    assert Voyage().run.forecast is None
    voyage = Voyage()
    voyage.run.start_checking(voyage.contexts())
    facts = voyage.facts("primary")
    facts["data_sets"] = [{**one, "size": told(100, 1_000)} for one in facts["data_sets"]]
    voyage.answer("check-primary", succeeded(facts))
    assert voyage.run.forecast == forecast(Size(300, 3, 3_000, 3_000), None, None, is_most=False)
    voyage.answer("check-secondary", succeeded(voyage.facts("secondary")))
    assert voyage.run.state == states.CHECKING


def test_a_policy_tells_its_hooks_and_its_bandwidth_in_bytes() -> None:
    settings = Settings(barrier=Barrier("hold", "release", 10), megabytes_per_second=3)
    assert (settings.hooks, settings.bytes_per_second) == (("hold", "release"), 3_000_000)
    assert (Settings().hooks, Settings().bytes_per_second) == ((), None)
