"""A snapshot that somebody deleted: the run starts from another base, and its recovery point is DAMAGED."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from domain.protection import recovery_point as points
from domain.protection import replica as replica_states
from domain.protection.backup_run import states
from domain.protection.recovery_point import RecoveryPoint
from domain.protection.replica import BASES_OFFERED, Kept
from domain.values.data_set import DataSet
from tests.domain.builders import ACCOUNTS, CARTS, ORDERS, failed, succeeded
from tests.domain.voyage import Voyage


def three_runs() -> tuple[Voyage, list[RecoveryPoint]]:
    """A run that copies, after two that have completed; the newest recovery point first."""
    first = Voyage().to(states.SEALING)
    older = first.seal()
    second = first.next().to(states.SEALING)
    newest = second.seal()
    return second.next().to(states.STAGING), [newest, older]


def copied(voyage: Voyage, data_set: DataSet, base: RecoveryPoint | None, how: str, *lost: dict[str, Any]) -> None:
    """The answer of a sender that has compared with ``base``."""
    told = {"base": base.id.hex if base else None, "compared_with": how, "lost": list(lost)}
    voyage.answer(f"copy-{data_set.id}", succeeded(voyage.totals(**told)))


def lost(point: RecoveryPoint, role: str) -> dict[str, Any]:
    return {"recovery_point": point.id.hex, "snapshot": point.made.snapshot, "cluster": role}


def test_the_sender_is_offered_older_bases() -> None:
    voyage, (newest, older) = three_runs()
    payload = voyage.wanted(f"copy-{ORDERS.id}").payload
    assert (payload["base"], payload["recovery_point"]) == (newest.made.snapshot, newest.id.hex)
    assert payload["older_bases"] == [{"snapshot": older.made.snapshot, "recovery_point": older.id.hex}]
    assert set(voyage.replica.holds) == {newest.id, older.id}


def test_what_is_applied_starts_from_what_the_sender_compared_with() -> None:
    voyage, (newest, older) = three_runs()
    copied(voyage, ORDERS, older, "base", lost(newest, "secondary"))
    copied(voyage, ACCOUNTS, newest, "base")
    copied(voyage, CARTS, None, "head", lost(newest, "primary"), lost(older, "primary"))
    assert voyage.run.state == states.APPLYING
    applied = {d["id"]: d for d in voyage.wanted("apply").payload["data_sets"]}
    assert (applied[ORDERS.id]["base"], applied[ORDERS.id]["recovery_point"]) == (older.made.snapshot, older.id.hex)
    assert applied[ACCOUNTS.id]["base"] == newest.made.snapshot
    assert "from_head" not in applied[ACCOUNTS.id]
    assert (applied[CARTS.id]["base"], applied[CARTS.id]["from_head"]) == (None, True)
    told = [(found["subject"], found["message"]) for found in voyage.run.lost_snapshots]
    assert [subject for subject, _ in told] == [str(CARTS), str(CARTS), str(ORDERS)]
    assert "is lost on north; the copy was compared in full, as it stands." in told[0][1]
    assert f"is lost on south; the copy started from recovery point {older.id}." in told[2][1]
    voyage.to(states.COMPLETED)
    assert voyage.replica.holds == {}


def test_only_what_is_lost_on_the_secondary_damages_a_recovery_point() -> None:
    voyage, (newest, older) = three_runs()
    unknown = {"recovery_point": "0" * 32, "snapshot": "us-x", "cluster": "secondary"}
    copied(voyage, ORDERS, None, "frozen", lost(newest, "secondary"), lost(older, "primary"), unknown)
    assert (newest.state, older.state) == (points.DAMAGED, points.AVAILABLE)
    assert newest.failure is not None
    assert (newest.failure["code"], newest.failure["data_set"]) == ("SNAPSHOT_MISSING", ORDERS.id)
    assert f"{ORDERS}: {newest.made.snapshot} is lost on south" in newest.failure["message"]
    assert voyage.run.state == states.STAGING


def test_a_base_that_is_lost_just_before_applying_ends_the_run_and_leaves_the_head() -> None:
    voyage, (newest, _) = three_runs()
    voyage.to(states.APPLYING)
    voyage.answer("apply", failed("BASE_MISSING", detail={"changed": False}))
    assert (voyage.run.state, voyage.replica.state) == (states.CLEANING, replica_states.CLEAN)
    assert (voyage.replica.head, voyage.replica.holds) == (newest.id, {})


def test_the_check_tells_what_older_recovery_points_have_lost() -> None:
    voyage, (newest, older) = three_runs()
    following = voyage.to(states.COMPLETED).next()
    kept = list(following.replica.kept.values())
    following.run.start_checking(following.contexts(), [point.snapshot for point in kept])
    assert "relied_on" not in following.wanted("check-primary").payload
    assert following.wanted("check-secondary").payload["relied_on"] == [point.snapshot for point in kept]
    following.answer("check-primary", succeeded(following.facts("primary")))
    facts = following.facts("secondary")
    fresh = DataSet("hdfs", "/data/fresh")
    facts["data_sets"] = [
        {**ORDERS.to_wire(), "lost_snapshots": [older.made.snapshot, "us-long-gone"]},
        {**fresh.to_wire(), "lost_snapshots": [point.snapshot for point in kept]},
    ]
    following.answer("check-secondary", succeeded(facts))
    assert (newest.state, older.state) == (points.AVAILABLE, points.DAMAGED), "fresh was in none of them"
    assert older.failure is not None
    assert f"{ORDERS}: {older.made.snapshot} is lost on south" in older.failure["message"]
    assert following.run.data_sets


def test_a_head_that_was_looked_at_must_not_have_been_touched_since() -> None:
    voyage, _ = three_runs()
    other = voyage.next().to(states.VERIFYING)
    other.answer("verify", succeeded(other.digests("DIFFERENT")))
    assert voyage.replica.state == replica_states.DIRTY
    for data_set in (ORDERS, ACCOUNTS, CARTS):
        copied(voyage, data_set, None, "head" if data_set == ORDERS else "nothing")
    assert voyage.run.failure is not None
    assert (voyage.run.state, voyage.run.failure["code"]) == (states.CLEANING, "SUPERSEDED")


@pytest.mark.parametrize(("asked", "level"), [("metadata", "checksum"), ("changed", "checksum"), ("bytes", "bytes")])
def test_what_was_compared_with_a_head_that_anybody_can_change_is_verified_by_checksums(asked: str, level: str) -> None:
    for compared_with, expected in (("nothing", asked), ("head", level)):
        voyage = Voyage(verification=asked).to(states.STAGING)
        voyage.copy(base=None, compared_with=compared_with)
        voyage.to(states.VERIFYING)
        assert voyage.wanted("verify").payload["level"] == expected


def test_each_copy_is_offered_a_few_bases_however_many_the_others_need() -> None:
    voyage = Voyage().to(states.STAGING)
    points = [Kept(UUID(int=n), voyage.policy.id, f"us-{n}", n, {ORDERS.id: 1}) for n in range(30, 0, -1)]
    voyage.run.older = tuple(points)
    assert voyage.run.bases_of(ORDERS) == tuple(points[:BASES_OFFERED])
