"""The barrier around the cut: writers are held when it happens, and released whatever happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.agent.core.operations import Fire, OperationFailed, RunHook, StartWatchdog
from tests.agent.moment_world import BARRIER, MomentWorld


@pytest.fixture
def world(tmp_path: Path) -> MomentWorld:
    return MomentWorld(tmp_path)


def steps(world: MomentWorld) -> list[str]:
    """The order in which watchdog, hooks and the cut came."""
    found = []
    for operation in world.executor.performed:
        if isinstance(operation, StartWatchdog):
            found.append("watchdog")
        elif isinstance(operation, RunHook):
            found.append(operation.name)
        elif isinstance(operation, Fire) and "napshot" in repr(operation.calls):
            found.append("cut")
    return found


def test_writers_are_held_over_the_cut_under_the_eyes_of_the_watchdog(world: MomentWorld) -> None:
    result = world.run(world.instruction(barrier=BARRIER))
    assert steps(world) == ["watchdog", "stop-writers", "cut", "start-writers"]
    (watchdog,) = world.executor.watchdogs
    barrier = result["barrier"]
    assert barrier["released"] is True
    assert barrier["held_ms"] < min(found["asked_ms"] for found in result["data_sets"].values())
    assert barrier["released_ms"] >= max(found["done_ms"] for found in result["data_sets"].values())
    assert barrier["released_ms"] - barrier["held_ms"] < 15_000
    assert watchdog[0] == pytest.approx(barrier["held_ms"] + 30_000, abs=5)
    assert watchdog[1:] == ("start-writers", "run1")


@pytest.mark.parametrize("seconds", [8, 10, 20, 600])
def test_however_short_it_may_be_held_the_watchdog_does_not_release_before_the_cut_is_over(
    world: MomentWorld, seconds: int
) -> None:
    result = world.run(world.instruction(barrier={**BARRIER, "hold_max_seconds": seconds}))
    (watchdog,) = world.executor.watchdogs
    assert max(found["done_ms"] for found in result["data_sets"].values()) < watchdog[0] - seconds * 250


def test_without_a_barrier_no_hook_runs(world: MomentWorld) -> None:
    assert world.run(world.instruction())["barrier"] is None
    assert steps(world) == ["cut"]


def test_a_hook_that_fails_stops_the_run_and_is_undone(world: MomentWorld) -> None:
    def fail(argument: str) -> str:
        world.held.append(argument)
        raise OperationFailed("HOOK_FAILED", "half of the writers do not stop")

    world.executor.hooks["stop-writers"] = fail
    with pytest.raises(OperationFailed, match="HOOK_FAILED"):
        world.run(world.instruction(barrier=BARRIER))
    assert steps(world) == ["watchdog", "stop-writers", "start-writers"]
    assert world.held == []
    assert world.snapshots() == {}


def test_a_watchdog_that_does_not_start_lets_nothing_be_held(world: MomentWorld) -> None:
    del world.executor.hooks["start-writers"]
    with pytest.raises(OperationFailed, match="NO_SUCH_HOOK"):
        world.run(world.instruction(barrier=BARRIER))
    assert "stop-writers" not in steps(world)


def test_writers_are_released_when_a_snapshot_fails(world: MomentWorld) -> None:
    world.hbase.fail("snapshot", "AccessDeniedException")
    with pytest.raises(OperationFailed, match="SNAPSHOT_FAILED"):
        world.run(world.instruction(barrier=BARRIER))
    assert world.held == []


def test_a_release_that_fails_is_tried_again_and_then_told(world: MomentWorld) -> None:
    def fail(argument: str) -> str:
        raise OperationFailed("HOOK_FAILED", "not now")

    world.executor.hooks["start-writers"] = fail
    result = world.run(world.instruction(barrier=BARRIER))
    assert steps(world).count("start-writers") == 3
    assert result["barrier"]["released"] is False
    assert world.executor.milestones["barrier_not_released"]["code"] == "HOOK_FAILED"
