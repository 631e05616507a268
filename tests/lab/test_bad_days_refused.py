"""Bad days that are found before anything is done: the run is refused with a code, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from scripts.labkit.cluster import Cluster
from tests.lab.breaking import little_room
from tests.lab.data import allow_snapshots, fill, put, read_tree
from tests.lab.product import CommandFailed, Product

UniqueName = Callable[[str], str]
OTHER_HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG1hZGUtdXAta2V5LWZvci10aGlzLXRlc3Qtb25seSEh"
AHEAD_SECONDS = 10
MOST_REPLICAS = 512  # dfs.replication.max
TIGHT = 0.05  # of the capacity; with less than 1 % a cluster counts as full, whatever is to be copied

# An interpreter whose clock is ahead; what it starts again is started by it, too.
AHEAD = f"""
import runpy, sys, time
sys.executable = INTERPRETER
measured = time.time
time.time = lambda: measured() + {AHEAD_SECONDS}
words = [word for word in sys.argv[1:] if word != "-I"]
if words[0] == "-c":
    exec(words[1])
else:
    sys.argv = words
    runpy.run_path(words[0], run_name="__main__")
"""


def refusal_of(product: Product, service: str, code: str) -> dict[str, Any]:
    """What a refused backup says; it has that code and a remedy, and neither a snapshot nor a recovery point."""
    page = product.fail_to_back_up(service)
    failure: dict[str, Any] = page["failure"]
    assert failure["code"] == code, page["findings"]
    assert failure["remedy"]
    assert page["snapshots"] == {}
    assert product.ask("recovery-points", "--service", service)["items"] == []
    return failure


@contextmanager
def entered(product: Product, cluster: str, **changes: Any) -> Iterator[None]:
    """A cluster is entered with other settings for a while."""
    product.enter_cluster(cluster, **changes)
    try:
        yield
    finally:
        product.enter_cluster(cluster)


@pytest.fixture
def files(product: Product, cluster_a: Cluster, unique_name: UniqueName) -> str:
    """A service of one directory with one file that could be backed up, but for the bad day."""
    name = unique_name("refused")
    fill(cluster_a, f"/data/{name}", {"file": b"1"})
    product.protect(name, (f"/data/{name}",))
    return name


@pytest.fixture
def table(product: Product, cluster_a: Cluster, unique_name: UniqueName) -> Iterator[str]:
    """A service of one empty table, named alike."""
    name = unique_name("refused").replace("-", "_")
    with cluster_a.hbase() as connection:
        connection.create_table(name, {"f": {}})
    product.protect(name, (), (name,))
    yield name
    with cluster_a.hbase() as connection:
        connection.delete_table(name, disable=True)


def test_missing_directory(product: Product, unique_name: UniqueName) -> None:
    name = unique_name("missing")
    product.protect(name, (f"/data/{name}",))
    assert f"/data/{name}" in refusal_of(product, name, "NO_SUCH_DIRECTORY")["message"]


def test_missing_table(product: Product, unique_name: UniqueName) -> None:
    name = unique_name("missing").replace("-", "_")
    product.protect(name, (), (name,))
    assert name in refusal_of(product, name, "NO_SUCH_TABLE")["message"]


def test_directory_that_does_not_allow_snapshots(product: Product, cluster_a: Cluster, unique_name: UniqueName) -> None:
    name = unique_name("forbidden")
    cluster_a.webhdfs("hdfs").makedirs(f"/data/{name}")
    product.protect(name, (f"/data/{name}",))
    assert f"-allowSnapshot /data/{name}" in refusal_of(product, name, "NOT_SNAPSHOTTABLE")["remedy"]


@pytest.mark.parametrize("inner_first", [True, False], ids=["below it", "above it"])
def test_snapshottable_directory_in_the_way(
    product: Product, cluster_a: Cluster, unique_name: UniqueName, inner_first: bool
) -> None:
    name = unique_name("nested")
    outer, inner = f"/data/{name}", f"/data/{name}/inner"
    other = inner if inner_first else outer
    cluster_a.webhdfs("hdfs").makedirs(inner)
    allow_snapshots(cluster_a, other)
    product.protect(name, (outer if inner_first else inner,))
    assert f"{other} allows snapshots" in refusal_of(product, name, "NESTED_SNAPSHOTTABLE")["message"]


@pytest.mark.parametrize("cluster", ["a", "b"])
def test_user_who_may_not_do_it(product: Product, files: str, cluster: str) -> None:
    """The cluster's credential is not the superuser's, as after somebody has taken its group away."""
    with entered(product, cluster, hdfs_user="app"):
        refusal_of(product, files, "NO_RIGHT")


def test_sudo_rule_that_is_gone(product: Product, cluster_b: Cluster, table: str) -> None:
    """The gateway's user may not start HBase's administration process any more: here, that of the other gateway."""
    command = ["sudo", "-n", "-u", "hbase", str(cluster_b.layout.hbase_admin)]
    with entered(product, "a", hbase={"admin_command": command}):
        assert "set-up" in refusal_of(product, table, "HBASE_ADMIN_UNAVAILABLE")["remedy"]


def test_administration_that_somebody_else_than_root_has_put_there(product: Product, table: str) -> None:
    """An instruction that brings a program of its own has it not run."""
    program = str(product.lab.cluster("a").layout.spool / "hbase-admin")
    with entered(product, "a", hbase={"admin_command": ["sudo", "-n", "-u", "hbase", program]}):
        assert "set-up" in refusal_of(product, table, "ADMIN_COMMAND_UNSAFE")["remedy"]


def test_foreign_tree_on_the_secondary(product: Product, cluster_b: Cluster, files: str) -> None:
    foreign = {"theirs": b"somebody else's", "sub/more": b"2"}
    fill(cluster_b, f"/data/{files}", foreign)
    assert f"/data/{files}" in refusal_of(product, files, "FOREIGN_TREE")["message"]
    assert read_tree(cluster_b, f"/data/{files}") == foreign


def test_moment_in_the_past(product: Product, files: str) -> None:
    with pytest.raises(CommandFailed, match="MOMENT_PAST") as failed:
        product.begin(files, "--at", "2026-01-01T00:00:00Z")
    assert failed.value.exit_code == 1
    assert product.ask("runs", "--service", files)["items"] == []


def test_read_only_secondary(product: Product, cluster_b: Cluster, files: str) -> None:
    cluster_b.ssh("HADOOP_USER_NAME=hdfs hdfs dfsadmin -safemode enter")
    try:
        refusal_of(product, files, "SAFE_MODE")
    finally:
        cluster_b.ssh("HADOOP_USER_NAME=hdfs hdfs dfsadmin -safemode leave")
    assert put(cluster_b, "/tmp/left-safe-mode", "MKDIRS") == 200


def test_first_copy_larger_than_what_is_left(
    product: Product, cluster_a: Cluster, cluster_b: Cluster, files: str
) -> None:
    """A copy has as many replicas as its source is to have, so a file of some megabytes may need gigabytes."""
    path = f"/data/{files}/file"
    with little_room(cluster_b, TIGHT) as left_bytes:
        length = left_bytes // MOST_REPLICAS + (1 << 20)
        cluster_a.webhdfs("app").write(path, data=bytes(length), overwrite=True)
        assert put(cluster_a, path, "SETREPLICATION", replication=str(MOST_REPLICAS)) == 200
        needed = f"the first copy needs {length * MOST_REPLICAS} bytes with all replicas"
        planned = product.ask("plan", files)
        (finding,) = [one for one in planned["findings"] if one["severity"] == "REFUSE"]
        assert (finding["code"], finding["subject"]) == ("NOT_ENOUGH_SPACE", "b")
        assert needed in finding["message"]
        assert f"REFUSE NOT_ENOUGH_SPACE: {needed}" in product.run("plan", files)
        assert needed in refusal_of(product, files, "NOT_ENOUGH_SPACE")["message"]
    assert put(cluster_a, path, "SETREPLICATION", replication="1") == 200
    assert read_tree(cluster_b, f"/data/{files}/.snapshot/{product.back_up(files)['snapshot']}") == {
        "file": bytes(length)
    }


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"port": 1}, "GATEWAY_REFUSED"),
        ({"host_key": OTHER_HOST_KEY}, "HOST_KEY_CHANGED"),
        ({"python": "/bin/false"}, "NO_FITTING_PYTHON"),
    ],
    ids=["SSH refused", "host key changed", "no fitting Python"],
)
def test_gateway_that_cannot_be_used(product: Product, files: str, changes: dict[str, object], code: str) -> None:
    with entered(product, "b", gateway=changes):
        refusal_of(product, files, code)


@pytest.fixture
def interpreter_ahead(cluster_a: Cluster, unique_name: UniqueName) -> Iterator[Path]:
    """A Python on cluster a's gateway whose clock is ahead."""
    command = cluster_a.layout.home / unique_name("python")
    source = command.with_suffix(".py")
    source.write_text(AHEAD.replace("INTERPRETER", repr(str(command))))
    command.write_text(f'#!/bin/sh\nexec /usr/bin/python3 {source} "$@"\n')
    command.chmod(0o755)
    source.chmod(0o644)
    yield command
    command.unlink()
    source.unlink()


def test_clock_of_a_gateway_that_is_apart(product: Product, files: str, interpreter_ahead: Path) -> None:
    product.run("policy", "add", files, "--service", files, "--max-skew-ms", "3000")
    with entered(product, "a", gateway={"python": str(interpreter_ahead)}):
        message = refusal_of(product, files, "CLOCKS_APART")["message"]
    apart_ms = abs(float(message.split(" ms ")[0].rpartition(" ")[2]))
    assert abs(apart_ms - AHEAD_SECONDS * 1000) < 100, message
