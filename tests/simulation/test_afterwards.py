"""What becomes of recovery points and spools after a run; toy clusters, virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from domain.errors import Refused, Unavailable
from domain.protection.replica import Replica
from domain.protection.service import Service
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import Now, SleepUntil
from infra.agent.protocol import Instruction
from tests.simulation.doing import failing, nothing_is_left, plan, prepare, run_once
from tests.simulation.story import point_id, run_id
from tests.simulation.test_story import toy_world
from tests.simulation.toy import TOYS, toys
from tests.simulation.world import Life, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world with a pair, a service and a policy."""
    world = toy_world(tmp_path)
    prepare(world)
    return world


def test_a_recovery_point_that_cannot_be_opened_is_put_away_and_says_why(world: World) -> None:
    async def scenario(life: Life) -> dict[str, Any]:
        await life.control_plane.open_recovery_point(life.caller("open"), point_id("first"))
        await life.until("recovery-point", point_id("first"), ["CLOSING"])
        await life.until("recovery-point", point_id("first"), ["AVAILABLE"])
        return (await life.queries.get("RecoveryPoint", point_id("first"))).summary

    run_once(world)
    with toys(OpenCopies=failing("WRONG_OWNER")):
        summary = world.live(scenario)
    assert summary["failure"]["code"] == "WRONG_OWNER"
    replica = world.events()[Replica.identity(Service.identity("shop"), "south")]
    assert isinstance(replica[-1], Replica.HoldLifted)


def test_retention_waits_for_what_is_open_and_lets_go_one_at_a_time(tmp_path: Path) -> None:
    world = toy_world(tmp_path)
    prepare(world, keep_last=1)

    async def open_first(life: Life) -> None:
        await life.control_plane.open_recovery_point(life.caller("open"), point_id("first"))
        await life.until("recovery-point", point_id("first"), ["OPEN"])

    async def check_and_close(life: Life) -> None:
        states = {w: (await life.queries.get("RecoveryPoint", point_id(w))).state for w in ("first", "second", "third")}
        assert states["first"] == "OPEN"
        assert states["third"] == "AVAILABLE"
        await life.until("recovery-point", point_id("second"), ["EXPIRED"])
        with pytest.raises(Refused, match="HELD"):
            await life.control_plane.expire_recovery_point(life.caller("x"), point_id("first"), "old")
        await life.control_plane.close_recovery_point(life.caller("close"), point_id("first"))
        await life.until("recovery-point", point_id("first"), ["EXPIRED"])
        summary = (await life.queries.get("RecoveryPoint", point_id("first"))).summary
        assert summary["expiry_reason"] == "older than the newest 1 and nothing holds it"

    run_once(world, "first")
    with toys():
        world.live(open_first)
        for word in ("second", "third"):
            run_once(world, word)
        world.live(check_and_close)


def test_spools_are_swept_when_nothing_late_can_arrive(world: World) -> None:
    run_once(world)
    north = world.gateways["north"]
    known = len(list(north.spool.entries()))
    assert known > 0

    async def wait(life: Life) -> list[bool]:
        await life.clock.sleep_until(life.clock.monotonic_seconds() + 8 * 3_600)
        return [
            (await life.queries.get(kind, identity)).summary["can_be_swept"]
            for kind, identity in (("BackupRun", run_id("first")), ("ClusterPair", "main"))
        ]

    with toys():
        assert world.live(wait) == [False, False]
    assert [list(gateway.spool.entries()) for gateway in world.gateways.values()] == [[], []]
    states = [type(event).__name__ for event in world.events()[run_id("first")]]
    assert states[-2:] == ["Completed", "SpoolsForgotten"]


def test_what_a_gateway_keeps_is_not_taken_for_forgotten(world: World) -> None:
    """A gateway whose clock is behind keeps what could still arrive by it; it is asked again."""
    run_once(world)
    north = world.gateways["north"]

    async def keep(ids: Sequence[str]) -> dict[str, str]:
        return dict.fromkeys(ids, "not_after has not passed")

    async def wait(life: Life) -> None:
        north.forget = keep  # type: ignore[method-assign]
        await life.clock.sleep_until(life.clock.monotonic_seconds() + 8 * 3_600)
        assert list(north.spool.entries())
        assert (await life.queries.get("BackupRun", run_id("first"))).summary["can_be_swept"] is True
        del north.forget  # type: ignore[method-assign]
        await life.clock.sleep_until(life.clock.monotonic_seconds() + 8 * 3_600)
        assert not list(north.spool.entries())

    with toys():
        world.live(wait)


