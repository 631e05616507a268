"""APPLY on an HDFS directory: in which order its steps may be under way, and what it says when the head is changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from infra.agent.core.machine import Machine, Outcome
from infra.agent.core.operations import HdfsCall, Operation, OperationFailed
from infra.agent.protocol import Instruction
from tests.agent.hdfs_world import EPOCH, HEAD, World
from tests.fakes.executor import FakeExecutor

STAGING = f"/.understudy/incoming/{EPOCH}/r2/d1"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A staged increment that takes directories away with what moves out of them, and brings nested new ones."""
    world = World(tmp_path)
    for number in range(6):
        world.app.put(f"{HEAD}/old/{number}/deep/kept", b"kept" * 10)
        world.app.put(f"{HEAD}/old/{number}/deep/gone", b"gone" * 10)
        world.app.put(f"{HEAD}/other-{number}", b"other" * 10)
    world.app.put(f"{HEAD}/replaced", b"1" * 10)
    world.backup("r1")
    for number in range(6):
        world.app.rename(f"{HEAD}/old/{number}/deep/kept", f"{HEAD}/kept-{number}")
        world.app.rename(f"{HEAD}/old/{number}/deep", f"{HEAD}/deep-{number}")
        world.app.rename(f"{HEAD}/kept-{number}", f"{HEAD}/deep-{number}/kept")
        world.app.put(f"{HEAD}/new-{number}/a/b", b"new" * 10)
        world.app.put(f"{HEAD}/new-{number}/again/c", b"new" * 10)
        world.app.rename(f"{HEAD}/other-{number}", f"{HEAD}/new-{number}/again/moved")
    world.app.put(f"{HEAD}/replaced", b"2" * 20)
    world.cut("r2")
    world.run(world.send_instruction("r2", "r1"))
    return world


def apply_watched(world: World, before: Callable[[Operation, FakeExecutor], object]) -> None:
    """Carry APPLY out; ``before`` is called with each operation right before it happens."""
    instruction = world.apply_instruction("r2", "r1")
    executor = world.executor(instruction)
    performed = executor.perform

    def perform(operation: Operation) -> object:
        before(operation, executor)
        return performed(operation)

    executor.perform = perform  # type: ignore[method-assign]
    world.executor = lambda instruction: executor  # type: ignore[method-assign]
    try:
        world.run(instruction)
    finally:
        del world.executor  # type: ignore[method-assign]


def renamed(operation: Operation) -> tuple[str, str] | None:
    """From where to where an operation renames, if it does."""
    if isinstance(operation, HdfsCall) and operation.op == "RENAME":
        return operation.path, dict(operation.params)["destination"]
    return None


def run_in_the_worst_order(world: World, instruction: Instruction) -> list[list[tuple[str, int]]]:
    """Carry APPLY out, of all that is under way the newest first; returns the steps that were under way together."""
    executor = world.executor(instruction)
    machine = Machine(world.procedure(instruction, b""))
    under_way = list(machine.step())
    together: list[list[tuple[str, int]]] = []
    while not machine.done:
        steps = [step_of(operation) for _, operation in under_way]
        together.append([step for step in steps if step is not None])
        number, operation = under_way.pop()
        try:
            outcome = Outcome(number, executor.perform(operation))
        except OperationFailed as failure:
            outcome = Outcome(number, failure=failure)
        under_way += machine.step([outcome])
    executor.appender.abandon()
    assert machine.failure is None, machine.failure
    return together


def step_of(operation: Operation) -> tuple[str, int] | None:
    """The phase and depth of a step that an operation carries out, if it does."""
    names = renamed(operation)
    if names is not None and names[1].startswith(f"{STAGING}/out/"):
        return "out", names[0].count("/")
    if names is not None and names[1].startswith(f"{HEAD}/"):
        return "in", names[1].count("/")
    return None


def test_steps_of_another_depth_are_never_under_way_together(world: World) -> None:
    """Requests that are under way together arrive in any order: only those of one depth do not care."""
    together = run_in_the_worst_order(world, world.apply_instruction("r2", "r1"))
    assert max(map(len, together)) > 3  # they are not one after another, either
    assert [found for found in together if len(set(found)) > 1] == []
    assert len({step for found in together for step in found if step[0] == "out"}) > 1
    assert len({step for found in together for step in found if step[0] == "in"}) > 1
    world.run(world.instruction("FreezeCopies", "r2"))
    world.assert_equal("r2")


def test_what_is_to_be_taken_away_and_is_not_there_is_told(world: World) -> None:
    def lose(operation: Operation, executor: FakeExecutor) -> None:
        names = renamed(operation)
        if names is not None and names[0] == f"{HEAD}/replaced":
            world.secondary.call("DELETE", "DELETE", f"{HEAD}/replaced", {"recursive": "true"})

    with pytest.raises(OperationFailed, match="HEAD_CHANGED") as failed:
        apply_watched(world, lose)
    assert failed.value.detail["path"] == f"{HEAD}/replaced"


@pytest.mark.parametrize("what", ["file", "directory"])
def test_what_stands_where_something_new_is_to_go_is_told_and_left(world: World, what: str) -> None:
    def plant(operation: Operation, executor: FakeExecutor) -> None:
        names = renamed(operation)
        if names is not None and names[1] == f"{HEAD}/new-3":
            if what == "file":
                world.secondary.write(f"{HEAD}/new-3", b"theirs")
            else:
                world.secondary.call("PUT", "MKDIRS", f"{HEAD}/new-3/theirs", {"permission": "700"})

    with pytest.raises(OperationFailed, match="HEAD_CHANGED") as failed:
        apply_watched(world, plant)
    assert failed.value.detail["path"] == f"{HEAD}/new-3"
    if what == "file":
        assert world.secondary.read(f"{HEAD}/new-3") == b"theirs"
    else:
        assert world.secondary.find(f"{HEAD}/new-3/theirs") is not None
