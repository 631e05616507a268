"""The skew of a run as a picture in text: a time axis around the moment, one line per data set.

Each line shows when the data set's snapshot was asked for and when it was done, widened by the uncertainty of the
clocks. What a snapshot holds is the state at some instant in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.cli.remote.text import milliseconds, printable

WIDTH = 60
HERE, MOMENT, ASKED, BETWEEN, DONE, BOTH, UNCERTAIN = "▼│├─┤■·"
_STEPS = (1, 2, 5)


@dataclass(frozen=True)
class Line:
    """One data set: instants relative to the moment, in milliseconds."""

    name: str
    asked_ms: float
    done_ms: float
    grade: str


@dataclass(frozen=True)
class _Scale:
    """``origin`` is the number of the first column; a column is ``step_ms`` wide and column 0 begins at the moment."""

    step_ms: float
    origin: int
    columns: int

    def column(self, at_ms: float) -> int:
        return min(max(int(at_ms // self.step_ms) - self.origin, 0), self.columns - 1)


def skew_picture(lines: Sequence[Line], uncertainty_ms: float) -> str:
    """Return the picture; its last line says what a column is."""
    scale = _scale(lines, uncertainty_ms)
    width = max(len(printable(line.name)) for line in lines)
    rows = [f"{'':{width}}  {'':{scale.column(0)}}{HERE} the moment", _label_row(scale, width)]
    for line in lines:
        picture = _row(line, uncertainty_ms, scale)
        times = f"{milliseconds(line.asked_ms, sign=True)} … {milliseconds(line.done_ms, sign=True)}"
        rows.append(f"{printable(line.name).ljust(width)}  {picture}  {line.grade.ljust(7)}  {times}")
    rows.append(
        f"{'':{width}}  one column is {milliseconds(scale.step_ms)};"
        f" {ASKED}{BETWEEN}{DONE} asked to done;"
        f" {UNCERTAIN} the clocks' uncertainty, ± {milliseconds(uncertainty_ms)}"
    )
    return "\n".join(row.rstrip() for row in rows)


def _scale(lines: Sequence[Line], uncertainty_ms: float) -> _Scale:
    earliest = min(0.0, *(line.asked_ms - uncertainty_ms for line in lines))
    latest = max(0.0, *(line.done_ms + uncertainty_ms for line in lines))
    power = 0.1
    while True:
        for factor in _STEPS:
            step = power * factor
            first, last = int(earliest // step) - 1, int(latest // step) + 1
            if last - first + 1 <= WIDTH:
                return _Scale(step, first, last - first + 1)
        power *= 10


def _label_row(scale: _Scale, width: int) -> str:
    """Every tenth column is labelled, counted from the moment; a label stands where its column begins."""
    text = ""
    for column in range(scale.columns):
        if (column + scale.origin) % 10 == 0 and len(text) <= column:
            text = text.ljust(column) + f"{(column + scale.origin) * scale.step_ms:+.4g}".replace("+0", "0")
    return f"{'ms':>{width}}  {text}"


def _row(line: Line, uncertainty_ms: float, scale: _Scale) -> str:
    row = [" "] * scale.columns
    row[scale.column(0)] = MOMENT
    first, last = scale.column(line.asked_ms), scale.column(line.done_ms)
    if uncertainty_ms > 0:
        for column in range(scale.column(line.asked_ms - uncertainty_ms), first):
            row[column] = UNCERTAIN
        for column in range(last + 1, scale.column(line.done_ms + uncertainty_ms) + 1):
            row[column] = UNCERTAIN
    for column in range(first + 1, last):
        row[column] = BETWEEN
    row[first], row[last] = ASKED, DONE
    if first == last:
        row[first] = BOTH
    return "".join(row)
