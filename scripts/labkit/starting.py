"""Bringing parts up: each as soon as the parts that it needs are ready, both clusters at the same time.

Readiness is asked of the part, never assumed after a time. When a part's process ends or its time is over, the error
names the part, its log and the line of the log that matters; the other waits are given up at once.
"""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from scripts.labkit import processes
from scripts.labkit.errors import LabError
from scripts.labkit.layout import HOST, ClusterLayout
from scripts.labkit.parts import Part, part_named
from scripts.labkit.ports import holder_of

Report = Callable[[str], None]
_ASK_AGAIN_SECONDS = 0.25
_TELLING = re.compile(r"\b(FATAL|ERROR|BindException|OutOfMemoryError|Caused by|Exception in thread)\b|^Error:|fatal:")


class _GivenUp(Exception):
    """Another part failed, so this one is no longer waited for."""


def start_parts(wanted: Iterable[tuple[ClusterLayout, Part]], report: Report) -> None:
    """Start those that are down, wake those that are paused, and return when all of them are ready.

    A needed part that is not among ``wanted`` is not started, nor waited for. Raises LabError, with the first failure.
    """
    pairs = list(wanted)
    ready = {(cluster.name, part.name): threading.Event() for cluster, part in pairs}
    failed = threading.Event()

    def bring_up(cluster: ClusterLayout, part: Part) -> None:
        try:
            for need in part.needs:
                event = ready.get((cluster.name, need))
                while event is not None and not event.wait(_ASK_AGAIN_SECONDS):
                    _give_up_if(failed)
            began = time.monotonic()
            started = start_process(cluster, part)
            wait_until_ready(cluster, part, failed)
            if started:
                report(f"{cluster.name}.{part.name} ready after {time.monotonic() - began:.1f} s")
        except _GivenUp:
            return
        except BaseException:
            failed.set()
            raise
        ready[cluster.name, part.name].set()

    with ThreadPoolExecutor(max_workers=max(len(pairs), 1)) as pool:
        futures = [pool.submit(bring_up, cluster, part) for cluster, part in pairs]
        errors = [error for future in futures if (error := future.exception()) is not None]
    if errors:
        raise errors[0]


def start_process(cluster: ClusterLayout, part: Part) -> bool:
    """Start the part if it is down, wake it if it is paused; True when a process was started."""
    facts = processes.living(cluster, part.name)
    if facts is not None:
        if facts.paused:
            processes.send(cluster, part.name, signal.SIGCONT)
        return False
    part.prepare(cluster)
    for port in part.ports(cluster):
        holder = holder_of(port)
        if holder is not None:
            raise LabError(f"{cluster.name}.{part.name} cannot start: {HOST}:{port} is taken by {holder}")
    environment = {"HADOOP_USER_NAME": part.user} if part.user else {}
    processes.spawn(cluster, part.name, part.command(cluster), environment)
    return True


def wait_until_ready(cluster: ClusterLayout, part: Part, failed: threading.Event | None = None) -> None:
    """Ask the part until nothing is missing; raises LabError when it ended or its time is over."""
    deadline = time.monotonic() + part.ready_within_seconds
    while True:
        if processes.living(cluster, part.name) is None:
            raise LabError(f"{cluster.name}.{part.name} ended while starting\n{story_from_log(cluster, part)}")
        missing = part.missing(cluster)
        if missing is None:
            return
        if time.monotonic() > deadline:
            raise LabError(
                f"{cluster.name}.{part.name} is not ready after {part.ready_within_seconds:.0f} s: {missing}\n"
                + story_from_log(cluster, part)
            )
        if failed is not None:
            _give_up_if(failed)
        time.sleep(_ASK_AGAIN_SECONDS)


def story_from_log(cluster: ClusterLayout, part: Part) -> str:
    """The line of the part's own log that most likely tells why it failed, and where to read the rest."""
    path = cluster.log_of(part.name)
    record = processes.recall(cluster, part.name)
    with path.open("rb") as log:
        log.seek(record.log_offset if record else 0)
        lines = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if _TELLING.search(line)]
    line = (telling or lines or ["(it wrote nothing)"])[-1]
    return f"  {line.strip()[:400]}\n  log: {path}"


def start_named(cluster: ClusterLayout, name: str, report: Report) -> None:
    start_parts([(cluster, part_named(name))], report)


def _give_up_if(failed: threading.Event) -> None:
    if failed.is_set():
        raise _GivenUp
