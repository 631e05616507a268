"""The eight parts of a cluster: how each is started, what it waits for, when it is ready."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scripts.labkit import gateway, hdfs_tree, probes
from scripts.labkit.configuration.httpfs import httpfs_properties
from scripts.labkit.errors import LabError
from scripts.labkit.java import java_command
from scripts.labkit.layout import ClusterLayout

_HBASE_PACKAGE = "org.apache.hadoop.hbase"


def _nothing(cluster: ClusterLayout) -> None:
    """The preparation of a part that needs none."""


@dataclass(frozen=True)
class Part:
    """One process of a cluster.

    ``needs`` are the parts that must be ready before it is started; ``prepare`` runs just before the start.
    ``ports`` must be free then. ``missing`` says what it still lacks to be ready. ``user`` is its HADOOP_USER_NAME.
    """

    name: str
    command: Callable[[ClusterLayout], list[str]]
    missing: probes.Probe
    ports: Callable[[ClusterLayout], tuple[int, ...]]
    user: str = ""
    needs: tuple[str, ...] = ()
    prepare: Callable[[ClusterLayout], None] = _nothing
    ready_within_seconds: float = 180  # on a machine that is busy with other things too
    stop_within_seconds: float = 5


def _namenode(cluster: ClusterLayout) -> list[str]:
    # Room for the million files that scripts/bench can make.
    return java_command(cluster, "hdfs", "768m", "org.apache.hadoop.hdfs.server.namenode.NameNode")


def _datanode(cluster: ClusterLayout) -> list[str]:
    return java_command(cluster, "hdfs", "192m", "org.apache.hadoop.hdfs.server.datanode.DataNode")


def _httpfs(cluster: ClusterLayout) -> list[str]:
    main_class = "org.apache.hadoop.fs.http.server.HttpFSServerWebServer"
    return java_command(cluster, "httpfs", "160m", *httpfs_properties(cluster), main_class)


def _zookeeper(cluster: ClusterLayout) -> list[str]:
    file = str(cluster.conf / "hbase" / "zoo.cfg")
    return java_command(cluster, "hbase", "64m", "org.apache.zookeeper.server.ZooKeeperServerMain", file)


def _master(cluster: ClusterLayout) -> list[str]:
    return java_command(cluster, "hbase", "256m", f"{_HBASE_PACKAGE}.master.HMaster", "start")


def _regionserver(cluster: ClusterLayout) -> list[str]:
    return java_command(cluster, "hbase", "384m", f"{_HBASE_PACKAGE}.regionserver.HRegionServer", "start")


def _thrift(cluster: ClusterLayout) -> list[str]:
    return java_command(cluster, "hbase", "192m", f"{_HBASE_PACKAGE}.thrift.ThriftServer", "start")


PARTS = (
    Part(
        "namenode",
        _namenode,
        probes.namenode,
        lambda cluster: (cluster.ports.namenode_rpc, cluster.ports.namenode_http),
        user="hdfs",
        prepare=hdfs_tree.format_if_new,
    ),
    Part(
        "datanode",
        _datanode,
        probes.datanode,
        lambda cluster: (cluster.ports.datanode, cluster.ports.datanode_http, cluster.ports.datanode_ipc),
        user="hdfs",
    ),
    Part("zookeeper", _zookeeper, probes.zookeeper, lambda cluster: (cluster.ports.zookeeper,)),
    Part(
        "gateway",
        gateway.server_command,
        probes.gateway,
        lambda cluster: (cluster.ports.gateway,),
        prepare=gateway.prepare,
    ),
    Part(
        "hmaster",
        _master,
        probes.master,
        lambda cluster: (cluster.ports.master, cluster.ports.master_http),
        user="hbase",
        needs=("namenode", "datanode", "zookeeper"),
        prepare=hdfs_tree.make_first_directories,
        stop_within_seconds=10,
    ),
    Part(
        "regionserver",
        _regionserver,
        probes.regionserver,
        lambda cluster: (cluster.ports.regionserver, cluster.ports.regionserver_http),
        user="hbase",
        needs=("namenode", "datanode", "zookeeper"),
        stop_within_seconds=10,
    ),
    Part(
        "thrift",
        _thrift,
        probes.thrift,
        lambda cluster: (cluster.ports.thrift, cluster.ports.thrift_http),
        user="hbase",
        needs=("hmaster",),
    ),
    Part(
        "httpfs",
        _httpfs,
        probes.httpfs,
        lambda cluster: (cluster.ports.httpfs,),
        user="hdfs",
        needs=("regionserver",),
    ),
)
PART_NAMES = tuple(part.name for part in PARTS)


def part_named(name: str) -> Part:
    """The part of this name; raises LabError with the names that exist."""
    for part in PARTS:
        if part.name == name:
            return part
    raise LabError(f"there is no part {name!r}; the parts are {', '.join(PART_NAMES)}")
