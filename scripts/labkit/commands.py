"""The commands of a gateway's shell: ``hdfs``, ``hadoop`` and ``hbase``, as the distributions' scripts take them.

Each is a small shell script that finds the main class for a subcommand and starts a JVM with the cluster's
configuration. ``hbase shell`` is the one that cannot be had: its jar is not published for these versions.
"""

from __future__ import annotations

from collections.abc import Mapping

from scripts.labkit.files import put
from scripts.labkit.layout import ClusterLayout
from scripts.labkit.processes import CLUSTER_VARIABLE

_HDFS_TOOLS = "org.apache.hadoop.hdfs.tools"
_HDFS = {
    "dfs": "org.apache.hadoop.fs.FsShell",
    "dfsadmin": f"{_HDFS_TOOLS}.DFSAdmin",
    "haadmin": f"{_HDFS_TOOLS}.DFSHAAdmin",
    "fsck": f"{_HDFS_TOOLS}.DFSck",
    "getconf": f"{_HDFS_TOOLS}.GetConf",
    "groups": f"{_HDFS_TOOLS}.GetGroups",
    "snapshotDiff": f"{_HDFS_TOOLS}.snapshot.SnapshotDiff",
    "lsSnapshottableDir": f"{_HDFS_TOOLS}.snapshot.LsSnapshottableDir",
    "storagepolicies": f"{_HDFS_TOOLS}.StoragePolicyAdmin",
    "ec": f"{_HDFS_TOOLS}.ECAdmin",
    "crypto": f"{_HDFS_TOOLS}.CryptoAdmin",
    "debug": f"{_HDFS_TOOLS}.DebugAdmin",
    "version": "org.apache.hadoop.util.VersionInfo",
}
_HADOOP = {
    "fs": "org.apache.hadoop.fs.FsShell",
    "distcp": "org.apache.hadoop.tools.DistCp",
    "version": "org.apache.hadoop.util.VersionInfo",
}
_HBASE = {
    "snapshot create": "org.apache.hadoop.hbase.snapshot.CreateSnapshot",
    "snapshot info": "org.apache.hadoop.hbase.snapshot.SnapshotInfo",
    "snapshot export": "org.apache.hadoop.hbase.snapshot.ExportSnapshot",
    "hbck": "org.apache.hadoop.hbase.util.HBaseFsck",
    "hfile": "org.apache.hadoop.hbase.io.hfile.HFilePrettyPrinter",
    "wal": "org.apache.hadoop.hbase.wal.WALPrettyPrinter",
    "version": "org.apache.hadoop.hbase.util.VersionInfo",
}
_NO_HBASE_SHELL = """\
  shell)
    echo "hbase shell is not to be had in the lab: its jar is not published for these versions" >&2
    echo "(hbase org.jruby.Main SCRIPT runs a script for the same JRuby, with the same client classes)" >&2
    exit 1
    ;;
"""

_SCRIPT = """\
#!/bin/sh
# {command} of cluster {cluster}: {command} SUBCOMMAND arguments, or {command} MAIN.CLASS arguments.
options=@{options}
subcommand=${{1-}}
[ $# -eq 0 ] || shift
case "$subcommand" in
{cases}  classpath)
    sed -n 's/^-cp //p' "${{options#@}}"
    exit 0
    ;;
  *.*) class=$subcommand ;;
  *)
    echo "usage: {command} {usage} | classpath | MAIN.CLASS [arguments]" >&2
    exit 1
    ;;
esac
# By this, what was started by whoever has no such variable is found, too: sudo hands none on.
export {marked}
exec java "$options" -Xmx{heap} -D{logger} ${{{variable}-}} "$class" "$@"
"""


def write_commands(cluster: ClusterLayout) -> None:
    """Write the three commands, for every user to run and only root to change."""
    quiet_hadoop = "hadoop.root.logger=WARN,console"
    _write(cluster, "hdfs", "hdfs", _HDFS, quiet_hadoop, "HADOOP_CLIENT_OPTS")
    _write(cluster, "hadoop", "hdfs", _HADOOP, quiet_hadoop, "HADOOP_CLIENT_OPTS")
    _write(cluster, "hbase", "hbase", _HBASE, "hbase.root.logger=WARN,console", "HBASE_OPTS")


def _write(
    cluster: ClusterLayout, command: str, family: str, classes: Mapping[str, str], logger: str, variable: str
) -> None:
    script = _SCRIPT.format(
        command=command,
        cluster=cluster.name.upper(),
        options=cluster.java_options_of(family),
        cases=_cases(command, classes),
        usage=" | ".join(classes),
        heap="384m",
        logger=logger,
        variable=variable,
        marked=f"{CLUSTER_VARIABLE}={cluster.root}",
    )
    put(cluster.bin / command, script, mode=0o755)


def _cases(command: str, classes: Mapping[str, str]) -> str:
    lines = _NO_HBASE_SHELL if command == "hbase" else ""
    nested: dict[str, dict[str, str]] = {}
    for words, main_class in classes.items():
        first, _, second = words.partition(" ")
        if second:
            nested.setdefault(first, {})[second] = main_class
        else:
            lines += f"  {first}) class={main_class} ;;\n"
    for first, seconds in nested.items():
        lines += f'  {first})\n    case "${{1-}}" in\n'
        lines += "".join(f"      {second}) class={main_class} ;;\n" for second, main_class in seconds.items())
        lines += (
            f'      *)\n        echo "usage: {command} {first} {"|".join(seconds)}" >&2\n        exit 1\n        ;;\n'
        )
        lines += "    esac\n    shift\n    ;;\n"
    return lines
