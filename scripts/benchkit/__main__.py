"""``scripts/bench``: measure rows of the table and tell the ratios."""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path

import click

from scripts.benchkit.measuring import BenchFailed, measure
from scripts.benchkit.report import merge, table, told, write
from scripts.benchkit.rows import ROWS
from scripts.benchkit.world import ROOT, CommandFailed, World

NAMES = {row.name: row for row in ROWS}
DOCUMENT = ROOT / "docs" / "benchmarks.md"
KEPT = ROOT / "docs" / "benchmarks" / "measured.json"


@click.command()
@click.option("--list", "lists", is_flag=True, help="Show the rows.")
@click.option("--rows", default=",".join(NAMES), show_default=True, help="Which rows, separated by commas.")
@click.option("--runs", default=3, show_default=True, type=click.IntRange(min=1), help="Rounds per row, warm-up aside.")
@click.option("--small", is_flag=True, help="Little data: shows in minutes that the benchmark works, measures nothing.")
@click.option("--write", "writes", is_flag=True, help="Put the results into docs/benchmarks.md.")
def main(lists: bool, rows: str, runs: int, small: bool, writes: bool) -> None:
    """Let the product and what one would use instead do the same work on the lab, and compare their times."""
    if lists:
        for one in ROWS:
            click.echo(f"{one.name:12} at least {one.goal:g} times: {one.work}; instead of {one.instead}")
        return
    if small and writes:
        raise click.UsageError("what was measured with little data is not written into the document")
    unknown = [name for name in rows.split(",") if name not in NAMES]
    if unknown:
        raise click.UsageError(f"no such row: {', '.join(unknown)}. There are {', '.join(NAMES)}.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left running
    results = []
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory))
        world.lab.up(click.echo)
        try:
            for name in rows.split(","):
                row = NAMES[name](world, small)
                click.echo(f"{name}: {row.work}; instead of {row.instead}")
                try:
                    results.append(told(row, measure(row, runs, click.echo)))
                finally:
                    row.close()
        except (BenchFailed, CommandFailed, AssertionError) as error:
            click.echo(f"bench: {error}", err=True)
            sys.exit(1)
        finally:
            world.close()
    click.echo(table(results))
    if writes:
        write(DOCUMENT, table(merge(KEPT, results)))


if __name__ == "__main__":
    main()
