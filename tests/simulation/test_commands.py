"""The control plane's commands: what they refuse, and that repeating one gives the first answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.errors import Conflict, InvalidInput, NotFound, Refused, Unavailable, UnderstudyError
from domain.pair.cluster import Cluster
from domain.protection.backup_run.states import ENDED
from domain.protection.lead import Preparation, soonest_ms
from domain.protection.policy import Settings
from domain.values.data_set import DataSet
from infra.control_plane.checking import PLACES
from tests.simulation.doing import failing, plan, prepare
from tests.simulation.story import DATA_SETS, point_id, run_id
from tests.simulation.test_story import toy_world
from tests.simulation.toy import toys
from tests.simulation.world import Life, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world with a pair, a service and a policy."""
    world = toy_world(tmp_path)
    prepare(world)
    return world


async def refused(call: Awaitable[object], code: str, kind: type[UnderstudyError] = Refused) -> UnderstudyError:
    with pytest.raises(kind) as refusal:
        await call
    assert refusal.value.code == code
    return refusal.value


def test_a_repeated_command_changes_nothing(world: World) -> None:
    async def scenario(life: Life) -> None:
        plane = life.control_plane
        assert await plan(life, "first") == await plan(life, "first") == run_id("first")
        position = (await life.queries.head()).position
        for name in ("north", "south"):
            await plane.add_cluster(life.caller(f"add {name}"), name, world.endpoints(name))
        await plane.create_pair(life.caller("pair"), "main", "north", "south")
        await plane.add_service(life.caller("service"), "shop", "main", DATA_SETS)
        await plane.add_policy(life.caller("policy"), "nightly", "shop", Settings())
        assert (await life.queries.head()).position == position
        # The same wishes under new ids change nothing either.
        await plane.add_cluster(life.caller("again 1"), "north", world.endpoints("north"))
        await plane.create_pair(life.caller("again 2"), "main", "north", "south")
        await plane.add_service(life.caller("again 3"), "shop", "main", DATA_SETS)
        await plane.add_policy(life.caller("again 4"), "nightly", "shop", Settings())
        assert len(await life.queries.history(Cluster.identity("north"))) == 2
        assert len(await life.queries.list("BackupRun")) == 1

    with toys():
        world.live(scenario)


def test_what_does_not_exist_is_named(world: World) -> None:
    async def scenario(life: Life) -> None:
        plane = life.control_plane
        unknown = uuid4()
        calls: list[tuple[Awaitable[Any], str]] = [
            (plane.create_pair(life.caller("1"), "other", "north", "nowhere"), "'nowhere'"),
            (plane.add_service(life.caller("2"), "other", "nopair", DATA_SETS), "'nopair'"),
            (plane.add_policy(life.caller("3"), "other", "noservice", Settings()), "'noservice'"),
            (plane.backup(life.caller("4"), "noservice", policy=None, moment_ms=None, direction=None), "'noservice'"),
            (plane.backup(life.caller("5"), "shop", policy="none", moment_ms=None, direction=None), "'none'"),
            (plane.cancel_run(life.caller("6"), unknown, "no"), str(unknown)),
            (plane.confirm_run(life.caller("7"), unknown), str(unknown)),
            (plane.open_recovery_point(life.caller("8"), unknown), str(unknown)),
            (plane.run_page(unknown), str(unknown)),
            (plane.check_cluster(life.caller("9"), "nowhere"), "'nowhere'"),
        ]
        for call, name in calls:
            assert name in (await refused(call, "NOT_FOUND", NotFound)).message
        assert plane.live(unknown) == {
            "copies": {},
            "gateways": {},
            "agents": {},
            "waiting_for": "",
            "waiting_since_ms": None,
            "allowed": {},
            "queued": {},
            "paused": {},
        }

    with toys():
        world.live(scenario)


