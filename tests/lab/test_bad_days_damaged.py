"""Bad days of the data themselves: blocks that rot, files that never close, owners that are wrong."""

from __future__ import annotations

import functools
import hashlib
import json
import secrets
import zlib
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hdfs import InsecureClient

from scripts.labkit.cluster import Cluster
from tests.lab.breaking import damage, left_by
from tests.lab.data import OpenFile, fill, read_tree
from tests.lab.product import Product

UniqueName = Callable[[str], str]
BLOCK = 1 << 20
FILES = {f"d{number % 3}/f{number}": secrets.token_bytes(20_000) for number in range(12)}


def frozen(cluster: Cluster, directory: str, page: dict[str, Any]) -> dict[str, bytes]:
    """What the recovery point of a run holds of a directory."""
    return read_tree(cluster, f"{directory}/.snapshot/{page['snapshot']}")


def points_of(product: Product, service: str) -> list[str]:
    """The states of a service's recovery points, the oldest first."""
    points = product.ask("recovery-points", "--service", service)["items"]
    return [point["state"] for point in sorted(points, key=lambda point: point["summary"]["moment_ms"])]


@pytest.mark.by_hand
def test_a_damaged_block_on_the_primary_fails_the_whole_run_and_leaves_nothing(
    product: Product, cluster_a: Cluster, cluster_b: Cluster, unique_name: UniqueName
) -> None:
    """It is found while copying. The other data set's copy goes too, and the next run builds on the last good one."""
    name = unique_name("rotten")
    sound, damaged = f"/data/{name}-sound", f"/data/{name}-damaged"
    for directory in (sound, damaged):
        fill(cluster_a, directory, FILES)
    product.protect(name, (sound, damaged))
    first = product.back_up(name, "--push")
    application = cluster_a.webhdfs("app")
    for directory in (sound, damaged):
        application.write(f"{directory}/fresh", data=b"x" * 30_000)
    damage(cluster_a, f"{damaged}/fresh")

    page = product.fail_to_back_up(name, "--push")

    failure = page["failure"]
    assert failure["code"] == "SOURCE_DAMAGED"
    assert f"{damaged}/.snapshot/{page['snapshot']}/fresh" in failure["message"]
    (id_of_damaged,) = [one["id"] for one in page["data_sets"] if one["name"] == damaged]
    assert failure["data_set"] == id_of_damaged
    assert "fsck" in failure["remedy"]
    assert left_by(page, cluster_a, cluster_b) == []
    assert points_of(product, name) == ["AVAILABLE"]
    for directory in (sound, damaged):
        assert frozen(cluster_b, directory, first) == FILES
        assert read_tree(cluster_b, directory) == FILES

    application.write(f"{damaged}/fresh", data=b"y" * 30_000, overwrite=True)
    page = product.back_up(name, "--push")
    assert frozen(cluster_b, damaged, page) == {**FILES, "fresh": b"y" * 30_000}
    assert frozen(cluster_b, sound, page) == {**FILES, "fresh": b"x" * 30_000}


def test_a_damaged_block_on_the_secondary_is_found_by_reading_and_repaired_by_the_next_run(
    product: Product, cluster_a: Cluster, cluster_b: Cluster, unique_name: UniqueName
) -> None:
    name = unique_name("rotten")
    directory = f"/data/{name}"
    fill(cluster_a, directory, FILES)
    product.protect(name, (directory,), policy=("--verification", "bytes"))
    product.back_up(name, "--push")
    damage(cluster_b, f"{directory}/d0/f0")

    page = product.fail_to_back_up(name, "--push")

    assert page["failure"]["code"] == "VERIFICATION_FAILED"
    assert "d0/f0: cannot be read" in page["failure"]["message"]
    assert left_by(page, cluster_a, cluster_b) == []
    assert points_of(product, name) == ["DAMAGED"], "it shares the block"

    page = product.back_up(name, "--push")
    assert frozen(cluster_b, directory, page) == FILES


