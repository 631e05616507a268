"""How a JVM of the lab is started: options that Java 17 needs for Hadoop and HBase, small heaps, the class path."""

from __future__ import annotations

from pathlib import Path

from scripts.labkit import jars
from scripts.labkit.files import put
from scripts.labkit.layout import ClusterLayout

_COMMON = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:MaxDirectMemorySize=128m",
    "-Djava.net.preferIPv4Stack=true",
)

_HADOOP_OPENS = (
    "java.io",
    "java.lang",
    "java.lang.reflect",
    "java.math",
    "java.net",
    "java.text",
    "java.util",
    "java.util.concurrent",
    "java.util.zip",
    "sun.security.util",
    "sun.security.x509",
)

# What HBase's own start script adds on Java 11 and later.
_HBASE_OPENS = (
    "java.io",
    "java.nio",
    "sun.nio.ch",
    "java.lang",
    "jdk.internal.ref",
    "java.lang.reflect",
    "java.util",
    "java.util.concurrent",
)
_HBASE_OPTIONS = (
    "--add-modules=jdk.unsupported",
    "--add-exports=java.base/jdk.internal.misc=ALL-UNNAMED",
    "--add-exports=java.base/sun.net.dns=ALL-UNNAMED",
    "--add-exports=java.base/sun.net.util=ALL-UNNAMED",
    "--add-exports=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
    "-Dorg.apache.hbase.thirdparty.io.netty.tryReflectionSetAccessible=true",
)


def write_java_options(cluster: ClusterLayout, jar_directory: Path, webapps: Path) -> None:
    """Write one argument file for each family, read by daemons (``java @FILE …``) and by the gateway's commands."""
    cluster.java_scratch.mkdir(parents=True, exist_ok=True)
    for family in jars.FAMILIES:
        opens = _HBASE_OPENS if family == "hbase" else _HADOOP_OPENS
        options = [*_COMMON, *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in opens)]
        if family == "hbase":
            options += _HBASE_OPTIONS
        path = f"{cluster.conf / family}:{webapps}:{jars.class_path(jar_directory, family)}"
        put(cluster.java_options_of(family), "\n".join([*options, f"-cp {path}"]) + "\n")


def java_command(cluster: ClusterLayout, family: str, heap: str, *arguments: str) -> list[str]:
    """The command of a daemon: ``arguments`` are options, main class and its arguments; a heap is such as "256m"."""
    scratch = f"-Djava.io.tmpdir={cluster.java_scratch}"
    return ["java", f"@{cluster.java_options_of(family)}", f"-Xmx{heap}", scratch, *arguments]
