"""What the workers do when something is not as it should be; toy clusters, virtual time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from domain.errors import Unavailable
from domain.pair.pair import ClusterPair
from domain.protection.backup_run.run import BackupRun
from domain.protection.backup_run.states import ENDED
from domain.protection.policy import Settings
from domain.protection.replica import Replica
from domain.protection.service import Service
from domain.values.data_set import DataSet
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import Now, OperationFailed, Progress, SleepUntil
from infra.agent.protocol import Instruction
from infra.replay import check_history
from infra.workers.carrying import TakenOver
from tests.fakes.gateway import FakeGateway
from tests.simulation import toy
from tests.simulation.doing import ended, failing, nothing_is_left, plan, prepare, run_once
from tests.simulation.story import DATA_SETS, run_id
from tests.simulation.test_story import NAMES, toy_world
from tests.simulation.toy import toys
from tests.simulation.world import Crash, Life, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world with a pair, a service and a policy."""
    world = toy_world(tmp_path)
    prepare(world)
    return world


@pytest.mark.parametrize(("code", "looks"), [("HOST_KEY_CHANGED", 1), ("NO_FITTING_PYTHON", 1), ("GATEWAY_REFUSED", 3)])
def test_a_gateway_that_cannot_be_used_refuses_the_run_by_its_code(world: World, code: str, looks: int) -> None:
    world.gateways["south"].cut_off = Unavailable(code, "it is so", remedy="Look there.")
    page = run_once(world)
    assert (page["state"], page["failure"]["code"], page["failure"]["subject"]) == ("FAILED", code, "south")
    history = [e for e in world.events()[run_id("first")] if type(e).__name__ == "AttemptFailed"]
    assert len(history) == looks - 1


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_gateway_whose_clock_is_far_off_is_told_as_that(world: World, hours: int) -> None:
    world.gateways["south"].shift_ms = hours * 3_600_000.0
    page = run_once(world)
    assert (page["state"], page["failure"]["code"]) == ("FAILED", "CLOCKS_APART")
    assert "gateway of south against the control device" in page["failure"]["subject"]


def test_a_controller_that_was_replaced_stops(world: World) -> None:
    async def scenario(life: Life) -> None:
        await life.control_plane.check_cluster(life.caller("look"), "north")
        life.world.gateways["north"].spool.disk.replace(
            life.world.gateways["north"].spool.root + "/epochs.json",
            b'{"%s": {"epoch": 1, "term": 99}}' % Life.pair_id().hex.encode(),
        )
        await plan(life, "first")
        await ended(life, "first")

    with toys(), pytest.raises(TakenOver, match="OLD_TERM"):
        world.live(scenario)


def test_the_control_device_may_be_off_at_the_moment(world: World) -> None:
    async def leave(life: Life) -> None:
        await plan(life, "first")
        await life.until("run", run_id("first"), ["ARMED"])

    with toys():
        world.live(leave)
        world.clock.advance_to(world.clock.now_ms + 3 * 3_600_000)
        page = world.live(lambda life: ended(life, "first"))
    assert page["state"] == "COMPLETED"


def test_checks_that_are_not_done_at_the_moment_have_missed_it(world: World) -> None:
    async def leave(life: Life) -> None:
        await plan(life, "first")

    with toys():
        world.live(leave)
        world.clock.advance_to(world.clock.now_ms + 3_600_000)
        page = world.live(lambda life: ended(life, "first"))
    assert (page["state"], page["failure"]["code"]) == ("FAILED", "MOMENT_MISSED")
    assert nothing_is_left(world)


@pytest.mark.parametrize(("misses", "state"), [(1, "COMPLETED"), (2, "FAILED")])
def test_a_moment_that_nobody_named_may_be_missed_once(world: World, misses: int, state: str) -> None:
    attempts: list[Instruction] = []

    def late(instruction: Instruction, journal: bytes) -> Procedure:
        if instruction not in attempts:
            attempts.append(instruction)
        if len(attempts) <= misses:
            yield SleepUntil(instruction.payload["moment_ms"] + 5_000)
            raise OperationFailed("MOMENT_MISSED", "the agent came too late")
        return (yield from toy.take_snapshots(instruction, journal))

    page = run_once(world, TakeSnapshots=late)
    assert page["state"] == state, page["failure"]
    assert len({instruction.id for instruction in attempts}) == 2
    assert [move["code"] for move in page["moment_moves"]] == ["MOMENT_MISSED"]
    assert page["moment_ms"] == attempts[1].payload["moment_ms"] > attempts[0].payload["moment_ms"]
    assert check_history(world.events()[run_id("first")]) == []
    if state == "FAILED":
        assert page["failure"]["code"] == "MOMENT_MISSED"
        assert nothing_is_left(world)


