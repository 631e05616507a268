"""Two control devices for the same clusters: at most one of them ever has effects, and the other one is told why.

The first one's clusters are compared entry by entry before and after the other one has tried.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.errors import Conflict
from domain.protection.backup_run.run import BackupRun
from domain.protection.backup_run.states import ENDED
from domain.protection.policy import BackupPolicy, Settings
from domain.values.data_set import DataSet
from infra.agent.core.ownership import CONTROLLER, parse_owner
from infra.workers.carrying import TakenOver
from tests.fakes.hdfs_namespace import walk
from tests.fakes.virtual_time import run_virtually
from tests.simulation.hadoop_pair import DIRECTORY, HadoopGateway, HadoopWorld, tree
from tests.simulation.world import Life, World

DATA_SETS = (DataSet("hdfs", DIRECTORY),)
Step = Callable[[Life], Awaitable[Any]]


def another(world: World, name: str, *, has_store: bool, has_gateways: bool = True) -> World:
    """Another control device for the same clusters, with a copy of the store as it is now, or with none.

    Without the same gateways it has hosts of its own, whose spools are empty.
    """
    directory = world.directory.parent / name
    directory.mkdir()
    other = World(directory, world.clusters, world.settings, world.clock)
    if has_gateways:
        other.gateways = world.gateways
    else:
        spools = {cluster: directory / f"spool-{cluster}" for cluster in world.clusters}
        other.gateways = {c: HadoopGateway(world.clock, spool, c, world.clusters) for c, spool in spools.items()}
    if has_store:
        for file in world.directory.glob("events.db*"):
            if file.suffix != ".lock":
                shutil.copy(file, directory / file.name)
    return other


async def enter(life: Life) -> None:
    """Two clusters."""
    for name in ("north", "south"):
        await life.control_plane.add_cluster(life.caller(f"add {name}"), name, life.world.endpoints(name))


async def form(life: Life) -> None:
    """The pair of the first control device."""
    await enter(life)
    await life.control_plane.create_pair(life.caller("pair"), "main", "north", "south")
    await life.until("pair", "main", ["STEADY"])
    await life.control_plane.add_service(life.caller("service"), "shop", "main", DATA_SETS)
    await life.control_plane.add_policy(life.caller("policy"), "nightly", "shop", Settings())


def run_of(word: str) -> UUID:
    """The run that was asked for in these words."""
    return BackupRun.identity_of_wish(BackupPolicy.identity("nightly"), Life.command_id(word))


def backup(word: str) -> Step:
    """Ask for a backup and wait for its end; returns state and code of failure."""

    async def step(life: Life) -> tuple[str, str | None]:
        await life.control_plane.backup(life.caller(word), "shop", policy=None, moment_ms=None, direction="push")
        state = await life.until("run", run_of(word), ENDED)
        if state == "COMPLETED":  # and nothing is owed any more
            while await life.queries.open_work():
                await life.queries.wait_for((await life.queries.head()).position + 1)
        summary = (await life.queries.get("BackupRun", run_of(word))).summary
        return state, (summary["failure"] or {}).get("code")

    return step


def picture(world: HadoopWorld) -> dict[str, Any]:
    """All that stands on both clusters, but for what is prepared and measured in passing."""
    told: dict[str, Any] = {}
    for name, hdfs in (("north", world.north), ("south", world.south)):
        for path, inode in walk(hdfs.root):
            if not path.startswith((".understudy/scratch", ".understudy/clock")):
                told[f"{name}:{path}"] = (
                    inode.mode,
                    None if inode.is_directory else inode.data(),
                    sorted(inode.snapshots or ()),
                )
    return told


def owner(world: HadoopWorld, cluster: str = "south") -> Any:
    """The record on a cluster."""
    place = {"north": world.north, "south": world.south}[cluster].find(CONTROLLER)
    assert place is not None
    (name,) = place.children or ()
    return parse_owner(name)


@pytest.fixture
def world(tmp_path: Path) -> HadoopWorld:
    """The first control device has a pair and one recovery point."""
    directory = tmp_path / "first"
    directory.mkdir()
    made = HadoopWorld(directory)
    made.live(form)
    assert made.live(backup("first")) == ("COMPLETED", None)
    return made


def beside(first: World, step: Callable[[], Any], works: bool) -> None:
    """Let something happen while the first control device is on, or off."""
    if not works:
        step()
        return

    async def both() -> None:
        done = asyncio.Event()
        life = asyncio.ensure_future(first._live(lambda life: done.wait(), 7 * 86_400))
        await asyncio.sleep(5)
        try:
            await step()
        finally:
            done.set()
            await life

    run_virtually(first.clock, both())


def tried(first: World, other: World, step: Step, works: bool) -> Any:
    """What a step of the other control device came to, while the first one is on, or off."""
    if not works:
        return other.live(step)
    answers: list[Any] = []

    async def alone() -> None:
        answers.append(await other._live(step, 7 * 86_400))

    beside(first, alone, works=True)
    return answers[0]


def check_first_goes_on(world: HadoopWorld) -> None:
    """The first control device works as before."""
    world.application.put(f"{DIRECTORY}/after", b"it goes on")
    assert world.live(backup("after")) == ("COMPLETED", None)
    assert tree(world.south, DIRECTORY) == tree(world.north, DIRECTORY)


@pytest.mark.parametrize("has_gateways", [True, False], ids=["its gateways", "new gateways"])
@pytest.mark.parametrize("works", [True, False], ids=["on", "off"])
def test_a_fresh_store_with_the_same_names_changes_nothing(world: HadoopWorld, works: bool, has_gateways: bool) -> None:
    other = another(world, "other", has_store=False, has_gateways=has_gateways)
    before = picture(world)

    async def create(life: Life) -> None:
        await enter(life)
        with pytest.raises(Conflict) as refused:
            await life.control_plane.create_pair(life.caller("pair"), "main", "north", "south")
        assert refused.value.code == "PAIR_OWNED"
        assert owner(world, "north").store in refused.value.message
        assert "first-device" in refused.value.message
        assert owner(world, "north").since in refused.value.message
        assert "take-over" in refused.value.remedy

    tried(world, other, create, works)
    for _ in range(5):  # its term grows beyond the first one's
        other.live(create)
    assert picture(world) == before
    check_first_goes_on(world)


@pytest.mark.parametrize("has_gateways", [True, False], ids=["its gateways", "new gateways"])
@pytest.mark.parametrize("works", [True, False], ids=["on", "off"])
def test_a_restored_backup_of_the_store_changes_nothing(world: HadoopWorld, works: bool, has_gateways: bool) -> None:
    other = another(world, "other", has_store=True, has_gateways=has_gateways)
    world.change()
    assert world.live(backup("second")) == ("COMPLETED", None)
    before = picture(world)
    assert tried(world, other, backup("wrong"), works) == ("FAILED", "OTHER_CONTROLLER")
    for number in range(5):
        assert other.live(backup(f"wrong {number}")) == ("FAILED", "OTHER_CONTROLLER")
    assert picture(world) == before
    check_first_goes_on(world)


@pytest.mark.parametrize("has_gateways", [True, False], ids=["its gateways", "new gateways"])
def test_a_forgotten_control_device_whose_store_was_moved_changes_nothing(
    world: HadoopWorld, has_gateways: bool
) -> None:
    """The copy goes on, because it knows everything; the old one is refused however often it starts."""
    moved = another(world, "moved", has_store=True, has_gateways=has_gateways)
    world.change()
    assert moved.live(backup("second")) == ("COMPLETED", None)
    before = picture(world)
    for number in range(5):
        assert world.live(backup(f"wrong {number}")) == ("FAILED", "OTHER_CONTROLLER")
    assert picture(world) == before
    assert moved.live(backup("third")) == ("COMPLETED", None)


def test_of_two_copies_at_work_one_stops(world: HadoopWorld) -> None:
    """The old one is on, with nothing to do, when the copy goes on in its place; then it is asked for something."""
    moved = another(world, "moved", has_store=True, has_gateways=False)
    answers: list[Any] = []

    async def both() -> None:
        begun, done = asyncio.Event(), asyncio.Event()

        async def forgotten(life: Life) -> None:
            await done.wait()
            answers.append(await backup("wrong")(life))

        async def new(life: Life) -> None:
            answers.append(await backup("second")(life))
            begun.set()
            await done.wait()

        old = asyncio.ensure_future(world._live(forgotten, 7 * 86_400))
        await asyncio.sleep(1)
        going = asyncio.ensure_future(moved._live(new, 7 * 86_400))
        await begun.wait()
        before = picture(world)
        done.set()
        await asyncio.gather(old, going)
        assert picture(world) == before

    run_virtually(world.clock, both())
    assert answers == [("COMPLETED", None), ("FAILED", "OTHER_CONTROLLER")]


def test_a_new_gateway_host_goes_on_and_refuses_the_old_control_device(world: HadoopWorld) -> None:
    old = another(world, "old", has_store=True, has_gateways=False)
    for cluster in world.clusters:
        world.gateways[cluster] = HadoopGateway(
            world.clock, world.directory / f"new-spool-{cluster}", cluster, world.clusters
        )
    old.gateways = world.gateways
    world.change()
    assert world.live(backup("second")) == ("COMPLETED", None)
    before = picture(world)
    assert old.live(backup("wrong")) == ("FAILED", "OTHER_CONTROLLER")
    assert picture(world) == before


def test_what_was_armed_goes_on_while_control_devices_come_and_go(world: HadoopWorld) -> None:
    """The agent that waits for the moment was let through by an earlier start, which the next ones know."""

    async def arm(life: Life) -> None:
        await life.control_plane.backup(life.caller("second"), "shop", policy=None, moment_ms=None, direction="push")
        await life.until("run", run_of("second"), ["ARMED"])

    async def other_work(life: Life) -> None:
        point = BackupRun.recovery_point_of(run_of("first"))
        await life.control_plane.open_recovery_point(life.caller("open"), point)
        await life.until("recovery-point", point, ["OPEN"])

    async def wait(life: Life) -> str:
        return await life.until("run", run_of("second"), ENDED)

    world.live(arm)
    world.live(other_work)
    assert world.live(wait) == "COMPLETED"


def believing(step: Step, records: dict[str, str]) -> Step:
    """A step of a control device that has read these records a while ago, and does not know that they are old."""

    async def late(life: Life) -> Any:
        life.equipment.standing._follows.update(records)
        return await step(life)

    return late


def records(world: HadoopWorld) -> dict[str, str]:
    """The records by cluster."""
    return {cluster: owner(world, cluster).name for cluster in world.clusters}


def ask(word: str) -> Step:
    """Ask for a backup, and leave after a while, whatever has become of it."""

    async def step(life: Life) -> None:
        await life.control_plane.backup(life.caller(word), "shop", policy=None, moment_ms=None, direction="push")
        await asyncio.sleep(20)

    return step


def highest_terms(world: HadoopWorld) -> dict[str, int]:
    """What each gateway's spool takes for the highest term of the pair."""
    told = {}
    for cluster, gateway in world.gateways.items():
        known = json.loads((Path(gateway.spool.root) / "epochs.json").read_text())
        told[cluster] = known[Life.pair_id().hex]["term"]
    return told


