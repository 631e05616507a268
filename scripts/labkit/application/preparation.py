"""What the administrator prepares for the application: its directory and its tables."""

from __future__ import annotations

from scripts.labkit.application.files import DIRECTORIES
from scripts.labkit.application.rows import COLUMN_FAMILY
from scripts.labkit.application.settings import ApplicationSettings
from scripts.labkit.cluster import Cluster
from scripts.labkit.errors import LabError


def prepare_data_sets(cluster: Cluster, settings: ApplicationSettings) -> None:
    """Make the directory, owned by app, and the tables, in several regions; leave what exists."""
    administrator = cluster.webhdfs("hdfs")
    if administrator.status(settings.directory, strict=False) is None:
        administrator.makedirs(settings.directory)
        administrator.set_owner(settings.directory, owner="app", group="app")
        for name in DIRECTORIES:
            cluster.webhdfs("app").makedirs(f"{settings.directory}/{name}")
    with cluster.hbase() as connection:
        existing = {name.decode() for name in connection.tables()}
    for table in settings.tables:
        if table not in existing:
            _create_table(cluster, table, settings.region_count)


def _create_table(cluster: Cluster, table: str, regions: int) -> None:
    """With HBase's own tool, on the gateway: the Thrift interface cannot make a table of several regions."""
    tool = "org.apache.hadoop.hbase.util.RegionSplitter"
    done = cluster.ssh(f"hbase {tool} {table} HexStringSplit -c {regions} -f {COLUMN_FAMILY}", timeout_seconds=120)
    if done.returncode != 0:
        raise LabError(f"table {table} could not be made: {done.stderr.strip()[-500:]}")
