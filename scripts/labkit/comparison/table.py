"""The comparison as a person reads it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from scripts.labkit.comparison.matching import DataSetComparison


def comparison_table(comparisons: Iterable[DataSetComparison]) -> Table:
    """One line a data set, lined up; the verdict last."""
    table = Table(box=None, pad_edge=False)
    table.add_column("data set")
    for heading in ("acknowledged\nbefore", "missing", "in between,\nfound", "sent\nafter", "extra", "records\nread"):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    for line in comparisons:
        between = f"{line.between_found} of {line.between}"
        excess = f" ({line.in_excess} in files open at the cut)" if line.in_excess else ""
        verdict = f"[green]EQUAL[/]{excess}" if line.equal else f"[red]DIFFERENT[/]: {len(line.problems)} problems"
        table.add_row(
            line.data_set,
            str(line.before),
            str(line.missing),
            between,
            str(line.after),
            str(line.extra),
            str(line.records),
            verdict,
        )
    return table
