"""How large directories and tables are, as the NameNode sums them up: a cheap request, however large the tree is."""

from __future__ import annotations

from infra.agent.core import hdfs
from infra.agent.core.hbase_layout import DATA, MOB
from infra.agent.core.hbase_manifest import parse_table
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import OperationFailed

_SUMS = {"files": "fileCount", "directories": "directoryCount", "bytes": "length", "consumed_bytes": "spaceConsumed"}
# What deleted files still take in snapshots is summed up, too; where the NameNode tells how much, it is left out.
_IN_SNAPSHOTS = {
    "files": "snapshotFileCount",
    "directories": "snapshotDirectoryCount",
    "bytes": "snapshotLength",
    "consumed_bytes": "snapshotSpaceConsumed",
}


def directory_size(site: str, path: str) -> Procedure:
    """``{"files", "directories", "bytes", "consumed_bytes"}``, the last with all replicas; None when there is none."""
    try:
        answer = yield from hdfs.call(site, "GET", "GETCONTENTSUMMARY", path)
    except OperationFailed as failure:
        if hdfs.exception_of(failure) != "FileNotFoundException":
            raise
        return None
    summary = answer["ContentSummary"]
    return {name: summary[field] - summary.get(_IN_SNAPSHOTS[name], 0) for name, field in _SUMS.items()}


def table_size(site: str, root: str, table: str) -> Procedure:
    """The same of a table's store files; what is in memory alone, and what other tables' files hold, is not counted."""
    name = parse_table(table)
    size = dict.fromkeys(_SUMS, 0)
    for place in (DATA, MOB):
        found = yield from directory_size(site, f"{root}/{place}/{name.namespace}/{name.name}")
        for what, much in (found or {}).items():
            size[what] += much
    return size
