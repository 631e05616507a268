"""What an HDFS administrator prepares before anybody uses a new cluster: the format and the first directories."""

from __future__ import annotations

import subprocess

import hdfs

from scripts.labkit.errors import LabError
from scripts.labkit.java import java_command
from scripts.labkit.layout import ClusterLayout
from scripts.labkit.processes import SEARCH_PATH

_FORMAT_WITHIN_SECONDS = 60
_ANSWER_WITHIN_SECONDS = 20

# path, owner, group, mode
_DIRECTORIES = (
    ("/hbase", "hbase", "hbase", "755"),
    ("/tmp", "hdfs", "supergroup", "1777"),
    ("/data", "hdfs", "supergroup", "755"),
)


def format_if_new(cluster: ClusterLayout) -> None:
    """Give a NameNode without a name space an empty one."""
    if (cluster.data / "namenode" / "current" / "VERSION").exists():
        return
    main_class = "org.apache.hadoop.hdfs.server.namenode.NameNode"
    identity = f"understudy-lab-{cluster.name}"
    done = subprocess.run(
        java_command(cluster, "hdfs", "256m", main_class, "-format", "-nonInteractive", "-clusterid", identity),
        env={"PATH": SEARCH_PATH, "LANG": "C.UTF-8", "HADOOP_USER_NAME": "hdfs"},
        capture_output=True,
        text=True,
        timeout=_FORMAT_WITHIN_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise LabError(f"{cluster.name}.namenode: the format failed:\n{done.stderr[-2000:]}")


def make_first_directories(cluster: ClusterLayout) -> None:
    """Make those that are missing; leave those that exist as they are."""
    client = hdfs.InsecureClient(cluster.webhdfs_url, user="hdfs", timeout=_ANSWER_WITHIN_SECONDS)
    existing = {f"/{name}" for name in client.list("/")}
    for path, owner, group, mode in _DIRECTORIES:
        if path in existing:
            continue
        client.makedirs(path)
        client.set_owner(path, owner=owner, group=group)
        client.set_permission(path, mode)
