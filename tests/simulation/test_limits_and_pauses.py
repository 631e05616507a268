"""Many services at once under limits that change, and pauses, in virtual time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.errors import InvalidInput, NotFound, Refused
from domain.protection.backup_run.run import BackupRun
from domain.protection.backup_run.states import ENDED
from domain.protection.policy import BackupPolicy, Settings
from domain.values.data_set import DataSet
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import Now, OperationFailed, SleepUntil
from infra.agent.protocol import Instruction
from infra.settings import WorkerSettings
from tests.fakes.gateway import FakeCluster
from tests.simulation.toy import TOYS, ToyCluster, toys
from tests.simulation.world import Crash, Life, World

SERVICES = 10
STALL_SECONDS = 60.0
HUNG = "s3"


def world_of_many(directory: Path, copies_per_run: int = 8) -> World:
    """Ten services of one directory each, with a policy of their own; /b1 and /b2 are there for others."""
    names = [*(f"s{number}" for number in range(SERVICES)), "b1", "b2"]
    north = ToyCluster({f"/{name}": f"contents of {name}" for name in names})
    clusters = {"north": FakeCluster(north), "south": FakeCluster(ToyCluster())}
    settings = WorkerSettings(longest_retry_seconds=2.0, stall_seconds=STALL_SECONDS, copies_per_run=copies_per_run)
    world = World(directory, clusters, settings)

    async def scenario(life: Life) -> None:
        plane = life.control_plane
        for name in ("north", "south"):
            await plane.add_cluster(life.caller(f"add {name}"), name, world.endpoints(name))
        await plane.create_pair(life.caller("pair"), "main", "north", "south")
        await life.until("pair", "main", ["STEADY"])
        for number in range(SERVICES):
            data_sets = (DataSet("hdfs", f"/s{number}"),)
            await plane.add_service(life.caller(f"service {number}"), f"s{number}", "main", data_sets)
            await plane.add_policy(life.caller(f"policy {number}"), f"s{number}", f"s{number}", Settings(workers=16))

    with toys():
        world.live(scenario)
    return world


@pytest.fixture
def world(tmp_path: Path) -> World:
    return world_of_many(tmp_path)


async def plan(life: Life, name: str, word: str = "first") -> UUID:
    """A run of a service whose policy has its name."""
    caller = life.caller(f"{word} {name}")
    return await life.control_plane.backup(caller, name, policy=None, moment_ms=None, direction=None)


def run_of(name: str, word: str = "first") -> UUID:
    """Its id."""
    return BackupRun.identity_of_wish(BackupPolicy.identity(name), Life.command_id(f"{word} {name}"))


class Sending:
    """Counts how many copies are under way at once; the one of a hung service never ends."""

    def __init__(self, hung: str = "") -> None:
        self.now = 0
        self.most = 0
        self.order: list[str] = []
        self._hung = hung

    def send(self, instruction: Instruction, journal: bytes) -> Procedure:
        name = str(instruction.payload["data_set"]["path"]).strip("/")
        self.order.append(name)
        while name == self._hung:
            yield SleepUntil((yield Now()) + 1_000_000)
        self.now += 1
        self.most = max(self.most, self.now)
        result = yield from TOYS["SendSnapshots"](instruction, journal)
        self.now -= 1
        return result


def allowances(world: World) -> list[dict[str, Any]]:
    """What the spools of the primary's gateway say now."""
    files = (world.directory / "spool-north").rglob("allowance.json")
    return [json.loads(file.read_text()) for file in sorted(files)]


async def until(life: Life, condition: Callable[[], bool]) -> None:
    """Let virtual time go by until something is so."""
    for _ in range(10_000):
        if condition():
            return
        await life.clock.sleep_until(life.clock.monotonic_seconds() + 0.1)
    raise AssertionError("it did not become so")


def test_ten_services_at_once_stay_within_the_limit_of_agents(world: World) -> None:
    sending = Sending()

    async def scenario(life: Life) -> list[str]:
        await life.control_plane.change_limits(life.caller("limits"), "north", {"agents": 4})
        for number in range(SERVICES):
            await plan(life, f"s{number}")
        return [await life.until("run", run_of(f"s{number}"), ENDED) for number in range(SERVICES)]

    with toys(SendSnapshots=sending.send):
        assert world.live(scenario) == ["COMPLETED"] * SERVICES
    assert sending.most == 4
    assert sorted(sending.order) == [f"s{number}" for number in range(SERVICES)], "each was begun once"


