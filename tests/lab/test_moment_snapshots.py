"""TakeSnapshots on a real cluster, by an agent on its gateway, while an application writes.

All tests share a directory, two tables, and a spool with its warm HBase process; each has a snapshot name of its own.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.agent.protocol import Instruction, hbase_snapshot_name
from infra.ports.gateway import Seen
from scripts.labkit.cluster import Cluster
from scripts.labkit.lab import Lab
from tests.lab.data import OpenFile, fill
from tests.lab.moment_agent import GatewayAgent

TOLERANCE_MS = 250
LEAD_MS = 20_000  # half of it starts the HBase process, when nobody has kept it warm
FILES_LEAD_MS = 14_000  # a listing of open files needs 8 s, or it is left out before the cut
QUIET_MS = 65_000  # hbase.rpc.timeout and a margin: how early a table is read that shall be proved to stand still


class Subject:
    """A directory and two tables, and the agent that snapshots them."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.agent = GatewayAgent(cluster)
        self.snapshot = ""
        self.directory = f"/data/{name}"
        self.tables = [f"{name}_orders".replace("-", "_"), f"{name}_items".replace("-", "_")]
        self.data_sets = [
            {"id": "files", "component": "hdfs", "path": self.directory},
            {"id": "orders", "component": "hbase", "table": self.tables[0]},
            {"id": "items", "component": "hbase", "table": self.tables[1]},
        ]

    def create(self) -> None:
        fill(self.cluster, self.directory, {"a": b"1" * 1000, "sub/b": b"2"})
        with self.cluster.hbase() as connection:
            for table in self.tables:
                connection.create_table(table, {"f": {}})
                connection.table(table).put(b"row", {b"f:q": b"value"})
        self.remove_snapshots()  # nothing yet; it leaves a warm HBase process behind

    def remove_snapshots(self) -> None:
        """Delete the test's snapshots by an agent, as the product does it."""
        outcome = self.agent.carry_out(
            self.agent.instruction(
                "RemoveSnapshots",
                data_sets=self.data_sets,
                snapshot=self.snapshot or "us-none",
                staging=None,
                recovery_point=None,
            )
        )
        assert outcome["status"] == "succeeded", outcome

    def remove(self) -> None:
        """Delete everything that was made."""
        self.agent.clean_up()
        done = self.cluster.ssh(f"HADOOP_USER_NAME=hdfs hdfs dfsadmin -disallowSnapshot {self.directory}")
        assert done.returncode == 0, done.stderr
        self.cluster.webhdfs("hdfs").delete(self.directory, recursive=True)
        with self.cluster.hbase() as connection:
            for table in self.tables:
                if table.encode() in connection.tables():
                    connection.delete_table(table, disable=True)

    def instruction(self, in_ms: float = LEAD_MS, **payload: Any) -> Instruction:
        """TakeSnapshots for a moment to come."""
        return self.agent.instruction(
            "TakeSnapshots",
            **{
                "moment_ms": int(self.agent.now_ms() + in_ms),
                "fire_tolerance_ms": TOLERANCE_MS,
                "warm_up_ms": 10_000,
                "snapshot": self.snapshot,
                "data_sets": self.data_sets,
                "barrier": None,
                **payload,
            },
        )

    def take(self, instruction: Instruction, meanwhile: Callable[[Seen], None] | None = None) -> dict[str, Any]:
        """The result of an instruction that succeeds."""
        outcome = self.agent.carry_out(instruction, meanwhile)
        assert outcome["status"] == "succeeded", (outcome, self.agent.log(instruction))
        result: dict[str, Any] = outcome["result"]
        return result

    def names(self) -> set[str]:
        """The ids of the data sets whose snapshot is on the cluster."""
        client = self.cluster.webhdfs("hdfs")
        found = set()
        if client.status(f"{self.directory}/.snapshot/{self.snapshot}", strict=False):
            found.add("files")
        for data_set in self.data_sets[1:]:
            name = hbase_snapshot_name(self.snapshot, data_set["table"])
            if self.cluster.webhdfs("hbase").status(f"/hbase/.hbase-snapshot/{name}", strict=False):
                found.add(data_set["id"])
        return found


