"""A healing that was interrupted while somebody goes on changing the head: the next attempt ends it and looks again."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.agent.core.operations import HdfsCall, Operation, OperationFailed
from infra.agent.protocol import Instruction
from tests.agent.hdfs_world import EPOCH, HEAD, World
from tests.fakes.executor import AgentKilled, FakeExecutor, Kill

HEALING = f"/.understudy/incoming/{EPOCH}/r2/d1/healing"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A staged increment whose head has lost a file."""
    world = World(tmp_path)
    for name in ("a", "b", "sub/c"):
        world.app.put(f"{HEAD}/{name}", name.encode() * 100)
    world.backup("r1")
    world.app.put(f"{HEAD}/new", b"new")
    world.cut("r2")
    world.run(world.send_instruction("r2", "r1"))
    world.secondary.call("DELETE", "DELETE", f"{HEAD}/a", {"recursive": "true"})
    return world


def when_the_healing_begins(world: World, instruction: Instruction) -> int:
    """The number of the operation by which the healing's plan begins to be carried out."""
    trial = world.executor(instruction)
    performed = trial.perform
    numbers: list[int] = []

    def perform(operation: Operation) -> object:
        result = performed(operation)
        if isinstance(operation, HdfsCall) and dict(operation.params).get("destination") == HEALING:
            numbers.append(len(trial.performed))
            raise OperationFailed("STOPPED", "far enough")
        return result

    trial.perform = perform  # type: ignore[method-assign]
    run_with(world, trial, instruction)
    (number,) = numbers
    return number


def run_with(world: World, executor: FakeExecutor, instruction: Instruction) -> None:
    world.executor = lambda instruction: executor  # type: ignore[method-assign]
    with pytest.raises(OperationFailed, match="STOPPED"):
        world.run(instruction)
    del world.executor  # type: ignore[method-assign]


def test_what_happened_meanwhile_is_healed_too(world: World) -> None:
    """The interrupted plan knows of one lost file; another one is changed before the next attempt."""
    when_the_healing_begins(world, world.apply_instruction("r2", "r1"))
    assert world.secondary.find(HEALING) is not None
    world.secondary.call("DELETE", "DELETE", f"{HEAD}/b", {"recursive": "true"})
    world.secondary.write(f"{HEAD}/sub/theirs", b"theirs")
    assert world.run(world.apply_instruction("r2", "r1"))["healed"] is True
    world.run(world.instruction("FreezeCopies", "r2"))
    world.assert_equal("r2")


def test_a_plan_that_does_not_fit_any_more_is_made_anew(world: World) -> None:
    """Where the interrupted plan was to put the lost file, somebody has put another one."""
    when_the_healing_begins(world, world.apply_instruction("r2", "r1"))
    world.secondary.write(f"{HEAD}/a", b"theirs")
    with pytest.raises(OperationFailed, match="HEAD_CHANGED"):
        world.run(world.apply_instruction("r2", "r1"))
    assert world.run(world.apply_instruction("r2", "r1"))["healed"] is True
    world.run(world.instruction("FreezeCopies", "r2"))
    world.assert_equal("r2")


def test_an_agent_killed_after_each_operation_of_the_healing(world: World) -> None:
    instruction = world.apply_instruction("r2", "r1")
    with pytest.raises(AgentKilled):
        world.run(instruction, Kill(20, "after"))
    assert world.run(world.apply_instruction("r2", "r1"))["healed"] is True
    world.run(world.instruction("FreezeCopies", "r2"))
    world.assert_equal("r2")
