"""TakeSnapshots on a real cluster, by an agent on its gateway, while an application writes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infra.agent.protocol import Instruction, hbase_snapshot_name
from infra.ports.gateway import Seen
from scripts.labkit.cluster import Cluster
from tests.lab.data import OpenFile, fill
from tests.lab.moment_agent import GatewayAgent

TOLERANCE_MS = 250
LEAD_MS = 45_000  # a machine that is busy takes half of it to start the HBase process


class Subject:
    """A directory and two tables of a test's own, and the agent that snapshots them."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.agent = GatewayAgent(cluster)
        self.snapshot = f"us-{name}"
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

    def remove(self) -> None:
        """Delete what the test made; snapshots are deleted by an agent, as the product does it."""
        outcome = self.agent.carry_out(
            self.agent.instruction(
                "RemoveSnapshots",
                data_sets=self.data_sets,
                snapshot=self.snapshot,
                staging=None,
                recovery_point=None,
            )
        )
        assert outcome["status"] == "succeeded", outcome
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


@pytest.fixture
def subject(cluster_a: Cluster, unique_name: Callable[[str], str]) -> Iterator[Subject]:
    made = Subject(cluster_a, unique_name("moment"))
    made.create()
    try:
        yield made
    finally:
        made.remove()


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
            closing = threading.Timer(42, closed.close)
            closing.start()
            result = subject.take(subject.instruction(data_sets=subject.data_sets[:1], warm_up_ms=20_000))
            closing.join()
    files = result["data_sets"]["files"]
    assert files["open_files"] == ["held"]
    assert files["evidence"]["grade"] == "EXACT"
    assert "1 file" in files["evidence"]["reason"]


def test_a_table_that_nobody_writes_is_exact(subject: Subject) -> None:
    result = subject.take(subject.instruction(data_sets=subject.data_sets[1:2], in_ms=65_000 + 2 * LEAD_MS))
    assert result["data_sets"]["orders"]["evidence"]["grade"] == "EXACT", result


@pytest.mark.parametrize("when", ["armed", "firing"])
def test_an_agent_that_is_killed_is_started_again_and_the_moment_is_kept(subject: Subject, when: str) -> None:
    instruction = subject.instruction(in_ms=2 * LEAD_MS)
    journal = subject.agent.spool / "instructions" / instruction.id / "journal"
    killed: list[float] = []

    def kill(seen: Seen) -> None:
        is_time = (
            journal.exists() and b"firing" in journal.read_bytes() if when == "firing" else "armed" in seen.milestones
        )
        if is_time and not killed and seen.alive:
            subject.agent.kill(instruction)
            killed.append(instruction.payload["moment_ms"] - subject.agent.now_ms())

    outcome = subject.agent.carry_out(instruction, kill)
    assert killed
    print(f"\nkilled {killed[0]:.0f} ms before the moment → {outcome['status']}")
    if outcome["status"] == "succeeded":
        assert subject.names() == {"files", "orders", "items"}
        for found in outcome["result"]["data_sets"].values():
            assert abs(found["asked_cluster_ms"] - instruction.payload["moment_ms"]) <= TOLERANCE_MS + 50
    else:
        assert outcome["failure"]["code"] == "MOMENT_MISSED"
        assert subject.names() == set()
    if when == "armed":
        assert outcome["status"] == "succeeded", outcome


def test_an_agent_that_comes_back_after_the_moment_recognises_what_it_fired(subject: Subject) -> None:
    """The agent dies while the snapshots are being taken; the next one finds them by their stamps."""
    instruction = subject.instruction(in_ms=LEAD_MS)
    killed: list[float] = []

    def kill(seen: Seen) -> None:
        late_ms = subject.agent.now_ms() - instruction.payload["moment_ms"]
        if late_ms > -400 and not killed and seen.alive:
            while subject.agent.now_ms() < instruction.payload["moment_ms"] + 60:
                time.sleep(0.002)
            subject.agent.kill(instruction)
            killed.append(late_ms)

    outcome = subject.agent.carry_out(instruction, kill)
    assert killed
    print(f"\n{outcome['status']}: {outcome['failure'] or outcome['result']['data_sets']}")
    if outcome["status"] == "succeeded":
        assert subject.names() == {"files", "orders", "items"}
        for found in outcome["result"]["data_sets"].values():
            late_ms = found["asked_cluster_ms"] - instruction.payload["moment_ms"]
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
