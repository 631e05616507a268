"""Nothing waits for ever without an alarm, and what is refused for good is not asked for again; toy clusters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.errors import Refused, Unavailable
from domain.pair.pair import ClusterPair
from domain.protection.backup_run.states import ENDED
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import Now, OperationFailed, Progress, SleepUntil
from infra.agent.protocol import Instruction
from infra.replay import check_history
from tests.simulation import toy
from tests.simulation.doing import ended, failing, nothing_is_left, plan, prepare, run_once
from tests.simulation.story import point_id, run_id
from tests.simulation.test_story import toy_world
from tests.simulation.toy import toys
from tests.simulation.world import Life, World

PATIENCE = 600
DARK = Unavailable("GATEWAY_UNREACHABLE", "the site is dark")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world with a pair, a service and a policy that is not very patient."""
    world = toy_world(tmp_path)
    prepare(world, patience_seconds=PATIENCE)
    return world


async def alarms(life: Life, kind: str = "BackupRun", identity: UUID | str | None = None) -> list[str]:
    """What the list of such things shows."""
    entry = await life.queries.get(kind, identity or run_id("first"))
    codes: list[str] = entry.summary["alarms"]
    return codes


async def wait(life: Life, seconds: float) -> None:
    await life.clock.sleep_until(life.clock.monotonic_seconds() + seconds)


async def until_alarm(life: Life, kind: str = "BackupRun", identity: UUID | str | None = None) -> float:
    """Wait for an alarm; return how long that took."""
    began = life.clock.monotonic_seconds()
    while not await alarms(life, kind, identity):
        await wait(life, 5)
    return life.clock.monotonic_seconds() - began


def stalled_events(world: World, word: str = "first") -> list[Any]:
    return [event for event in world.events()[run_id(word)] if type(event).__name__ == "Stalled"]


@pytest.mark.parametrize(
    ("state", "kind"),
    [("APPLYING", "ApplyStaged"), ("FREEZING", "FreezeCopies"), ("SEALING", "SealRecoveryPoint")],
)
def test_what_is_refused_for_good_is_asked_once_and_goes_on_when_a_person_says_so(
    world: World, state: str, kind: str
) -> None:
    tries: list[str] = []
    mended: list[bool] = []

    def refused(instruction: Instruction, journal: bytes) -> Procedure:
        if mended:
            return (yield from toy.TOYS[kind](instruction, journal))
        tries.append(instruction.id)
        yield Now()
        raise OperationFailed("HDFS_REFUSED", "SETACL /x: AclException: no", "Switch ACLs on.")

    async def scenario(life: Life) -> dict[str, Any]:
        await plan(life, "first")
        await life.until("run", run_id("first"), [state])
        await until_alarm(life)
        await wait(life, 7_200)
        page = await life.control_plane.run_page(run_id("first"))
        stopped = next(alarm for alarm in page["alarms"] if alarm["code"] == "STOPPED")
        assert "HDFS_REFUSED: SETACL /x: AclException: no" in stopped["message"]
        assert stopped["remedy"].startswith("Switch ACLs on.")
        assert page["last_failure"] == {}, "it is not being tried again"
        assert page["state"] == state
        mended.append(True)
        await life.control_plane.retry_run(life.caller("mended"), run_id("first"))
        with pytest.raises(Refused, match="NOT_STOPPED"):
            await life.control_plane.retry_run(life.caller("again"), run_id("first"))
        return await ended(life, "first")

    with toys(**{kind: refused}):
        page = world.live(scenario)
    assert (page["state"], page["alarms"]) == ("COMPLETED", [])
    assert len(tries) == 1
    check_history(world.events()[run_id("first")])


def test_what_has_stopped_stays_so_over_a_restart_and_can_be_given_up(world: World) -> None:
    tries: list[str] = []

    def refused(instruction: Instruction, journal: bytes) -> Procedure:
        tries.append(instruction.id)
        yield Now()
        raise OperationFailed("NO_RIGHT", "RENAME /x: AccessControlException: no")

    async def begin(life: Life) -> None:
        await plan(life, "first")
        await until_alarm(life)

    async def give_up(life: Life) -> dict[str, Any]:
        await wait(life, 3_600)
        await life.control_plane.give_up_run(life.caller("give up"), run_id("first"), "it cannot be mended")
        return await ended(life, "first")

    with toys(ApplyStaged=refused):
        world.live(begin)
        page = world.live(give_up)
    assert (page["failure"]["code"], len(tries), page["alarms"]) == ("GIVEN_UP", 1, [])
    assert nothing_is_left(world)
    assert run_once(world, "second")["state"] == "COMPLETED"


def stands_still(instruction: Instruction, journal: bytes) -> Procedure:
    """An agent that lives and gets nowhere."""
    while True:
        now = yield Now()
        yield SleepUntil(now + 60_000)


@pytest.mark.parametrize(
    ("kind", "procedure", "state", "word"),
    [
        ("SendSnapshots", stands_still, "STAGING", "copies to be staged"),
        ("ApplyStaged", failing("HDFS"), "APPLYING", "apply failed"),
        ("ApplyStaged", failing("NO_SPACE"), "APPLYING", "NO_SPACE: NO_SPACE happened"),
        ("FreezeCopies", failing("HDFS"), "FREEZING", "freeze failed"),
        ("DigestSnapshots", stands_still, "VERIFYING", "the secondary's digests"),
        ("SealRecoveryPoint", failing("HDFS"), "SEALING", "seal failed"),
    ],
)
def test_a_run_that_gets_nowhere_raises_an_alarm_that_says_why(
    world: World, kind: str, procedure: Callable[[Instruction, bytes], Procedure], state: str, word: str
) -> None:
    async def scenario(life: Life) -> str:
        await plan(life, "first")
        await life.until("run", run_id("first"), [state])
        assert PATIENCE - 60 <= await until_alarm(life) <= PATIENCE + 60
        await wait(life, 3_600)
        page = await life.control_plane.run_page(run_id("first"))
        assert [alarm["code"] for alarm in page["alarms"]] == ["STALLED"], "and it is raised once"
        return str(page["alarms"][0]["message"])

    with toys(**{kind: procedure}):
        message = world.live(scenario)
    assert word in message
    assert len(stalled_events(world)) == 1


