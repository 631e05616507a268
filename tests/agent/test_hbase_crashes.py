"""Every instruction about a table, disturbed at every operation: agent killed, master restarted, cleaner run.

Each time the next agent goes on from the journal and the run ends as if nothing had happened. Requests that were under
way when an agent died arrive all the same, while the next agent is already at work.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.agent.core.operations import CopyRange, SpoolAppend, Upload, WriteFile
from infra.agent.protocol import Instruction, hbase_snapshot_name
from tests.agent.hbase_world import TABLE, World, files_below
from tests.fakes.executor import AgentKilled, Kill

pytestmark = pytest.mark.long

MEMORY = "/dev/shm"
# Operations that can be torn: half of their bytes arrive. All others happen or do not.
TEARABLE = (SpoolAppend, WriteFile, CopyRange, Upload)
STEPS = ("SendSnapshots", "ApplyStaged", "FreezeCopies", "DigestSnapshots", "OpenCopies", "CloseCopies")
NEVER_OLD_ENOUGH_MS = 300_000
ALWAYS_OLD_ENOUGH_MS = -10_000  # further than the clocks of these worlds are apart
CLEANER_PERIOD = 13


@pytest.fixture
def directory() -> Iterator[Path]:
    """Where spools are; in memory where that is possible, for there are thousands."""
    with tempfile.TemporaryDirectory(dir=MEMORY if Path(MEMORY).is_dir() else None) as name:
        yield Path(name)


def first_cut(directory: Path) -> World:
    world = World(directory)
    world.fill("first")
    world.fill("large", 3, 200)
    world.cut("us-r1")
    return world


def second_cut(directory: Path) -> World:
    """A split whose daughters refer to files that the secondary has, new files, and some that a failed run has left."""
    world = World(directory)
    world.fill("first")
    world.backup("us-r1")
    world.primary.split(TABLE, "b")
    world.fill("second", 2, 200)
    world.cut("us-failed")
    world.run(world.send("us-failed", "us-r1"))
    world.run(world.apply("us-failed", "us-r1"))
    world.run(world.instruction("RemoveSnapshots", "us-failed"))
    world.fill("third")
    world.cut("us-r2")
    return world


# Name of the scenario: how the world is made, the run, its base.
SCENARIOS: dict[str, tuple[Callable[[Path], World], str, str | None]] = {
    "first": (first_cut, "us-r1", None),
    "increment": (second_cut, "us-r2", "us-r1"),
}


def instruction_of(world: World, step: str, run: str, base: str | None) -> Instruction:
    if step == "SendSnapshots":
        return world.send(run, base)
    if step == "ApplyStaged":
        return world.apply(run, base)
    if step == "DigestSnapshots":
        return world.digest(run)
    if step in ("OpenCopies", "CloseCopies"):
        return world.instruction(step, run, scratch="look")
    return world.instruction(step, run)


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
    assert not world.secondary.tables
    world.assert_equal(run)


def forked(world: World, directory: Path) -> World:
    """The same world once more, with an empty spool."""
    performed, world.performed = world.performed, []
    twin = copy.deepcopy(world)
    world.performed = performed
    twin.directory = Path(tempfile.mkdtemp(dir=directory))
    return twin


def picture(world: World) -> dict[str, tuple[bytes, str, str]]:
    """Every file of the secondary's archive and of its snapshots, but for those of clones: bytes, owner and mode."""
    found = {}
    for directory in ("/hbase/archive", "/hbase/.hbase-snapshot"):
        for path in files_below(world.hdfs["secondary"], directory):
            inode = world.hdfs["secondary"].find(path)
            assert inode is not None
            if "understudy_scratch" in path:
                continue
            found[path] = (inode.data(), inode.owner, inode.mode)
    return found


def started(scenario: str, step: str, directory: Path) -> tuple[World, str, str | None]:
    make, run, base = SCENARIOS[scenario]
    return advance(make(Path(tempfile.mkdtemp(dir=directory))), run, base, step), run, base


