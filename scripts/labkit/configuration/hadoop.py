"""HDFS and its clients: core-site, hdfs-site, mapred-site, logging.

Where it matters to users the values are Hadoop's defaults. Those that are not are marked: they make two clusters fit
on one small machine, or make a failure show in seconds instead of minutes.
"""

from __future__ import annotations

from scripts.labkit.configuration.options import ClusterOptions
from scripts.labkit.configuration.site import write_site
from scripts.labkit.files import put
from scripts.labkit.layout import HOST, ClusterLayout

# User → groups, as an operator's directory service would answer; so the lab's users need no accounts on this machine.
GROUPS_OF_USERS = {
    "hdfs": "supergroup",
    "hbase": "hbase",
    "app": "app",
    "alice": "app",
    "understudy": "",
    "understudy-a": "",
    "understudy-b": "",
    "dr.who": "",
}

_LOGGING = """\
hadoop.root.logger=INFO,console
log4j.rootLogger=${hadoop.root.logger}
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n
log4j.logger.org.apache.hadoop.hdfs.server.namenode.FSNamesystem.audit=WARN
log4j.logger.org.apache.hadoop.util.NativeCodeLoader=ERROR
"""


def write_hadoop_configuration(cluster: ClusterLayout, options: ClusterOptions) -> None:
    directory = cluster.conf / "hdfs"
    write_site(directory / "core-site.xml", core_site(cluster))
    write_site(directory / "hdfs-site.xml", hdfs_site(cluster, options))
    write_site(directory / "mapred-site.xml", _mapred_site())
    put(directory / "log4j.properties", _LOGGING)


def core_site(cluster: ClusterLayout) -> dict[str, object]:
    return {
        "fs.defaultFS": cluster.filesystem_uri,
        "hadoop.tmp.dir": cluster.data / "tmp",
        # HttpFS runs as hdfs and acts for its callers.
        "hadoop.proxyuser.hdfs.hosts": "*",
        "hadoop.proxyuser.hdfs.groups": "*",
        "hadoop.user.group.static.mapping.overrides": "".join(f"{u}={g};" for u, g in GROUPS_OF_USERS.items()),
    }


def hdfs_site(cluster: ClusterLayout, options: ClusterOptions) -> dict[str, object]:
    ports = cluster.ports
    return {
        "dfs.replication": 1,  # there is one DataNode
        "dfs.namenode.rpc-address": f"{HOST}:{ports.namenode_rpc}",
        "dfs.namenode.http-address": f"{HOST}:{ports.namenode_http}",
        "dfs.namenode.name.dir": f"file://{cluster.data}/namenode",
        "dfs.datanode.data.dir": f"file://{cluster.data}/datanode",
        "dfs.datanode.address": f"{HOST}:{ports.datanode}",
        "dfs.datanode.http.address": f"{HOST}:{ports.datanode_http}",
        "dfs.datanode.ipc.address": f"{HOST}:{ports.datanode_ipc}",
        "dfs.datanode.hostname": HOST,  # WebHDFS redirects to this name
        "dfs.namenode.datanode.registration.ip-hostname-check": False,
        "dfs.permissions.superusergroup": "supergroup",
        "dfs.namenode.snapshot.capture.openfiles": options.capture_open_files,
        "dfs.datanode.du.reserved": options.reserved_bytes,
        # Tests make files of many blocks without writing many megabytes.
        "dfs.namenode.fs-limits.min-block-size": 0,
        # A dead DataNode is noticed after 14 s instead of 10.5 min, and safe mode ends with the last block's report.
        "dfs.heartbeat.interval": 1,
        "dfs.namenode.heartbeat.recheck-interval": 2000,
        "dfs.namenode.safemode.extension": 0,
        # With the default of 400 ms every small file waits that long in the only DataNode.
        "dfs.client.block.write.locateFollowingBlock.initial.delay.ms": 10,
        "dfs.namenode.handler.count": 8,
        "dfs.datanode.handler.count": 4,
        "dfs.webhdfs.netty.high.watermark": 1048576,
        "dfs.webhdfs.netty.low.watermark": 524288,
        **options.namenode,
    }


def _mapred_site() -> dict[str, object]:
    return {
        "mapreduce.framework.name": "local",  # there is no YARN
        "mapreduce.local.map.tasks.maximum": 2,
        "mapreduce.client.progressmonitor.pollinterval": 100,
        "mapreduce.client.completion.pollinterval": 100,
    }
