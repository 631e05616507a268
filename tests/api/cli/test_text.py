"""How values are written: each form once, at its edges."""

from __future__ import annotations

import pytest

from api.cli.remote.text import (
    count,
    details,
    duration,
    flatten,
    instant,
    milliseconds,
    pairs,
    printable,
    short,
    size,
    table,
)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.98 KiB"),
        (1024, "1.00 KiB"),
        (10_240, "10.0 KiB"),
        (102_400, "100 KiB"),
        (3 * 1024**3, "3.00 GiB"),
        (5000 * 1024**6, "5000 EiB"),
    ],
)
def test_sizes(number: int | None, text: str) -> None:
    assert size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0 s"),
        (12, "12 s"),
        (0.0, "0 ms"),
        (0.0004, "0 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min"),
        (61, "1 min 1 s"),
        (3_599.7, "1 h"),
        (3_661, "1 h 1 min"),
        (90_000, "1 d 1 h"),
        (-2.5, "-2.5 s"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_instants_are_in_utc_and_show_milliseconds_only_when_there_are_some() -> None:
    assert instant(1_777_863_600_000) == "2026-05-04T03:00:00Z"
    assert instant(1_777_863_600_250) == "2026-05-04T03:00:00.250Z"
    assert instant(None) == "-"


def test_counts_and_milliseconds() -> None:
    assert (count(1234567), count(0), count(None)) == ("1 234 567", "0", "-")
    assert (milliseconds(3.44), milliseconds(412.4), milliseconds(-2, sign=True)) == ("3.4 ms", "412 ms", "-2.0 ms")
    assert (milliseconds(5, sign=True), milliseconds(None)) == ("+5.0 ms", "-")


def test_tables_line_up_and_cut_nothing_off() -> None:
    long = "x" * 300
    assert table(("A", "SIZE"), [("a", "1 B"), (long, "10 KiB")], right=(1,)).splitlines() == [
        "A" + " " * 299 + "    SIZE",
        "a" + " " * 299 + "     1 B",
        long + "  10 KiB",
    ]


def test_text_in_the_last_column_goes_on_below_itself_where_there_is_no_room() -> None:
    rows = [("a", "one two three four five six seven"), ("b", "x" * 60), ("c", "1")]
    assert table(("NAME", "WHAT"), rows, room=30).splitlines() == [
        "NAME  WHAT",
        "a     one two three four five",
        "      six seven",
        "b     " + "x" * 60,
        "c     1",
    ]
    assert table(("NAME", "WHAT"), rows, room=80).splitlines()[1] == "a     one two three four five six seven"
    assert table(("A", "N"), [("a", "10 000")], right=(1,), room=3).splitlines()[1] == "a  10 000"


def test_names_from_clusters_cannot_move_the_cursor() -> None:
    assert printable("a\x1b[2Jb\u202ec\n") == "a\\u001b[2Jb\\u202ec\\u000a"
    assert "\x1b" not in table(("A",), [("\x1b]0;title\x07",)])
    assert "\n" not in pairs([("name", "a\nb")])


def test_details_flatten_what_is_nested() -> None:
    summary = {"a": {"b": True, "c": None}, "d": ["x", "y"], "e": [{"f": 1}, {"f": 2}], "g": []}
    assert flatten(summary) == [("a.b", "yes"), ("a.c", "-"), ("d", "x y"), ("e[0].f", 1), ("e[1].f", 2), ("g", "-")]
    assert details({"id": "i", "name": None, "state": "ACTIVE", "summary": {"longer": 1}}) == (
        "id      i\nstate   ACTIVE\nlonger  1"
    )


def test_short_ids_have_no_dash() -> None:
    assert short("01234567-89ab-cdef-0123-456789abcdef") == "0123456789ab"
