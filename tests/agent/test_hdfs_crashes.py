"""Every instruction about an HDFS directory, with its agent killed at every operation: before it, after it, within it.

Each time the next agent goes on from the journal, and the run ends as if nothing had happened. Requests that were under
way when an agent died arrive all the same, while the next agent is already at work.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.agent.core.operations import CopyRange, SpoolAppend, Upload, WriteFile
from infra.agent.protocol import Instruction
from tests.agent.hdfs_world import HEAD, World
from tests.fakes.executor import AgentKilled, Kill

pytestmark = pytest.mark.long

Step = Callable[[World], Instruction]
MEMORY = "/dev/shm"
# Operations that can be torn: half of their bytes arrive. All others happen or do not.
TEARABLE = (SpoolAppend, WriteFile, CopyRange, Upload)
ACL = "user::rwx,user:bob:r-x,group::r-x,mask::rwx,other::---"


@pytest.fixture
def directory() -> Iterator[Path]:
    """Where spools are; in memory where that is possible, for there are thousands."""
    with tempfile.TemporaryDirectory(dir=MEMORY if Path(MEMORY).is_dir() else None) as name:
        yield Path(name)


def first_tree(world: World) -> None:
    app = world.app
    app.put(f"{HEAD}/one", b"1" * 100)
    app.put(f"{HEAD}/two", b"2" * 100)
    app.put(f"{HEAD}/big", bytes(range(250)) * 20)
    app.put(f"{HEAD}/sub/x", b"x")
    app.put(f"{HEAD}/sub/y", b"")
    app.mkdir(f"{HEAD}/sub/empty")
    app.set_attribute(f"{HEAD}/one", "user.k", "0x61")


def change_tree(world: World) -> None:
    """Swap, cycle, replace, rename a directory with a changed child, delete, add, set."""
    app = world.app
    app.rename(f"{HEAD}/one", f"{HEAD}/turning")
    app.rename(f"{HEAD}/two", f"{HEAD}/one")
    app.rename(f"{HEAD}/turning", f"{HEAD}/two")
    app.rename(f"{HEAD}/sub", f"{HEAD}/moved")
    app.append(f"{HEAD}/moved/x", b"more")
    app.delete(f"{HEAD}/moved/empty")
    app.put(f"{HEAD}/sub/new/z", b"z" * 3000)
    app.rename(f"{HEAD}/moved/y", f"{HEAD}/sub/new/y")
    app.put(f"{HEAD}/big", bytes(range(249, -1, -1)) * 20)
    app.set_acl(f"{HEAD}/moved", ACL)


def foul_head(world: World) -> None:
    """What somebody with the superuser's rights can do to the head."""
    world.secondary.call("DELETE", "DELETE", f"{HEAD}/two", {"recursive": "true"})
    world.secondary.call("PUT", "RENAME", f"{HEAD}/sub", {"destination": f"{HEAD}/elsewhere", "renameoptions": "NONE"})
    world.secondary.write(f"{HEAD}/one", b"wrong")
    world.secondary.write(f"{HEAD}/extra", b"extra")
    world.secondary.call("PUT", "SETPERMISSION", f"{HEAD}/big", {"permission": "777"})


def first_cut(directory: Path) -> World:
    world = World(directory)
    first_tree(world)
    world.cut("r1")
    return world


def second_cut(directory: Path) -> World:
    world = World(directory)
    first_tree(world)
    world.backup("r1")
    change_tree(world)
    world.cut("r2")
    return world


def fouled(directory: Path) -> World:
    world = second_cut(directory)
    foul_head(world)
    return world


# Name of the scenario: how the world is made, the run, its base.
SCENARIOS: dict[str, tuple[Callable[[Path], World], str, str | None]] = {
    "first": (first_cut, "r1", None),
    "increment": (second_cut, "r2", "r1"),
    "healing": (fouled, "r2", "r1"),
}
STEPS = ("SendSnapshots", "ApplyStaged", "FreezeCopies", "DigestSnapshots")


def instruction_of(world: World, step: str, run: str, base: str | None) -> Instruction:
    if step == "SendSnapshots":
        return world.send_instruction(run, base)
    if step == "ApplyStaged":
        return world.apply_instruction(run, base)
    if step == "FreezeCopies":
        return world.instruction("FreezeCopies", run)
    return world.digest_instruction(run)


