"""TakeSnapshots with agents that die anywhere: the run goes on, and no snapshot ever stands for another instant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from infra.agent.core import clocks
from infra.agent.core.moment_targets import target_of
from infra.agent.core.operations import OperationFailed
from infra.agent.core.ownership import CONTROLLER, Owner, parse_owner
from infra.agent.protocol import Instruction
from tests.agent.moment_world import BARRIER, DATA_SETS, MomentWorld
from tests.fakes.executor import AgentKilled, Kill

TOLERANCE_MS = 250.0
CLOSE_MS = 2.0
IN_MS = 20_000.0
When = Literal["before", "after", "torn"]


@pytest.fixture(autouse=True)
def _few_clock_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dying in the sixth sample is like dying in the first."""
    monkeypatch.setattr(clocks, "SAMPLES", 1)


class Lives:
    """The same run in one world after the other, each with an agent that dies somewhere else."""

    def __init__(self, directory: Path, **payload: Any) -> None:
        self._directory = directory
        self._payload = payload
        self.count = 0

    def new(self) -> tuple[MomentWorld, Instruction]:
        """A fresh world with its instruction."""
        self.count += 1
        world = MomentWorld(self._directory / str(self.count), namenode_shift_ms=700, gateway_shift_ms=-5_000.0)
        return world, world.instruction(in_ms=IN_MS, data_sets=DATA_SETS[:2], **self._payload)

    def killed(self, when: When, in_flight_lands: bool) -> Iterator[tuple[MomentWorld, Instruction]]:
        """Worlds in which the first agent died, at one operation after the other."""
        while True:
            world, instruction = self.new()
            try:
                world.run(instruction, Kill(self.count, when, in_flight_lands))
            except AgentKilled:
                yield world, instruction
                continue
            assert self.count > 50, "an undisturbed run takes more operations than this"
            return


def moment_of(instruction: Instruction) -> float:
    moment_ms: float = instruction.payload["moment_ms"]
    return moment_ms


def check_all_or_nothing(world: MomentWorld, instruction: Instruction) -> str:
    """Go on with the next agent and return how it ended."""
    try:
        result = world.run(instruction)
    except OperationFailed as failure:
        if failure.code != "MOMENT_MISSED":
            raise
        assert world.snapshots() == {}
        return failure.code
    found = world.snapshots()
    assert set(found) == {"files", "orders"}
    for name, stamp in found.items():
        assert abs(stamp - moment_of(instruction)) <= TOLERANCE_MS + CLOSE_MS
        told = result["data_sets"][name]
        assert told["asked_cluster_ms"] - CLOSE_MS <= stamp <= told["done_cluster_ms"] + CLOSE_MS
    return "succeeded"


@pytest.mark.parametrize(("when", "in_flight_lands"), [("before", True), ("after", False), ("torn", True)])
def test_an_agent_that_is_started_again_at_once_brings_the_run_to_its_end(
    tmp_path: Path, when: When, in_flight_lands: bool
) -> None:
    ends = [check_all_or_nothing(*life) for life in Lives(tmp_path).killed(when, in_flight_lands)]
    assert ends.count("MOMENT_MISSED") <= 2, "only between the request and its effect can the moment be lost"


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_agent_that_is_started_again_after_the_moment_fires_nothing(tmp_path: Path, when: When) -> None:
    for world, instruction in Lives(tmp_path).killed(when, in_flight_lands=True):
        passed_ms = moment_of(instruction) + 400 - world.namenode_ms()
        if passed_ms > 0:
            world.clock.advance_to(world.clock.now_ms + passed_ms)
        taken = world.snapshots()
        world.executor.performed.clear()
        end = check_all_or_nothing(world, instruction)
        assert world.fired() == []
        assert (end == "succeeded") == (set(taken) == {"files", "orders"})


