"""Both clusters together: up, down, reset."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from scripts.labkit.accounts import ensure_accounts
from scripts.labkit.administrator import install_administrator_setup, prepare_file_system
from scripts.labkit.cluster import Cluster
from scripts.labkit.commands import write_commands
from scripts.labkit.configuration import ClusterOptions, write_configuration
from scripts.labkit.description import write_description
from scripts.labkit.files import put
from scripts.labkit.gateway import ensure_keys, write_gateway_configuration
from scripts.labkit.jars import ensure_jars
from scripts.labkit.java import write_java_options
from scripts.labkit.layout import LabLayout
from scripts.labkit.parts import PARTS
from scripts.labkit.starting import Report, start_parts
from scripts.labkit.stopping import stop_clusters

# Hadoop's web servers refuse to start without these directories; their pages are not needed, /jmx and /webhdfs are.
_WEBAPPS = (
    *(f"webapps/{name}" for name in ("hdfs", "datanode", "static")),
    *(f"hbase-webapps/{name}" for name in ("master", "regionserver", "thrift", "rest", "static")),
)
_EMPTY_WEBAPP = '<web-app xmlns="http://java.sun.com/xml/ns/javaee" version="3.0"></web-app>\n'


class Lab:
    """A handle on the lab at one place; whoever changes which processes run holds its lock while doing so."""

    def __init__(self, layout: LabLayout) -> None:
        self.layout = layout
        self.clusters = {cluster.name: Cluster(cluster, layout) for cluster in layout.clusters}

    @classmethod
    def load(cls) -> Lab:
        """The lab that the environment names, or the default one; it need not be up."""
        return cls(LabLayout.from_environment())

    def cluster(self, name: str) -> Cluster:
        return self.clusters[self.layout.cluster(name).name]

    def up(self, report: Report, *, capture_open_files: bool | None = None) -> None:
        """Bring everything up that is down, and return when all of it is ready.

        ``capture_open_files`` None leaves the clusters as they are. Raises LabError with the first failure; what came
        up stays up, so that it can be looked at, and the next ``up`` goes on from there.
        """
        with self._locked():
            self._up(report, capture_open_files)

    def down(self, report: Report) -> None:
        """End every process of the lab; the data stays."""
        with self._locked():
            stop_clusters(self.layout.clusters, report)

    def reset(self, report: Report, *, capture_open_files: bool | None = None) -> None:
        """Bring the lab up with empty clusters; jars and keys stay."""
        with self._locked():
            stop_clusters(self.layout.clusters, report, kill=True)
            for cluster in self.layout.clusters:
                for directory in (
                    cluster.data,
                    cluster.logs,
                    cluster.run,
                    cluster.spool,
                    cluster.home,
                    cluster.applications,
                ):
                    _wipe(directory, within=cluster.root)
                cluster.options_file.unlink(missing_ok=True)
            self._up(report, capture_open_files)

    def _up(self, report: Report, capture_open_files: bool | None) -> None:
        self._prepare(report)
        if capture_open_files is not None:
            for cluster in self.clusters.values():
                cluster.set_capture_open_files(capture_open_files)
        start_parts([(cluster, part) for part in PARTS for cluster in self.layout.clusters], report)
        with ThreadPoolExecutor() as pool:
            list(pool.map(prepare_file_system, self.layout.clusters))

    def _prepare(self, report: Report) -> None:
        """Write everything that the parts need before they start; doing it again changes nothing."""
        layout = self.layout
        ensure_accounts(tuple(cluster.gateway_user for cluster in layout.clusters))
        ensure_jars(layout.jars, report)
        ensure_keys(layout)
        for webapp in _WEBAPPS:
            put(layout.webapps / webapp / "WEB-INF" / "web.xml", _EMPTY_WEBAPP)
        for cluster in layout.clusters:
            write_configuration(cluster, ClusterOptions.load(cluster))
            write_java_options(cluster, layout.jars, layout.webapps)
            write_gateway_configuration(cluster, layout)
            write_commands(cluster)
            install_administrator_setup(cluster)
        write_description(layout)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.layout.root.mkdir(parents=True, exist_ok=True)
        with self.layout.lock_file.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _wipe(directory: Path, *, within: Path) -> None:
    assert within in directory.parents, "only the lab's own directories are ever wiped"
    if directory.exists():
        shutil.rmtree(directory)