def advance(world: World, run: str, base: str | None, until: str) -> World:
    """Carry out the steps before ``until``."""
    for step in STEPS[: STEPS.index(until)]:
        world.run(instruction_of(world, step, run, base))
    return world


def finish(world: World, run: str, base: str | None, after: str) -> None:
    """Carry out the steps after ``after`` and look at the result."""
    for step in STEPS[STEPS.index(after) + 1 :]:
        result = world.run(instruction_of(world, step, run, base))
        if step == "DigestSnapshots":
            assert result["content"]["verdict"] == result["metadata"]["verdict"] == "EQUAL", result["differences"]
    world.assert_equal(run)
    world.run(world.instruction("RemoveSnapshots", run, site="primary"))
    assert world.primary.find(f"{HEAD}/.snapshot/{run}") is None


def forked(world: World, directory: Path) -> World:
    """The same world once more, with an empty spool."""
    performed, world.performed = world.performed, []
    twin = copy.deepcopy(world)
    world.performed = performed
    twin.directory = Path(tempfile.mkdtemp(dir=directory))
    return twin


@pytest.mark.parametrize("when", ["before", "after", "torn"])
@pytest.mark.parametrize(
    ("scenario", "step"),
    [*((name, step) for name in ("first", "increment") for step in STEPS), ("healing", "ApplyStaged")],
)
def test_agent_killed_at_every_operation(scenario: str, step: str, when: str, directory: Path) -> None:
    make, run, base = SCENARIOS[scenario]
    start = advance(make(Path(tempfile.mkdtemp(dir=directory))), run, base, step)
    undisturbed = forked(start, directory)
    expected = undisturbed.run(instruction_of(undisturbed, step, run, base))
    performed = undisturbed.performed
    for number, operation in enumerate(performed, start=1):
        if when == "torn" and not isinstance(operation, TEARABLE):
            continue
        if when == "after" and step != "ApplyStaged" and number % 3:
            continue  # dying after one operation is nearly dying before the next
        world = forked(start, directory)
        instruction = instruction_of(world, step, run, base)
        with pytest.raises(AgentKilled):
            world.run(instruction, Kill(number, when, in_flight_lands=number % 2 == 0))  # type: ignore[arg-type]
        result = world.run(instruction)
        # The instant of a snapshot is when it was taken; everything else is as if nothing had happened.
        assert {**result, "server_ms": 0} == {**expected, "server_ms": 0}, (
            number,
            world.executor(instruction).journal(),
        )
        if number % 7 == 0 or step == "ApplyStaged":
            finish(world, run, base, step)


@pytest.mark.parametrize("when", ["before", "after"])
def test_removal_killed_at_every_operation(when: str, directory: Path) -> None:
    start = advance(first_cut(Path(tempfile.mkdtemp(dir=directory))), "r1", None, "DigestSnapshots")
    number, is_killed = 0, True
    while is_killed:
        number += 1
        world = forked(start, directory)
        instruction = world.instruction("RemoveSnapshots", "r1")
        try:
            world.run(instruction, Kill(number, when))  # type: ignore[arg-type]
        except AgentKilled:
            world.run(instruction)
        else:
            is_killed = False
        assert world.secondary.find(f"{HEAD}/.snapshot/r1") is None
    assert number > 2


def test_a_base_that_is_lost_after_the_agent_died_leaves_nothing_of_the_first_comparison(directory: Path) -> None:
    """What had moved along with its directory is in work files then; the next agent compares with another tree."""
    start = World(Path(tempfile.mkdtemp(dir=directory)))
    start.app.mkdir(f"{HEAD}/x")
    for name in "abcd":
        start.app.put(f"{HEAD}/x/{name}", name.encode())
    start.backup("r1")
    start.app.rename(f"{HEAD}/x", f"{HEAD}/z")
    start.cut("r2")
    found, number, is_killed = set(), 0, True
    while is_killed:
        number += 1
        world = forked(start, directory)
        instruction = world.send_instruction("r2", "r1")
        try:
            world.run(instruction, Kill(number, "before"))
            is_killed = False
        except AgentKilled:
            world.primary.call("DELETE", "DELETESNAPSHOT", HEAD, {"snapshotname": "r1"})
            sent = world.run(instruction)
            assert (sent["files"], sent["directories"]) == (4, 2), number
            found.add(sent["compared_with"])
    assert found == {"base", "frozen"}
