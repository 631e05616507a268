"""Answers of agents are held to size and shape, whoever answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.agent.protocol import Instruction, outcome
from infra.workers.answers import RESULTS, bounded_milestones, bounded_progress, checked_outcome

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def instruction(kind: str = "SealRecoveryPoint", payload: dict[str, Any] | None = None) -> Instruction:
    return Instruction("i1", kind, "p", "east", 1, 1, "r", "s", 0, 1, payload or {})


def succeeded(result: Any, kind: str = "SealRecoveryPoint") -> dict[str, Any]:
    return outcome("i1", kind, result, None, 1)


GOOD = succeeded({"manifest_sha256": "a" * 64, "anchor_sha256": "b" * 64})
FAILED = outcome("i1", None, None, {"code": "HDFS", "message": "m"}, 1)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_what_is_right_is_taken_as_it_is() -> None:
    assert checked_outcome(GOOD, instruction()) == GOOD
    taken = checked_outcome(FAILED, instruction())["failure"]
    assert (taken["code"], taken["message"], taken["detail"], taken["unknown"]) == ("HDFS", "m", {}, False)


@pytest.mark.parametrize(
    "answer",
    [
        None, 7, "x", [], {}, {**GOOD, "status": "fine"}, {**GOOD, "id": "i2"}, {**GOOD, "result": None},
        {**GOOD, "result": [1]}, {**GOOD, "failure": {}}, {**GOOD, "status": "failed"}, {**FAILED, "failure": "x"},
        {**FAILED, "failure": {"code": "x y", "message": ""}}, {**FAILED, "failure": {"code": "X"}},
        {**FAILED, "failure": {"code": "X" * 200, "message": ""}}, {**FAILED, "status": "succeeded"},
        succeeded({"manifest_sha256": 7}), succeeded({"anchor_sha256": ["x"]}),
        succeeded({"padding": "x" * (20 << 20)}),
        succeeded({"padding": nested(900)}), succeeded({"padding": float("nan")}),
    ],
    ids=lambda answer: repr(answer)[:60],
)  # fmt: skip
def test_what_is_not_right_is_a_failure_that_ends_the_trying(answer: Any) -> None:
    taken = checked_outcome(answer, instruction())
    assert taken["status"] == "failed"
    assert taken["failure"]["code"] == "ANSWER_INVALID"
    assert taken["failure"]["remedy"]
    assert len(json.dumps(taken)) < 10_000


@pytest.mark.parametrize("kind", sorted(RESULTS))
def test_each_kind_has_fields_of_known_types(kind: str) -> None:
    for name in RESULTS[kind]:
        for wrong in ("x" * 5000, [7], {"a": 7}, 1 << 70, True):
            answer = checked_outcome(succeeded({name: wrong}, kind), instruction(kind))
            if kind == "CheckCluster" and wrong == {"a": 7}:
                continue  # facts are told as they are found
            is_object = isinstance(wrong, dict) and answer["status"] == "succeeded"
            assert answer["status"] == "failed" or is_object, (name, wrong)


def test_failures_are_cut_to_a_size() -> None:
    failure = {"code": "HDFS", "message": "m" * 100_000, "remedy": "r" * 100_000, "detail": {"x": "y" * 200_000}}
    taken = checked_outcome(outcome("i1", None, None, {**failure, "data_set": 5}, 1), instruction())["failure"]
    assert len(taken["message"]) + len(taken["remedy"]) <= 8_000
    assert (taken["detail"], taken["data_set"]) == ({}, None)


def test_many_data_sets_may_say_more() -> None:
    payload = {"data_sets": [{"id": str(number)} for number in range(300)]}
    large = {"data_sets": {str(number): {"differences": ["x" * 10_000]} for number in range(300)}}
    answer = succeeded(large, "DigestSnapshots")
    assert checked_outcome(answer, instruction("DigestSnapshots", payload)) == answer
    assert checked_outcome(answer, instruction("DigestSnapshots"))["failure"]["code"] == "ANSWER_INVALID"


@given(JSON)
def test_whatever_is_told_of_progress_can_be_taken(told: Any) -> None:
    taken = bounded_progress(told)
    assert all(type((taken or {}).get(name, 0)) is int for name in ("bytes", "files"))
    assert all(isinstance(facts, dict) for facts in bounded_milestones(told).values())


@pytest.mark.parametrize("bytes_told", ["x", [], {}, 1.5, True, 1 << 80])
def test_progress_of_a_wrong_type_is_not_taken(bytes_told: Any) -> None:
    assert bounded_progress({"bytes": bytes_told, "files": 7, "step": "copy"}) == {"files": 7, "step": "copy"}


def test_large_progress_and_milestones_are_dropped() -> None:
    assert bounded_progress({"step": "x" * 1000, "bytes": 7}) == {"bytes": 7}
    assert bounded_progress({str(number): 1 for number in range(1000)}) is None
    assert bounded_milestones({"armed": {"clocks": {}}, "large": {"x": "y" * (1 << 20)}, "wrong": 7}) == {
        "armed": {"clocks": {}}
    }


@given(JSON)
def test_whatever_is_answered_is_taken_or_refused(answer: Any) -> None:
    for kind in ("CheckCluster", "SendSnapshots"):
        taken = checked_outcome({**GOOD, "kind": kind, "result": answer}, instruction(kind))
        assert taken["status"] == "succeeded" or taken["failure"]["code"] == "ANSWER_INVALID"
