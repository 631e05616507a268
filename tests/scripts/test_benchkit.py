"""The benchmark's own arithmetic and text; what it measures needs the lab."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner

from scripts.benchkit.__main__ import main
from scripts.benchkit.growing import Figure, Series, grow
from scripts.benchkit.measuring import BenchFailed, Row, Side, Spread, measure
from scripts.benchkit.plots import draw, is_wide
from scripts.benchkit.processors import Sample, busy_share, read_ticks
from scripts.benchkit.report import (
    GROWN,
    MEASURED,
    circumstances,
    facts,
    growth,
    in_order,
    markers,
    merge,
    table,
    told,
    told_series,
    write,
)
from scripts.benchkit.rows import ROWS
from scripts.benchkit.rows.moment import cut_facts
from scripts.benchkit.series import SERIES
from scripts.benchkit.series.histories import ByRuns
from scripts.benchkit.series.spools import ByEntries
from scripts.benchkit.world import World


class Counted(Row):
    """Each round takes a little longer than the one before."""

    name = "counted"
    work = "counting"
    instead = "fingers"
    goal = 3.0

    def __init__(self) -> None:
        super().__init__(cast("World", None), is_small=True)
        self.calls: list[str] = []
        self.wrong = False

    def prepare(self, number: int) -> None:
        self.number = number

    def product(self) -> Side:
        self.calls.append("product")
        if self.wrong:
            raise BenchFailed("it counted wrongly")
        return Side(2.0 + self.number)

    def rival(self) -> Side:
        self.calls.append("rival")
        return Side(12.0)

    def finish(self) -> None:
        self.calls.append("finish")


def test_the_warm_up_does_not_count_and_who_begins_alternates() -> None:
    row, lines = Counted(), list[str]()
    rounds = measure(row, 2, lines.append)
    assert [one.ratio for one in rounds] == [4.0, 3.0]
    assert row.calls == ["rival", "product", "finish", "product", "rival", "finish", "rival", "product", "finish"]
    assert lines[0].startswith("  warm-up: 12.00 s against 2.00 s")


def test_a_wrong_result_ends_it_and_leaves_nothing() -> None:
    row = Counted()
    row.wrong = True
    with pytest.raises(BenchFailed, match="wrongly"):
        measure(row, 1, lambda line: None)
    assert row.calls[-1] == "finish"


def test_the_spread_of_ratios_is_told_and_the_middle_one_counts() -> None:
    row = Counted()
    result = told(row, measure(row, 3, lambda line: None))
    assert result["ratio"] == {"least": 2.4, "median": 3.0, "most": 4.0}
    assert result["reached"] is True
    line = table([result]).splitlines()[-1]
    assert line == "| counted | counting | fingers | 4.00 | 12.00 | **3.0** (2.4 to 4.0) | 3 | yes |"
    assert Spread.of([1.0]) == Spread(1.0, 1.0, 1.0)


def test_results_replace_earlier_ones_of_the_same_row(tmp_path: Path) -> None:
    kept = tmp_path / "new" / "measured.json"
    one: dict[str, Any] = {"row": "one", "ratio": 1}
    merge(kept, [one, {"row": "two", "ratio": 2}])
    assert merge(kept, [{"row": "one", "ratio": 3}]) == [{"row": "one", "ratio": 3}, {"row": "two", "ratio": 2}]
    assert json.loads(kept.read_text())[0]["ratio"] == 3


def test_the_document_keeps_what_stands_around_its_markers(tmp_path: Path) -> None:
    document = tmp_path / "benchmarks.md"
    begin, end = markers(MEASURED)
    document.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    write(document, MEASURED, "new")
    assert document.read_text() == f"before\n{begin}\n\nnew\n\n{end}\nafter\n"
    with pytest.raises(ValueError, match="no place"):
        write(document, GROWN, "new")


def test_the_real_document_has_a_place_for_results_and_shows_every_picture_that_is_kept() -> None:
    directory = Path(__file__).parents[2] / "docs"
    text = (directory / "benchmarks.md").read_text()
    for place in (MEASURED, GROWN):
        begin, end = markers(place)
        assert text.index(begin) < text.index(end)
    for picture in (directory / "benchmarks").glob("*.svg"):
        assert f"](benchmarks/{picture.name})" in text


def test_what_else_was_seen_is_told_by_its_middle() -> None:
    rounds = [{"product": {"facts": {"peak_mib": peak}}} for peak in (80.04, 2000.0, 90.0)]
    lines = facts([{"row": "planning", "rounds": rounds}]).splitlines()
    assert lines[-1] == "| planning | peak mib | 90 (80 to 2,000) |"


class Squares(Series):
    """Grows by the square."""

    name = "squares"
    title = "Squares"
    by = "numbers"
    figures = (Figure("square", "square"), Figure("peak", "MiB", limit=200.0))
    sizes = (1, 10)
    small_sizes = (2,)
    huge_sizes = (100,)

    def measure(self, size: int) -> dict[str, float]:
        return {"square": size * size, "peak": 60 + size, "else": 0}


def squares(is_small: bool = False, is_huge: bool = False) -> dict[str, Any]:
    return told_series(Squares(cast("World", None)), grow(Squares(cast("World", None)), is_small, is_huge, print))


def test_a_series_has_a_point_for_each_size_and_tells_its_limit() -> None:
    assert squares(is_small=True)["points"] == [{"size": 2, "square": 4, "peak": 62}]
    assert [point["size"] for point in squares(is_huge=True)["points"]] == [1, 10, 100]
    text = growth(squares())
    assert "| 10 | 100 | 70 |" in text
    assert text.endswith("At most 70 MiB; the limit of 200 is kept.")
    missed = growth({**squares(), "points": [{"size": 1, "square": 1, "peak": 201.5}]})
    assert missed.endswith("At most 202 MiB; the limit of 200 is missed by 1.5.")


def test_axes_are_logarithmic_where_figures_lie_far_apart() -> None:
    assert is_wide([1, 8])
    assert not is_wide([1, 7.9])
    assert not is_wide([0, 100])


def test_the_same_series_is_the_same_small_picture_and_names_its_axes(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra 'bench' is not installed")
    for name in ("one.svg", "two.svg"):
        draw(squares(is_huge=True), tmp_path / name)
    picture = (tmp_path / "one.svg").read_bytes()
    assert picture == (tmp_path / "two.svg").read_bytes()
    assert len(picture) < 60_000
    assert all(f">{text}<".encode() in picture for text in ("Squares", "numbers", "square", "MiB", "limit"))


def test_results_stand_in_the_order_of_the_rows_with_what_they_were_measured_on() -> None:
    one, two = {**squares(), "row": "one"}, {**squares(), "row": "two"}
    assert [result["row"] for result in in_order([two, one], ["one", "two"])] == ["one", "two"]
    one["measured_at"], two["measured_at"] = "2026-01-01T00:00:00", "2026-01-02T00:00:00"
    assert "2026-01-01 to 2026-01-02" in circumstances([two, one])


def test_the_busy_share_is_that_of_the_time_between() -> None:
    assert read_ticks("cpu  10 2 8 70 5 1 2 2 9 9\n") == (25, 100)
    samples = [Sample(0.0, 0, 0), Sample(1.0, 100, 100), Sample(2.0, 150, 200), Sample(3.0, 175, 300)]
    assert busy_share(samples, 0.5, 3.0) == 0.375
    with pytest.raises(ValueError, match="too short"):
        busy_share(samples, 0.5, 1.5)


def test_a_cut_is_told_from_the_evidence() -> None:
    cuts = {
        "directory": {"asked_cluster_ms": 1000.0, "done_cluster_ms": 1010.0},
        "table": {"asked_cluster_ms": 998.0, "done_cluster_ms": 1300.0},
    }
    assert cut_facts({"moment_ms": 1001, "snapshots": cuts}) == {
        "width_ms": 302.0,
        "requests_within_ms": 2.0,
        "largest_deviation_ms": 3.0,
        "slowest_snapshot_ms": 302.0,
        "fastest_snapshot_ms": 10.0,
    }


def test_rows_are_listed_and_wrong_wishes_refused() -> None:
    listed = CliRunner().invoke(main, ["--list"])
    lines = [line.removeprefix("--series ").split()[0] for line in listed.output.splitlines()]
    assert lines == [one.name for one in (*ROWS, *SERIES)]
    assert len({series.name for series in SERIES}) == len(SERIES)
    assert "no such row" in CliRunner().invoke(main, ["--rows", "none"]).output
    assert "little data" in CliRunner().invoke(main, ["--small", "--write"]).output


@pytest.mark.parametrize("series", [ByRuns, ByEntries])
def test_series_that_need_no_cluster_check_what_they_measure(series: type[Series]) -> None:
    size = series.small_sizes[0]
    found = series(cast("World", None)).measure(size)
    assert found.keys() == {figure.name for figure in series.figures}
    assert all(value > 0 for value in found.values())
    if series is ByRuns:
        assert found["events"] > 20 * size