def comparable(result: dict[str, object]) -> dict[str, object]:
    """Without what depends on how often something was tried."""
    trial = result.get("trial_clone")
    return {
        **{name: value for name, value in result.items() if name not in ("seconds", "steps", "healed")},
        "trial_clone": {**trial, "seconds": 0} if isinstance(trial, dict) else None,
    }


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    ("scenario", "when"), [("first", "before"), ("first", "after"), ("first", "torn"), ("increment", "after")]
)
def test_agent_killed_at_every_operation(scenario: str, step: str, when: str, directory: Path) -> None:
    start, run, base = started(scenario, step, directory)
    undisturbed = forked(start, directory)
    expected = undisturbed.run(instruction_of(undisturbed, step, run, base))
    for number, operation in enumerate(undisturbed.performed, start=1):
        if when == "torn" and not isinstance(operation, TEARABLE):
            continue
        world = forked(start, directory)
        instruction = instruction_of(world, step, run, base)
        with pytest.raises(AgentKilled):
            world.run(instruction, Kill(number, when, in_flight_lands=number % 2 == 0))  # type: ignore[arg-type]
        result = world.run(instruction)
        if step == "CloseCopies":
            assert set(result["removed"]) <= set(expected["removed"]), number
        else:
            assert comparable(result) == comparable(expected), number
        assert picture(world) == picture(undisturbed), number
        if number % 8 == 0:
            finish(world, run, base, step)


@pytest.mark.parametrize("scenario", list(SCENARIOS))
def test_the_master_restarts_at_every_operation_of_apply(scenario: str, directory: Path) -> None:
    """It empties ``.tmp``, and its cleaner runs right afterwards and at the end."""
    start, run, base = started(scenario, "ApplyStaged", directory)
    undisturbed = forked(start, directory)
    undisturbed.run(undisturbed.apply(run, base))
    for number in range(1, len(undisturbed.performed) + 1):
        world = forked(start, directory)

        def restart(count: int, world: World = world, number: int = number) -> None:
            if count == number:
                world.secondary.restart_master()
                world.secondary.run_cleaner(NEVER_OLD_ENOUGH_MS)

        world.run(world.apply(run, base), disturb=restart)
        assert picture(world) == picture(undisturbed), number
        if number % 8 == 0:
            world.secondary.run_cleaner(ALWAYS_OLD_ENOUGH_MS)
            finish(world, run, base, "ApplyStaged")


@pytest.mark.parametrize("scenario", list(SCENARIOS))
def test_the_cleaner_runs_all_the_time_during_apply(scenario: str, directory: Path) -> None:
    """A cleaner without any patience: only what manifests name is spared, and empty directories go.

    It pauses between its rounds: a directory that is always gone before it can be used is of no use to anybody.
    """
    start, run, base = started(scenario, "ApplyStaged", directory)
    removed: list[str] = []
    for phase in range(CLEANER_PERIOD):
        world = forked(start, directory)

        def clean(count: int, world: World = world, phase: int = phase) -> None:
            if count % CLEANER_PERIOD == phase:
                removed.extend(world.secondary.run_cleaner(ALWAYS_OLD_ENOUGH_MS))

        world.run(world.apply(run, base), disturb=clean)
        finish(world, run, base, "ApplyStaged")
    assert removed  # it was at work


def test_the_master_restarts_again_and_again(directory: Path) -> None:
    world, run, base = started("increment", "ApplyStaged", directory)

    def restart(count: int) -> None:
        if count % 61 == 0:
            world.secondary.restart_master()

    world.run(world.apply(run, base), disturb=restart)
    finish(world, run, base, "ApplyStaged")


@pytest.mark.parametrize("when", ["before", "after"])
def test_removal_killed_at_every_operation(when: str, directory: Path) -> None:
    start, run, _ = started("first", "OpenCopies", directory)
    number, is_killed = 0, True
    while is_killed:
        number += 1
        world = forked(start, directory)
        instruction = world.instruction("RemoveSnapshots", run)
        try:
            world.run(instruction, Kill(number, when))  # type: ignore[arg-type]
        except AgentKilled:
            world.run(instruction)
        else:
            is_killed = False
        name = hbase_snapshot_name(run, TABLE)
        assert not [found for found in world.secondary.snapshots.listed() if found["name"] == name]
    assert number > 3
