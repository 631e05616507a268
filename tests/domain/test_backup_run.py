"""The backup run: its table, its plan, what it wants in each state, its deadlines."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from domain.errors import InvalidInput, Refused
from domain.protection.backup_run import conclude, states
from domain.protection.backup_run.run import BackupRun
from domain.protection.backup_run.states import Copy
from domain.protection.consistency import Consistency
from domain.protection.policy import Barrier
from domain.values.data_set import DataSet
from infra.agent.payloads import PAYLOADS
from infra.agent.protocol import parse_instruction
from infra.workers.outgoing import instruction_of
from tests.domain import tables
from tests.domain.builders import ACCOUNTS, CARTS, DATA_SETS, ORDERS, SPACE, Contexts, failed, succeeded
from tests.domain.test_pair import FACTS as INSTRUCTING_FACTS
from tests.domain.voyage import MOMENT_MS, Voyage

FACTS: dict[str, dict[str, Any]] = {
    **INSTRUCTING_FACTS,
    "ChecksFailed": {"findings": [{"code": "SAFE_MODE"}]},
    "MomentMoved": {"code": "MOMENT_MISSED", "before_ms": 1, "moment_ms": 2},
    "Armed": {"facts": {}},
    "BarrierStuck": {"facts": {}},
    "SnapshotsTaken": {
        "snapshots": {}, "clocks": {}, "consistency": Consistency("CONSISTENT", 0.0, 0.0, 0.0, 0.0, 0.0, ()),
    },
    "StagingStarted": {"base": None},
    "MassChangeFound": {
        "data_set": "d", "changed": 2, "entries": 2, "unit": "entries", "percent": 100, "limit_percent": 50,
    },
    "Applied": {"result": {}},
    "Frozen": {"result": {}},
    "Verified": {"result": {}, "anchor": {}},
    "Completed": {"recovery_point": SPACE, "result": {}},
    "FailureFound": {"code": "C", "message": "m", "remedy": "", "data_set": ""},
    "CancelRequested": {"reason": "no"},
    "ClusterChecked": {"role": "primary", "facts": {}},
    "ChecksPassed": {"data_sets": DATA_SETS, "warnings": []},
    "CopyStalled": {"key": "k", "instruction": "i", "last_bytes": 1, "since_ms": 2},
    "SideCleaned": {"step": "remove-primary", "result": {}},
    "CopyStaged": {"result": {}},
}  # fmt: skip


@pytest.fixture
def voyage() -> Voyage:
    return Voyage()


@pytest.mark.parametrize(("state", "trigger"), tables.moves(BackupRun))
def test_every_trigger_in_every_state(state: str, trigger: str, voyage: Voyage) -> None:
    tables.check_move(voyage.run, voyage.run, state, trigger, voyage.contexts(), FACTS)


@pytest.mark.parametrize(("state", "name"), tables.facts_in_states(BackupRun))
def test_every_fact_in_every_state(state: str, name: str, voyage: Voyage) -> None:
    voyage.run.to_clean = ["remove-primary"]
    tables.check_fact(voyage.run, state, name, voyage.contexts(), FACTS)


@pytest.mark.parametrize(("state", "trigger"), tables.moves(Copy))
def test_every_trigger_of_a_copy_in_every_state(state: str, trigger: str, voyage: Voyage) -> None:
    voyage.to(states.STAGING)
    copy = next(iter(voyage.run.copies.values()))
    tables.check_move(voyage.run, copy, state, trigger, voyage.contexts(), FACTS)


def test_every_state_can_be_reached_and_only_ends_are_ends() -> None:
    assert tables.reachable(BackupRun) == set(states.STATES)
    assert tables.reachable(Copy) == set(Copy.STATES)
    leaving = {source for rule in states.RULES for source in rule.sources}
    assert set(states.STATES) - leaving == set(states.ENDED)


def test_between_the_first_change_of_a_head_and_its_snapshot_it_goes_forward_only() -> None:
    allowed = {rule.trigger for rule in states.RULES if states.FREEZING in rule.sources}
    assert allowed == {"verify", "abandon"}, "unless a person gives it up"
    cancellable = {source for rule in states.RULES if rule.trigger == "cancel" for source in rule.sources}
    assert cancellable == set(states.BEFORE_APPLYING)


def test_the_same_slot_is_the_same_run_and_the_same_wish_is_the_same_run() -> None:
    policy = SPACE
    assert BackupRun.identity(policy, 1, 1) == BackupRun.identity(policy, 1, 1) != BackupRun.identity(policy, 1, 2)
    command = UUID(int=5)
    assert BackupRun.identity_of_wish(policy, command) == BackupRun.identity_of_wish(policy, command)


def test_the_direction_can_be_another_one_than_the_policys(voyage: Voyage) -> None:
    assert voyage.run.copier == "primary"
    pulled = voyage.plan(UUID(int=1), direction="pull")
    assert (pulled.copier, pulled.plan.settings.direction, voyage.policy.settings.direction) == (
        "secondary", "pull", "push",
    )  # fmt: skip
    with pytest.raises(InvalidInput, match="direction"):
        voyage.plan(UUID(int=2), direction="sideways")


@pytest.mark.parametrize("state", [s for s in states.STATES if s not in (states.SNAPSHOTTED, *states.ENDED)])
@pytest.mark.parametrize("direction", ["push", "pull"])
def test_what_it_wants_in_each_state_is_a_valid_instruction(state: str, direction: str) -> None:
    voyage = Voyage(direction=direction)
    if state == states.HELD:
        voyage.to(states.STAGING).copy(entries_in_base=10, deleted=9)
    elif state == states.CLEANING:
        voyage.to(states.STAGING)
        conclude.cancel(voyage.contexts(), voyage.run, voyage.around, "no")
    else:
        voyage.to(state)
    wishes = voyage.run.next_instructions()
    assert bool(wishes) == (state not in (states.PLANNED, states.HELD))
    assert len({wish.id for wish in wishes}) == len(wishes)
    for wish in wishes:
        voyage.run.instruct(voyage.contexts(), wish, "digest", 1, 1)
        sent = voyage.run.instructed[wish.id]
        instruction = instruction_of(wish, voyage.run.pair_id, sent, 1)
        assert parse_instruction(instruction.to_wire()) == instruction
        assert wish.kind in PAYLOADS
    assert tables.same_state(voyage.run, tables.rebuilt(voyage.run))
    assert voyage.run.next_instructions() == wishes, "asking changes nothing"


def test_the_next_copy_starts_from_what_the_head_shows_except_for_new_data_sets() -> None:
    first = Voyage()
    first.to(states.PLANNED)
    first.check(data_sets=(ORDERS,))
    first.arm()
    first.snap()
    first.copy()
    first.apply()
    first.freeze()
    first.verify()
    first.seal()
    second = first.next()
    second.to(states.STAGING)
    bases = {w.payload["data_set"]["id"]: w.payload["base"] for w in second.run.next_instructions()}
    assert bases[ORDERS.id] == first.run.snapshot
    assert bases[ACCOUNTS.id] is None
    second.copy()
    (apply,) = second.run.next_instructions()
    assert {d["id"]: d["base"] for d in apply.payload["data_sets"]} == bases


def test_a_data_set_that_comes_back_starts_from_what_its_own_copy_shows() -> None:
    first = Voyage().to(states.COMPLETED)
    second = first.next(mass_change_percent=100)
    second.to(states.PLANNED)
    second.check(data_sets=(ORDERS,))
    second.arm()
    second.snap()
    second.copy()
    second.to(states.COMPLETED)
    third = second.next().to(states.STAGING)
    bases = {w.payload["data_set"]["id"]: w.payload["base"] for w in third.run.next_instructions()}
    assert bases == {
        ORDERS.id: second.run.snapshot,
        ACCOUNTS.id: first.run.snapshot,
        CARTS.id: first.run.snapshot,
    }
    holder = {f"run {third.run.id}"}
    held = {first.run.recovery_point_id: holder, second.run.recovery_point_id: holder}
    assert third.replica.holds == held, "neither expires while the run rests on it"
    third.to(states.COMPLETED)
    assert third.replica.holds == {}


def test_the_trial_clone_goes_round_and_can_be_switched_off() -> None:
    tables_tried = set()
    for second in range(20):
        voyage = Voyage()
        voyage.run = voyage.plan(UUID(int=9), MOMENT_MS + second * 1_000)
        voyage.to(states.VERIFYING)
        tables_tried.add(voyage.run.table_for_trial())
    assert tables_tried == {"shop:accounts", "shop:carts"}
    assert Voyage(trial_clone=False).to(states.VERIFYING).run.table_for_trial() is None
    without_tables = Voyage()
    without_tables.check(data_sets=(ORDERS,))
    assert without_tables.run.table_for_trial() is None


@pytest.mark.parametrize("hours", [24, 0])
def test_it_is_each_tables_turn_once_in_a_period(hours: int) -> None:
    first = Voyage(trial_clone_hours=hours).to(states.COMPLETED)
    tried = []
    moment_ms = first.run.plan.moment_ms
    for _ in range(4 * 24):
        moment_ms += 3_600_000
        second = first.next(trial_clone_hours=hours)
        second.run = second.plan(UUID(int=moment_ms), moment_ms)
        second.to(states.VERIFYING)
        tried.append(second.run.table_for_trial())
        second.to(states.COMPLETED)
        first = second
    done = [table for table in tried if table is not None]
    assert len(done) == (4 * 2 if hours else 4 * 24)
    for name in ("shop:accounts", "shop:carts"):
        assert done.count(name) == 4 if hours else done.count(name) > 4 * 24 / 3


def test_a_barrier_travels_with_the_snapshots() -> None:
    voyage = Voyage(barrier=Barrier("hold", "release", 30))
    voyage.check()
    assert voyage.wanted("snapshots").payload["barrier"] == {
        "hold": "hold",
        "release": "release",
        "hold_max_seconds": 30,
    }


def test_it_waits_longer_once_the_snapshots_may_exist(voyage: Voyage) -> None:
    settings = voyage.run.plan.settings
    soon = MOMENT_MS + settings.fire_tolerance_ms + 60_000
    late = MOMENT_MS + 3_600_000
    assert voyage.run.deadline_ms() == soon
    voyage.check()
    assert (voyage.run.deadline_ms(), voyage.run.snapshots_may_exist) == (soon, False)
    voyage.send("snapshots")
    assert (voyage.run.deadline_ms(), voyage.run.snapshots_may_exist) == (late, True)
    voyage.arm()
    assert voyage.run.deadline_ms() == late
    voyage.snap()
    assert voyage.run.deadline_ms() is None


def test_a_stall_is_told_once_for_each_instruction(voyage: Voyage) -> None:
    voyage.to(states.STAGING)
    run, key = voyage.run, ORDERS.id
    wanted = voyage.wanted(f"copy-{key}")
    run.note_copy_stall(voyage.contexts(), key, wanted.id, 10, 20)
    version = run.version
    run.note_copy_stall(voyage.contexts(), key, wanted.id, 10, 20)
    run.note_copy_stall(voyage.contexts(), "unknown", wanted.id, 10, 20)
    assert run.version == version
    voyage.answer(f"copy-{key}", failed("HDFS"))
    again = voyage.wanted(f"copy-{key}")
    run.note_copy_stall(voyage.contexts(), key, again.id, 10, 20)
    assert run.version == version + 2
    voyage.answer(f"copy-{key}", succeeded(voyage.totals()))
    version = run.version
    run.note_copy_stall(voyage.contexts(), key, "another", 10, 20)
    assert run.version == version


def test_a_held_run_remembers_that_it_was_confirmed(voyage: Voyage) -> None:
    voyage.to(states.STAGING)
    with pytest.raises(Refused, match=r"NOT_IN_STATE: run .* is STAGING: nobody needs to confirm it"):
        voyage.run.confirm(voyage.contexts())
    assert not voyage.run.is_ready_to_apply
    voyage.copy(entries_in_base=10, deleted=9)
    assert (voyage.run.state, voyage.run.is_ready_to_apply) == (states.HELD, False)
    voyage.run.confirm(voyage.contexts())
    version = voyage.run.version
    voyage.run.confirm(voyage.contexts())
    assert (voyage.run.version, voyage.run.is_ready_to_apply) == (version, True)
    conclude.begin_applying(voyage.contexts(), voyage.run, voyage.around)
    assert voyage.run.state == states.APPLYING


def test_names_are_readable_and_unique(voyage: Voyage) -> None:
    run = voyage.run
    assert run.snapshot == f"us-20260102T030505Z-{run.id.hex[:12]}"
    assert run.staging == f"/.understudy/incoming/1/{run.id.hex}"
    assert run.recovery_point_id == BackupRun.recovery_point_of(run.id)
    assert run.cluster_of("primary") == "north"
    assert isinstance(run.plan.patterns[0], DataSet)
    assert Contexts()().command_id