def test_a_copy_that_came_to_the_gateways_first_does_not_stop_the_rightful_one(world: HadoopWorld) -> None:
    """Its term is higher, and the gateways know it before the clusters refuse it: the clusters' records decide."""
    copy = another(world, "copy", has_store=True)
    stale = records(world)
    for _ in range(5):
        copy.live(lambda life: asyncio.sleep(0))
    world.change()
    assert world.live(backup("second")) == ("COMPLETED", None)
    own = highest_terms(world)
    before = picture(world)
    for number in range(2):
        copy.live(believing(ask(f"wrong {number}"), stale))
        raised = highest_terms(world)
        assert any(raised[cluster] > own[cluster] for cluster in raised), "it was there first"
        assert picture(world) == before
        world.application.put(f"{DIRECTORY}/after {number}", b"it goes on")
        assert world.live(backup(f"after {number}")) == ("COMPLETED", None)
        own, before = highest_terms(world), picture(world)
        assert any(raised[cluster] > own[cluster] for cluster in raised), "the clusters have decided"


def test_a_control_device_whose_term_is_over_stops_if_the_records_say_so(world: HadoopWorld) -> None:
    moved = another(world, "moved", has_store=True)
    stale = records(world)
    for _ in range(5):
        moved.live(lambda life: asyncio.sleep(0))
    world.change()
    assert moved.live(backup("second")) == ("COMPLETED", None)
    before = picture(world)
    with pytest.raises(TakenOver, match="another control device with a copy of this store, on host moved-device"):
        world.live(believing(backup("wrong"), stale))
    assert picture(world) == before