def test_an_instant_that_was_named_is_missed_at_once(world: World) -> None:
    async def scenario(life: Life) -> dict[str, Any]:
        await plan(life, "first", moment_ms=int(world.clock.now_ms) + 60_000)
        return await ended(life, "first")

    with toys(TakeSnapshots=failing("MOMENT_MISSED")):
        page = world.live(scenario)
    assert (page["state"], page["failure"]["code"], page["moment_moves"]) == ("FAILED", "MOMENT_MISSED", [])


def test_checks_that_take_longer_than_the_moment_is_away_move_it(world: World) -> None:
    def slow(instruction: Instruction, journal: bytes) -> Procedure:
        yield SleepUntil((yield Now()) + 90_000)
        return (yield from toy.check_cluster(instruction, journal))

    page = run_once(world, CheckCluster=slow)
    assert page["state"] == "COMPLETED", page["failure"]
    assert [move["code"] for move in page["moment_moves"]] == ["CHECKS_TOOK_LONG"]


def test_snapshots_of_which_nobody_knows_are_given_up_and_cleaned_when_they_can_be(world: World) -> None:
    north = world.gateways["north"]

    async def scenario(life: Life) -> dict[str, Any]:
        await plan(life, "first")
        await life.until("run", run_id("first"), ["ARMED"])
        north.cut_off = Unavailable("GATEWAY_UNREACHABLE", "the site is dark")
        await life.until("run", run_id("first"), ["CLEANING"])
        shown = life.control_plane.live(run_id("first"))
        assert "GATEWAY_UNREACHABLE" in shown["gateways"]["north"]
        assert shown["gateways"]["south"] == "reachable"
        north.cut_off = None
        return await ended(life, "first")

    with toys():
        page = world.live(scenario)
    assert (page["state"], page["failure"]["code"]) == ("FAILED", "SNAPSHOTS_UNKNOWN")
    assert nothing_is_left(world)
    assert page["durations"][2]["state"] == "ARMED"
    assert page["durations"][2]["seconds"] == pytest.approx(3_600, abs=60)


def test_a_copy_that_stands_still_is_told_once_and_can_be_cancelled(world: World) -> None:
    def stuck(instruction: Instruction, journal: bytes) -> Procedure:
        while True:
            yield Progress({"step": "copy", "bytes": 7, "bytes_total": 9})
            now = yield Now()
            yield SleepUntil(now + 5_000)

    async def scenario(life: Life) -> dict[str, Any]:
        await plan(life, "first")
        await life.until("run", run_id("first"), ["STAGING"])
        await life.clock.sleep_until(life.clock.monotonic_seconds() + 600)
        live = life.control_plane.live(run_id("first"))
        assert {copy["bytes"] for copy in live["copies"].values()} == {7}
        assert live["waiting_for"] == "copies to be staged and checked"
        assert 0 < live["waiting_since_ms"] <= life.world.clock.now_ms
        await life.control_plane.cancel_run(life.caller("cancel"), run_id("first"), "it does not move")
        return await ended(life, "first")

    with toys(SendSnapshots=stuck):
        page = world.live(scenario)
    assert (page["state"], sorted(page["stalled"])) == ("CANCELLED", sorted(one.id for one in DATA_SETS))
    stalls = [event for event in world.events()[run_id("first")] if isinstance(event, BackupRun.CopyStalled)]
    assert [stall.last_bytes for stall in stalls] == [7, 7, 7]
    assert nothing_is_left(world)


def test_a_failed_copy_is_tried_again_later_and_then_fails_the_run(world: World) -> None:
    page = run_once(world, SendSnapshots=failing("HDFS"))
    assert (page["state"], page["failure"]["code"]) == ("FAILED", "HDFS")
    assert page["failure"]["data_set"] in {one.id for one in DATA_SETS}
    assert nothing_is_left(world)