@pytest.fixture(scope="module")
def shared(lab: Lab) -> Iterator[Subject]:
    made = Subject(lab.cluster("a"), f"moment-{secrets.token_hex(4)}")
    made.create()
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture
def subject(shared: Subject, unique_name: Callable[[str], str]) -> Iterator[Subject]:
    shared.snapshot = f"us-{unique_name('moment')}"
    yield shared
    if shared.names():
        shared.remove_snapshots()


@contextlib.contextmanager
def load(subject: Subject) -> Iterator[list[int]]:
    """An application that writes small files and rows all the time; yields how many it has written."""
    ended = threading.Event()
    written = [0]

    def write() -> None:
        client = subject.cluster.webhdfs("app")
        with subject.cluster.hbase() as connection:
            tables = [connection.table(table) for table in subject.tables]
            while not ended.is_set():
                number = written[0]
                client.write(f"{subject.directory}/load-{number % 50}", data=b"x" * 2000, overwrite=True)
                for table in tables:
                    table.put(f"row{number}".encode(), {b"f:q": b"y" * 200})
                written[0] += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield written
    finally:
        ended.set()
        thread.join()


def test_a_directory_and_two_tables_are_cut_at_one_moment_under_load(
    subject: Subject, record_property: Callable[[str, object], None]
) -> None:
    instruction = subject.instruction()
    moment_ms = instruction.payload["moment_ms"]
    with load(subject) as written:
        result = subject.take(instruction)
    assert written[0] > 20
    assert subject.names() == {"files", "orders", "items"}
    data_sets = result["data_sets"]
    for found in data_sets.values():
        assert 0 <= found["asked_cluster_ms"] - moment_ms + 2 <= TOLERANCE_MS
        assert found["asked_ms"] < found["done_ms"]
    late = {name: round(found["asked_cluster_ms"] - moment_ms, 2) for name, found in data_sets.items()}
    record_property("late_ms", late)
    print(f"\nasked after the moment, ms: {late}")
    print(f"took, ms: { {name: round(f['done_ms'] - f['asked_ms']) for name, f in data_sets.items()} }")
    print(f"clocks: {result['clocks']}")
    files = data_sets["files"]
    before, after = (result["clocks"][when]["namenode"] for when in ("before", "after"))
    assert files["asked_cluster_ms"] - 2 <= files["server_ms"] <= files["done_cluster_ms"] + 2
    assert files["evidence"]["grade"] == "EXACT"
    for name in ("orders", "items"):
        assert data_sets[name]["evidence"]["grade"] == "BOUNDED"
    for offset in (before, after):
        assert abs(offset["offset_ms"]) <= offset["uncertainty_ms"] + 1, "the lab has one clock"
        assert 0 < offset["uncertainty_ms"] < 50
    assert abs(result["clocks"]["before"]["hbase"]["offset_ms"]) < 100


def test_a_file_that_is_held_open_is_named_and_one_that_was_closed_is_not(subject: Subject) -> None:
    with OpenFile(subject.cluster, f"{subject.directory}/held") as held:
        held.write(b"1" * 100)
        with OpenFile(subject.cluster, f"{subject.directory}/closed") as closed:
            closed.write(b"2" * 100)
            files = {"data_sets": subject.data_sets[:1], "warm_up_ms": FILES_LEAD_MS}
            closing = threading.Timer(FILES_LEAD_MS / 1000 - 2, closed.close)
            closing.start()
            result = subject.take(subject.instruction(in_ms=FILES_LEAD_MS, **files))
            closing.join()
    found = result["data_sets"]["files"]
    assert found["open_files"] == ["held"]
    assert found["evidence"]["grade"] == "EXACT"
    assert "1 file" in found["evidence"]["reason"]


class Killer:
    """Kills the agent of an instruction once, as soon as ``is_time`` says so while it is alive."""

    def __init__(self, subject: Subject, instruction: Instruction, is_time: Callable[[Seen], bool]) -> None:
        self._subject = subject
        self._instruction = instruction
        self._is_time = is_time
        self.killed_late_ms: float | None = None

    def __call__(self, seen: Seen) -> None:
        if self.killed_late_ms is None and seen.alive and self._is_time(seen):
            self._subject.agent.kill(self._instruction)
            self.killed_late_ms = self._subject.agent.now_ms() - self._instruction.payload["moment_ms"]


