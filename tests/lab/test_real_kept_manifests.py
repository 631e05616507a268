"""Manifests that are kept in layers, on a real cluster: small where little has changed, exact, swept when of no use."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from infra.agent.core import hdfs
from infra.agent.core.kept_manifests import MANIFESTS, fetch_manifest, keep_manifest, sweep_layers
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import SpoolRead, WriteFile
from infra.agent.core.work import RECOVERY_POINTS, SCRATCH
from infra.agent.protocol import canonical
from scripts.labkit.cluster import Cluster
from tests.lab.hdfs_pair import RealPair

pytestmark = pytest.mark.lab
OWN = "kept-in-layers"
ENTRIES = 2_000


def manifest(changed: int) -> bytes:
    """A manifest of which the first entries have changed."""
    names = (hashlib.sha256(b"%d" % number).hexdigest() for number in range(ENTRIES))
    lines = ({"c": name if at >= changed else name[::-1], "p": f"f{at:05}"} for at, name in enumerate(names))
    return b"".join(canonical(line) + b"\n" for line in lines)


def seal(point: str, base: str | None, content: bytes) -> Procedure:
    staged, prepared = f"{SCRATCH}/{point}-staged", f"{SCRATCH}/{point}-seal"
    for directory in (prepared, RECOVERY_POINTS):
        yield from hdfs.make_directory("secondary", directory, "700")
    yield WriteFile("secondary", staged, content)
    copied = {"base": base, "manifest_sha256": hashlib.sha256(content).hexdigest()}
    yield from keep_manifest("secondary", point, {"id": OWN, "copied": copied}, staged, prepared)
    yield from hdfs.rename("secondary", prepared, f"{RECOVERY_POINTS}/{point}")
    yield from hdfs.delete("secondary", staged)


def remove(point: str) -> Procedure:
    yield from hdfs.delete("secondary", f"{RECOVERY_POINTS}/{point}")
    yield from sweep_layers("secondary", [OWN])


def read(point: str) -> Procedure:
    fetched = yield from fetch_manifest(point, {"id": OWN}, "read")
    content = yield SpoolRead("read", 0, 1 << 24)
    assert fetched.sha256 == hashlib.sha256(content).hexdigest()
    return content


def sizes(pair: RealPair) -> dict[str, int]:
    found: list[dict[str, Any]] = pair.ask(hdfs.list_directory("secondary", f"{MANIFESTS}/{OWN}"))
    return {one["pathSuffix"].rpartition("-")[0]: one["length"] for one in found}


def test_manifests_in_layers(cluster_a: Cluster, cluster_b: Cluster, tmp_path: Path) -> None:
    pair = RealPair(cluster_a, cluster_b, "/data/kept-in-layers", tmp_path)
    pair.set_up()
    first, second = manifest(0), manifest(ENTRIES // 100)
    pair.ask(seal("kept-1", None, first))
    pair.ask(seal("kept-2", "kept-1", second))
    assert sizes(pair)["kept-2"] < len(second) / 50
    assert pair.ask(read("kept-1")) == first
    assert pair.ask(read("kept-2")) == second
    pair.ask(remove("kept-1"))
    assert pair.ask(read("kept-2")) == second
    pair.ask(remove("kept-2"))
    assert sizes(pair) == {}
