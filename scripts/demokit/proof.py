"""The proof: an opened recovery point, record by record, against the application's acknowledgement log.

The log knows nothing of Understudy. Each data set is compared with the instants that its own snapshot can stand for, as
the run's page publishes them: what was acknowledged before must be there, what was sent after must not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scripts.labkit.application.log import read_log
from scripts.labkit.application.settings import ApplicationSettings
from scripts.labkit.comparison import (
    DataSetComparison,
    Window,
    compare_data_set,
    recovered_files,
    recovered_rows,
)
from scripts.labkit.lab import Lab


def compare(
    lab: Lab, settings: ApplicationSettings, page: Mapping[str, Any], readable: Mapping[str, Mapping[str, str]]
) -> list[DataSetComparison]:
    """Compare every data set of a run; ``readable`` says, by data set, where the secondary shows it."""
    log = read_log(settings.log_file(lab.cluster(settings.cluster).layout))
    uncertainty = page["consistency"]["uncertainty_ms"] / 1000
    return [
        _compare_one(lab, log, one, page["snapshots"][one["id"]], readable[one["id"]]["readable"], uncertainty)
        for one in page["data_sets"]
    ]


def _compare_one(
    lab: Lab, log: Mapping[str, Any], data_set: Mapping[str, str], snapshot: Mapping[str, Any], where: str, unc: float
) -> DataSetComparison:
    secondary = lab.cluster("b")
    window = Window(snapshot["asked_cluster_ms"] / 1000, snapshot["done_cluster_ms"] / 1000, unc)
    fuzzy = frozenset(snapshot.get("open_files") or ())
    if data_set["component"] == "hdfs":
        found = recovered_files(secondary.webhdfs("hdfs"), where, fuzzy)
    else:
        with secondary.hbase() as connection:
            found = recovered_rows(connection, where)
    return compare_data_set(data_set["name"], log[data_set["name"]], found, window, fuzzy)