@pytest.mark.by_hand
def test_tables_that_nobody_writes_are_exact_although_the_agent_was_killed(subject: Subject) -> None:
    """It is killed as soon as it waits; the next one has the time to show that nothing was written."""
    instruction = subject.instruction(in_ms=QUIET_MS + LEAD_MS)
    killer = Killer(subject, instruction, lambda seen: "armed" in seen.milestones)
    result = subject.take(instruction, killer)
    assert killer.killed_late_ms is not None
    assert subject.names() == {"files", "orders", "items"}
    for found in result["data_sets"].values():
        assert found["evidence"]["grade"] == "EXACT", result
        assert 0 <= found["asked_cluster_ms"] - instruction.payload["moment_ms"] + 2 <= TOLERANCE_MS


def test_an_agent_that_is_killed_just_before_it_fires_keeps_the_moment_or_misses_it(subject: Subject) -> None:
    instruction = subject.instruction()
    journal = subject.agent.spool / "instructions" / instruction.id / "journal"
    killer = Killer(subject, instruction, lambda _: journal.exists() and b"firing" in journal.read_bytes())
    outcome = subject.agent.carry_out(instruction, killer)
    assert killer.killed_late_ms is not None
    print(f"\nkilled {-killer.killed_late_ms:.0f} ms before the moment → {outcome['status']}")
    if outcome["status"] == "succeeded":
        assert subject.names() == {"files", "orders", "items"}
        for found in outcome["result"]["data_sets"].values():
            assert abs(found["asked_cluster_ms"] - instruction.payload["moment_ms"]) <= TOLERANCE_MS + 50
    else:
        assert outcome["failure"]["code"] == "MOMENT_MISSED"
        assert subject.names() == set()


@pytest.mark.by_hand
def test_an_agent_that_comes_back_after_the_moment_recognises_what_it_fired(subject: Subject) -> None:
    """The agent dies while the snapshots are being taken; the next one finds them by their stamps."""
    instruction = subject.instruction()
    moment_ms = instruction.payload["moment_ms"]

    def is_time(_: Seen) -> bool:
        if subject.agent.now_ms() < moment_ms - 400:
            return False
        while subject.agent.now_ms() < moment_ms + 60:
            time.sleep(0.002)  # a look takes longer than what is to be hit
        return True

    killer = Killer(subject, instruction, is_time)
    outcome = subject.agent.carry_out(instruction, killer)
    assert killer.killed_late_ms is not None
    print(f"\n{outcome['status']}: {outcome['failure'] or outcome['result']['data_sets']}")
    if outcome["status"] == "succeeded":
        assert subject.names() == {"files", "orders", "items"}
        for found in outcome["result"]["data_sets"].values():
            late_ms = found["asked_cluster_ms"] - moment_ms
            assert -5 <= late_ms <= 2_000
            assert found["asked_cluster_ms"] <= found["done_cluster_ms"]
    else:
        assert outcome["failure"]["code"] == "MOMENT_MISSED"
        assert subject.names() == set()


def test_one_table_that_is_missing_refuses_the_whole_and_names_it(subject: Subject) -> None:
    missing = {"id": "gone", "component": "hbase", "table": "no_such_table"}
    outcome = subject.agent.carry_out(subject.instruction(data_sets=[*subject.data_sets, missing]))
    assert outcome["failure"]["code"] == "NO_SUCH_TABLE"
    assert outcome["failure"]["data_set"] == "gone"
    assert subject.names() == set()


def test_a_moment_that_is_past_is_missed(subject: Subject) -> None:
    outcome = subject.agent.carry_out(subject.instruction(in_ms=-1_000))
    assert outcome["failure"]["code"] == "MOMENT_MISSED"
    assert subject.names() == set()


HOOKS = Path("/etc/understudy/hooks.d")
HOLD_SECONDS = 12


