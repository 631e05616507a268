"""What becomes of recovery points and spools after a run; toy clusters, virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from domain.errors import Refused, Unavailable
from domain.protection.replica import Replica
from domain.protection.service import Service
from tests.simulation.doing import failing, prepare, run_once
from tests.simulation.story import point_id, run_id
from tests.simulation.test_story import toy_world
from tests.simulation.toy import toys
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


def test_spools_of_a_gateway_that_is_away_are_swept_later(world: World) -> None:
    run_once(world)
    north = world.gateways["north"]

    async def wait(life: Life) -> None:
        north.cut_off = Unavailable("GATEWAY_UNREACHABLE", "away")
        await life.clock.sleep_until(life.clock.monotonic_seconds() + 8 * 3_600)
        assert list(north.spool.entries())
        assert not list(life.world.gateways["south"].spool.entries())
        north.cut_off = None
        await life.clock.sleep_until(life.clock.monotonic_seconds() + 3_600)
        assert not list(north.spool.entries())

    with toys():
        world.live(wait)
