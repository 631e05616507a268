"""Firing at an instant: all calls at once, as close to it as the host allows, and never too late."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from infra.agent.core.operations import Fire, HBaseCall, HdfsCall, OperationFailed
from infra.agent.shell.clock import system_clock_ms
from infra.agent.shell.firing import Firing
from infra.agent.shell.hbase_process import HBaseProcess
from tests.agent.http_peer import Peer, exception, hang_up, peers
from tests.agent.test_webhdfs import Client, unused_port


def firing(client: Client, now_ms: Any = system_clock_ms) -> Firing:
    """The firing of a client without HBase."""

    def no_hbase(site: str) -> HBaseProcess:
        raise OperationFailed("NO_HBASE", f"the {site} cluster has none")

    return Firing(client.webhdfs, client.connections, no_hbase, now_ms, client.cancelled)


def snapshots(count: int) -> tuple[HdfsCall, ...]:
    return tuple(HdfsCall("primary", "PUT", "CREATESNAPSHOT", f"/data/{number}") for number in range(count))


def test_all_calls_leave_together_at_the_moment_over_connections_that_were_open(tmp_path: Path) -> None:
    with peers(1) as (peer,):
        client = Client(tmp_path, [peer.url])
        at_ms = system_clock_ms() + 500
        shots = firing(client).fire(Fire(at_ms, 2000, snapshots(8)))
        assert [shot["value"]["path"] for shot in shots] == [f"/data/{number}" for number in range(8)]
        assert all(at_ms <= shot["asked_ms"] <= shot["done_ms"] for shot in shots)
        assert peer.ops().count("NN:CREATESNAPSHOT") == 8
        assert peer.connections == 9  # one that found the active NameNode, and one for each call
        client.connections.close()


def test_a_failure_of_one_call_is_told_beside_the_values_of_the_others(tmp_path: Path) -> None:
    with peers(1) as (peer,):
        peer.misbehaviours["NN:CREATESNAPSHOT"] = [exception("SnapshotException", "too many"), hang_up]
        client = Client(tmp_path, [peer.url])
        shots = firing(client).fire(Fire(system_clock_ms() + 200, 2000, snapshots(3)))
        failures = sorted((shot["failure"] for shot in shots if "failure" in shot), key=lambda item: item["unknown"])
        assert [(item["code"], item["unknown"]) for item in failures] == [
            ("HDFS_REFUSED", False),
            ("HDFS_UNREACHABLE", True),
        ]
        assert failures[0]["detail"]["exception"] == "SnapshotException"
        assert peer.ops().count("NN:CREATESNAPSHOT") == 3
        client.connections.close()


def test_a_cluster_that_cannot_be_reached_fails_its_own_calls_alone(tmp_path: Path) -> None:
    with peers(1) as (peer,):
        client = Client(tmp_path, [peer.url], [f"http://127.0.0.1:{unused_port()}"])
        calls = (*snapshots(1), HdfsCall("secondary", "PUT", "CREATESNAPSHOT", "/x"))
        shots = firing(client).fire(Fire(system_clock_ms() + 100, 10_000, calls))
        assert "value" in shots[0]
        assert shots[1]["failure"]["code"] == "HDFS_UNREACHABLE"
        assert not shots[1]["failure"]["unknown"]
        client.connections.close()


def test_nothing_is_fired_after_the_tolerance(tmp_path: Path) -> None:
    with peers(1) as (peer,):
        client = Client(tmp_path, [peer.url])
        with pytest.raises(OperationFailed) as caught:
            firing(client).fire(Fire(system_clock_ms() - 5000, 1000, snapshots(2)))
        assert caught.value.code == "MOMENT_MISSED"
        assert caught.value.detail["late_ms"] >= 5000
        assert "NN:CREATESNAPSHOT" not in peer.ops()
        client.connections.close()


def test_a_clock_that_jumps_ahead_misses_the_moment_and_does_not_fire_at_another(tmp_path: Path) -> None:
    with peers(1) as (peer,):
        client = Client(tmp_path, [peer.url])
        shift_ms = [0.0]
        threading.Timer(0.3, lambda: shift_ms.__setitem__(0, 60_000.0)).start()
        with pytest.raises(OperationFailed) as caught:
            firing(client, lambda: system_clock_ms() + shift_ms[0]).fire(
                Fire(system_clock_ms() + 20_000, 2000, snapshots(1))
            )
        assert caught.value.code == "MOMENT_MISSED"
        assert "NN:CREATESNAPSHOT" not in peer.ops()
        client.connections.close()


def test_an_abort_ends_the_wait_without_a_shot(tmp_path: Path) -> None:
    with peers(1) as (peer,):
        client = Client(tmp_path, [peer.url])
        threading.Timer(0.3, client.cancelled.set).start()
        began = time.monotonic()
        with pytest.raises(OperationFailed) as caught:
            firing(client).fire(Fire(system_clock_ms() + 60_000, 2000, snapshots(1)))
        assert caught.value.code == "ABORTED"
        assert time.monotonic() - began < 10
        assert peer.ops() == []
        client.connections.close()


def test_a_table_without_hbase_is_refused_before_the_moment(tmp_path: Path) -> None:
    peer = Peer()
    client = Client(tmp_path, [peer.url])
    with pytest.raises(OperationFailed) as caught:
        firing(client).fire(Fire(system_clock_ms() + 100, 2000, (HBaseCall("primary", {"do": "snapshot"}),)))
    assert caught.value.code == "NO_HBASE"
    client.connections.close()
    peer.close()