def test_names_belong_to_what_has_them(world: World) -> None:
    async def scenario(life: Life) -> None:
        plane = life.control_plane
        await plane.add_cluster(life.caller("third"), "third", world.endpoints("north"))
        await refused(plane.create_pair(life.caller("1"), "main", "south", "north"), "NAME_TAKEN", Conflict)
        await refused(plane.create_pair(life.caller("2"), "other", "north", "third"), "IN_ANOTHER_PAIR", Conflict)
        await refused(plane.create_pair(life.caller("3"), "other", "north", "north"), "SAME_CLUSTER")
        await refused(
            plane.add_service(life.caller("4"), "two", "main", (DataSet("hdfs", "/orders/new"),)), "OVERLAP", Conflict
        )
        await plane.add_service(life.caller("5"), "two", "main", (DataSet("hdfs", "/two"),))
        await refused(plane.add_policy(life.caller("6"), "nightly", "two", Settings()), "NAME_TAKEN", Conflict)
        await refused(plane.add_policy(life.caller("7"), "b d", "two", Settings()), "INVALID_INPUT", InvalidInput)
        assert len(await life.queries.list("ClusterPair")) == 1
        assert [entry.name for entry in await life.queries.list("Service")] == ["shop", "two"]

    with toys():
        world.live(scenario)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("hdfs", "/a"), ("hdfs", "/a")),
        (("hdfs", "/a"), ("hdfs", "/a/b")),
        (("hdfs", "/a*/x"), ("hdfs", "/ab")),
        (("hbase", "t"), ("hbase", "default:t")),
        (("hbase", "ns:t*"), ("hbase", "ns:tab")),
    ],
)
def test_of_two_services_with_the_same_data_that_are_entered_at_once_one_is_refused(
    world: World, first: tuple[str, str], second: tuple[str, str]
) -> None:
    async def scenario(life: Life) -> None:
        entering = [
            life.control_plane.add_service(life.caller(name), name, "main", (DataSet.parse(*data_set),))
            for name, data_set in (("one", first), ("two", second))
        ]
        answers = await asyncio.gather(*entering, return_exceptions=True)
        (refusal,) = [answer for answer in answers if isinstance(answer, Exception)]
        assert isinstance(refusal, Conflict)
        assert refusal.code == "OVERLAP"
        assert len(await life.queries.list("Service")) == 2, "the shop's and one of them"

    with toys():
        world.live(scenario)


@pytest.mark.parametrize("path", ["/apps/hbase", "/apps/hbase/data/default", "/apps", "/a*/h*", "/apps/hbase/archive"])
def test_hbases_own_files_are_no_data_set(world: World, path: str) -> None:
    async def scenario(life: Life) -> None:
        plane = life.control_plane
        endpoints = world.endpoints("south")
        assert endpoints.hbase is not None
        elsewhere = replace(endpoints, hbase=replace(endpoints.hbase, root="/apps/hbase"))
        await plane.add_cluster(life.caller("elsewhere"), "south", elsewhere)
        call = plane.add_service(life.caller("service"), "two", "main", (DataSet("hdfs", path),))
        error: Any = await refused(call, "HBASE_DIRECTORY", InvalidInput)
        assert "south" in error.message
        assert "--hbase" in error.remedy
        await plane.add_service(life.caller("beside"), "two", "main", (DataSet("hdfs", "/apps2/hbase"),))
        inside = replace(endpoints, hbase=replace(endpoints.hbase, root="/apps2/hbase/root"))
        error = await refused(
            plane.add_cluster(life.caller("inside"), "south", inside), "HBASE_DIRECTORY", InvalidInput
        )
        assert error.field == "hbase.root"

    with toys():
        world.live(scenario)


def test_nothing_is_taken_out_of_a_service_while_a_run_of_it_is_not_over(world: World) -> None:
    more = (*DATA_SETS, DataSet("hdfs", "/more"))

    async def scenario(life: Life) -> None:
        plane = life.control_plane
        await plan(life, "first")
        error = await refused(plane.add_service(life.caller("1"), "shop", "main", DATA_SETS[:1]), "RUN_OPEN", Conflict)
        assert str(run_id("first")) in error.message
        await plane.add_service(life.caller("2"), "shop", "main", more)
        await life.until("run", run_id("first"), ENDED)
        await plane.add_service(life.caller("3"), "shop", "main", DATA_SETS[:1])

    with toys():
        world.live(scenario)


