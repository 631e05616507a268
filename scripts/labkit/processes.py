"""The processes of the lab's parts: started detached, remembered on disk, signalled only when they are still the same.

A pid alone is no identity, because pids are used again: the record holds the boot and the start time too, and both are
compared before any signal. Every process also carries ``UNDERSTUDY_LAB_CLUSTER`` in its environment (a gateway's
sessions get it from the SSH server), so that what a part left behind can be found and ended.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.labkit import proc
from scripts.labkit.files import put
from scripts.labkit.layout import ClusterLayout

CLUSTER_VARIABLE = "UNDERSTUDY_LAB_CLUSTER"
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Record:
    """Which process a part is; ``log_offset`` is where its own lines begin in the part's log."""

    pid: int
    started_ticks: int
    boot_id: str
    log_offset: int

    def facts(self) -> proc.ProcessFacts | None:
        """The process, or None when it has ended (even if its pid belongs to another one by now)."""
        found = proc.look_at(self.pid)
        same = found is not None and found.started_ticks == self.started_ticks and self.boot_id == proc.boot_id()
        return found if same and found is not None and found.alive else None


def spawn(cluster: ClusterLayout, part: str, command: list[str], environment: Mapping[str, str]) -> Record:
    """Start a part detached from this terminal, its output appended to its log, and remember it."""
    cluster.logs.mkdir(parents=True, exist_ok=True)
    with cluster.log_of(part).open("ab") as log:
        offset = log.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=cluster.root,
            env={"PATH": SEARCH_PATH, "LANG": "C.UTF-8", CLUSTER_VARIABLE: str(cluster.root), **environment},
            start_new_session=True,
        )
    facts = proc.look_at(process.pid)
    assert facts is not None, "a child that nobody has waited for is at least a zombie"
    # Not waited for on purpose: it outlives this program. Popen must not warn about that when it is forgotten.
    process.returncode = 0
    record = Record(process.pid, facts.started_ticks, proc.boot_id(), offset)
    put(_record_file(cluster, part), json.dumps(asdict(record)) + "\n")
    return record


def recall(cluster: ClusterLayout, part: str) -> Record | None:
    """The last record of a part, whether its process lives or not."""
    try:
        return Record(**json.loads(_record_file(cluster, part).read_text()))
    except FileNotFoundError:
        return None


def recorded_names(cluster: ClusterLayout) -> list[str]:
    """The parts, and whatever else was started for this cluster, that have a record."""
    return sorted(path.stem for path in cluster.run.glob("*.json"))


def living(cluster: ClusterLayout, part: str) -> proc.ProcessFacts | None:
    record = recall(cluster, part)
    return record.facts() if record else None


def send(cluster: ClusterLayout, part: str, number: signal.Signals) -> bool:
    """Send a signal to a part; False when it is not running."""
    facts = living(cluster, part)
    if facts is None:
        return False
    os.kill(facts.pid, number)
    return True


def wait_until_ended(cluster: ClusterLayout, part: str, within_seconds: float) -> bool:
    return poll(lambda: living(cluster, part) is None, within_seconds)


def wait_until_paused(cluster: ClusterLayout, part: str, within_seconds: float) -> bool:
    def stands_still() -> bool:
        facts = living(cluster, part)
        return facts is not None and facts.paused

    return poll(stands_still, within_seconds)


def end_leftovers(cluster: ClusterLayout, spare: Iterable[int] = ()) -> list[int]:
    """Kill every process that the cluster's environment variable marks, except ``spare``; returns their pids."""
    ended: list[int] = []

    def none_left() -> bool:
        found = set(proc.pids_with_variable(CLUSTER_VARIABLE, str(cluster.root))) - {*spare, os.getpid()}
        for pid in found:
            facts = proc.look_at(pid)
            if facts is not None and facts.alive:
                os.kill(pid, signal.SIGKILL)
                ended.append(pid)
        return not found

    # A process may start another one while it is being killed, so look until nothing is found.
    poll(none_left, within_seconds=5)
    return ended


def poll(condition: Callable[[], bool], within_seconds: float) -> bool:
    """Ask until the condition holds; False when it does not in time."""
    deadline = time.monotonic() + within_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _record_file(cluster: ClusterLayout, part: str) -> Path:
    return cluster.run / f"{part}.json"
