"""``scripts/bench``: measure rows of the table and tell the ratios, or series and draw them."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from scripts.benchkit.growing import Series, grow
from scripts.benchkit.measuring import BenchFailed, Row, measure
from scripts.benchkit.plots import draw
from scripts.benchkit.report import (
    GROWN,
    MEASURED,
    circumstances,
    facts,
    growth,
    in_order,
    merge,
    table,
    told,
    told_series,
    write,
)
from scripts.benchkit.rows import ROWS
from scripts.benchkit.series import SERIES
from scripts.benchkit.world import ROOT, CommandFailed, World

ROW_NAMES = {row.name: row for row in ROWS}
SERIES_NAMES = {series.name: series for series in SERIES}
DOCUMENT = ROOT / "docs" / "benchmarks.md"
KEPT = ROOT / "docs" / "benchmarks" / "measured.json"
KEPT_SERIES = ROOT / "docs" / "benchmarks" / "grown.json"


@click.command()
@click.option("--list", "lists", is_flag=True, help="Show the rows, and the series.")
@click.option(
    "--series", "is_series", is_flag=True, help="How time and memory grow, as pictures, in place of the rows."
)
@click.option("--rows", "only", metavar="NAMES", help="Which rows, or series, separated by commas.  [default: all]")
@click.option("--runs", default=3, show_default=True, type=click.IntRange(min=1), help="Rounds per row, warm-up aside.")
@click.option(
    "--small", "is_small", is_flag=True, help="Little data: shows that the benchmark works, measures nothing."
)
@click.option("--huge", "is_huge", is_flag=True, help="Series: trees of a million files too (minutes more).")
@click.option("--write", "writes", is_flag=True, help="Put the results into docs/benchmarks.md.")
@click.option("--draw", "draws", is_flag=True, help="Measure nothing: draw the series that were kept once more.")
def main(
    lists: bool,
    is_series: bool,
    only: str | None,
    runs: int,
    is_small: bool,
    is_huge: bool,
    writes: bool,
    draws: bool,
) -> None:
    """Let the product and what one would use instead do the same work on the lab, and compare their times."""
    if lists:
        for row in ROWS:
            click.echo(f"{row.name:12} at least {row.goal:g} times: {row.work}; instead of {row.instead}")
        for series in SERIES:
            click.echo(f"--series {series.name:12} {series.title}: by {series.by}")
        return
    if draws:
        write_series([])
        return
    if is_small and writes:
        raise click.UsageError("what was measured with little data is not written into the document")
    known: Mapping[str, Any] = SERIES_NAMES if is_series else ROW_NAMES
    names = only.split(",") if only else list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.UsageError(f"no such row: {', '.join(unknown)}. There are {', '.join(known)}.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left running
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory))
        world.lab.up(click.echo)
        try:
            for name in names:
                if is_series:
                    results = [_one_series(SERIES_NAMES[name](world), is_small, is_huge)]
                else:
                    results = [_one_row(ROW_NAMES[name](world, is_small), runs)]
                if writes:  # at once, so that what fails later takes nothing away
                    (write_series if is_series else write_rows)(results)
        except (BenchFailed, CommandFailed, AssertionError) as error:
            click.echo(f"bench: {error}", err=True)
            sys.exit(1)
        finally:
            world.close()


def _one_row(row: Row, runs: int) -> dict[str, Any]:
    click.echo(f"{row.name}: {row.work}; instead of {row.instead}")
    try:
        result = told(row, measure(row, runs, click.echo))
    finally:
        row.close()
    click.echo(f"{table([result])}\n\n{facts([result])}\n")
    return result


def _one_series(series: Series, is_small: bool, is_huge: bool) -> dict[str, Any]:
    click.echo(f"{series.name}: {series.title}")
    result = told_series(series, grow(series, is_small, is_huge, click.echo))
    click.echo(f"{growth(result)}\n")
    return result


def write_rows(results: Sequence[Mapping[str, Any]]) -> None:
    """Put results into the document, with those of other rows that were kept."""
    kept = in_order(merge(KEPT, results), list(ROW_NAMES))
    write(DOCUMENT, MEASURED, f"{table(kept)}\n\n{circumstances(kept)}\n\n{facts(kept)}")


def write_series(results: Sequence[Mapping[str, Any]]) -> None:
    """Put series into the document, with others that were kept, and draw all of them."""
    kept = in_order(merge(KEPT_SERIES, results), list(SERIES_NAMES))
    parts = [circumstances(kept)] if kept else ["Nothing yet."]
    for one in kept:
        picture = KEPT_SERIES.parent / f"{one['row']}.svg"
        draw(one, picture)
        parts.append(f"### {one['title']}\n\n![{one['title']}](benchmarks/{picture.name})\n\n{growth(one)}")
    write(DOCUMENT, GROWN, "\n\n".join(parts))


if __name__ == "__main__":
    main()
