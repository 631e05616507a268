"""The comparison accepts every state that the application can have left, and no other."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from scripts.labkit.application.log import LoggedOperation
from scripts.labkit.application.operations import Contents, Operation, apply_to
from scripts.labkit.application.records import render
from scripts.labkit.comparison import (
    DataSetComparison,
    Recovered,
    Window,
    compare_data_set,
    comparison_table,
)
from scripts.labkit.errors import LabError

DIRECTORY = "/data/shop"
TABLE = "orders"
# Operation n (from 1) is sent at n seconds and acknowledged 0.4 s later.
OPERATIONS = (
    Operation(DIRECTORY, 1, "write", "a", 60),
    Operation(DIRECTORY, 2, "append", "a", 60),
    Operation(DIRECTORY, 3, "write", "b", 60),
    Operation(DIRECTORY, 4, "rename", "a", target="c"),
    Operation(DIRECTORY, 5, "append", "b", 60),
    Operation(DIRECTORY, 6, "write", "b", 60),
    Operation(DIRECTORY, 7, "delete", "c"),
    Operation(DIRECTORY, 8, "write", "d", 60),
)


def logged(operations: Sequence[Operation]) -> list[LoggedOperation]:
    return [LoggedOperation(one, float(one.sequence), one.sequence + 0.4) for one in operations]


def contents_after(number: int, operations: Sequence[Operation] = OPERATIONS) -> Contents:
    contents: Contents = {}
    for operation in operations[:number]:
        apply_to(contents, operation)
    return contents


def compare(contents: Contents, window: Window, fuzzy: frozenset[str] = frozenset()) -> DataSetComparison:
    return compare_data_set(DIRECTORY, logged(OPERATIONS), Recovered(contents), window, fuzzy)


AFTER_FIVE = Window(5.5, 5.9)  # between two operations: exactly one state is right
DURING_FIVE_AND_SIX = Window(5.2, 6.1)  # operations 5 and 6 may be there or not


def test_the_one_right_state_is_equal() -> None:
    result = compare(contents_after(5), AFTER_FIVE)
    assert result.equal
    assert (result.before, result.between, result.after) == (5, 0, 3)
    assert (result.records, result.missing, result.extra) == (4, 0, 0)
    result.require_equal()


@pytest.mark.parametrize(("number", "found"), [(4, 0), (5, 1), (6, 2)])
def test_operations_inside_the_window_may_be_there_and_are_counted(number: int, found: int) -> None:
    result = compare(contents_after(number), DURING_FIVE_AND_SIX)
    assert result.equal
    assert (result.before, result.between, result.between_found, result.after) == (4, 2, found, 2)


def test_uncertain_clocks_widen_the_window() -> None:
    assert not compare(contents_after(7), AFTER_FIVE).equal
    assert compare(contents_after(7), Window(5.5, 5.9, uncertainty_seconds=1.2)).equal


def test_a_planted_missing_record_is_found_and_named() -> None:
    contents = contents_after(5)
    contents["b"] = contents["b"][:1]
    result = compare(contents, AFTER_FIVE)
    assert result.missing == 1
    with pytest.raises(LabError, match="b: missing record 5"):
        result.require_equal()


def test_a_planted_missing_file_is_found_and_named() -> None:
    contents = contents_after(5)
    del contents["c"]
    result = compare(contents, AFTER_FIVE)
    assert result.missing == 2
    assert result.problems == ["c: missing, with records 1, 2"]


def test_a_planted_extra_record_is_found_and_named() -> None:
    contents = contents_after(5)
    contents["d"] = contents_after(8)["d"]
    result = compare(contents, AFTER_FIVE)
    assert result.extra == 1
    assert result.problems == ["d: must not be there, with record 8"]


def test_a_rename_that_is_half_done_is_found() -> None:
    both = contents_after(3) | contents_after(4)
    neither = {key: records for key, records in contents_after(4).items() if key != "c"}
    window = Window(4.1, 4.2)  # during the rename
    assert compare(contents_after(3), window).equal
    assert compare(contents_after(4), window).equal
    assert not compare(both, window).equal
    assert not compare(neither, window).equal


def test_a_state_from_before_or_after_the_window_is_called_so() -> None:
    older, newer = compare(contents_after(3), AFTER_FIVE), compare(contents_after(7), AFTER_FIVE)
    assert "older: they lack acknowledged operations 4 to 5 (2)" in older.problems[0]
    assert "newer: they hold later operations 6 to 7 (2)" in newer.problems[0]


def test_records_in_another_order_are_not_equal() -> None:
    contents = contents_after(5)
    contents["b"] = contents["b"][::-1]
    assert compare(contents, AFTER_FIVE).problems == ["b: the records are in another order"]


def test_damaged_bytes_are_a_problem() -> None:
    recovered = Recovered(contents_after(5))
    recovered.add("b", b"x" * 60)
    result = compare_data_set(DIRECTORY, logged(OPERATIONS), recovered, AFTER_FIVE)
    assert any(problem.startswith("b: damaged") for problem in result.problems)


def test_a_fuzzy_file_may_hold_more_but_never_less() -> None:
    fuzzy = frozenset({"c"})
    operations = (
        *OPERATIONS[:5],
        Operation(DIRECTORY, 6, "append", "c", 60),
        Operation(DIRECTORY, 7, "append", "c", 60),
    )
    grown = contents_after(7, operations)
    window = Window(5.2, 5.3)

    def result(contents: Contents, marked: frozenset[str]) -> DataSetComparison:
        return compare_data_set(DIRECTORY, logged(operations), Recovered(contents), window, marked)

    assert not result(grown, frozenset()).equal
    assert result(grown, fuzzy).equal
    assert result(grown, fuzzy).in_excess == 2
    assert not result(grown | {"c": grown["c"][:1]}, fuzzy).equal
    assert not result({key: records for key, records in grown.items() if key != "c"}, fuzzy).equal


def test_a_file_caught_while_it_was_created_may_be_short() -> None:
    window = Window(2.9, 3.1)  # operation 3 creates b
    caught = contents_after(2) | {"b": ()}
    assert not compare(caught, window).equal
    assert compare(caught, window, frozenset({"b"})).equal
    late = Window(3.5, 3.9)  # it was acknowledged before
    assert not compare(caught, late, frozenset({"b"})).equal


def rows(*kinds: tuple[str, str]) -> list[Operation]:
    return [
        Operation(TABLE, number, kind, row, 60 if kind == "write" else 0)
        for number, (row, kind) in enumerate(kinds, start=1)
    ]


def test_rows_are_cut_one_by_one() -> None:
    operations = rows(("r", "write"), ("s", "write"), ("r", "write"), ("s", "write"))
    window = Window(2.9, 4.1)
    mixed = {"r": contents_after(2, operations)["r"], "s": contents_after(4, operations)["s"]}
    result = compare_data_set(TABLE, logged(operations), Recovered(mixed), window)
    assert result.equal
    assert (result.before, result.between, result.between_found) == (2, 2, 1)


def test_rows_missing_extra_and_foreign_are_found() -> None:
    operations = rows(("r", "write"), ("s", "write"), ("t", "write"), ("r", "delete"), ("u", "write"))
    right = contents_after(4, operations)
    window = Window(4.5, 4.9)

    def problems(contents: Contents) -> list[str]:
        return compare_data_set(TABLE, logged(operations), Recovered(contents), window).problems

    assert problems(right) == []
    assert "s: missing, with record 2" in problems({"t": right["t"]})
    assert "r: must not be there, with record 1" in problems(right | contents_after(3, operations))
    assert "u: must not be there, with record 5" in problems(right | contents_after(5, operations))
    assert problems(right | {"zz": right["t"]}) == ["zz: no operation ever wrote this row"]


def test_without_a_log_nothing_is_compared() -> None:
    with pytest.raises(LabError, match="no operation"):
        compare_data_set(DIRECTORY, [], Recovered({}), AFTER_FIVE)
    with pytest.raises(LabError, match="not a window"):
        Window(2.0, 1.0)


def test_the_table_shows_each_data_set_and_its_verdict() -> None:
    output = io.StringIO()
    good, bad = compare(contents_after(5), AFTER_FIVE), compare(contents_after(2), AFTER_FIVE)
    Console(file=output, width=160).print(comparison_table([good, bad]))
    lines = output.getvalue().splitlines()
    assert sum("EQUAL" in line for line in lines) == 1
    assert sum("DIFFERENT" in line for line in lines) == 1


@st.composite
def histories(draw: st.DrawFn) -> list[Operation]:
    """Operations that fit one another, on few keys, so that they meet often."""
    contents: Contents = {}
    operations: list[Operation] = []
    for number in range(1, draw(st.integers(1, 12)) + 1):
        existing, free = sorted(contents), [key for key in "abcd" if key not in contents]
        kinds = ["write", *(["append", "delete"] if existing else []), *(["rename"] if existing and free else [])]
        kind = draw(st.sampled_from(kinds))
        key = draw(st.sampled_from(["a", "b", "c", "d"] if kind == "write" else existing))
        target = draw(st.sampled_from(free)) if kind == "rename" else ""
        operations.append(Operation(DIRECTORY, number, kind, key, 60, target))
        apply_to(contents, operations[-1])
    return operations


@given(histories(), st.data())
def test_exactly_the_states_inside_the_window_are_equal(operations: list[Operation], data: st.DataObject) -> None:
    log = logged(operations)
    earliest = data.draw(st.floats(0, len(operations) + 2))
    window = Window(earliest, earliest + data.draw(st.floats(0, 4)))
    possible = [contents_after(number, operations) for number in range(window.lowest(log), window.highest(log) + 1)]
    for number in range(len(operations) + 1):
        contents = contents_after(number, operations)
        result = compare_data_set(DIRECTORY, log, Recovered(dict(contents)), window)
        assert result.equal == (contents in possible)


@given(histories(), st.data())
def test_no_single_planted_fault_goes_unseen(operations: list[Operation], data: st.DataObject) -> None:
    log = logged(operations)
    number = data.draw(st.integers(0, len(operations)))
    window = Window(number + 0.5, number + 0.9)
    contents = contents_after(number, operations)
    extra = Operation(DIRECTORY, len(operations) + 1, "write", "planted", 60).record
    recovered = Recovered()
    for key, records in contents.items():
        recovered.add(key, b"".join(map(render, records)))
    assert recovered.contents == contents
    assert not recovered.damaged
    key = data.draw(st.sampled_from([*contents, "planted"]))
    faulty = contents | {key: (*contents.get(key, ()), extra)}
    assert not compare_data_set(DIRECTORY, log, Recovered(faulty), window).equal
    if key in contents:
        shorter = contents | {key: contents[key][:-1]}
        assert not compare_data_set(DIRECTORY, log, Recovered(shorter), window).equal
