"""Grades are concluded from what was measured; the sealed manifest alone gives them again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from domain.protection.backup_run import states
from domain.protection.backup_run.manifest import recovery_point_manifest
from domain.protection.grading import consistency_of, derive, graded, grades_of
from tests.domain.builders import ACCOUNTS, ORDERS, succeeded
from tests.domain.honest import looks
from tests.domain.voyage import Voyage

AT = 1_000_000.0
DIGEST, OTHER = "1" * 64, "2" * 64


def taken(component: str, **changed: Any) -> dict[str, Any]:
    """A snapshot that took 10 ms, with other looks than those that make it EXACT; None takes one away."""
    shown = looks(component, AT + 10)
    for path, value in changed.items():
        *above, last = path.split("__")
        inner = shown
        for name in above:
            inner = inner[name]
        inner[last] = value
    evidence = {"grade": "EXACT", "reason": "why", "looks": shown}
    cluster = {"asked_cluster_ms": AT, "done_cluster_ms": AT + 10}
    return {"asked_ms": AT, "done_ms": AT + 10, **cluster, "open_files": [], "evidence": evidence}


@pytest.mark.parametrize(
    ("changed", "grade"),
    [
        ({}, "EXACT"),
        ({"before": None}, "EXACT"),
        ({"after": None}, "FUZZY"),
        ({"after__asked_ms": AT + 8}, "FUZZY"),
        ({"after__asked_ms": AT + 9.5}, "EXACT"),
        ({"after__asked_ms": "soon"}, "NOT_PROVABLE"),
        ({"after__sha256": "x"}, "NOT_PROVABLE"),
        ({"before__files": -1}, "NOT_PROVABLE"),
        ({"after": "listed"}, "NOT_PROVABLE"),
        ({"open": None}, "NOT_PROVABLE"),
        ({"open": True}, "NOT_PROVABLE"),
        ({"listed": 1}, "NOT_PROVABLE"),
        ({"open": 1, "listed": 1, "after__files": 1}, "NOT_PROVABLE"),
        ({"listed": 1, "absent": 1}, "NOT_PROVABLE"),
        ({"listed": 1, "absent": 1, "after__files": 1}, "EXACT"),
        ({"listed": 1, "closed": 1, "before__files": 1}, "EXACT"),
        ({"listed": 1, "closed": 1, "after__files": 1}, "NOT_PROVABLE"),
        ({"after__files": 1}, "NOT_PROVABLE"),
    ],
)
def test_a_directory(changed: dict[str, Any], grade: str) -> None:
    assert derive("hdfs", taken("hdfs", **changed), 1.0).grade == grade


@pytest.mark.parametrize(("names", "said"), [(["a"], "1 file that was"), (["a", "b"], "2 files that were")])
def test_a_directory_with_files_that_were_open(names: list[str], said: str) -> None:
    many = len(names)
    snapshot = {**taken("hdfs", open=many, listed=many, after__files=many), "open_files": names}
    derived = derive("hdfs", snapshot)
    assert derived.grade == "EXACT"
    assert said in derived.reason
    assert derive("hdfs", {**snapshot, "open_files": None}).grade == "NOT_PROVABLE"
    assert derive("hdfs", {**snapshot, "open_files": []}).grade == "NOT_PROVABLE"


@pytest.mark.parametrize(
    ("changed", "grade"),
    [
        ({}, "EXACT"),
        ({"kind": "SKIPFLUSH"}, "FUZZY"),
        ({"kind": None}, "FUZZY"),
        ({"before": None}, "BOUNDED"),
        ({"before": "a reading"}, "BOUNDED"),
        ({"before__done_ms": AT - 59_999}, "BOUNDED"),
        ({"before__rpc_timeout_ms": None}, "BOUNDED"),
        ({"before__digest": OTHER}, "BOUNDED"),
        ({"before__digest": None, "after__digest": None}, "BOUNDED"),
        ({"after": None}, "BOUNDED"),
        ({"after__asked_ms": AT + 9}, "BOUNDED"),
        ({"kind": "DISABLED"}, "BOUNDED"),
    ],
)
def test_a_table(changed: dict[str, Any], grade: str) -> None:
    assert derive("hbase", taken("hbase", **changed)).grade == grade


@pytest.mark.parametrize(
    ("changed", "grade"),
    [
        ({}, "EXACT"),
        ({"disabled__done_ms": AT + 1}, "BOUNDED"),
        ({"after": None}, "BOUNDED"),
        ({"after__asked_ms": AT + 9}, "BOUNDED"),
        ({"after__state_since_ms": 8}, "BOUNDED"),
        ({"disabled__state_since_ms": None, "after__state_since_ms": None}, "BOUNDED"),
    ],
)
def test_a_disabled_table(changed: dict[str, Any], grade: str) -> None:
    state = {"state": "DISABLED", "state_since_ms": 7}
    reading = {"digest": DIGEST, "asked_ms": AT - 2, "done_ms": AT - 1, **state}
    shown = {"kind": "DISABLED", "disabled": reading, "after__state": "DISABLED", "after__state_since_ms": 7}
    assert derive("hbase", taken("hbase", **{**shown, **changed})).grade == grade


@pytest.mark.parametrize(
    ("component", "word", "changed", "published"),
    [
        ("hdfs", "EXACT", {}, "EXACT"),
        ("hdfs", "FUZZY", {}, "FUZZY"),
        ("hdfs", "EXACT", {"listed": 1}, "FUZZY"),
        ("hbase", "EXACT", {"before__digest": OTHER}, "BOUNDED"),
        ("hbase", "BOUNDED", {}, "BOUNDED"),
        ("hbase", "SPLENDID", {}, "FUZZY"),
    ],
)
def test_the_weaker_of_the_word_and_of_what_is_shown_is_published(
    component: str, word: str, changed: dict[str, Any], published: str
) -> None:
    snapshot = taken(component, **changed)
    snapshot["evidence"]["grade"] = word
    shown = graded({"d": snapshot}, {"d": component}, {})["d"]["evidence"]
    assert shown["grade"] == published
    assert ("the agent said EXACT" in shown["reason"]) == (word == "EXACT" != published)


@pytest.mark.parametrize(("component", "published"), [("hdfs", "FUZZY"), ("hbase", "BOUNDED")])
def test_a_word_without_anything_shown_is_worth_little(component: str, published: str) -> None:
    snapshot = {**taken(component), "evidence": {"grade": "EXACT", "reason": "believe me"}}
    assert graded({"d": snapshot}, {"d": component}, {})["d"]["evidence"]["grade"] == published
    assert graded({"d": {"evidence": None}}, {}, {})["d"]["evidence"]["grade"] == "FUZZY"


def sealed(**totals: Any) -> Any:
    """A sealed manifest as it is read from the cluster."""
    voyage = Voyage().to(states.STAGING)
    voyage.copy(**totals)
    return json.loads(json.dumps(recovery_point_manifest(voyage.to(states.SEALING).run)))


@pytest.mark.parametrize(("fuzzy", "verdict"), [(0, "CONSISTENT"), (2, "DEGRADED")])
def test_the_sealed_manifest_alone_gives_the_published_consistency(fuzzy: int, verdict: str) -> None:
    manifest = sealed(fuzzy=fuzzy)
    found = consistency_of(manifest)
    assert found is not None
    published = manifest["consistency"]
    assert found.verdict == published["verdict"] == verdict
    assert (found.skew_ms, found.earliest_ms) == (published["skew_ms"], published["earliest_ms"])
    grades = {one["data_set"]: one["grade"] for one in published["grades"]}
    assert {key: derived.grade for key, derived in grades_of(manifest).items()} == grades
    assert {one.data_set: one.grade for one in found.grades} == grades


def test_a_word_that_was_changed_in_a_sealed_manifest_proves_nothing() -> None:
    manifest = sealed()
    (orders,) = [one for one in manifest["data_sets"] if one["id"] == ORDERS.id]
    orders["snapshot"]["evidence"]["looks"]["after"] = None
    found = consistency_of(manifest)
    assert found is not None
    assert found.verdict == "DEGRADED"
    assert grades_of(manifest)[ORDERS.id].grade == "FUZZY"


def test_a_recovery_point_from_before_is_not_provable_and_never_exact() -> None:
    manifest = sealed(fuzzy=1)
    for one in manifest["data_sets"]:
        del one["snapshot"]["evidence"]["looks"]
    assert {derived.grade for derived in grades_of(manifest).values()} == {"NOT_PROVABLE"}
    assert consistency_of(manifest) is None


def test_a_run_publishes_what_was_shown_and_not_what_was_said() -> None:
    voyage = Voyage().to(states.ARMED)
    answer = voyage.snapshots()
    answer["data_sets"][ACCOUNTS.id]["evidence"]["looks"]["after"] = None
    del answer["data_sets"][ORDERS.id]["evidence"]["looks"]
    voyage.answer("snapshots", succeeded(answer))
    run = voyage.run
    assert run.consistency is not None
    grades = {grade.data_set: grade.grade for grade in run.consistency.grades}
    assert (grades[ACCOUNTS.id], grades[ORDERS.id], run.consistency.verdict) == ("BOUNDED", "FUZZY", "DEGRADED")
    assert run.snapshots[ACCOUNTS.id]["evidence"]["grade"] == "BOUNDED"
