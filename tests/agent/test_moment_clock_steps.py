"""Clocks that are set while TakeSnapshots waits: it fires at the right instant, or not, never at a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.agent.core.operations import OperationFailed
from tests.agent.moment_world import MomentWorld

IN_MS = 60_000.0
STEPS = [-3_600_000.0, -10_000.0, -300.0, 300.0, 10_000.0, 3_600_000.0]


@pytest.fixture
def world(tmp_path: Path) -> MomentWorld:
    return MomentWorld(tmp_path)


@pytest.mark.parametrize("step_ms", STEPS)
@pytest.mark.parametrize("at_ms", [1_000.0, 30_000.0, 50_000.0, 56_000.0])
def test_a_gateways_clock_that_is_set_before_the_last_look_changes_nothing(
    world: MomentWorld, at_ms: float, step_ms: float
) -> None:
    instruction = world.instruction(in_ms=IN_MS)
    world.at(at_ms, lambda: world.set_gateway_clock(step_ms))
    result = world.run(instruction)
    for stamp in world.snapshots().values():
        assert abs(stamp - instruction.payload["moment_ms"]) <= 2
    for found in result["data_sets"].values():
        assert abs(found["asked_cluster_ms"] - instruction.payload["moment_ms"]) <= 2


@pytest.mark.parametrize("step_ms", STEPS)
def test_a_gateways_clock_that_is_set_while_it_aims_fails_the_run_and_keeps_nothing(
    world: MomentWorld, step_ms: float
) -> None:
    world.at(IN_MS - 1_000, lambda: world.set_gateway_clock(step_ms))
    with pytest.raises(OperationFailed, match="MOMENT_MISSED"):
        world.run(world.instruction(in_ms=IN_MS))
    assert world.snapshots() == {}


@pytest.mark.parametrize("step_ms", [-20.0, 20.0])
def test_a_small_step_while_it_aims_widens_what_is_claimed(world: MomentWorld, step_ms: float) -> None:
    world.at(IN_MS - 1_000, lambda: world.set_gateway_clock(step_ms))
    result = world.run(world.instruction(in_ms=IN_MS))
    before, after = (result["clocks"][when]["namenode"] for when in ("before", "after"))
    drift_ms = abs(before["offset_ms"] - after["offset_ms"])
    assert drift_ms == pytest.approx(20, abs=2)
    uncertainty_ms = drift_ms + max(before["uncertainty_ms"], after["uncertainty_ms"])
    for name, stamp in world.snapshots().items():
        found = result["data_sets"][name]
        assert found["asked_cluster_ms"] - uncertainty_ms <= stamp <= found["done_cluster_ms"] + uncertainty_ms


@pytest.mark.parametrize("at_ms", [30_000.0, 57_000.0])
def test_the_moment_follows_the_namenodes_clock(world: MomentWorld, at_ms: float) -> None:
    """The moment is an instant of the NameNode's clock; when that clock is set, the instant moves in the world."""
    instruction = world.instruction(in_ms=IN_MS)

    def set_clock() -> None:
        world.hdfs.shift_ms += 1_500

    world.at(at_ms, set_clock)
    world.run(instruction)
    for stamp in world.snapshots().values():
        assert abs(stamp - instruction.payload["moment_ms"]) <= 2