def test_a_service_changes_its_data_sets_with_its_claims(world: World) -> None:
    async def scenario(life: Life) -> None:
        plane = life.control_plane
        await plane.add_service(life.caller("fewer"), "shop", "main", DATA_SETS[:1])
        await plane.add_service(life.caller("two"), "two", "main", DATA_SETS[1:])
        claims = (await life.queries.get("ClusterPair", "main")).summary["claims"]
        assert [len(claim["data_sets"]) for claim in claims] == [1, 2]
        await plane.add_policy(life.caller("more"), "nightly", "shop", Settings(keep_last=3))
        assert (await life.queries.get("BackupPolicy", "nightly")).summary["revision"] == 2

    with toys():
        world.live(scenario)


def test_what_a_backup_needs(world: World) -> None:
    async def scenario(life: Life) -> None:
        plane = life.control_plane
        now_ms = int(world.clock.now_ms)
        await refused(plan(life, "past", moment_ms=now_ms), "MOMENT_PAST")
        await refused(plan(life, "far", moment_ms=now_ms + 32 * 86_400_000), "MOMENT_FAR")
        await plane.add_service(life.caller("two"), "two", "main", (DataSet("hdfs", "/two"),))
        call = plane.backup(life.caller("none"), "two", policy=None, moment_ms=None, direction=None)
        await refused(call, "NO_POLICY")
        call = plane.backup(life.caller("other"), "two", policy="nightly", moment_ms=None, direction=None)
        await refused(call, "OTHER_SERVICE")
        await plane.add_policy(life.caller("hourly"), "hourly", "shop", Settings(direction="pull"))
        await refused(plan(life, "which"), "AMBIGUOUS")
        await refused(plan(life, "sideways", policy="hourly", direction="up"), "INVALID_INPUT")
        run = await plan(life, "hourly", policy="hourly", moment_ms=now_ms + 60_000)
        await life.until("run", run, ENDED)
        page = await plane.run_page(run)
        assert (page["state"], page["direction"], page["moment_ms"]) == ("COMPLETED", "pull", now_ms + 60_000)
        assert [one["state"] for one in page["durations"]] == [
            "PLANNED", "CHECKING", "ARMED", "SNAPSHOTTED", "STAGING", "APPLYING",
            "FREEZING", "VERIFYING", "SEALING", "COMPLETED",
        ]  # fmt: skip
        assert page["durations"][-1]["seconds"] is None
        assert all(one["seconds"] >= 0 for one in page["durations"][:-1])
        assert page["totals"]["files"] == 3
        assert page["consistency"]["verdict"] == "CONSISTENT"

    with toys():
        world.live(scenario)


def test_a_backup_before_the_markers_stand_is_refused(tmp_path: Path) -> None:
    world = toy_world(tmp_path)

    async def scenario(life: Life) -> None:
        plane = life.control_plane
        for name in ("north", "south"):
            await plane.add_cluster(life.caller(f"add {name}"), name, world.endpoints(name))
        await plane.create_pair(life.caller("pair"), "main", "north", "south")
        await plane.add_service(life.caller("service"), "shop", "main", DATA_SETS)
        await plane.add_policy(life.caller("policy"), "nightly", "shop", Settings())
        await refused(plan(life, "early"), "NO_SUCH_IDENTITY")

    with toys():
        world.live(scenario)