def test_a_mass_change_waits_for_a_person(tmp_path: Path) -> None:
    world = toy_world(tmp_path)
    prepare(world)

    def emptied(instruction: Instruction, journal: bytes) -> Procedure:
        result = yield from toy.send(instruction, journal)
        return {**result, "entries_in_base": 10, "deleted": 9}

    async def plan_and_leave(life: Life) -> None:
        await plan(life, "first")
        await life.until("run", run_id("first"), ["HELD"])
        await life.clock.sleep_until(life.clock.monotonic_seconds() + 86_400)

    async def confirm(life: Life) -> dict[str, Any]:
        page = await life.control_plane.run_page(run_id("first"))
        assert (page["state"], page["mass_change"]["percent"]) == ("HELD", 90)
        for _ in range(2):
            await life.control_plane.confirm_run(life.caller("confirm"), run_id("first"))
        return await ended(life, "first")

    with toys(SendSnapshots=emptied):
        world.live(plan_and_leave)
        page = world.live(confirm)
    assert (page["state"], page["confirmed"]) == ("COMPLETED", True)


def test_two_runs_of_a_service_take_turns_and_the_later_one_is_superseded(world: World) -> None:
    async def scenario(life: Life) -> list[dict[str, Any]]:
        for word in ("first", "second"):
            await plan(life, word)
        return [await ended(life, word) for word in ("first", "second")]

    with toys():
        pages = world.live(scenario)
    assert sorted(page["state"] for page in pages) == ["COMPLETED", "FAILED"]
    (lost,) = [page for page in pages if page["state"] == "FAILED"]
    assert lost["failure"]["code"] == "SUPERSEDED"


def test_a_run_that_waits_for_its_turn_goes_on_when_the_other_gives_the_head_back(world: World) -> None:
    """The first one finds a foreign tree before it changed anything; the second one, staged meanwhile, applies."""
    slow = {"left": 1}

    def first_fails(instruction: Instruction, journal: bytes) -> Procedure:
        if instruction.run == run_id("first").hex:
            now = yield Now()
            yield SleepUntil(now + 120_000)
            slow["left"] -= 1
            raise OperationFailed("FOREIGN_TREE", "it is not ours", detail={"changed": False})
        return (yield from toy.apply(instruction, journal))

    async def scenario(life: Life) -> list[dict[str, Any]]:
        await plan(life, "first")
        await life.until("run", run_id("first"), ["APPLYING"])
        await plan(life, "second")
        await life.until("run", run_id("first"), ["CLEANING", "FAILED"])
        return [await ended(life, word) for word in ("first", "second")]

    with toys(ApplyStaged=first_fails):
        first, second = world.live(scenario)
    assert (first["state"], first["failure"]["code"]) == ("FAILED", "FOREIGN_TREE")
    assert second["state"] == "COMPLETED"


def test_a_run_that_is_rolled_forward_in_vain_is_given_up_and_the_next_one_heals(world: World) -> None:
    async def scenario(life: Life) -> dict[str, Any]:
        await plan(life, "first")
        await life.until("run", run_id("first"), ["APPLYING"])
        await life.clock.sleep_until(life.clock.monotonic_seconds() + 3_600)
        page = await life.control_plane.run_page(run_id("first"))
        assert page["last_failure"]["apply"]["code"] == "HDFS"
        assert page["last_failure"]["apply"]["attempt"] > 10
        await life.control_plane.give_up_run(life.caller("give up"), run_id("first"), "in vain")
        return await ended(life, "first")

    with toys(ApplyStaged=failing("HDFS")):
        page = world.live(scenario)
    assert (page["state"], page["failure"]["code"]) == ("FAILED", "GIVEN_UP")
    assert nothing_is_left(world)
    assert run_once(world, "second")["state"] == "COMPLETED"


def test_services_do_not_wait_for_one_another(world: World) -> None:
    world.clusters["north"].hdfs.values["/data//other"] = "other 1"

    def stuck_for_the_shop(instruction: Instruction, journal: bytes) -> Procedure:
        if instruction.payload["data_set"].get("path") == "/other":
            return (yield from toy.send(instruction, journal))
        now = yield Now()
        yield SleepUntil(now + 7_200_000)
        return (yield from toy.send(instruction, journal))

    async def scenario(life: Life) -> str:
        plane = life.control_plane
        await plane.add_service(life.caller("other"), "other", "main", (DataSet("hdfs", "/other"),))
        await plane.add_policy(life.caller("other policy"), "hourly", "other", Settings())
        await plan(life, "first")
        await life.until("run", run_id("first"), ["STAGING"])
        caller = life.caller("other run")
        run = await plane.backup(caller, "other", policy=None, moment_ms=None, direction=None)
        assert await life.until("run", run, ENDED) == "COMPLETED"
        return (await life.queries.get("BackupRun", run_id("first"))).state

    with toys(SendSnapshots=stuck_for_the_shop):
        assert world.live(scenario) == "STAGING"


