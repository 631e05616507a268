"""Which of the states that the application can have left was recovered?

A *history* is a list of operations that happened one after the other: the whole of a directory, whose snapshot is cut
at one instant; or a single row, because the regions of a table are cut one after another. The recovered contents of a
history must equal its contents after some number of operations n, where ``lowest <= n <= highest``: ``lowest`` counts
those acknowledged before the window, ``highest`` those sent before its end.

A file that was open at the cut is *fuzzy* (Hadoop lets it grow inside the snapshot): it must hold everything that was
acknowledged, and may hold more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from scripts.labkit.application.log import LoggedOperation
from scripts.labkit.application.operations import Contents, apply_to
from scripts.labkit.application.records import Record
from scripts.labkit.comparison.readers import Recovered
from scripts.labkit.errors import LabError

_MOST_PROBLEMS_SHOWN = 20


@dataclass(frozen=True)
class Window:
    """The instants that a snapshot can stand for, in seconds since the epoch by the clock of the log.

    ``uncertainty_seconds`` is what the clocks may be apart; it widens the window on both sides.
    """

    earliest: float
    latest: float
    uncertainty_seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.latest < self.earliest or self.uncertainty_seconds < 0:
            raise LabError(f"not a window: {self}")

    def lowest(self, operations: Sequence[LoggedOperation]) -> int:
        """How many of the operations were acknowledged before it: they must be there."""
        begin = self.earliest - self.uncertainty_seconds
        return sum(logged.acknowledged_at is not None and logged.acknowledged_at < begin for logged in operations)

    def highest(self, operations: Sequence[LoggedOperation]) -> int:
        """How many of the operations were sent before its end: no others may be there."""
        end = self.latest + self.uncertainty_seconds
        return sum(logged.sent_at <= end for logged in operations)


@dataclass
class DataSetComparison:
    """The result for one data set. All numbers but ``records`` count operations.

    ``records`` are those found. ``missing`` and ``extra`` count records (or whole keys) that must be there and are not,
    or are there and must not be. ``in_excess`` are later records that a fuzzy file may hold.
    """

    data_set: str
    before: int
    between: int
    between_found: int
    after: int
    records: int
    missing: int = 0
    extra: int = 0
    in_excess: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        return not self.problems

    def require_equal(self) -> None:
        """Raises LabError with the first problems, unless there is none."""
        if self.problems:
            shown = "\n  ".join(self.problems[:_MOST_PROBLEMS_SHOWN])
            raise LabError(f"{self.data_set}: {len(self.problems)} problems\n  {shown}")


def compare_data_set(
    data_set: str,
    operations: Sequence[LoggedOperation],
    recovered: Recovered,
    window: Window,
    fuzzy: frozenset[str] = frozenset(),
) -> DataSetComparison:
    """Compare the recovered contents of a data set with its part of the acknowledgement log.

    A data set whose name begins with "/" is a directory, one history; another is a table, a history for each row.
    Raises LabError when the log says nothing about the data set, because then there is nothing to compare with.
    """
    if not operations:
        raise LabError(f"{data_set}: the log holds no operation on it, so it cannot be compared")
    result = DataSetComparison(
        data_set,
        before=window.lowest(operations),
        between=window.highest(operations) - window.lowest(operations),
        between_found=0,
        after=len(operations) - window.highest(operations),
        records=sum(map(len, recovered.contents.values())),
    )
    for key, damage in recovered.damaged.items():
        result.problems.append(f"{key}: damaged: {damage}")
    histories = {"": list(operations)} if data_set.startswith("/") else _by_row(operations)
    for row, history in histories.items():
        mine = recovered.contents if not row else _only(recovered.contents, row)
        _match(result, history, mine, window, fuzzy)
    if not data_set.startswith("/"):
        for row in recovered.contents.keys() - histories.keys():
            result.extra += 1
            result.problems.append(f"{row}: no operation ever wrote this row")
    return result


def _match(
    result: DataSetComparison,
    history: list[LoggedOperation],
    found: Contents,
    window: Window,
    fuzzy: frozenset[str],
) -> None:
    """Add what this history says to the result."""
    lowest, highest = window.lowest(history), window.highest(history)
    comparer = _Comparer(found, fuzzy)
    best = -1
    best_differing: dict[str, tuple[Record, ...] | None] = {}
    elsewhere = -1
    for number in range(len(history) + 1):
        if number > 0:
            comparer.advance(history[number - 1], inside_window=number > lowest)
        if lowest <= number <= highest and (best < 0 or len(comparer.differing) < len(best_differing)):
            best = number
            best_differing = {key: comparer.contents.get(key) for key in comparer.differing}
        if not comparer.differing and elsewhere < 0:
            elsewhere = number
    if not best_differing:
        result.between_found += best - lowest
        result.in_excess += comparer.excess(history, best)
        return
    if 0 <= elsewhere < lowest:
        result.problems.append(
            f"the contents are older: they lack acknowledged operations{_range(history, elsewhere, lowest)}"
        )
    elif elsewhere > highest:
        result.problems.append(
            f"the contents are newer: they hold later operations{_range(history, highest, elsewhere)}"
        )
    for key, expected in sorted(best_differing.items()):
        _describe(result, key, expected, found.get(key))


class _Comparer:
    """The contents after each operation, and which keys differ then from what was found."""

    def __init__(self, found: Contents, fuzzy: frozenset[str]) -> None:
        self.contents: Contents = {}
        self.differing = set(found)
        self._found = found
        self._fuzzy = fuzzy
        self._replaced_inside: set[str] = set()

    def advance(self, logged: LoggedOperation, *, inside_window: bool) -> None:
        apply_to(self.contents, logged.operation)
        if inside_window and logged.operation.kind == "write":
            self._replaced_inside.add(logged.operation.key)
        for key in logged.operation.keys:
            if self._agrees(key):
                self.differing.discard(key)
            else:
                self.differing.add(key)

    def excess(self, history: list[LoggedOperation], number: int) -> int:
        """How many records the fuzzy keys hold beyond the contents after ``number`` operations."""
        if not self._fuzzy:
            return 0
        contents: Contents = {}
        for logged in history[:number]:
            apply_to(contents, logged.operation)
        return sum(
            max(len(self._found[key]) - len(contents.get(key, ())), 0) for key in self._fuzzy & self._found.keys()
        )

    def _agrees(self, key: str) -> bool:
        expected, found = self.contents.get(key), self._found.get(key)
        if expected == found:
            return True
        if key not in self._fuzzy or expected is None or found is None:
            return False
        grew = found[: len(expected)] == expected
        # A file created or overwritten inside the window may have been caught while it was still being filled.
        being_filled = key in self._replaced_inside and expected[: len(found)] == found
        return grew or being_filled


def _describe(
    result: DataSetComparison, key: str, expected: tuple[Record, ...] | None, found: tuple[Record, ...] | None
) -> None:
    if found is None:
        assert expected is not None, "a key that differs is expected, or found, or both"
        result.missing += len(expected)
        result.problems.append(f"{key}: missing, with {_numbers(expected)}")
    elif expected is None:
        result.extra += max(len(found), 1)
        result.problems.append(f"{key}: must not be there, with {_numbers(found)}")
    else:
        lost = [record for record in expected if record not in found]
        more = [record for record in found if record not in expected]
        result.missing += len(lost)
        result.extra += len(more)
        parts = [f"missing {_numbers(lost)}"] * bool(lost) + [f"must not hold {_numbers(more)}"] * bool(more)
        result.problems.append(f"{key}: {'; '.join(parts) or 'the records are in another order'}")


def _numbers(records: Iterable[Record]) -> str:
    numbers = [str(record.sequence) for record in records]
    shown = ", ".join(numbers[:5]) + (f" and {len(numbers) - 5} more" if len(numbers) > 5 else "")
    return f"records {shown}" if len(numbers) != 1 else f"record {shown}"


def _range(history: list[LoggedOperation], after: int, last: int) -> str:
    return f" {history[after].operation.sequence} to {history[last - 1].operation.sequence} ({last - after})"


def _by_row(operations: Sequence[LoggedOperation]) -> dict[str, list[LoggedOperation]]:
    rows: dict[str, list[LoggedOperation]] = {}
    for logged in operations:
        rows.setdefault(logged.operation.key, []).append(logged)
    return rows


def _only(contents: Contents, key: str) -> Contents:
    return {key: contents[key]} if key in contents else {}
