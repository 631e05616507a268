"""Limits of a cluster: windows of time as people write them, what holds at an instant, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInput
from domain.pair.cluster import Cluster
from domain.values.endpoints import Endpoints, Gateway
from domain.values.limits import DAY_MINUTES, Allowed, Limits, Window
from tests.domain.builders import Contexts

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


def at(text: str) -> datetime:
    """An instant of the week that begins on MONDAY: "wed 07:59"."""
    day, _, clock = text.partition(" ")
    hours, minutes = clock.split(":")
    days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    return MONDAY + timedelta(days=days.index(day), hours=int(hours), minutes=int(minutes))


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("mon-fri 08:00-18:00 bandwidth=20", ("mon 08:00", "fri 17:59"), ("mon 07:59", "fri 18:00", "sat 12:00")),
        ("sat,sun 00:00-24:00 workers=2", ("sat 00:00", "sun 23:59"), ("fri 23:59", "mon 00:00")),
        ("sun 22:00-06:00 workers=2", ("sun 22:00", "mon 05:59"), ("sun 21:59", "mon 06:00", "mon 22:30", "sun 05:00")),
        ("fri-mon 10:00-11:00 workers=2", ("fri 10:00", "mon 10:59"), ("tue 10:00", "thu 10:30")),
        ("daily 18:00-00:00 workers=2", ("wed 18:00", "wed 23:59"), ("wed 17:59", "thu 00:00")),
    ],
)
def test_a_window_holds_from_its_begin_until_its_end(
    text: str, inside: tuple[str, ...], outside: tuple[str, ...]
) -> None:
    window = Window.parse(text)
    assert [one for one in inside if not window.holds_at(at(one))] == []
    assert [one for one in outside if window.holds_at(at(one))] == []


@pytest.mark.parametrize("text", ["daily 08:00-18:00 bandwidth=20", "mon,sun 22:00-06:00 workers=4"])
def test_a_window_shows_only_what_it_limits(text: str) -> None:
    assert str(Window.parse(text)) == text


@given(
    st.sets(st.integers(0, 6), min_size=1),
    st.integers(0, DAY_MINUTES - 1),
    st.integers(1, DAY_MINUTES),
    st.none() | st.integers(1, 100),
    st.integers(1, 100),
)
def test_what_is_shown_reads_back_as_the_same(
    days: set[int], begin: int, end: int, workers: int | None, rate: int
) -> None:
    if begin == end:
        return
    window = Window(tuple(sorted(days)), begin, end, workers, rate)
    assert Window.parse(str(window)) == window


@given(
    st.integers(0, 6), st.integers(0, DAY_MINUTES - 1), st.integers(1, DAY_MINUTES), st.integers(0, 7 * DAY_MINUTES - 1)
)
def test_a_window_holds_in_its_stretch_of_the_week_alone(day: int, begin: int, end: int, minute: int) -> None:
    if begin == end:
        return
    first = day * DAY_MINUTES + begin
    last = first + ((end - begin) % DAY_MINUTES or DAY_MINUTES)
    holds = first <= minute < last or first <= minute + 7 * DAY_MINUTES < last
    assert Window((day,), begin, end, workers=1).holds_at(MONDAY + timedelta(minutes=minute)) == holds


@pytest.mark.parametrize(
    "text",
    [
        "", "mon", "mon 08:00-18:00", "mon-fry 08:00-18:00 workers=1", "mon- 08:00-18:00 workers=1",
        "mon 8:00-18:00 workers=1", "mon 08:00-18:60 workers=1", "mon 24:00-06:00 workers=1",
        "mon 25:00-26:00 workers=1",
        "mon 08:00-24:01 workers=1", "mon 08:00-08:00 workers=1", "mon 08:00-18:00 workers", "mon 08:00-18:00 workers=",
        "mon 08:00-18:00 workers=-1", "mon 08:00-18:00 workers=1.5", "mon 08:00-18:00 workers=0",
        "mon 08:00-18:00 workers=1 workers=2", "mon 08:00-18:00 agents=1", "mon 08:00-18:00 bandwidth=99999999",
        "mon 08:00-18:00 workers=\u0663", "mon,,tue 08:00-18:00 workers=1", "x" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_window_is_refused_with_the_way_to_write_it(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Window.parse(text, "windows[3]")
    assert refused.value.field.startswith("windows[3]")
    assert refused.value.remedy
    assert len(refused.value.message) < 400


def test_the_lowest_of_overlapping_windows_holds_and_only_where_it_says_something() -> None:
    limits = Limits(
        agents=4,
        workers=32,
        megabytes_per_second=None,
        windows=(
            Window.parse("mon-fri 08:00-18:00 bandwidth=20"),
            Window.parse("mon 09:00-10:00 bandwidth=50 workers=8"),
            Window.parse("mon 09:30-09:45 workers=40"),
        ),
    )
    assert limits.at(at("mon 07:00")) == Allowed(4, 32, None)
    assert limits.at(at("mon 08:00")) == Allowed(4, 32, 20)
    assert limits.at(at("mon 09:40")) == Allowed(4, 8, 20)
    assert limits.at(at("tue 09:40")) == Allowed(4, 32, 20)
    assert limits.at(at("tue 09:40")).bytes_per_second == 20_000_000
    assert limits.at(at("sun 09:40")).bytes_per_second is None


def test_no_window_allows_more_than_the_general_limit() -> None:
    limits = Limits(
        workers=4, megabytes_per_second=10, windows=(Window.parse("daily 00:00-24:00 bandwidth=20 workers=8"),)
    )
    assert limits.at(at("mon 07:00")) == Allowed(8, 4, 10)


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        (Limits(agents=0), "agents"),
        (Limits(workers=10_001), "workers"),
        (Limits(megabytes_per_second=-5), "megabytes_per_second"),
        (Limits(windows=(Window((0,), 0, 60, workers=1),) * 51), "windows"),
        (Limits(windows=(Window((), 0, 60, workers=1),)), "windows[0]"),
        (Limits(windows=(Window((0,), 0, 60),)), "windows[0]"),
        (Limits(windows=(Window((0,), -1, 60, workers=1),)), "windows[0]"),
    ],
)
def test_limits_that_cannot_be_accepted_name_their_field(limits: Limits, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        limits.validate()
    assert refused.value.field == field


def test_no_limit_is_a_limit_that_can_be_set() -> None:
    Limits(None, None, None).validate()
    assert Limits(None, None, None).at(MONDAY) == Allowed(None, None, None)


def test_a_cluster_keeps_its_limits_and_the_same_again_is_nothing_new() -> None:
    contexts = Contexts()
    gateway = Gateway("north", 22, "understudy", "ssh-ed25519 AAAA", "/keys/id", "/spool")
    cluster = Cluster.register(contexts(), "north", Endpoints(gateway, ("http://north:9870",)))
    assert cluster.limits == Limits()
    limits = Limits(agents=2, windows=(Window.parse("daily 08:00-18:00 workers=4"),))
    cluster.change_limits(contexts(), limits)
    version = cluster.version
    cluster.change_limits(contexts(), limits)
    assert (cluster.limits, cluster.version) == (limits, version)
    with pytest.raises(InvalidInput):
        cluster.change_limits(contexts(), Limits(agents=0))
    assert cluster.limits == limits
