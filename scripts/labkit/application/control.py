"""Starting and stopping the application, and seeing how far it is."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from scripts.labkit import processes
from scripts.labkit.application.log import read_log
from scripts.labkit.application.preparation import prepare_data_sets
from scripts.labkit.application.settings import ApplicationSettings, load_settings
from scripts.labkit.errors import LabError
from scripts.labkit.lab import Lab

_FIRST_ACKNOWLEDGEMENTS_WITHIN_SECONDS = 60
_END_WITHIN_SECONDS = 25
_PROJECT = Path(__file__).parents[3]


@dataclass(frozen=True)
class DataSetProgress:
    """How far the application is with one data set; times are seconds since the epoch."""

    data_set: str
    acknowledged: int
    unacknowledged: int
    last_acknowledged_at: float | None


def start_application(lab: Lab, settings: ApplicationSettings) -> None:
    """Start it and return when every data set has its first new acknowledgement; it goes on after its log, if any."""
    cluster = lab.cluster(settings.cluster)
    layout = cluster.layout
    if processes.living(layout, settings.process_name) is not None:
        return
    prepare_data_sets(cluster, settings)
    settings.save(layout)
    before = {progress.data_set: progress.acknowledged for progress in progress_of(lab, settings)}
    environment = {
        "PYTHONPATH": str(_PROJECT),
        "UNDERSTUDY_LAB": str(lab.layout.root),
        "UNDERSTUDY_LAB_PORTS": ",".join(str(base // 1000) for base in lab.layout.port_bases),
    }
    command = [sys.executable, "-m", "scripts.labkit.application", settings.name]
    processes.spawn(layout, settings.process_name, command, environment)
    wanted = {settings.directory, *settings.tables}

    def all_begun() -> bool:
        if processes.living(layout, settings.process_name) is None:
            raise LabError(f"the application ended while starting; log: {layout.log_of(settings.process_name)}")
        now = progress_of(lab, settings)
        return wanted == {line.data_set for line in now if line.acknowledged > before.get(line.data_set, 0)}

    if not processes.poll(all_begun, _FIRST_ACKNOWLEDGEMENTS_WITHIN_SECONDS):
        raise LabError(f"the application gets no acknowledgements; log: {layout.log_of(settings.process_name)}")


def stop_application(lab: Lab, name: str) -> None:
    """End it after the operations under way; its log stays."""
    settings = find_settings(lab, name)
    layout = lab.cluster(settings.cluster).layout
    processes.send(layout, settings.process_name, signal.SIGTERM)
    if not processes.wait_until_ended(layout, settings.process_name, _END_WITHIN_SECONDS):
        processes.send(layout, settings.process_name, signal.SIGKILL)
        processes.wait_until_ended(layout, settings.process_name, 5)


def find_settings(lab: Lab, name: str) -> ApplicationSettings:
    """Those of an application that was started before; raises LabError when there is none."""
    settings = load_settings(lab.layout, name)
    if settings is None:
        raise LabError(f"there is no application {name!r}; start it with: scripts/lab app start --name {name}")
    return settings


def application_runs(lab: Lab, settings: ApplicationSettings) -> bool:
    return processes.living(lab.cluster(settings.cluster).layout, settings.process_name) is not None


def progress_of(lab: Lab, settings: ApplicationSettings) -> list[DataSetProgress]:
    """One entry a data set, from the log."""
    path = settings.log_file(lab.cluster(settings.cluster).layout)
    if not path.exists():
        return []
    found = []
    for data_set, operations in read_log(path).items():
        times = [logged.acknowledged_at for logged in operations if logged.acknowledged_at is not None]
        last = times[-1] if times else None
        found.append(DataSetProgress(data_set, len(times), len(operations) - len(times), last))
    return found
