"""Taking clusters down: by what was recorded at the start, never by a program's name."""

from __future__ import annotations

import signal
import time

from scripts.labkit import processes
from scripts.labkit.layout import ClusterLayout
from scripts.labkit.parts import PART_NAMES, PARTS
from scripts.labkit.starting import Report

# HBase still writes to HDFS and ZooKeeper while it ends, so those go after it.
_ORDER = (("gateway", "thrift", "httpfs"), ("hmaster", "regionserver"), ("datanode", "namenode", "zookeeper"))
_APPLICATION_ENDS_WITHIN_SECONDS = 5


def stop_clusters(clusters: tuple[ClusterLayout, ...], report: Report, *, kill: bool = False) -> None:
    """End every process of the clusters: SIGTERM, and SIGKILL to what has not ended within its bound.

    Applications end first, so that they do not complain about clusters that go away. ``kill`` skips the SIGTERM of the
    parts, for clusters whose data is about to be wiped. Last of all, processes that the parts left behind (sessions of
    the gateway and what runs detached in them) are killed.
    """
    _stop_what_is_no_part(clusters)
    for group in _ORDER:
        parts = [(cluster, part) for cluster in clusters for part in PARTS if part.name in group]
        deadline = time.monotonic() + max(part.stop_within_seconds for _, part in parts)
        for cluster, part in parts:
            processes.send(cluster, part.name, signal.SIGKILL if kill else signal.SIGTERM)
            processes.send(cluster, part.name, signal.SIGCONT)  # a paused process does not hear SIGTERM
        for cluster, part in parts:
            if not processes.wait_until_ended(cluster, part.name, max(deadline - time.monotonic(), 0)):
                report(f"{cluster.name}.{part.name} did not end by itself: killed")
                processes.send(cluster, part.name, signal.SIGKILL)
                processes.wait_until_ended(cluster, part.name, 5)
    for cluster in clusters:
        left = processes.end_leftovers(cluster)
        if left:
            report(f"{cluster.name}: ended {len(left)} processes of its gateway, such as the warm HBase administration")


def _stop_what_is_no_part(clusters: tuple[ClusterLayout, ...]) -> None:
    applications = [
        (cluster, name) for cluster in clusters for name in processes.recorded_names(cluster) if name not in PART_NAMES
    ]
    for cluster, name in applications:
        processes.send(cluster, name, signal.SIGTERM)
    for cluster, name in applications:
        if not processes.wait_until_ended(cluster, name, _APPLICATION_ENDS_WITHIN_SECONDS):
            processes.send(cluster, name, signal.SIGKILL)
