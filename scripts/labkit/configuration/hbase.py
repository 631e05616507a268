"""HBase in distributed mode over the cluster's HDFS, and its ZooKeeper."""

from __future__ import annotations

from scripts.labkit.configuration.hadoop import core_site, hdfs_site
from scripts.labkit.configuration.options import ClusterOptions
from scripts.labkit.configuration.site import write_site
from scripts.labkit.files import put
from scripts.labkit.layout import HOST, ClusterLayout

_LOGGING = """\
status = warn
monitorInterval = 0
rootLogger = ${sys:hbase.root.logger:-INFO,console}
appender.console.type = Console
appender.console.target = SYSTEM_ERR
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %-5p [%t] %c{2}: %m%n
logger.hadoop.name = org.apache.hadoop.util.NativeCodeLoader
logger.hadoop.level = ERROR
logger.zookeeper.name = org.apache.zookeeper
logger.zookeeper.level = WARN
"""

# HBase refreshes its metrics every ten seconds by default; a readiness probe should not wait that long.
_METRICS = "*.period=1\n"


# There is no standby NameNode: HBase waits up to a minute while the only one restarts or is in safe mode. This is not a
# nicety: a log whose creation failed is archived in an endless loop by the HMaster (HBase 2.6.4), if it is tried again.
_PATIENCE = {"dfs.client.retry.policy.enabled": True, "dfs.client.retry.policy.spec": "500,120"}


def write_hbase_configuration(cluster: ClusterLayout, options: ClusterOptions) -> None:
    directory = cluster.conf / "hbase"
    write_site(directory / "core-site.xml", core_site(cluster))
    write_site(directory / "hdfs-site.xml", hdfs_site(cluster, options) | _PATIENCE)
    write_site(directory / "hbase-site.xml", _hbase_site(cluster))
    put(directory / "log4j2.properties", _LOGGING)
    put(directory / "hadoop-metrics2-hbase.properties", _METRICS)
    zookeeper = {
        "dataDir": cluster.data / "zookeeper",
        "clientPort": cluster.ports.zookeeper,
        "clientPortAddress": HOST,
        "admin.enableServer": "false",
        "4lw.commands.whitelist": "srvr",
        "maxClientCnxns": 200,
    }
    put(directory / "zoo.cfg", "".join(f"{name}={value}\n" for name, value in zookeeper.items()))


def _hbase_site(cluster: ClusterLayout) -> dict[str, object]:
    ports = cluster.ports
    return {
        "hbase.rootdir": f"{cluster.filesystem_uri}/hbase",
        "hbase.cluster.distributed": True,
        "hbase.tmp.dir": cluster.data / "hbase-tmp",
        "hbase.zookeeper.quorum": HOST,
        "hbase.zookeeper.property.clientPort": ports.zookeeper,
        "zookeeper.session.timeout": 20000,
        "hbase.master.hostname": HOST,
        "hbase.master.ipc.address": HOST,
        "hbase.master.port": ports.master,
        "hbase.master.info.port": ports.master_http,
        "hbase.master.info.bindAddress": HOST,
        "hbase.unsafe.regionserver.hostname": HOST,
        "hbase.regionserver.ipc.address": HOST,
        "hbase.regionserver.port": ports.regionserver,
        "hbase.regionserver.info.port": ports.regionserver_http,
        "hbase.regionserver.info.bindAddress": HOST,
        "hbase.regionserver.thrift.port": ports.thrift,
        "hbase.regionserver.thrift.ipaddress": HOST,
        "hbase.thrift.info.port": ports.thrift_http,
        "hbase.thrift.info.bindAddress": HOST,
        # There is one DataNode: while it is down, rolling a log is tried again (by default the server gives itself up
        # at once), and when it is back it is not avoided for six hours.
        "hbase.regionserver.logroll.retries": 600,  # a DataNode may be away for ten minutes
        "hbase.regionserver.logroll.wait.timeout.ms": 60_000,
        "hbase.regionserver.async.wal.max.exclude.datanode.count": 0,
        # Small heaps.
        "hbase.hregion.memstore.flush.size": 67108864,
        "hfile.block.cache.size": 0.2,
        # A client of a cluster that is down says so in seconds.
        "hbase.client.retries.number": 5,
        # There is one RegionServer, and waiting for more only delays the start.
        "hbase.regionserver.msginterval": 500,
        "hbase.master.wait.on.regionservers.mintostart": 1,
        "hbase.master.wait.on.regionservers.maxtostart": 1,
        "hbase.master.wait.on.regionservers.interval": 200,
        "hbase.master.wait.on.regionservers.timeout": 1000,
    }
