"""The configuration files of one cluster: what an operator would have in /etc/hadoop/conf and /etc/hbase/conf."""

from __future__ import annotations

from scripts.labkit.configuration.hadoop import write_hadoop_configuration
from scripts.labkit.configuration.hbase import write_hbase_configuration
from scripts.labkit.configuration.httpfs import write_httpfs_configuration
from scripts.labkit.configuration.options import ClusterOptions
from scripts.labkit.layout import ClusterLayout


def write_configuration(cluster: ClusterLayout, options: ClusterOptions) -> None:
    """Write every configuration file of the cluster; the same options give the same files."""
    write_hadoop_configuration(cluster, options)
    write_httpfs_configuration(cluster, options)
    write_hbase_configuration(cluster, options)


__all__ = ["ClusterOptions", "write_configuration"]
