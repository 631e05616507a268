"""Everything that a client of the lab must know, as one JSON document (``<lab>/lab.json``)."""

from __future__ import annotations

import json
from typing import Any

from scripts.labkit.files import put
from scripts.labkit.gateway import host_public_key
from scripts.labkit.layout import HOST, ClusterLayout, LabLayout


def describe_lab(lab: LabLayout) -> dict[str, Any]:
    """Both clusters, under "clusters" by name; paths are absolute."""
    return {
        "lab": str(lab.root),
        "known_hosts_file": str(lab.known_hosts),
        "clusters": {cluster.name: describe_cluster(cluster, lab) for cluster in lab.clusters},
    }


def describe_cluster(cluster: ClusterLayout, lab: LabLayout) -> dict[str, Any]:
    """The endpoints, in the shape that the control device's configuration uses, and the directories for tests."""
    ports = cluster.ports
    return {
        "name": cluster.name,
        "gateway": {
            "host": HOST,
            "port": ports.gateway,
            "user": cluster.gateway_user,
            "host_key": host_public_key(cluster),
            "client_key_file": str(lab.client_key),
            "spool": str(cluster.spool),
            "python": "python3",
        },
        "namenodes": [cluster.webhdfs_url],
        "namenode_rpc": cluster.filesystem_uri,
        "datanode_http": f"http://{HOST}:{ports.datanode_http}",
        "httpfs": cluster.httpfs_url,
        "zookeeper": f"{HOST}:{ports.zookeeper}",
        "hbase": {
            "root": "/hbase",
            "admin_command": ["sudo", "-n", "-u", "hbase", str(cluster.hbase_admin)],
            "thrift": f"{HOST}:{ports.thrift}",
            "master_http": f"http://{HOST}:{ports.master_http}",
            "regionserver_http": f"http://{HOST}:{ports.regionserver_http}",
        },
        "directories": {
            "commands": str(cluster.bin),
            "hadoop_conf": str(cluster.conf / "hdfs"),
            "hbase_conf": str(cluster.conf / "hbase"),
            "namenode_data": str(cluster.data / "namenode"),
            "datanode_data": str(cluster.data / "datanode"),
            "logs": str(cluster.logs),
        },
    }


def write_description(lab: LabLayout) -> None:
    put(lab.description_file, json.dumps(describe_lab(lab), indent=2) + "\n")