def test_a_turn_is_not_given_to_a_copy_that_nobody_would_begin(tmp_path: Path) -> None:
    """While the second data set waits the first one's next attempt becomes due, and takes its place in the run."""
    world = world_of_many(tmp_path, copies_per_run=1)
    failed: list[str] = []

    def send(instruction: Instruction, journal: bytes) -> Procedure:
        name = str(instruction.payload["data_set"]["path"]).strip("/")
        yield SleepUntil((yield Now()) + (30_000 if name == "s0" else 5_000))
        if name == "b1" and not failed:
            failed.append(name)
            raise OperationFailed("HDFS", "just once")
        return (yield from TOYS["SendSnapshots"](instruction, journal))

    async def scenario(life: Life) -> list[str]:
        plane = life.control_plane
        await plane.change_limits(life.caller("limits"), "north", {"agents": 1})
        await plane.add_service(life.caller("both"), "both", "main", (DataSet("hdfs", "/b1"), DataSet("hdfs", "/b2")))
        await plane.add_policy(life.caller("policy"), "both", "both", Settings(workers=16))
        await plan(life, "both")
        await life.clock.sleep_until(life.clock.monotonic_seconds() + 1)
        await plan(life, "s0")
        return [await life.until("run", run_of(name), ENDED) for name in ("both", "s0")]

    with toys(SendSnapshots=send):
        assert world.live(scenario) == ["COMPLETED"] * 2
    assert failed


def test_limits_hold_over_crashes_of_the_control_device(world: World) -> None:
    """What was sent before a crash counts at once after it, so no fifth agent is started beside four."""
    sending = Sending()

    async def scenario(life: Life) -> list[str]:
        life.world.crash_after = (await life.queries.head()).position + 29
        await life.control_plane.change_limits(life.caller("limits"), "north", {"agents": 4})
        for number in range(SERVICES):
            await plan(life, f"s{number}")
        return [await life.until("run", run_of(f"s{number}"), ENDED) for number in range(SERVICES)]

    states: list[str] = []
    with toys(SendSnapshots=sending.send):
        while not states:
            try:
                states = world.live(scenario)
            except Crash:
                continue
    assert states == ["COMPLETED"] * SERVICES
    assert world.lives > 3
    assert sending.most == 4
    assert sorted(sending.order) == [f"s{number}" for number in range(SERVICES)], "each was begun once"


def test_a_service_that_hangs_gives_its_turn_up_and_holds_nobody_else(world: World) -> None:
    sending = Sending(hung=HUNG)

    async def scenario(life: Life) -> list[str]:
        await life.control_plane.change_limits(life.caller("limits"), "north", {"agents": 1})
        await plan(life, HUNG)
        await until(life, lambda: sending.order == [HUNG])
        others = [f"s{number}" for number in range(SERVICES) if f"s{number}" != HUNG]
        for name in others:
            await plan(life, name)
        found = [await life.until("run", run_of(name), ENDED) for name in others]
        (kept,) = life.control_plane.live(run_of(HUNG))["allowed"].values()
        assert kept == {"workers": 1, "bytes_per_second": 999_999}, "enough to show that it moves again"
        await life.control_plane.cancel_run(life.caller("cancel"), run_of(HUNG), "it hangs")
        return [*found, await life.until("run", run_of(HUNG), ENDED)]

    with toys(SendSnapshots=sending.send):
        assert world.live(scenario) == ["COMPLETED"] * (SERVICES - 1) + ["CANCELLED"]
    assert sending.most == 1


def test_limits_that_change_reach_agents_that_are_at_work(world: World) -> None:
    sending = Sending(hung=HUNG)

    async def scenario(life: Life) -> None:
        plane = life.control_plane
        await plan(life, HUNG)
        await until(life, lambda: sending.order == [HUNG])
        assert allowances(world) == [{"workers": 16, "bytes_per_second": None}]
        limits = {"workers": 3, "megabytes_per_second": 20}
        await plane.change_limits(life.caller("limits"), "south", limits)
        await until(life, lambda: allowances(world) == [{"workers": 3, "bytes_per_second": 19_999_999}])
        assert plane.live(run_of(HUNG))["allowed"] == {
            DataSet("hdfs", "/s3").id: {"workers": 3, "bytes_per_second": 19_999_999}
        }
        settings = Settings(workers=2, megabytes_per_second=5)
        await plane.add_policy(life.caller("policy again"), HUNG, HUNG, settings)
        await until(life, lambda: allowances(world) == [{"workers": 2, "bytes_per_second": 4_999_999}])
        await plane.add_policy(life.caller("no rate"), HUNG, HUNG, Settings(workers=16))
        await plane.change_limits(life.caller("no limits"), "south", {"workers": None, "megabytes_per_second": None})
        await until(life, lambda: allowances(world) == [{"workers": 16, "bytes_per_second": None}])

    with toys(SendSnapshots=sending.send):
        world.live(scenario)