def test_the_head_stays_and_what_is_gone_stays_gone(world: World) -> None:
    async def scenario(life: Life) -> None:
        plane = life.control_plane
        for word in ("first", "second"):
            await plan(life, word)
            await life.until("run", run_id(word), ENDED)
        first, second = point_id("first"), point_id("second")
        await refused(plane.expire_recovery_point(life.caller("head"), second, "no"), "IS_BASE", Conflict)
        await refused(plane.close_recovery_point(life.caller("close"), first), "NOT_IN_STATE")
        await plane.expire_recovery_point(life.caller("expire"), first, "not wanted")
        await refused(plane.open_recovery_point(life.caller("open"), first), "NOT_AVAILABLE")
        await refused(plane.expire_recovery_point(life.caller("again"), first, "no"), "NOT_AVAILABLE")
        await life.until("recovery-point", first, ["EXPIRED"])
        assert (await life.queries.get("RecoveryPoint", first)).summary["expiry_reason"] == "not wanted"
        await refused(plane.cancel_run(life.caller("cancel"), run_id("first"), "late"), "NOT_IN_STATE")

    with toys():
        world.live(scenario)


def test_a_cluster_is_looked_at_before_and_after_it_is_in_a_pair(tmp_path: Path) -> None:
    world = toy_world(tmp_path)

    async def alone(life: Life) -> None:
        await life.control_plane.add_cluster(life.caller("north"), "north", world.endpoints("north"))
        of_a_command = life.caller("north")
        facts = await life.control_plane.check_cluster(of_a_command, "north")
        assert (facts["marker"], facts["controller_clock"]["offset_ms"]) == (None, -40.0)

    async def paired(life: Life) -> None:
        facts = await life.control_plane.check_cluster(life.caller("look"), "south")
        assert facts["marker"]["identity"] == "SECONDARY"
        assert len(facts["data_sets"]) == 3

    world.gateways["north"].shift_ms = 40.0
    with toys():
        world.live(alone)
    prepare(world)
    with toys():
        world.live(paired)
    assert not any(isinstance(event, Cluster.EndpointsChanged) for event in world.events()[Cluster.identity("north")])


def test_looking_at_a_cluster_leaves_little_behind_and_says_what_went_wrong(world: World) -> None:
    async def scenario(life: Life) -> None:
        check = life.control_plane.check_cluster
        await check(life.caller("the first of this control device looks whose the cluster is"), "north")
        await life.clock.sleep_until(life.clock.monotonic_seconds() + 200)
        before = -1 + len(list(world.gateways["north"].spool.entries()))
        for number in range(PLACES):
            await check(life.caller(f"look {number}"), "north")
        await refused(check(life.caller("one more"), "north"), "TOO_MANY_CHECKS")
        await life.clock.sleep_until(life.clock.monotonic_seconds() + 200)
        await check(life.caller("later"), "north")
        assert len(list(world.gateways["north"].spool.entries())) == before + 1
        world.gateways["north"].cut_off = Unavailable("GATEWAY_REFUSED", "nobody listens")
        await refused(check(life.caller("cut off"), "north"), "GATEWAY_REFUSED", Unavailable)
        world.gateways["north"].cut_off = None

    async def failed(life: Life) -> None:
        await refused(life.control_plane.check_cluster(life.caller("broken"), "south"), "NO_RIGHT")

    with toys():
        world.live(scenario)
    with toys(CheckCluster=failing("NO_RIGHT")):
        world.live(failed)
    assert UUID(int=0) not in world.events()


def test_the_soonest_moment_lies_as_little_ahead_as_the_newest_runs_needed(world: World) -> None:
    async def scenario(life: Life) -> None:
        leads = []
        for word in ("first", "second", "third"):
            planned_ms = int(life.clock.now().timestamp() * 1000)
            run = await plan(life, word, is_soonest=True)
            leads.append((await life.queries.get("BackupRun", run)).summary["moment_ms"] - planned_ms)
            assert await life.until("run", run, ENDED) == "COMPLETED"
        runs = await life.queries.list("BackupRun")
        needed = [Preparation(lead, run.summary["armed_after_ms"]) for lead, run in zip(leads, runs, strict=True)]
        assert leads == [soonest_ms(needed[:number]) for number in range(3)]
        assert leads[2] < leads[0]

    with toys():
        world.live(scenario)


