"""Manifests that are kept with recovery points: small where little has changed, exact, and there as long as needed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from infra.agent.core.components import remove_snapshots
from infra.agent.core.kept_manifests import Fetched, fetch_manifest, keep_manifest, sweep_layers
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import OperationFailed, SpoolRead
from infra.agent.core.seal import seal_recovery_point
from infra.agent.protocol import Instruction, canonical
from tests.fakes.executor import AgentKilled, FakeExecutor, Kill, run_procedure
from tests.fakes.hdfs import FakeHdfs
from tests.fakes.virtual_time import VirtualClock

LAYERS = "/.understudy/manifests/d1"
POINTS = "/.understudy/recovery-points"
ENTRIES = 400


class Cluster:
    """A secondary on which recovery points are sealed and removed."""

    def __init__(self, directory: Path) -> None:
        self.clock = VirtualClock()
        self.hdfs = FakeHdfs(self.clock)
        self.directory = directory
        self.manifests: dict[str, bytes] = {}
        self.hdfs.call("PUT", "MKDIRS", POINTS, {"permission": "700"})

    def carry_out(self, procedure: Procedure, kill: Kill | None = None) -> Any:
        executor = FakeExecutor(self.clock, self.directory / "spool", hdfs={"secondary": self.hdfs})
        try:
            return run_procedure(procedure, executor, kill)
        finally:
            executor.appender.abandon()

    def instruction(self, kind: str, point: str, **payload: Any) -> Instruction:
        site = {"cluster": "b", "namenodes": ["http://b"], "hbase": None}
        payload = {"sites": {"secondary": site}, "recovery_point": point, **payload}
        return Instruction(f"{kind}-{point}", kind, "pair", "b", 1, 1, f"run-{point}", "step", 1, 1 << 60, payload)

    def stage(self, point: str, entries: dict[str, int]) -> None:
        content = b"".join(canonical({"m": at, "p": path}) + b"\n" for path, at in sorted(entries.items()))
        self.hdfs.call("PUT", "MKDIRS", f"/.understudy/incoming/1/run-{point}/d1", {"permission": "700"})
        self.hdfs.write(f"/.understudy/incoming/1/run-{point}/d1/manifest", content)
        self.manifests[point] = content

    def seal(self, point: str, base: str | None, kill: Kill | None = None) -> None:
        copied = {"manifest_sha256": hashlib.sha256(self.manifests[point]).hexdigest(), "base": base}
        manifest = {"recovery_point": point, "data_sets": [{"id": "d1", "copied": copied}]}
        staging = f"/.understudy/incoming/1/run-{point}"
        wanted = self.instruction("SealRecoveryPoint", point, manifest=manifest, anchor={}, staging=staging)
        self.carry_out(seal_recovery_point(wanted, b""), kill)

    def remove(self, point: str, kill: Kill | None = None) -> None:
        wanted = self.instruction("RemoveSnapshots", point, data_sets=[], snapshot=point, staging=None)

        def removal() -> Procedure:
            yield from remove_snapshots(wanted, b"")
            yield from sweep_layers("secondary", ["d1"])

        self.carry_out(removal(), kill)

    def read(self, point: str) -> bytes | None:
        def reading() -> Procedure:
            fetched: Fetched | None = yield from fetch_manifest(point, {"id": "d1"}, "d1.read")
            return None if fetched is None else (fetched, (yield SpoolRead("d1.read", 0, 1 << 24)))

        found = self.carry_out(reading())
        if found is None:
            return None
        fetched, content = found
        assert (fetched.sha256, fetched.bytes) == (hashlib.sha256(content).hexdigest(), len(content))
        return content  # type: ignore[no-any-return]

    def layers(self) -> dict[str, int]:
        """The sizes of the layers that are there."""
        there = self.hdfs.find(LAYERS)
        if there is None:
            return {}
        return {name: len(self.hdfs.read(f"{LAYERS}/{name}")) for name in there.children or ()}

    def of(self, point: str) -> list[str]:
        """Which points have brought the layers of a manifest."""
        said = json.loads(self.hdfs.read(f"{POINTS}/{point}/d1.layers"))
        return [layer["name"].rpartition("-")[0] for layer in said["layers"]]


def entries(changed: int = 0) -> dict[str, int]:
    names = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(ENTRIES)]
    return {name: 1 if number < changed else 0 for number, name in enumerate(names)}


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    cluster = Cluster(tmp_path)
    for number, (point, base) in enumerate((("p1", None), ("p2", "p1"), ("p3", "p2"))):
        cluster.stage(point, entries(4 * number))
        cluster.seal(point, base)
    return cluster


def test_what_did_not_change_is_not_stored_again(cluster: Cluster) -> None:
    sizes = {name.rpartition("-")[0]: size for name, size in cluster.layers().items()}
    assert sizes.keys() == {"p1", "p2", "p3"}
    assert max(sizes["p2"], sizes["p3"]) < sizes["p1"] / 10
    assert cluster.of("p3") == ["p1", "p2", "p3"]
    for point, manifest in cluster.manifests.items():
        assert cluster.read(point) == manifest


@pytest.mark.parametrize("order", ["p1 p2 p3", "p3 p2 p1", "p2 p1 p3"])
def test_no_point_depends_on_one_that_is_removed(cluster: Cluster, order: str) -> None:
    left = dict(cluster.manifests)
    for point in order.split():
        cluster.remove(point)
        del left[point]
        assert {name: cluster.read(name) for name in left} == left
        needed = {layer for name in left for layer in cluster.of(name)}
        assert {name.rpartition("-")[0] for name in cluster.layers()} == needed


@pytest.mark.parametrize("when", ["before", "after", "torn"])
def test_wherever_an_agent_dies_while_it_removes(tmp_path: Path, when: Any) -> None:
    for number in range(1, 60):
        cluster = Cluster(tmp_path / str(number))
        for point, base in (("p1", None), ("p2", "p1"), ("p3", "p1")):
            cluster.stage(point, entries(len(cluster.manifests)))
            cluster.seal(point, base)
        try:
            cluster.remove("p2", Kill(number, when, in_flight_lands=True))
        except AgentKilled:
            assert cluster.read("p3") == cluster.manifests["p3"]
            cluster.remove("p2")
        else:
            assert number > 5
            return
        assert {name.rpartition("-")[0] for name in cluster.layers()} == {"p1", "p3"}
        assert cluster.read("p1") == cluster.manifests["p1"]
        assert cluster.read("p3") == cluster.manifests["p3"]
    raise AssertionError("it never came to its end")


def test_another_removal_at_any_point_of_a_sealing_takes_nothing_that_it_needs(tmp_path: Path) -> None:
    """The base's own base goes while a new point is sealed upon the base, and the sealing ends for good half-way."""
    for number in range(1, 60):
        cluster = Cluster(tmp_path / str(number))
        for point, base in (("p1", None), ("p2", "p1")):
            cluster.stage(point, entries(len(cluster.manifests)))
            cluster.seal(point, base)
        cluster.stage("p3", entries(9))
        try:
            cluster.seal("p3", "p2", Kill(number, "after"))
        except AgentKilled:
            before = cluster.layers()
            cluster.remove("p1")
            assert cluster.layers() == before, "all of it is in the list of the base or of what is prepared"
            cluster.seal("p3", "p2")
            assert cluster.read("p3") == cluster.manifests["p3"]
            cluster.remove("p3")
            assert {name.rpartition("-")[0] for name in cluster.layers()} == {"p1", "p2"}
        else:
            assert number > 10
            return
    raise AssertionError("it never came to its end")