@pytest.mark.parametrize("scope", ["all", "cluster:north", "cluster:south", "service:s3"])
def test_a_pause_stops_what_copies_and_refuses_what_is_new_and_outlives_the_control_device(
    world: World, scope: str
) -> None:
    sending = Sending(hung=HUNG)

    async def paused(life: Life) -> None:
        await plan(life, HUNG)
        await until(life, lambda: sending.order == [HUNG])
        await life.control_plane.pause(life.caller("pause"), scope, "the network team asked")
        await until(life, lambda: allowances(world) == [{"workers": 0, "bytes_per_second": None}])
        assert "the network team asked" in life.control_plane.live(run_of(HUNG))["waiting_for"]
        await life.clock.sleep_until(life.clock.monotonic_seconds() + 3 * STALL_SECONDS)
        assert (await life.control_plane.run_page(run_of(HUNG)))["stalled"] == [], "it is not to move"

    async def still_paused(life: Life) -> None:
        with pytest.raises(Refused, match="the network team asked") as refusal:
            await plan(life, HUNG, "second")
        assert refusal.value.code == "PAUSED"
        assert "understudy resume" in refusal.value.remedy
        await until(life, lambda: "paused" in life.control_plane.live(run_of(HUNG))["waiting_for"])
        await life.control_plane.resume(life.caller("resume"), scope, "")
        await until(life, lambda: allowances(world) == [{"workers": 16, "bytes_per_second": None}])
        with pytest.raises(Refused, match="not paused"):
            await life.control_plane.resume(life.caller("resume again"), scope, "")

    with toys(SendSnapshots=sending.send):
        world.live(paused)
        world.live(still_paused)


def test_what_is_armed_takes_its_snapshots_in_a_pause_and_is_copied_after_it(world: World) -> None:
    sending = Sending()

    async def scenario(life: Life) -> str:
        await plan(life, "s0")
        await life.until("run", run_of("s0"), ["ARMED"])
        await life.control_plane.pause(life.caller("pause"), "all", "maintenance")
        await life.until("run", run_of("s0"), ["STAGING"])
        await life.clock.sleep_until(life.clock.monotonic_seconds() + 3_600)
        assert sending.order == []
        assert "maintenance" in next(iter(life.control_plane.live(run_of("s0"))["queued"].values()))
        await life.control_plane.resume(life.caller("resume"), "all", "done")
        return await life.until("run", run_of("s0"), ENDED)

    with toys(SendSnapshots=sending.send):
        assert world.live(scenario) == "COMPLETED"


def test_wrong_scopes_and_limits_are_refused_by_name_and_change_nothing(world: World) -> None:
    async def scenario(life: Life) -> None:
        plane = life.control_plane
        before = (await life.queries.list("Cluster", limit=10))[0].summary["limits"]
        for word, scope in enumerate(("", "everything", "cluster:", "pair:main")):
            with pytest.raises(InvalidInput, match="scope"):
                await plane.pause(life.caller(f"pause {word}"), scope, "why")
        for word, scope in enumerate(("cluster:west", "service:none")):
            with pytest.raises(NotFound):
                await plane.pause(life.caller(f"nothing {word}"), scope, "why")
        for field, number in (("agents", 0), ("workers", -1), ("megabytes_per_second", 0)):
            with pytest.raises(InvalidInput, match=field):
                await plane.change_limits(life.caller(f"limit {field}"), "north", {field: number})
        with pytest.raises(NotFound):
            await plane.change_limits(life.caller("limit"), "west", {"agents": 1})
        assert (await life.queries.list("Cluster", limit=10))[0].summary["limits"] == before

    with toys():
        world.live(scenario)
