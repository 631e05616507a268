"""The story on toy clusters, where it can be said what must happen exactly once; see also test_hadoop_story."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from domain.errors import Unavailable
from domain.protection.policy import Settings
from domain.stateful import Stateful
from infra.replay import check_history
from infra.settings import WorkerSettings
from infra.store.codec import EventCodec
from infra.store.folding import fold
from infra.store.snapshot_codec import SnapshotCodec
from infra.summaries import KINDS
from tests.fakes.executor import Kill
from tests.fakes.gateway import FakeCluster
from tests.simulation.story import Story, run_id
from tests.simulation.toy import TOYS, ToyCluster, toys
from tests.simulation.world import World

NAMES = ("/orders", "shop:accounts", "shop:carts")


def toy_world(directory: Path) -> World:
    north = ToyCluster({name: f"{name} 1" for name in NAMES})
    clusters = {"north": FakeCluster(north), "south": FakeCluster(ToyCluster())}
    return World(directory, clusters, WorkerSettings(longest_retry_seconds=2.0))


def story(world: World, **settings: Any) -> Story:
    def change() -> None:
        for name in NAMES:
            world.clusters["north"].hdfs.values[f"/data/{name}"] = f"{name} 2"

    return Story(Settings(keep_last=1, **settings), between=change)


def check_the_end(world: World) -> None:
    """The contents, the states, and what must have happened exactly once."""
    north, south = world.clusters["north"].hdfs, world.clusters["south"].hdfs
    second = f"-{run_id('second').hex[:12]}"
    expected = {f"/snapshots{name}": f"{name} 2" for name in NAMES}
    assert _snapshots(north) == _snapshots(south) == {f"{name}{second}": value for name, value in expected.items()}
    assert {name: south.values[f"/data/{name}"] for name in NAMES} == {name: f"{name} 2" for name in NAMES}
    for cluster in (north, south):
        left = [path.split("/")[1] for path in cluster.values if not path.startswith(("/snapshots", "/data"))]
        assert sorted(left) == ["marker", "recovery-points"], "no staging, no scratch copy, no expired recovery point"
    for cluster in (north, south):
        assert [path for path, count in cluster.created.items() if count > 1] == []
    check_histories(world)


def _snapshots(cluster: ToyCluster) -> dict[str, Any]:
    """Snapshots by data set and run; the time in their names depends on how long crashes took."""
    found = {path: value for path, value in cluster.values.items() if path.startswith("/snapshots")}
    return {path.partition("@")[0] + path[path.rindex("-") :]: value for path, value in found.items()}


def check_snapshot(aggregate: Stateful, events: list[Stateful.Event]) -> None:
    """A snapshot at any version, with the events after it, is what all events make."""
    codec = SnapshotCodec(EventCodec(KINDS.values()))
    whole = codec.encode(aggregate)
    for version in range(1, len(events) + 1):
        earlier = fold(None, events[:version])
        assert earlier is not None
        again = codec.decode(codec.encode(earlier))
        assert codec.encode(again) == codec.encode(earlier)
        assert codec.encode(cast("Stateful", fold(again, events[version:]))) == whole


def check_histories(world: World) -> None:
    """Everything is at rest, and today's code asks for what was sent, in every history."""
    states: dict[str, list[str]] = {}
    for events in world.events().values():
        assert check_history(events) == []
        aggregate = fold(None, events)
        assert isinstance(aggregate, Stateful)
        check_snapshot(aggregate, list(events))
        states.setdefault(type(aggregate).__name__, []).append(aggregate.state)
    assert {kind: sorted(found) for kind, found in states.items()} == {
        "BackupPolicy": ["ACTIVE"],
        "BackupRun": ["COMPLETED", "COMPLETED"],
        "Cluster": ["ACTIVE", "ACTIVE"],
        "ClusterPair": ["STEADY"],
        "ControlDevice": ["ACTIVE"],
        "RecoveryPoint": ["AVAILABLE", "EXPIRED"],
        "Replica": ["CLEAN"],
        "Service": ["ACTIVE"],
    }


def test_it_comes_to_its_end(tmp_path: Path) -> None:
    world = toy_world(tmp_path)
    with toys():
        story(world).tell(world)
    assert world.lives == 1
    check_the_end(world)


@pytest.mark.parametrize("position", range(4, 100, 19))
def test_the_control_device_crashes_once(tmp_path: Path, position: int) -> None:
    world = toy_world(tmp_path)
    with toys():
        story(world).tell(world, crash_after=lambda newest: position if newest < position else None)
    check_the_end(world)


def test_agents_die_at_every_operation_in_turn(tmp_path: Path) -> None:
    world = toy_world(tmp_path)
    for gateway in world.gateways.values():
        for kind in TOYS:
            for operation in range(1, 8):
                gateway.kill_agent_of(kind, Kill(operation, "after", in_flight_lands=True))
    with toys():
        # The next agent may still fire when one dies around the moment itself.
        story(world, lead_seconds=900, fire_tolerance_ms=60_000).tell(world)
    check_the_end(world)


def test_a_gateway_that_is_cut_off_is_waited_for(tmp_path: Path) -> None:
    world = toy_world(tmp_path)
    south = world.gateways["south"]

    def cut() -> None:
        south.cut_off = Unavailable("GATEWAY_UNREACHABLE", "the cable is out")
        world.clock.call_at(world.clock.now_ms + 7_200_000, mend)

    def mend() -> None:
        south.cut_off = None

    with toys():
        plot = story(world)
        backup = plot.first_backup

        async def with_a_cut(life: Any) -> None:
            # Between the moment and the end of the first copies.
            world.clock.call_at(world.clock.now_ms + 21_000, cut)
            await backup(life)

        plot.steps[plot.steps.index(backup)] = with_a_cut
        plot.tell(world)
    check_the_end(world)