def test_an_aborted_sealing_leaves_no_layer(cluster: Cluster) -> None:
    for number in range(1, 30):
        cluster.stage("p4", entries(20))
        with pytest.raises(AgentKilled):
            cluster.seal("p4", "p3", Kill(number, "after"))
        cluster.remove("p4")
        assert {name.rpartition("-")[0] for name in cluster.layers()} == {"p1", "p2", "p3"}
        if number > 18:
            return


def test_a_recovery_point_from_before_is_read_and_a_whole_layer_made_upon_it(cluster: Cluster) -> None:
    cluster.hdfs.call("PUT", "MKDIRS", f"{POINTS}/old", {"permission": "700"})
    cluster.hdfs.write(f"{POINTS}/old/d1.manifest", cluster.manifests["p1"])
    assert cluster.read("old") == cluster.manifests["p1"]
    cluster.stage("p4", entries(20))
    cluster.seal("p4", "old")
    assert cluster.of("p4") == ["p4"]
    assert cluster.read("p4") == cluster.manifests["p4"]


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"layers":[],"sha256":"x"}', b'{"layers":[{"bytes":1,"name":"../x"}],"sha256":"x"}']
)
def test_a_list_that_is_none_gives_no_manifest_and_lets_nothing_be_swept(cluster: Cluster, content: bytes) -> None:
    cluster.hdfs.write(f"{POINTS}/p3/d1.layers", content)
    before = cluster.layers()
    assert cluster.read("p3") is None
    cluster.remove("p1")
    assert cluster.layers() == before


@pytest.mark.parametrize("harm", ["gone", "altered"])
def test_damaged_layers_give_no_manifest_and_nothing_is_built_on_them(cluster: Cluster, harm: str) -> None:
    name = next(name for name in cluster.layers() if name.startswith("p2"))
    if harm == "gone":
        cluster.hdfs.call("DELETE", "DELETE", f"{LAYERS}/{name}", {})
    else:
        cluster.hdfs.write(f"{LAYERS}/{name}", cluster.hdfs.read(f"{LAYERS}/{name}")[:-3])
    assert cluster.read("p3") is None
    assert cluster.read("p1") == cluster.manifests["p1"]
    cluster.stage("p4", entries(20))
    cluster.seal("p4", "p3")
    assert cluster.of("p4") == ["p4"]


def test_a_staged_manifest_that_is_not_the_verified_one_is_not_sealed(cluster: Cluster) -> None:
    cluster.stage("p4", entries(20))
    copied = {"manifest_sha256": "0" * 64, "base": "p3"}
    staged = "/.understudy/incoming/1/run-p4/d1/manifest"
    with pytest.raises(OperationFailed, match="SEAL_DIFFERS"):
        cluster.carry_out(keep_manifest("secondary", "p4", {"id": "d1", "copied": copied}, staged, "/.understudy/x"))