def test_a_held_run_a_pause_and_a_dark_gateway_raise_one_too(world: World) -> None:
    async def scenario(life: Life) -> None:
        await plan(life, "first")
        await life.until("run", run_id("first"), ["ARMED"])
        await life.control_plane.pause(life.caller("pause"), "cluster:south", "new disks")
        await life.until("run", run_id("first"), ["STAGING"])
        await until_alarm(life)
        (alarm,) = (await life.control_plane.run_page(run_id("first")))["alarms"]
        assert "paused by ann: new disks" in alarm["message"]
        await life.control_plane.resume(life.caller("resume"), "cluster:south", "they are in")
        life.world.gateways["south"].cut_off = DARK
        await life.until("run", run_id("first"), ["APPLYING"])
        assert await alarms(life) == [], "it has moved"
        await until_alarm(life)
        (alarm,) = (await life.control_plane.run_page(run_id("first")))["alarms"]
        assert "the gateway of south cannot be used: GATEWAY_UNREACHABLE" in alarm["message"]
        life.world.gateways["south"].cut_off = None
        assert await life.until("run", run_id("first"), ENDED) == "COMPLETED"
        assert await alarms(life) == []

    with toys():
        world.live(scenario)


def test_cleaning_that_is_refused_goes_on_and_raises_one(world: World) -> None:
    mended: list[bool] = []

    def refused(instruction: Instruction, journal: bytes) -> Procedure:
        if mended:
            return (yield from toy.TOYS["RemoveSnapshots"](instruction, journal))
        yield Now()
        raise OperationFailed("NO_RIGHT", "DELETESNAPSHOT: AccessControlException: no")

    async def scenario(life: Life) -> dict[str, Any]:
        await plan(life, "first")
        await life.until("run", run_id("first"), ["STAGING"])
        await life.control_plane.cancel_run(life.caller("cancel"), run_id("first"), "no")
        await until_alarm(life)
        mended.append(True)
        return await ended(life, "first")

    with toys(SendSnapshots=stands_still, RemoveSnapshots=refused):
        page = world.live(scenario)
    assert (page["state"], page["alarms"]) == ("CANCELLED", [])


def test_a_copy_that_moves_slowly_for_hours_is_no_alarm(world: World) -> None:
    def slow(instruction: Instruction, journal: bytes) -> Procedure:
        for number in range(40):
            yield Progress({"step": "copy", "bytes": number + 1, "files": 0})
            now = yield Now()
            yield SleepUntil(now + 300_000)
        return (yield from toy.send(instruction, journal))

    with toys(SendSnapshots=slow):
        page = run_once(world)
    assert page["state"] == "COMPLETED"
    assert stalled_events(world) == []


def test_what_the_primary_is_owed_and_what_expires_raise_one(world: World) -> None:
    async def owed(life: Life) -> None:
        await plan(life, "first")
        await life.until("run", run_id("first"), ["VERIFYING"])
        life.world.gateways["north"].cut_off = DARK
        await ended(life, "first")
        await until_alarm(life, "RecoveryPoint", point_id("first"))
        life.world.gateways["north"].cut_off = None
        while await alarms(life, "RecoveryPoint", point_id("first")):
            await wait(life, 60)

    async def expiring(life: Life) -> None:
        life.world.gateways["north"].cut_off = DARK
        await life.control_plane.expire_recovery_point(life.caller("expire"), point_id("first"), "old")
        await until_alarm(life, "RecoveryPoint", point_id("first"))
        life.world.gateways["north"].cut_off = None
        await life.until("recovery-point", point_id("first"), ["EXPIRED"])
        assert await alarms(life, "RecoveryPoint", point_id("first")) == []

    with toys():
        world.live(owed)
        assert run_once(world, "second")["state"] == "COMPLETED"
        world.live(expiring)


def test_markers_that_cannot_be_written_raise_one(tmp_path: Path) -> None:
    world = toy_world(tmp_path)
    world.gateways["south"].cut_off = DARK

    async def scenario(life: Life) -> None:
        for name in ("north", "south"):
            await life.control_plane.add_cluster(life.caller(name), name, life.world.endpoints(name))
        await life.control_plane.create_pair(life.caller("pair"), "main", "north", "south")
        assert await until_alarm(life, "ClusterPair", "main") >= 3_600
        life.world.gateways["south"].cut_off = None
        await life.until("pair", "main", ["STEADY"])
        assert await alarms(life, "ClusterPair", "main") == []

    with toys():
        world.live(scenario)
    events = world.events()[ClusterPair.identity("main")]
    assert [type(event).__name__ for event in events].count("Stalled") == 1


def test_a_controller_that_was_off_looks_around_before_it_says_that_nothing_moves(world: World) -> None:
    async def leave(life: Life) -> None:
        await plan(life, "first")
        await life.until("run", run_id("first"), ["STAGING"])

    with toys():
        world.live(leave)
        world.clock.advance_to(world.clock.now_ms + 24 * 3_600_000)
        page = world.live(lambda life: ended(life, "first"))
    assert page["state"] == "COMPLETED"
    assert stalled_events(world) == []
