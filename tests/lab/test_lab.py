"""The lab is what it says: real parts that can be broken one by one, and gateways as an operator has them."""

from __future__ import annotations

import time
from collections.abc import Callable

import hdfs
import pytest
import requests

from scripts.labkit import proc
from scripts.labkit.cluster import Cluster
from scripts.labkit.errors import LabError
from scripts.labkit.lab import Lab
from scripts.labkit.parts import PART_NAMES
from scripts.labkit.status import status_of


def test_every_part_is_a_process_of_its_own(lab: Lab) -> None:
    statuses = status_of(lab.layout)
    assert [line.part for line in statuses] == [f"{cluster}.{part}" for cluster in "ab" for part in PART_NAMES]
    assert {line.state for line in statuses} == {"running"}
    assert len({line.pid for line in statuses}) == len(statuses)


def test_the_application_owns_what_it_writes(cluster_a: Cluster, unique_name: Callable[[str], str]) -> None:
    directory = f"/data/{unique_name('owned')}"
    administrator = cluster_a.webhdfs("hdfs")
    administrator.makedirs(directory)
    administrator.set_owner(directory, owner="app", group="app")
    cluster_a.webhdfs("app").write(f"{directory}/file", data=b"text")
    status = administrator.status(f"{directory}/file")
    assert (status["owner"], status["group"], status["length"]) == ("app", "app", 4)
    with pytest.raises(hdfs.HdfsError, match="Permission denied"):
        cluster_a.webhdfs("app").write("/data/file", data=b"text")
    administrator.delete(directory, recursive=True)


def test_a_table_is_written_and_read_through_thrift(cluster_b: Cluster, unique_name: Callable[[str], str]) -> None:
    name = unique_name("table")
    with cluster_b.hbase() as connection:
        connection.create_table(name, {"d": {}})
        connection.table(name).put(b"row", {b"d:c": b"value"})
        assert list(connection.table(name).scan()) == [(b"row", {b"d:c": b"value"})]
        connection.delete_table(name, disable=True)


def test_httpfs_answers_with_composite_checksums(cluster_a: Cluster, unique_name: Callable[[str], str]) -> None:
    path = f"/tmp/{unique_name('sum')}"
    cluster_a.webhdfs("app").write(path, data=b"123456789")
    url = f"{cluster_a.layout.httpfs_url}/webhdfs/v1{path}?op=GETFILECHECKSUM&user.name=app"
    checksum = requests.get(url, timeout=20).json()["FileChecksum"]
    assert checksum["algorithm"] == "COMPOSITE-CRC32C"
    assert checksum["bytes"] == "e3069283" + checksum["bytes"][8:]  # the check value of CRC-32C
    cluster_a.webhdfs("app").delete(path)


@pytest.mark.parametrize("name", ["a", "b"])
def test_the_gateway_has_the_commands_of_its_cluster(lab: Lab, name: str) -> None:
    cluster = lab.cluster(name)
    assert cluster.ssh("id -un; pwd > /dev/null; stat -c %a:%U " + str(cluster.layout.spool)).stdout.split() == [
        f"understudy-{name}",
        f"700:understudy-{name}",
    ]
    assert cluster.ssh("hdfs getconf -confKey fs.defaultFS").stdout.strip() == cluster.layout.filesystem_uri
    assert "HBase 2.6" in cluster.ssh("hbase version 2>&1").stdout
    shell = cluster.ssh("hbase shell")
    assert shell.returncode == 1
    assert "not to be had" in shell.stderr


def test_the_gateway_grants_one_command_as_hbase_and_nothing_else(cluster_a: Cluster) -> None:
    assert cluster_a.ssh("sudo -n -u hbase /usr/bin/id").returncode != 0
    assert cluster_a.ssh("sudo -n /usr/bin/id").returncode != 0
    assert cluster_a.ssh("sudo -n -u hdfs /usr/bin/id").returncode != 0
    assert f"(hbase) NOPASSWD: {cluster_a.layout.hbase_admin}" in cluster_a.ssh("sudo -n -l").stdout


def test_a_killed_datanode_comes_back_with_its_data(cluster_b: Cluster, unique_name: Callable[[str], str]) -> None:
    path = f"/tmp/{unique_name('kept')}"
    client = cluster_b.webhdfs("app")
    client.write(path, data=b"kept")
    cluster_b.kill("datanode")
    assert not cluster_b.running("datanode")
    with pytest.raises(LabError, match=r"b\.datanode is not running"):
        cluster_b.pause("datanode")
    cluster_b.start("datanode")
    with client.read(path) as reader:
        assert reader.read() == b"kept"
    client.delete(path)


def test_a_paused_namenode_accepts_and_does_not_answer(cluster_b: Cluster) -> None:
    url = f"{cluster_b.webhdfs_url}/webhdfs/v1/?op=GETFILESTATUS"
    cluster_b.pause("namenode")
    try:
        assert not cluster_b.running("namenode")
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.get(url, timeout=1)
    finally:
        cluster_b.resume("namenode")
    assert requests.get(url, timeout=20).status_code == 200


def test_a_power_cut_at_the_gateway_ends_what_ran_detached(cluster_b: Cluster) -> None:
    pid = int(cluster_b.ssh("setsid sleep 600 > /dev/null 2>&1 < /dev/null & echo $!").stdout)
    before = proc.look_at(pid)
    assert before is not None
    assert before.alive
    parts = {name: cluster_b.facts(name) for name in PART_NAMES if name != "gateway"}
    cluster_b.power_off_gateway()
    cluster_b.start("gateway")
    after = proc.look_at(pid)
    assert after is None or not after.alive or after.started_ticks != before.started_ticks
    for name, facts in parts.items():
        found = cluster_b.facts(name)
        assert facts is not None
        assert found is not None
        assert (found.pid, found.started_ticks) == (facts.pid, facts.started_ticks)


@pytest.mark.parametrize("capture", [True, False])
def test_capture_of_open_files_can_be_chosen(
    cluster_b: Cluster, unique_name: Callable[[str], str], capture: bool
) -> None:
    before = cluster_b.facts("namenode")
    assert before is not None
    cluster_b.set_capture_open_files(capture)
    try:
        answer = cluster_b.ssh("hdfs getconf -confKey dfs.namenode.snapshot.capture.openfiles")
        assert answer.stdout.strip() == str(capture).lower()
        after = cluster_b.facts("namenode")
        assert after is not None
        assert (after.pid != before.pid) == capture
    finally:
        cluster_b.set_capture_open_files(False)


def test_a_part_that_cannot_start_says_which_line_of_its_log_matters(lab: Lab) -> None:
    cluster = lab.cluster("b")
    cluster.kill("httpfs")
    settings = cluster.layout.conf / "httpfs" / "httpfs-site.xml"
    good = settings.read_text()
    settings.write_text(good.replace("</configuration>", "<broken"))
    try:
        began = time.monotonic()
        with pytest.raises(LabError, match=r"(?s)b\.httpfs ended while starting.*Unexpected end of input.*httpfs\.log"):
            cluster.start("httpfs")
        assert time.monotonic() - began < 60
    finally:
        settings.write_text(good)
        cluster.start("httpfs")
