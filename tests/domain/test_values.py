"""Data sets, names, patterns, errors: what is accepted, and what overlaps."""

from __future__ import annotations

import fnmatch
import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.components.glob import can_meet, has_wildcards
from domain.components.registry import component
from domain.errors import InvalidInput, NotFound, Refused, UnderstudyError
from domain.values.data_set import DataSet, data_set_from_wire

WORDS = ["".join(word) for size in range(5) for word in itertools.product("ab", repeat=size)]
PATTERNS = st.text("ab*?", max_size=4)


@given(PATTERNS, PATTERNS)
def test_two_patterns_can_meet_exactly_when_some_name_fits_both(first: str, second: str) -> None:
    # Any meeting of two patterns of four characters over two letters has a witness of at most four letters unless it
    # takes more literal letters than that, which patterns of four characters cannot ask for together.
    longer = [*WORDS, *("".join(word) for size in range(5, 9) for word in itertools.product("ab", repeat=size))]
    common = set(fnmatch.filter(longer, first)) & set(fnmatch.filter(longer, second))
    assert can_meet(first, second) == bool(common)


@pytest.mark.parametrize(("name", "is_pattern"), [("a", False), ("", False), ("a*", True), ("?", True), ("[a]", False)])
def test_only_stars_and_question_marks_make_a_pattern(name: str, is_pattern: bool) -> None:
    assert has_wildcards(name) is is_pattern


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("data", "path"),
        ("/", "path"),
        ("/a/", "path"),
        ("/a//b", "path"),
        ("/a/../b", "path"),
        ("/a/.snapshot/b", "path"),
        ("/.understudy/incoming", "path"),
        ("/.reserved", "path"),
        ("/" + "a" * 4_096, "path"),
    ],
)
def test_a_directory_that_cannot_be_protected_is_refused(path: str, field: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        DataSet.parse("hdfs", path)
    assert refusal.value.field == field


@pytest.mark.parametrize("table", ["", "a b", "ns:", ":t", "a:b:c", "hbase:meta", "understudy_scratch", "x" * 401])
def test_a_table_that_cannot_be_protected_is_refused(table: str) -> None:
    if table == "understudy_scratch":
        DataSet.parse("hbase", table)  # only its namespace is the product's own
        return
    with pytest.raises(InvalidInput, match="table"):
        DataSet.parse("hbase", table)


def test_an_unknown_component_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(InvalidInput, match="hdfs, hbase"):
        component("hive")


@pytest.mark.parametrize(
    ("first", "second", "overlap"),
    [
        (("hdfs", "/a"), ("hdfs", "/a"), True),
        (("hdfs", "/a"), ("hdfs", "/a/b"), True),
        (("hdfs", "/a"), ("hdfs", "/ab"), False),
        (("hdfs", "/a*/x"), ("hdfs", "/ab"), True),
        (("hdfs", "/a/x"), ("hdfs", "/a/y"), False),
        (("hbase", "t"), ("hbase", "default:t"), True),
        (("hbase", "ns:t*"), ("hbase", "ns:tab"), True),
        (("hbase", "ns:t"), ("hbase", "t"), False),
        (("hdfs", "/t"), ("hbase", "t"), False),
    ],
)
def test_overlaps_are_the_same_both_ways(first: tuple[str, str], second: tuple[str, str], overlap: bool) -> None:
    assert DataSet(*first).overlaps(DataSet(*second)) is overlap
    assert DataSet(*second).overlaps(DataSet(*first)) is overlap


@pytest.mark.parametrize(
    "data_set", [DataSet("hdfs", "/data/x y"), DataSet("hbase", "ns:t"), DataSet("hbase", "größe:表-1.é")]
)
def test_a_data_set_travels_and_comes_back(data_set: DataSet) -> None:
    wire = data_set.to_wire()
    assert data_set_from_wire(wire) == data_set
    assert wire["id"] == data_set.id
    assert str(data_set) == f"{data_set.component}:{data_set.name}"
    assert not data_set.is_pattern
    assert DataSet("hdfs", "/data/*").is_pattern


def test_errors_say_what_to_do() -> None:
    assert str(Refused("CODE", "it is so.", remedy="Do this.")) == "CODE: it is so. Remedy: Do this."
    assert str(UnderstudyError("CODE", "it is so.")) == "CODE: it is so."
    assert NotFound("run", "x").code == "NOT_FOUND"
    words = {"BackupRun": "run", "RecoveryPoint": "recovery point", "Service": "service", "ClusterPair": "pair"}
    for kind, word in words.items():
        assert NotFound(kind, "x").message == f"there is no {word} named 'x'."


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("?" * 2_000, "?" * 2_000),
        ("*a" * 1_000 + "b", "a" * 2_000),
        ("*a" * 1_000, "*b" * 1_000),
        ("*?" * 1_000, "?" * 1_999 + "*"),
        ("*" * 2_000, "a" * 2_000),
    ],
)
def test_comparing_takes_no_longer_than_the_names_are_long(first: str, second: str) -> None:
    began = time.process_time()
    for _ in range(20):
        can_meet(first, second)
        can_meet(second, first)
    assert time.process_time() - began < 1


def test_patterns_are_short_and_plain_names_need_not_be() -> None:
    DataSet.parse("hdfs", "/" + "a" * 300)
    DataSet.parse("hdfs", "/" + "?" * 255)
    for component_name, pattern in (("hdfs", "/" + "?" * 256), ("hbase", "t*" * 129)):
        with pytest.raises(InvalidInput, match="too long"):
            DataSet.parse(component_name, pattern)
