"""Bad days in the middle of a run: what works is killed, paused or switched off, and the run goes on."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.labkit.cluster import Cluster
from scripts.labkit.processes import CLUSTER_VARIABLE
from tests.lab.breaking import STAGING, AgentKiller, agents_of, limit, staged_by, wait_until_bytes_arrive
from tests.lab.data import fill, read_tree
from tests.lab.product import ENDED, Product

UniqueName = Callable[[str], str]
SOME = {f"d{number % 5}/f{number}": secrets.token_bytes(20_000) for number in range(40)}
LARGE = {"large": secrets.token_bytes(1 << 20) * 256, **SOME}
STATES = ("CHECKING", "ARMED", "STAGING", "APPLYING", "FREEZING", "VERIFYING", "SEALING", "COMPLETED")
EVERY_KIND = {
    "CheckCluster",
    "TakeSnapshots",
    "SendSnapshots",
    "ApplyStaged",
    "FreezeCopies",
    "DigestSnapshots",
    "SealRecoveryPoint",
}


class Protected:
    """A service of one directory, or of a table too, and the proof that a run of it is whole."""

    def __init__(
        self, product: Product, a: Cluster, b: Cluster, name: str, files: dict[str, bytes], rows: int = 0
    ) -> None:
        self.name = name
        self.directory = f"/data/{name}"
        self._product = product
        self._clusters = (a, b)
        self._files = files
        self._rows = rows
        fill(a, self.directory, files)
        table = name.replace("-", "_")
        if rows:
            with a.hbase() as connection:
                connection.create_table(table, {"f": {}})
                for number in range(rows):
                    connection.table(table).put(b"row%d" % number, {b"f:q": b"value"})
        product.protect(name, (self.directory,), (table,) if rows else ())

    def prove(self, run: str) -> dict[str, Any]:
        """Wait for the run to complete; returns its page. All files stand as of its moment, and nothing is left."""
        a, b = self._clusters
        page = self._product.wait_for_state(run, "COMPLETED")
        assert read_tree(b, f"{self.directory}/.snapshot/{page['snapshot']}") == self._files
        (files,) = [one["id"] for one in page["data_sets"] if one["component"] == "hdfs"]
        late_ms = page["snapshots"][files]["server_ms"] - page["moment_ms"]
        assert 0 <= late_ms + 2 <= page["settings"]["fire_tolerance_ms"]
        if self._rows:
            assert page["verification"]["trial_clone"]["rows_seen"] == self._rows
        points = self._product.ask("recovery-points", "--service", self.name)["items"]
        assert [point["state"] for point in points] == ["AVAILABLE"]
        assert staged_by(page, a, b) == []
        return page


Protect = Callable[..., Protected]


@pytest.fixture
def protect(product: Product, cluster_a: Cluster, cluster_b: Cluster, unique_name: UniqueName) -> Protect:
    return lambda files, rows=0: Protected(product, cluster_a, cluster_b, unique_name("broken"), files, rows)


@pytest.mark.by_hand
def test_datanode_killed_during_the_copy(product: Product, cluster_b: Cluster, protect: Protect) -> None:
    service = protect(LARGE)
    run = product.arm(service.name, "--push")
    wait_until_bytes_arrive(cluster_b, run)
    cluster_b.kill("datanode")
    assert product.page(run)["state"] == "STAGING", "it was hit in the middle"
    cluster_b.start("datanode")
    service.prove(run)


@pytest.mark.by_hand
def test_namenode_paused_for_20_seconds_during_the_copy(product: Product, cluster_b: Cluster, protect: Protect) -> None:
    service = protect(LARGE)
    run = product.arm(service.name, "--pull")
    wait_until_bytes_arrive(cluster_b, run)
    cluster_b.pause("namenode")
    time.sleep(20)
    assert product.page(run)["state"] == "STAGING", "it was hit in the middle"
    cluster_b.resume("namenode")
    service.prove(run)


def test_primary_read_only_at_the_moment(product: Product, cluster_a: Cluster, protect: Protect) -> None:
    """It is told at once; the run ends when the cluster can be written to, since cleaning raises its record first."""
    service = protect(SOME)
    run = product.arm(service.name)
    cluster_a.ssh("HADOOP_USER_NAME=hdfs hdfs dfsadmin -safemode enter")
    try:
        product.wait_for("the failure is told", lambda: product.page(run)["failure"], 120)
    finally:
        cluster_a.ssh("HADOOP_USER_NAME=hdfs hdfs dfsadmin -safemode leave")
    page = product.wait_for_state(run, "FAILED")
    assert page["failure"]["code"] == "SAFE_MODE", page["failure"]
    assert "safemode" in page["failure"]["remedy"]
    assert page["snapshots"] == {}
    service.prove(product.arm(service.name))


def test_quota_of_staging_reached_during_the_copy(product: Product, cluster_b: Cluster, protect: Protect) -> None:
    """The page says what stands in the way and what to do; done in time, the same run completes."""
    service = protect(SOME)
    (epoch,) = cluster_b.webhdfs("hdfs").list(STAGING)
    limit(cluster_b, f"{STAGING}/{epoch}", -1, 1 << 10)
    try:
        run = product.arm(service.name)
        product.wait_for("the copy fails", lambda: product.page(run)["last_failure"], 60)
        page, shown = product.page(run), product.run("run", "show", run)
    finally:
        limit(cluster_b, f"{STAGING}/{epoch}", -1, -1)
    ((step, failure),) = page["last_failure"].items()
    assert (page["state"], step.partition("-")[0], failure["code"]) == ("STAGING", "copy", "NO_SPACE")
    assert f"{STAGING}/{epoch}" in failure["message"]
    assert "quota" in failure["remedy"]
    assert f"remedy: {failure['remedy']}" in shown
    service.prove(run)


@pytest.mark.by_hand
def test_agents_killed_whatever_they_do(
    product: Product, cluster_a: Cluster, cluster_b: Cluster, protect: Protect
) -> None:
    """The agent of every instruction of the run dies when it has begun, and the next one in the middle."""
    service = protect(LARGE, rows=3)
    with AgentKiller([cluster_a, cluster_b]) as killer:
        run = product.begin(service.name, "--push", *product.lead(with_tables=True, times=2))
        product.wait_for_state(run, "COMPLETED")
    service.prove(run)
    assert set(killer.killed) >= EVERY_KIND, killer.killed
    assert killer.killed["CheckCluster"] >= 2, "both gateways'"
    assert killer.killed["SendSnapshots"] >= 3, "both data sets', and the files' in the middle of the copy"


def test_controller_killed_in_every_state_and_off_at_the_moment(
    product: Product, cluster_a: Cluster, protect: Protect
) -> None:
    """It is killed in each state as soon as it has come there, and started again only after the moment has passed."""
    service = protect(SOME)
    run = product.begin(service.name, "--pull", *product.lead(times=2))
    killed_in = [product.page(run)["state"]]
    while True:
        product.kill()
        if killed_in[-1] == "ARMED":
            while agents_of(cluster_a):
                time.sleep(0.2)  # the agent waits for the moment, fires, and ends without anybody looking
        product.start()
        before = killed_in[-1]
        states = [state for state in STATES if state != before]
        killed_in.append(product.wait_for_state(run, *states)["state"])
        if killed_in[-1] in ENDED:
            break
    print(f"\nkilled in {killed_in[:-1]}")
    service.prove(run)
    assert {"CHECKING", "ARMED", "STAGING", "APPLYING", "VERIFYING"} <= set(killed_in)


@pytest.mark.parametrize("control_device", [pytest.param("on", marks=pytest.mark.by_hand), "off"])
def test_gateway_restarted_between_armed_and_the_moment(
    product: Product, cluster_a: Cluster, protect: Protect, control_device: str
) -> None:
    """With the control device on, it starts the agent again; when it is off, what runs at the gateway's start does."""
    service = protect(SOME)
    run = product.arm(service.name, "--push", times=1.7)
    moment_ms = product.page(run)["moment_ms"]
    if control_device == "off":
        product.kill()
    cluster_a.power_off_gateway()
    assert agents_of(cluster_a) == {}
    cluster_a.start("gateway")
    if control_device == "off":
        run_what_runs_at_start(cluster_a)
        assert time.time() * 1000 < moment_ms, "the machine is too busy for this test"
        while agents_of(cluster_a):
            time.sleep(0.2)
        product.start()
    service.prove(run)