@pytest.fixture
def barrier(unique_name: Callable[[str], str]) -> Iterator[tuple[dict[str, Any], Path]]:
    """Two hooks as an administrator makes them, and the file in which they write down what they do."""
    name = unique_name("moment")
    told = Path(f"/tmp/{name}")  # any user may write it: hooks run as the gateway's user
    told.touch()
    told.chmod(0o666)
    hooks = {"hold": HOOKS / f"{name}-hold", "release": HOOKS / f"{name}-release"}
    for word, path in hooks.items():
        path.write_text(f"#!/bin/sh\necho {word} $1 $(date +%s%3N) >> {told}\n")
        path.chmod(0o755)
    try:
        yield {"hold": hooks["hold"].name, "release": hooks["release"].name, "hold_max_seconds": HOLD_SECONDS}, told
    finally:
        for path in [*hooks.values(), told]:
            path.unlink()


def said(told: Path) -> list[tuple[str, int]]:
    return [(line.split()[0], int(line.split()[2])) for line in told.read_text().splitlines()]


def test_writers_are_held_over_the_cut_and_released(subject: Subject, barrier: tuple[dict[str, Any], Path]) -> None:
    hooks, told = barrier
    instruction = subject.instruction(data_sets=subject.data_sets[:1], in_ms=FILES_LEAD_MS, barrier=hooks)
    result = subject.take(instruction)
    assert [word for word, _ in said(told)] == ["hold", "release"]
    (_, held_ms), (_, released_ms) = said(told)
    cut_ms = result["data_sets"]["files"]["server_ms"]
    assert held_ms < cut_ms < released_ms
    assert released_ms - held_ms < HOLD_SECONDS * 1000
    assert result["barrier"]["released"] is True


def test_the_watchdog_releases_when_agent_and_control_device_are_gone(
    subject: Subject, barrier: tuple[dict[str, Any], Path]
) -> None:
    hooks, told = barrier
    instruction = subject.instruction(data_sets=subject.data_sets[:1], in_ms=FILES_LEAD_MS, barrier=hooks)
    submit_and_let_die_while_held(subject, instruction, told)
    (_, held_ms) = said(told)[0]
    while [word for word, _ in said(told)] == ["hold"]:
        assert subject.agent.now_ms() - held_ms < 60_000, subject.agent.log(instruction)
        time.sleep(0.2)
    (word, released_ms) = said(told)[1]
    assert word == "release"
    assert HOLD_SECONDS - 5 < (released_ms - held_ms) / 1000 < HOLD_SECONDS + 10
    outcome = subject.agent.carry_out(instruction)
    assert outcome["failure"]["code"] == "MOMENT_MISSED"
    assert [word for word, _ in said(told)] == ["hold", "release", "release"], "the next agent repeats the undo"


def submit_and_let_die_while_held(subject: Subject, instruction: Instruction, told: Path) -> None:
    """The agent dies as soon as it holds the writers, and nobody starts it again."""

    class Held(Exception):
        pass

    def kill(seen: Seen) -> None:
        if said(told):
            subject.agent.kill(instruction)
            raise Held

    with pytest.raises(Held):
        subject.agent.carry_out(instruction, kill)


@pytest.mark.by_hand
def test_a_clusters_own_gateway_finds_it_fit(cluster_a: Cluster, cluster_b: Cluster) -> None:
    """Every right is tried for real; only a spool that nobody adopts after a restart is not as it should be."""
    for cluster, role, other in ((cluster_a, "primary", cluster_b), (cluster_b, "secondary", cluster_a)):
        agent = GatewayAgent(cluster, role)
        other_role = "secondary" if role == "primary" else "primary"
        sites = {role: agent.site, other_role: GatewayAgent(other, other_role).site}
        check: dict[str, Any] = {
            "role": role,
            "patterns": [],
            "copies_here": True,
            "snapshot": "us-check",
            "sites": sites,
            "tries_rights": True,
        }
        try:
            outcome = agent.carry_out(agent.instruction("CheckCluster", **check))
        finally:
            agent.clean_up()
        assert outcome["status"] == "succeeded", outcome
        result = outcome["result"]
        bad = {found["code"] for found in result["findings"] if not found["ok"]}
        assert bad == {"NOT_REBOOT_SAFE"}, result["findings"]
        tried = {found["check"] for found in result["findings"]}
        assert {"files", "checksums", "hbase", "hbase files", "snapshot ttl", "cleaner"} <= tried
        assert {"superuser", "hbase snapshots"} <= tried
        assert ("hbase directories" in tried) == (role == "secondary")
        assert result["clocks"]["hbase"] is not None
        assert result["space"]["free_bytes"] > 0
