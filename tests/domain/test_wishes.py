"""What aggregates want is what agents accept: both have the same limits, each where its layer may read them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from domain.instructing import Instructing, Sent, delay_seconds
from domain.pair.identity import UNASSIGNED, Member
from domain.protection.backup_run import states
from domain.protection.backup_run.run import BackupRun
from domain.protection.policy import HEAD_MODES, LEVELS, Barrier
from domain.protection.recovery_point import RecoveryPoint
from infra.agent import payloads
from infra.agent.protocol import parse_instruction
from infra.workers.outgoing import instruction_of
from tests.domain.builders import ENDPOINTS, Contexts, new_pair, succeeded
from tests.domain.honest import shown
from tests.domain.voyage import Voyage

LONGEST: dict[str, Any] = {
    "fire_tolerance_ms": 60_000,
    "warm_up_seconds": 3_600,
    "workers": 256,
    "sample_percent": 100,
    "recheck_days": 3_650,
}
SHORTEST: dict[str, Any] = {
    "fire_tolerance_ms": 1,
    "warm_up_seconds": 1,
    "workers": 1,
    "sample_percent": 0,
    "recheck_days": 0,
}


def accepted(aggregate: Instructing) -> list[str]:
    """Record all that is wanted as sent, and return the kinds; raises for an instruction that an agent would refuse."""
    kinds = []
    for wish in aggregate.next_instructions():
        instruction = instruction_of(wish, aggregate.pair_id, Sent(wish.cluster, "", 1, 1), 1)
        assert parse_instruction(instruction.to_wire()) == instruction
        aggregate.instruct(Contexts()(), wish, "digest", 1, 1)
        kinds.append(instruction.kind)
    return kinds


@pytest.mark.parametrize(
    "settings",
    [
        {**LONGEST, "barrier": Barrier("hold", "release", 600)},
        {**SHORTEST, "barrier": Barrier("hold", "release", 1)},
        *({"verification": level} for level in LEVELS),
        *({"head_mode": mode} for mode in HEAD_MODES),
    ],
    ids=str,
)
@pytest.mark.parametrize("direction", ["push", "pull"])
def test_every_setting_of_a_policy_can_be_carried_out(settings: dict[str, Any], direction: str) -> None:
    voyage = Voyage(direction=direction, **settings)
    for state in (states.CHECKING, states.ARMED, states.STAGING, states.APPLYING, states.VERIFYING, states.SEALING):
        assert accepted(voyage.to(state).run)


@pytest.mark.parametrize("days", [7, 0])
def test_the_base_stands_for_what_has_not_changed_of_directories_unless_all_is_computed_in_each_run(days: int) -> None:
    first = Voyage()
    point = first.to(states.SEALING).seal()
    second = first.next(recheck_days=days).to(states.VERIFYING)
    payload = second.wanted("verify").payload
    assert accepted(second.run) == ["DigestSnapshots"]
    proved = {one["component"]: one.get("proved_by") for one in payload["data_sets"]}
    by = {"snapshot": first.run.snapshot, "recovery_point": point.id.hex}
    assert proved == {"hdfs": by if days else None, "hbase": None}
    assert payload.get("recheck_days", 0) == days


@pytest.mark.parametrize(("setting", "is_dirty"), [("heal", False), ("refuse", False), ("refuse", True)])
def test_a_changed_copy_is_refused_only_if_the_policy_says_so_and_it_cannot_be_our_own_doing(
    setting: str, is_dirty: bool
) -> None:
    first = Voyage().to(states.COMPLETED)
    if is_dirty:
        first.replica.take(first.contexts(), UUID(int=1), first.run.recovery_point)
        first.replica.leave_dirty(first.contexts(), "an agent died")
    second = first.next(changed_head=setting).to(states.APPLYING)
    payload = second.wanted("apply").payload
    assert accepted(second.run) == ["ApplyStaged"]
    assert payload.get("refuses_changed_head", False) == (setting == "refuse" and not is_dirty)


def test_a_copy_is_told_when_open_files_were_listed_where_that_is_known() -> None:
    voyage = Voyage().to(states.ARMED)
    voyage.answer("snapshots", succeeded(voyage.snapshots(open_listed_ms=1_764_000_000_123)))
    assert voyage.wanted("copy").payload["open_listed_ms"] == 1_764_000_000_123
    assert set(accepted(voyage.run)) == {"SendSnapshots"}
    assert "open_listed_ms" not in Voyage().to(states.STAGING).wanted("copy").payload


def test_a_run_from_before_proofs_were_carried_over_computes_all() -> None:
    state: dict[str, Any] = {"settings": {"workers": 4}}
    BackupRun.Planned.upcast_v1_v2(state)
    assert state == {"settings": {"workers": 4, "recheck_days": 0, "trial_clone_hours": 0}}


def test_names_are_the_same_on_both_sides() -> None:
    assert set(payloads.LEVELS) == set(LEVELS)
    assert {*payloads.IDENTITIES, UNASSIGNED} == set(Member.STATES)
    assert Voyage().run.snapshot.startswith(payloads.SNAPSHOT_PREFIX)


def test_pairs_and_recovery_points_want_what_agents_accept() -> None:
    contexts = Contexts()
    assert accepted(new_pair(contexts)) == ["WriteMarker"]
    point = Voyage().to(states.SEALING).seal()
    assert accepted(point) == ["SealRecoveryPoint"]
    point.open(contexts(), ENDPOINTS, ())
    assert accepted(point) == ["OpenCopies", "SealRecoveryPoint"]
    point.close(contexts(), ENDPOINTS)
    assert accepted(point) == ["Abort", "SealRecoveryPoint"]
    answer(point, contexts)
    assert accepted(point) == ["CloseCopies", "SealRecoveryPoint"]
    answer(point, contexts)
    point.expire(contexts(), "old", ENDPOINTS)
    assert accepted(point) == ["Abort", "RemoveSnapshots"]
    answer(point, contexts)
    assert accepted(point) == ["RemoveSnapshots", "RemoveSnapshots"]


def answer(point: RecoveryPoint, contexts: Callable[[], Any]) -> None:
    """What it wants first is done."""
    point.conclude(contexts(), point.next_instructions()[0].id, succeeded(shown(point.next_instructions()[0])))


def test_what_fails_for_long_is_tried_more_and_more_seldom() -> None:
    waits = [delay_seconds(failures) for failures in range(2_000)]
    assert waits[:9] == [2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert set(waits[9:100]) == {300}
    assert set(waits[100:]) == {3_600}
    assert sum(waits[:100]) > 7 * 3_600, "a working day of trying comes first"