def test_a_refused_copy_with_open_work_raises_an_alarm_that_says_why(world: HadoopWorld) -> None:
    async def arm(life: Life) -> None:
        await life.control_plane.backup(life.caller("second"), "shop", policy=None, moment_ms=None, direction="push")
        await life.until("run", run_of("second"), ["ARMED"])

    async def stalled(life: Life) -> tuple[dict[str, Any], dict[str, Any]]:
        while "STALLED" not in (await life.queries.get("BackupRun", run_of("second"))).summary["alarms"]:
            await life.queries.wait_for((await life.queries.head()).position + 1)
        return await life.control_plane.run_page(run_of("second")), life.control_plane.refused()

    world.live(arm)
    copy = another(world, "copy", has_store=True, has_gateways=False)
    assert world.live(lambda life: life.until("run", run_of("second"), ENDED)) == "COMPLETED"
    assert world.live(backup("third")) == ("COMPLETED", None)
    before = picture(world)
    page, refused = copy.live(stalled, 2 * 86_400)
    (alarm,) = [one for one in page["alarms"] if one["code"] == "STALLED"]
    assert "OTHER_CONTROLLER" in alarm["message"]
    assert {one["code"] for one in refused.values()} == {"OTHER_CONTROLLER"}
    assert "first-device" in next(iter(refused.values()))["message"]
    assert picture(world) == before


def test_another_store_that_came_to_a_gateway_first_with_a_later_epoch_is_decided_by_the_clusters(
    world: HadoopWorld,
) -> None:
    """The gateways know its epoch before the clusters refuse it; the rightful control device goes on all the same."""
    for gateway in world.gateways.values():
        path = Path(gateway.spool.root) / "epochs.json"
        known = json.loads(path.read_text())
        own = known[Life.pair_id().hex]
        known[Life.pair_id().hex] = {"epoch": own["epoch"] + 1, "term": 1, "store": "f" * 32, "host": "stranger"}
        path.write_text(json.dumps(known))
    world.change()
    assert world.live(backup("second")) == ("COMPLETED", None)
    for gateway in world.gateways.values():
        known = json.loads((Path(gateway.spool.root) / "epochs.json").read_text())
        assert known[Life.pair_id().hex]["store"] != "f" * 32