def test_a_block_that_rots_on_the_secondary_is_found_by_default(
    product: Product, cluster_a: Cluster, cluster_b: Cluster, unique_name: UniqueName
) -> None:
    """Its turn has come: what is remembered of the copies is a month old."""
    name = unique_name("rots")
    directory = f"/data/{name}"
    fill(cluster_a, directory, FILES)
    product.protect(name, (directory,))
    page = product.back_up(name, "--push")
    (verified,) = page["verification"]["data_sets"].values()
    assert verified["content"]["verdict"] == "EQUAL"
    assert (verified["read"]["files"], verified["read"]["never_files"]) == (len(FILES), len(FILES))
    damage(cluster_b, f"{directory}/.snapshot/{page['snapshot']}/d1/f4")
    (data_set,) = [one["id"] for one in page["data_sets"]]
    age(cluster_b, f"/.understudy/read/{data_set}", days=31)

    failed = product.fail_to_back_up(name, "--push")

    assert failed["failure"]["code"] == "VERIFICATION_FAILED"
    assert "d1/f4: cannot be read" in failed["failure"]["message"]
    assert points_of(product, name) == ["DAMAGED"]
    repaired = product.back_up(name, "--push")
    assert frozen(cluster_b, directory, repaired) == FILES
    (verified,) = repaired["verification"]["data_sets"].values()
    assert verified["read"]["never_files"] <= 1, "all but what was copied again has been read"
    assert "were read from the disks" in product.run("run", "show", repaired["id"])
    assert "100 %" in product.run("recovery-points", "--service", name) or verified["read"]["never_files"]


def age(cluster: Cluster, path: str, days: int) -> None:
    """Let what is remembered of what was read be older."""
    client = cluster.webhdfs("hdfs")
    with client.read(path) as reader:
        line, _, body = reader.read().partition(b"\n")
    entries = array("Q")
    entries.frombytes(zlib.decompress(body))
    older = array("Q", (one - days * 1_440 for one in entries))
    packed = zlib.compress(older.tobytes())
    head = {**json.loads(line), "sha256": hashlib.sha256(packed).hexdigest()}
    client.write(path, data=json.dumps(head).encode() + b"\n" + packed, overwrite=True)


def test_deleted_snapshots_are_told_and_the_next_run_compares_in_full(
    product: Product, cluster_a: Cluster, cluster_b: Cluster, unique_name: UniqueName
) -> None:
    name = unique_name("lost")
    directory = f"/data/{name}"
    fill(cluster_a, directory, FILES)
    product.protect(name, (directory,))
    first = product.back_up(name, "--push")
    application = cluster_a.webhdfs("app")

    cluster_b.webhdfs("hdfs").delete_snapshot(directory, first["snapshot"])
    application.write(f"{directory}/second", data=b"2" * 30_000)
    second = product.back_up(name, "--pull")
    assert [staged["compared_with"] for staged in second["staged"].values()] == ["head"]
    assert [warning["code"] for warning in second["warnings"]].count("SNAPSHOT_MISSING") == 1, second["warnings"]
    assert points_of(product, name) == ["DAMAGED", "AVAILABLE"]

    cluster_a.webhdfs("hdfs").delete_snapshot(directory, second["snapshot"])
    application.delete(f"{directory}/second")
    third = product.back_up(name, "--push")
    assert [staged["compared_with"] for staged in third["staged"].values()] == ["frozen"]
    assert points_of(product, name) == ["DAMAGED", "AVAILABLE", "AVAILABLE"]
    assert frozen(cluster_b, directory, second) == {**FILES, "second": b"2" * 30_000}
    assert frozen(cluster_b, directory, third) == FILES