def test_an_agent_that_dies_again_and_again_still_comes_to_an_end(tmp_path: Path) -> None:
    lives = Lives(tmp_path)
    for step in (7, 23, 41):
        world, instruction = lives.new()
        for _ in range(200):
            try:
                world.run(instruction, Kill(step, "after", in_flight_lands=True))
            except AgentKilled:
                continue
            except OperationFailed as failure:
                if failure.code != "MOMENT_MISSED":
                    raise
            break
        assert set(world.snapshots()) in (set(), {"files", "orders"})


def test_snapshots_that_somebody_made_later_are_never_taken_for_the_moments(tmp_path: Path) -> None:
    """The agent died when it was about to fire, and snapshots of these names came into being much later."""
    lives = Lives(tmp_path).killed("before", in_flight_lands=True)
    world, instruction = next(life for life in lives if b"firing" in life[0].executor.journal())
    assert world.snapshots() == {}
    world.clock.advance_to(world.clock.now_ms + 30_000)
    site = instruction.payload["sites"]["primary"]
    for data_set in instruction.payload["data_sets"]:
        world.executor.perform(target_of(data_set, instruction.payload["snapshot"], site).call())
    assert len(world.snapshots()) == 2
    with pytest.raises(OperationFailed, match="MOMENT_MISSED"):
        world.run(instruction)
    assert world.snapshots() == {}


@pytest.mark.parametrize("when", ["before", "after", "torn"])
def test_a_barrier_is_released_wherever_an_agent_dies(tmp_path: Path, when: When) -> None:
    held_once = False
    for world, instruction in Lives(tmp_path, barrier=BARRIER).killed(when, in_flight_lands=True):
        held_once = held_once or bool(world.held)
        assert not world.held or world.executor.watchdogs, "the watchdog watches before anything is held"
        check_all_or_nothing(world, instruction)
        assert world.held == []
    assert held_once


def test_what_was_armed_goes_on_in_a_new_agent_after_the_next_start_of_its_control_device(tmp_path: Path) -> None:
    """The record has moved on within its line, and nobody has submitted the instruction again yet."""
    world, instruction = Lives(tmp_path).new()
    told = {"store": "5" * 32, "host": "host-a", "since": "20260131T235959Z", "term": 3, "position": 10}
    world.executor.controller = {**told, "incarnation": "a" * 32, "link": "0" * 32, "follows": {}}
    armed = _killed_once_let_through(world, instruction)
    assert armed.position == 10
    _move_owner(world, armed, armed._replace(incarnation="b" * 32, position=12, link="1" * 32, term=4))
    assert set(world.run(instruction)["data_sets"]) == {"files", "orders"}


def test_another_line_is_not_gone_on_with(tmp_path: Path) -> None:
    world, instruction = Lives(tmp_path).new()
    told = {"store": "5" * 32, "host": "host-a", "since": "20260131T235959Z", "term": 3, "position": 10}
    world.executor.controller = {**told, "incarnation": "a" * 32, "link": "0" * 32, "follows": {}}
    armed = _killed_once_let_through(world, instruction)
    _move_owner(world, armed, armed._replace(incarnation="b" * 32, line="b" * 16, position=12))
    with pytest.raises(OperationFailed, match="OTHER_CONTROLLER"):
        world.run(instruction)
    assert world.snapshots() == {}


def _killed_once_let_through(world: MomentWorld, instruction: Instruction) -> Owner:
    """Let an agent die soon after it has been let through; returns the record on the cluster."""
    with pytest.raises(AgentKilled):
        world.run(instruction, Kill(40, "after", in_flight_lands=True))
    assert world.snapshots() == {}
    directory = world.hdfs.call("GET", "LISTSTATUS", CONTROLLER, {})
    (entry,) = directory["FileStatuses"]["FileStatus"]
    owner = parse_owner(entry["pathSuffix"])
    assert owner is not None
    return owner


def _move_owner(world: MomentWorld, before: Owner, after: Owner) -> None:
    path = f"{CONTROLLER}/{after.name}"
    world.hdfs.call("PUT", "RENAME", f"{CONTROLLER}/{before.name}", {"destination": path, "renameoptions": "NONE"})
