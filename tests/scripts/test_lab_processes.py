"""The lab signals a process only when it is still the one that was started."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from scripts.labkit import proc, processes
from scripts.labkit.errors import LabError
from scripts.labkit.layout import ClusterLayout, LabLayout


@pytest.fixture
def cluster(tmp_path: Path) -> ClusterLayout:
    layout = LabLayout(tmp_path / "lab", (18000, 28000)).cluster("a")
    layout.root.mkdir(parents=True)
    return layout


def test_a_process_is_started_seen_paused_and_ended(cluster: ClusterLayout) -> None:
    record = processes.spawn(cluster, "sleeper", ["sleep", "600"], {})
    assert processes.recall(cluster, "sleeper") == record
    assert record.pid in set(proc.pids_with_variable(processes.CLUSTER_VARIABLE, str(cluster.root)))
    assert processes.send(cluster, "sleeper", signal.SIGSTOP)
    assert processes.poll(lambda: (found := record.facts()) is not None and found.paused, within_seconds=5)
    assert processes.send(cluster, "sleeper", signal.SIGKILL)
    assert processes.wait_until_ended(cluster, "sleeper", 5)
    assert not processes.send(cluster, "sleeper", signal.SIGKILL)
    os.waitpid(record.pid, 0)


def test_another_process_with_the_same_pid_is_left_alone(cluster: ClusterLayout) -> None:
    own = proc.look_at(os.getpid())
    assert own is not None
    same = processes.Record(own.pid, own.started_ticks, proc.boot_id(), 0)
    assert same.facts() is not None
    assert processes.Record(own.pid, own.started_ticks - 1, proc.boot_id(), 0).facts() is None
    assert processes.Record(own.pid, own.started_ticks, "another boot", 0).facts() is None


def test_what_a_part_left_behind_is_found_and_ended(cluster: ClusterLayout) -> None:
    record = processes.spawn(cluster, "parent", ["sh", "-c", "setsid sleep 600 & exec sleep 600"], {})

    def marked() -> set[int]:
        return set(proc.pids_with_variable(processes.CLUSTER_VARIABLE, str(cluster.root)))

    assert processes.poll(lambda: len(marked()) == 2, within_seconds=5)
    left = marked() - {record.pid}
    assert set(processes.end_leftovers(cluster, spare=[record.pid])) == left
    assert marked() == {record.pid}
    processes.send(cluster, "parent", signal.SIGKILL)
    assert processes.wait_until_ended(cluster, "parent", 5)
    os.waitpid(record.pid, 0)


@pytest.mark.parametrize("ports", ["18", "18,18", "18,x", "1,28", "18,32"])
def test_ports_that_make_no_sense_are_refused(ports: str) -> None:
    with pytest.raises(LabError, match="UNDERSTUDY_LAB_PORTS"):
        LabLayout.from_environment({"UNDERSTUDY_LAB_PORTS": ports})


def test_a_place_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(LabError, match="absolute"):
        LabLayout.from_environment({"UNDERSTUDY_LAB": "relative/lab"})
    assert LabLayout.from_environment({}).cluster("B").webhdfs_url == "http://127.0.0.1:28070"