def test_a_copy_that_differs_fails_the_run_and_the_next_one_heals(world: World) -> None:
    def differs(instruction: Instruction, journal: bytes) -> Procedure:
        result = yield from toy.digest(instruction, journal)
        for verdict in result["data_sets"].values():
            verdict["content"]["verdict"] = "DIFFERENT"
        return result

    first = run_once(world, "first", DigestSnapshots=differs)
    assert (first["state"], first["failure"]["code"]) == ("FAILED", "VERIFICATION_FAILED")
    assert nothing_is_left(world)
    second = run_once(world, "second")
    assert second["state"] == "COMPLETED"
    replica = world.events()[Replica.identity(Service.identity("shop"), "south")]
    names = [type(event).__name__ for event in replica]
    assert names == ["Started", "Taken", "LeftDirty", "Taken", "Released"]


def test_a_fault_of_the_program_in_one_run_does_not_stop_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = {"times": 3}
    stage = BackupRun.stage

    def stage_badly(run: BackupRun, *arguments: Any) -> None:
        if broken["times"]:
            broken["times"] -= 1
            raise ZeroDivisionError("a fault")
        stage(run, *arguments)

    monkeypatch.setattr(BackupRun, "stage", stage_badly)
    page = run_once(world)
    assert page["state"] == "COMPLETED"
    assert caplog.text.count("is driven again") == 3


def test_a_lost_store_answer_is_no_reason_to_do_anything_twice(world: World) -> None:
    """A crash right after the snapshots were accepted: the next controller copies, and nothing is taken anew."""

    async def scenario(life: Life) -> None:
        await plan(life, "first")
        await life.until("run", run_id("first"), ["STAGING"])
        life.crashed.set()
        await life.alive()

    with toys():
        with pytest.raises(Crash):
            world.live(scenario)
        page = world.live(lambda life: ended(life, "first"))
    assert page["state"] == "COMPLETED"
    created = world.clusters["north"].hdfs.created
    assert [count for path, count in created.items() if path.startswith("/snapshots")] == [1] * len(NAMES)


def test_a_gateway_that_dies_for_good_is_replaced_while_the_copies_are_being_changed(tmp_path: Path) -> None:
    world = toy_world(tmp_path)
    prepare(world)

    async def scenario(life: Life) -> str:
        run = await plan(life, "first")
        await life.until("run", run, ["APPLYING"])
        world.gateways["south"].cut_off = Unavailable("GATEWAY_UNREACHABLE", "it burned down")
        await life.clock.sleep_until(life.clock.monotonic_seconds() + 600)
        assert (await life.queries.get("BackupRun", run)).state == "APPLYING"
        world.gateways["south again"] = FakeGateway(world.clock, tmp_path / "spool again", "south", world.clusters)
        before = world.endpoints("south")
        moved = replace(before, gateway=replace(before.gateway, host="south again"))
        await life.control_plane.add_cluster(life.caller("moved"), "south", moved)
        return await life.until("run", run, ENDED)

    with toys():
        assert world.live(scenario) == "COMPLETED"


def test_another_way_to_a_cluster_is_taken_while_its_marker_cannot_be_written(tmp_path: Path) -> None:
    world = toy_world(tmp_path)

    async def scenario(life: Life) -> None:
        plane = life.control_plane
        for name in ("north", "south"):
            await plane.add_cluster(life.caller(f"add {name}"), name, world.endpoints(name))
        await plane.create_pair(life.caller("pair"), "main", "north", "south")
        world.gateways["south"].cut_off = Unavailable("HOST_KEY_CHANGED", "another key")
        await life.clock.sleep_until(life.clock.monotonic_seconds() + 60)
        assert (await life.queries.get("ClusterPair", "main")).state == "FORMING"
        world.gateways["south again"] = world.gateways["south"]
        world.gateways["south"].cut_off = None
        before = world.endpoints("south")
        moved = replace(before, gateway=replace(before.gateway, host="south again"), namenodes=("http://moved:9870",))
        await plane.add_cluster(life.caller("moved"), "south", moved)
        await life.until("pair", "main", ["STEADY"])

    with toys():
        world.live(scenario)
    events = world.events()
    assert [check_history(history) for history in events.values()] == [[]] * len(events)
    assert any(isinstance(event, ClusterPair.EndpointsTaken) for event in events[Life.pair_id()])