def test_a_key_of_another_command_is_refused_also_after_a_restart(world: World) -> None:
    async def first(life: Life) -> None:
        plane = life.control_plane
        caller = replace(life.caller("key"), digest="ann, a backup now")
        run = await plane.backup(caller, "shop", policy=None, moment_ms=None, direction=None)
        assert await plane.backup(caller, "shop", policy=None, moment_ms=None, direction=None) == run

    async def second(life: Life) -> None:
        plane = life.control_plane
        position = (await life.queries.head()).position
        for digest in ("ann, a backup at noon", "bob, a backup now", "ann, another service"):
            caller = replace(life.caller("key"), digest=digest)
            for call in (
                plane.backup(caller, "shop", policy=None, moment_ms=None, direction=None),
                plane.add_service(caller, "other", "main", (DataSet("hdfs", "/other"),)),
                plane.add_cluster(caller, "third", world.endpoints("north")),
            ):
                refusal = await refused(call, "IDEMPOTENCY_KEY_REUSED", InvalidInput)
                assert refusal.field == "Idempotency-Key"
        assert len(await life.queries.list("BackupRun")) == 1
        assert [entry.name for entry in await life.queries.list("Service")] == ["shop"]
        caller = replace(life.caller("key"), digest="ann, a backup now")
        run = await plane.backup(caller, "shop", policy=None, moment_ms=None, direction=None)
        assert [entry.id for entry in await life.queries.list("BackupRun")] == [run]
        assert (await life.queries.head()).position > position, "who tried it is in the history"

    with toys():
        world.live(first)
        world.live(second)


def test_a_key_that_led_to_nothing_stands_for_nothing(world: World) -> None:
    async def scenario(life: Life) -> None:
        plane = life.control_plane
        caller = replace(life.caller("key"), digest="for a policy that is not there")
        await refused(plane.backup(caller, "shop", policy="none", moment_ms=1, direction=None), "NOT_FOUND", NotFound)
        await refused(plane.backup(caller, "shop", policy=None, moment_ms=1, direction=None), "MOMENT_PAST")
        await plane.backup(replace(caller, digest="the right one"), "shop", policy=None, moment_ms=None, direction=None)
        assert len(await life.queries.list("BackupRun")) == 1

    with toys():
        world.live(scenario)


def test_a_command_from_before_keys_were_kept_still_has_its_answer(world: World) -> None:
    async def scenario(life: Life) -> None:
        run = await plan(life, "first")
        caller = replace(life.caller("first"), digest="what it stands for")
        again = await life.control_plane.backup(caller, "shop", policy=None, moment_ms=None, direction=None)
        assert again == run
        assert len(await life.queries.list("BackupRun")) == 1

    with toys():
        world.live(scenario)


def test_runs_beyond_the_limit_are_refused_however_many_are_asked_for_at_once(world: World) -> None:
    async def scenario(life: Life) -> None:
        most = world.settings.runs_per_service
        far_ms = int(world.clock.now_ms) + 86_400_000
        asked = [
            life.control_plane.backup(life.caller(f"{number}"), "shop", policy=None, moment_ms=far_ms, direction=None)
            for number in range(3 * most)
        ]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        refusals = [answer for answer in answers if isinstance(answer, Refused)]
        assert {refusal.code for refusal in refusals} == {"TOO_MANY_RUNS"}
        assert len(answers) - len(refusals) == len(await life.queries.list("BackupRun", limit=1_000)) == most
        (first, *_) = [answer for answer in answers if isinstance(answer, UUID)]
        await life.control_plane.cancel_run(life.caller("cancel"), first, "enough")
        await life.until("run", first, ENDED)
        await plan(life, "one more")
        await refused(plan(life, "too many"), "TOO_MANY_RUNS")

    with toys():
        world.live(scenario)