@contextmanager
def capture_of_open_files(cluster: Cluster, is_on: bool) -> Iterator[None]:
    """dfs.namenode.snapshot.capture.openfiles, which Hadoop has off, is on for a while."""
    cluster.set_capture_open_files(is_on)
    try:
        yield
    finally:
        cluster.set_capture_open_files(False)


@pytest.mark.parametrize(
    ("is_captured", "runs"),
    [pytest.param(False, 3, id="not captured"), pytest.param(True, 1, id="captured", marks=pytest.mark.by_hand)],
)
def test_a_file_that_is_held_open_is_fuzzy_until_it_is_closed_and_nothing_of_it_is_lost(
    product: Product, cluster_a: Cluster, cluster_b: Cluster, unique_name: UniqueName, is_captured: bool, runs: int
) -> None:
    name = unique_name("open")
    directory = f"/data/{name}"
    parts = [secrets.token_bytes(BLOCK + 50_000) for _ in range(runs + 1)]
    application = cluster_a.webhdfs("app")
    with capture_of_open_files(cluster_a, is_captured):
        fill(cluster_a, directory, {"closed": b"1"})
        product.protect(name, (directory,), policy=("--mass-change-percent", "100"))
        with OpenFile(cluster_a, f"{directory}/growing", BLOCK) as file:
            for number, part in enumerate(parts[:runs], 1):
                file.write(part)
                full = number * len(part) // BLOCK * BLOCK
                known = functools.partial(is_as_long, application, f"{directory}/growing", full)
                product.wait_for("the NameNode knows its full blocks", known, 30)
                page = product.back_up(name, "--push")
                (snapshot,) = page["snapshots"].values()
                assert snapshot["open_files"] == ["growing"]
                assert page["consistency"]["verdict"] == "DEGRADED"
                copied = frozen(cluster_b, directory, page)
                assert b"".join(parts[:number]).startswith(copied["growing"])
                assert len(copied["growing"]) >= full, "what the NameNode knew at the moment is there"
            file.write(parts[-1])
            file.close()
        page = product.back_up(name, "--push")
        (snapshot,) = page["snapshots"].values()
        assert snapshot["open_files"] == []
        assert page["consistency"]["verdict"] == "CONSISTENT"
        assert frozen(cluster_b, directory, page) == {"closed": b"1", "growing": b"".join(parts)}


def is_as_long(client: InsecureClient, path: str, length: int) -> bool:
    """Whether the NameNode says that a file has at least so many bytes."""
    found = client.status(path, strict=False)  # its writer has been told to begin, and may not have begun yet
    return found is not None and found["length"] >= length


@pytest.mark.by_hand
def test_store_files_of_a_wrong_owner_are_found_before_the_run_completes(
    product: Product, cluster_a: Cluster, cluster_b: Cluster, unique_name: UniqueName
) -> None:
    """HBase would not tell: every clone of them would hang."""
    table = unique_name("owner").replace("-", "_")
    with cluster_a.hbase() as connection:
        connection.create_table(table, {"f": {}})
        connection.table(table).put(b"row", {b"f:q": b"value"})
    product.protect(table, (), (table,), ("--trial-clone-hours", "0"))
    product.back_up(table, "--push", with_tables=True)
    archive = f"/hbase/archive/data/default/{table}"
    administrator = cluster_b.webhdfs("hdfs")
    files = [f"{path}/{name}" for path, _, names in administrator.walk(archive) for name in names]
    assert files
    for path in files:
        administrator.set_owner(path, owner="app")

    page = product.fail_to_back_up(table, "--push", with_tables=True)

    assert page["failure"]["code"] == "WRONG_OWNER"
    assert "chown hbase" in page["failure"]["remedy"]
    assert left_by(page, cluster_a, cluster_b) == []
    assert points_of(product, table) == ["AVAILABLE"]

    for path in files:
        administrator.set_owner(path, owner="hbase")
    page = product.back_up(table, "--push", with_tables=True)
    assert page["verification"]["trial_clone"]["rows_seen"] == 1, page["verification"]