def test_spools_of_a_gateway_that_is_away_are_swept_later(world: World) -> None:
    run_once(world)
    north = world.gateways["north"]

    async def wait(life: Life) -> None:
        north.cut_off = Unavailable("GATEWAY_UNREACHABLE", "away")
        await life.clock.sleep_until(life.clock.monotonic_seconds() + 8 * 3_600)
        assert list(north.spool.entries())
        assert not list(life.world.gateways["south"].spool.entries())
        north.cut_off = None
        # The recovery point's manifest, which the primary was owed, is written before that.
        await life.clock.sleep_until(life.clock.monotonic_seconds() + 8 * 3_600)
        assert not list(north.spool.entries())

    with toys():
        world.live(wait)


async def summary_of(life: Life, word: str) -> dict[str, Any]:
    return (await life.queries.get("RecoveryPoint", point_id(word))).summary


@pytest.mark.long
def test_a_run_completes_without_its_primary_which_gets_the_manifest_later(world: World) -> None:
    north = world.gateways["north"]
    path = f"/recovery-points/{point_id('first').hex}"

    def digest_and_lose_the_primary(instruction: Instruction, journal: bytes) -> Procedure:
        north.cut_off = Unavailable("GATEWAY_UNREACHABLE", "the site burns")
        return (yield from TOYS["DigestSnapshots"](instruction, journal))

    async def go_on(life: Life) -> None:
        await life.until("recovery-point", point_id("first"), ["AVAILABLE"])
        assert (await summary_of(life, "first"))["primary_manifest"] == "OWED"
        await life.control_plane.open_recovery_point(life.caller("open"), point_id("first"))
        await life.until("recovery-point", point_id("first"), ["OPEN"])
        await life.control_plane.close_recovery_point(life.caller("close"), point_id("first"))
        await life.until("recovery-point", point_id("first"), ["AVAILABLE"])
        await life.clock.sleep_until(life.clock.monotonic_seconds() + 86_400)
        assert (await summary_of(life, "first"))["primary_manifest"] == "OWED"
        assert path not in world.clusters["north"].hdfs.values
        north.cut_off = None
        await life.clock.sleep_until(life.clock.monotonic_seconds() + 600)
        assert (await summary_of(life, "first"))["primary_manifest"] == "WRITTEN"

    assert run_once(world, DigestSnapshots=digest_and_lose_the_primary)["state"] == "COMPLETED"
    with toys():
        world.live(go_on)
    north_has, south_has = (world.clusters[name].hdfs.values for name in ("north", "south"))
    assert north_has[path] == south_has[path]
    events = [type(event).__name__ for event in world.events()[point_id("first")]]
    assert events.count("PrimarySealed") == 1


def test_a_primary_that_is_none_any_more_gets_nothing(world: World) -> None:
    def sealed_on_the_secondary_alone(instruction: Instruction, journal: bytes) -> Procedure:
        if "primary" in instruction.payload["sites"]:
            return (yield from failing("MARKER_MISMATCH")(instruction, journal))
        return (yield from TOYS["SealRecoveryPoint"](instruction, journal))

    async def wait(life: Life) -> None:
        await life.clock.sleep_until(life.clock.monotonic_seconds() + 60)
        told = await summary_of(life, "first")
        assert (told["primary_manifest"], told["primary_failure"]["code"]) == ("GIVEN_UP", "MARKER_MISMATCH")
        assert await life.queries.open_work() == []

    run_once(world, SealRecoveryPoint=sealed_on_the_secondary_alone)
    with toys(SealRecoveryPoint=sealed_on_the_secondary_alone):
        world.live(wait)


def test_what_expires_while_the_primary_is_being_given_its_manifest_leaves_nothing_there(world: World) -> None:
    def slowly_on_the_primary(instruction: Instruction, journal: bytes) -> Procedure:
        if "primary" in instruction.payload["sites"]:
            now = yield Now()
            yield SleepUntil(now + 3_600_000)
        return (yield from TOYS["SealRecoveryPoint"](instruction, journal))

    async def scenario(life: Life) -> None:
        for word in ("first", "second"):
            await plan(life, word)
            await life.until("run", run_id(word), ["COMPLETED"])
        await life.control_plane.expire_recovery_point(life.caller("expire"), point_id("first"), "not wanted")
        await life.until("recovery-point", point_id("first"), ["EXPIRED"])
        assert not nothing_is_left(world), "the second one is there"
        await life.clock.sleep_until(life.clock.monotonic_seconds() + 7_200)
        assert (await summary_of(life, "second"))["primary_manifest"] == "WRITTEN"

    with toys(SealRecoveryPoint=slowly_on_the_primary):
        world.live(scenario)
    for cluster in world.clusters.values():
        assert [path for path in cluster.hdfs.values if path.startswith("/recovery-points")] == [
            f"/recovery-points/{point_id('second').hex}"
        ]
