"""An answer is believed where it shows what it should, and is a failure of the attempt where it does not."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from domain import answers
from domain.instruction import Wanted
from domain.protection.backup_run import states
from tests.domain.builders import ACCOUNTS, ORDERS, Contexts, new_pair, succeeded
from tests.domain.honest import shown
from tests.domain.voyage import Voyage

STEPS = {
    "snapshots": states.ARMED,
    "copy": states.STAGING,
    "apply": states.APPLYING,
    "freeze": states.FREEZING,
    "seal": states.SEALING,
}
IN_ORDERS = ("data_sets", ORDERS.id)
IN_ACCOUNTS = ("data_sets", ACCOUNTS.id)


def wanted_and_honest(step: str) -> tuple[Wanted, dict[str, Any]]:
    """A wish of a run on its way, and what an honest agent answers."""
    voyage = Voyage().to(STEPS[step])
    wanted = voyage.wanted(step)
    told = {"snapshots": voyage.snapshots, "copy": voyage.totals}.get(step, lambda: shown(wanted))
    return wanted, told()


def cleaning(kind: str) -> tuple[Wanted, dict[str, Any]]:
    """A wish of a run that is cleaned up."""
    voyage = Voyage().to(states.STAGING)
    voyage.send("copy")
    voyage.run.cancel(voyage.contexts(), "no more")
    if kind == "RemoveSnapshots":
        voyage.show("abort-primary")
    wanted = [one for one in voyage.run.next_instructions() if one.kind == kind][-1]
    return wanted, shown(wanted)


def opening() -> tuple[Wanted, dict[str, Any]]:
    """The wish of a recovery point that is to be opened."""
    voyage = Voyage().to(states.COMPLETED)
    (point,) = voyage.points.values()
    point.open(voyage.contexts(), dict(point.made.endpoints), ())
    wanted = point.next_instructions()[0]
    return wanted, shown(wanted)


def marking() -> tuple[Wanted, dict[str, Any]]:
    """The wish of a pair that is being formed."""
    (wanted,) = new_pair(Contexts()).next_instructions()
    return wanted, shown(wanted)


def changed(answer: Any, path: tuple[str, ...], value: Any) -> Any:
    """The answer with another value somewhere; ``...`` takes it away."""
    if not path:
        return value
    inner = {**answer, path[0]: changed(answer.get(path[0]) or {}, path[1:], value)}
    return {key: one for key, one in inner.items() if one is not ...}


@pytest.mark.parametrize(
    ("step", "path", "value", "told"),
    [
        ("snapshots", (*IN_ORDERS, "snapshot"), "us-another", "snapshot of hdfs:/data/orders is 'us-another'"),
        ("snapshots", (*IN_ACCOUNTS, "snapshot"), ..., "snapshot of hbase:shop:accounts is None"),
        ("snapshots", IN_ACCOUNTS, ..., "snapshot of hbase:shop:accounts is None"),
        ("snapshots", ("data_sets",), [], "snapshot of hbase:shop:accounts is None"),
        ("snapshots", (*IN_ORDERS, "asked_cluster_ms"), 1.0, "asked_cluster_ms of hdfs:/data/orders is 1.0"),
        ("snapshots", (*IN_ORDERS, "asked_cluster_ms"), True, "asked_cluster_ms of"),
        ("snapshots", (*IN_ORDERS, "asked_cluster_ms"), "late", "asked_cluster_ms of"),
        ("copy", ("content_digest",), "equal", "content_digest is 'equal'"),
        ("copy", ("base",), "f" * 32, "which was not offered"),
        ("copy", ("base",), [], "which was not offered"),
        ("copy", ("compared_with",), "the moon", "compared_with is 'the moon'"),
        ("copy", ("deleted",), ..., "deleted is None"),
        ("copy", ("entries_in_base",), -1, "entries_in_base is -1"),
        ("copy", ("replaced",), "none", "replaced is 'none'"),
        ("copy", ("bytes",), True, "bytes is True"),
        ("apply", IN_ORDERS, ..., "steps of hdfs:/data/orders is None"),
        ("freeze", (*IN_ACCOUNTS, "snapshot"), "us-another", "snapshot of hbase:shop:accounts"),
        ("seal", ("manifest_sha256",), "0" * 64, "manifest_sha256 as read back"),
        ("seal", ("anchor_sha256",), ..., "anchor_sha256 as read back is None"),
    ],
)
def test_each_step_of_a_run(step: str, path: tuple[str, ...], value: Any, told: str) -> None:
    wanted, honest = wanted_and_honest(step)
    assert answers.failure_of(wanted, honest) is None
    failure = answers.failure_of(wanted, changed(honest, path, value))
    assert failure is not None
    assert failure["code"] == "ANSWER_UNPROVED"
    assert told in failure["message"]
    assert failure["data_set"] == (wanted.data_set or None)


@pytest.mark.parametrize(
    ("asked", "path", "value", "told"),
    [
        (lambda: cleaning("Abort"), ("aborted",), [], "nothing is said of"),
        (lambda: cleaning("Abort"), ("aborted",), None, "nothing is said of"),
        (lambda: cleaning("RemoveSnapshots"), ("removed",), [], "/data/orders/.snapshot/us-"),
        (lambda: cleaning("RemoveSnapshots"), ("absent",), "all", "nothing is said of /.understudy/incoming/1/"),
        (opening, (*IN_ORDERS, "readable"), "", "readable of hdfs:/data/orders"),
        (opening, IN_ACCOUNTS, ..., "readable of hbase:shop:accounts is None"),
        (marking, ("marker",), {}, "the marker that was read back is {}"),
        (marking, ("marker", "epoch"), 7, "the marker that was read back"),
        (marking, ("marker",), None, "the marker that was read back is None"),
        (marking, ("serial",), 9, "the marker that was read back"),
    ],
)
def test_everything_else(asked: Any, path: tuple[str, ...], value: Any, told: str) -> None:
    wanted, honest = asked()
    assert answers.failure_of(wanted, honest) is None
    failure = answers.failure_of(wanted, changed(honest, path, value))
    assert failure is not None
    assert told in failure["message"]


@pytest.mark.parametrize(
    ("namenode", "hbase", "early", "is_shown"),
    [(0, 0, 1, True), (0, 0, 2, False), (2, 30, 31, True), (30, None, 31, True), (2, 30, 32, False)],
)
def test_a_stamp_is_as_good_as_the_clock_that_is_known_worse(
    namenode: int, hbase: int | None, early: int, is_shown: bool
) -> None:
    wanted, honest = wanted_and_honest("snapshots")
    moment_ms, tolerance_ms = (wanted.payload[name] for name in ("moment_ms", "fire_tolerance_ms"))
    known = {"namenode": {"uncertainty_ms": namenode}, "hbase": None if hbase is None else {"uncertainty_ms": hbase}}
    answer = changed(honest, ("clocks", "after"), known)
    answer = changed(answer, (*IN_ACCOUNTS, "asked_cluster_ms"), moment_ms - tolerance_ms - early)
    assert (answers.failure_of(wanted, answer) is None) == is_shown


def test_what_is_asked_once_is_not_said_to_be_asked_again() -> None:
    for step, begins in (("snapshots", "Start another run"), ("copy", "It is asked again")):
        wanted, _ = wanted_and_honest(step)
        failure = answers.failure_of(wanted, {})
        assert failure is not None
        assert failure["remedy"].startswith(begins)


def test_an_answer_that_is_no_object_and_a_kind_that_shows_nothing() -> None:
    wanted = Wanted(UUID(int=1), "close-1", "CloseCopies", "secondary", "south", 1, {})
    assert answers.failure_of(wanted, {}) is None
    for answer in (None, [], "done"):
        failure = answers.failure_of(wanted, answer)
        assert failure is not None
        assert "it is no object" in failure["message"]


def test_a_run_asks_again_and_completes_with_the_next_honest_answer() -> None:
    voyage = Voyage().to(states.FREEZING)
    voyage.answer("freeze", succeeded({"data_sets": {}}))
    assert (voyage.run.state, voyage.wanted("freeze").attempt) == (states.FREEZING, 2)
    voyage.freeze()
    voyage.verify()
    voyage.answer("seal", succeeded({"manifest_sha256": "0" * 64, "anchor_sha256": "0" * 64}))
    assert (voyage.run.state, voyage.wanted("seal").attempt) == (states.SEALING, 2)
    point = voyage.seal()
    assert voyage.run.state == states.COMPLETED
    seal = next(wanted for wanted in point.next_instructions() if wanted.step == "seal")
    point.conclude(voyage.contexts(), seal.id, succeeded({"manifest_sha256": point.made.manifest_sha256}))
    assert point.owes_primary, "the anchor was not shown"