def run_what_runs_at_start(cluster: Cluster) -> None:
    """The line that the administrator's script has left for the gateway's start; nothing else knows of the start here.

    The machine's own cron does not run in the lab; the line is carried out as cron does it.
    """
    name = f"{cluster.lab.root.name}-{cluster.name}"
    lines = Path(f"/etc/cron.d/{name}").read_text().splitlines()
    path = next(line for line in lines if line.startswith("PATH="))
    (adopt,) = [line for line in lines if line.startswith("@reboot ")]
    _, user, command = adopt.split(maxsplit=2)
    environment = ["env", "-i", path, f"{CLUSTER_VARIABLE}={cluster.layout.root}"]
    done = subprocess.run(
        ["runuser", "-u", user, "--", *environment, "/bin/sh", "-c", command],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert '"started":true' in done.stdout, done.stdout


def test_soonest_chooses_another_moment_when_the_checks_are_disturbed(
    product: Product, cluster_a: Cluster, protect: Protect
) -> None:
    """The NameNode stands still for longer than the checks took before: nothing is cut yet, so nothing is lost."""
    name = protect(SOME).name
    product.back_up(name)  # tells how long the checks take
    run = product.begin(name, "--at", "soonest")
    cluster_a.pause("namenode")
    try:
        time.sleep(max(0.0, product.page(run)["moment_ms"] / 1000 - time.time()) + 2)
    finally:
        cluster_a.resume("namenode")
    page = product.wait_for_state(run, "COMPLETED")
    print(f"\npaused: {page['moment_moves']}")
    assert page["moment_moves"], "it was too late for the first one"
    assert page["moment_ms"] == page["moment_moves"][-1]["to_ms"]
    (snapshot,) = page["snapshots"].values()
    assert abs(snapshot["asked_cluster_ms"] - page["moment_ms"]) < 1000


@pytest.mark.by_hand
def test_soonest_comes_to_its_end_although_agents_are_killed(
    product: Product, cluster_a: Cluster, cluster_b: Cluster, protect: Protect
) -> None:
    """One that should have fired is dead: its successor finds no snapshot, and the run takes another moment."""
    name = protect(SOME).name
    product.back_up(name)
    with AgentKiller([cluster_a, cluster_b]) as killer:
        page = product.wait_for_state(product.begin(name, "--at", "soonest"), "COMPLETED")
    print(f"\nkilled: {dict(killer.killed)}, {page['moment_moves']}")
    assert killer.killed["CheckCluster"] >= 2
