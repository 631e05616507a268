"""HttpFS: the HTTP door to HDFS that, unlike WebHDFS, can be told to answer with composite checksums."""

from __future__ import annotations

import secrets

from scripts.labkit.configuration.hadoop import core_site, hdfs_site
from scripts.labkit.configuration.options import ClusterOptions
from scripts.labkit.configuration.site import write_site
from scripts.labkit.files import put
from scripts.labkit.layout import HOST, ClusterLayout

_LOGGING = """\
log4j.rootLogger=INFO,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n
log4j.logger.httpfsaudit=WARN
log4j.logger.org.apache.hadoop.util.NativeCodeLoader=ERROR
"""


def write_httpfs_configuration(cluster: ClusterLayout, options: ClusterOptions) -> None:
    directory = cluster.conf / "httpfs"
    hadoop = directory / "hadoop"  # the only place from which HttpFS takes Hadoop's settings
    write_site(hadoop / "core-site.xml", core_site(cluster))
    composite = {"dfs.checksum.combine.mode": "COMPOSITE_CRC"}
    write_site(hadoop / "hdfs-site.xml", hdfs_site(cluster, options) | composite)
    site = {
        "httpfs.http.hostname": HOST,
        "httpfs.http.port": cluster.ports.httpfs,
        "httpfs.hadoop.config.dir": hadoop,
        "hadoop.tmp.dir": cluster.data / "httpfs" / "temp",
        # HttpFS starts no session for its callers: each request names its user, as with WebHDFS.
        "hadoop.http.authentication.type": "simple",
    }
    write_site(directory / "httpfs-site.xml", site)
    for name in ("log4j.properties", "httpfs-log4j.properties"):
        put(directory / name, _LOGGING)
    secret = directory / "httpfs-signature.secret"
    if not secret.exists():
        put(secret, secrets.token_hex(32), mode=0o600)
    for name in ("log", "temp"):
        (cluster.data / "httpfs" / name).mkdir(parents=True, exist_ok=True)


def httpfs_properties(cluster: ClusterLayout) -> list[str]:
    """The system properties with which HttpFS finds its directories."""
    scratch = cluster.data / "httpfs"
    directory = cluster.conf / "httpfs"
    places = {"home": scratch, "config": directory, "log": scratch / "log", "temp": scratch / "temp"}
    return [f"-Dhttpfs.{name}.dir={place}" for name, place in places.items()]
