"""WriteMarker and SealRecoveryPoint: written once, whole, whatever dies in between and whoever else writes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from infra.agent.core.components import remove_snapshots
from infra.agent.core.machine import Procedure
from infra.agent.core.manifest_layers import compressed, header
from infra.agent.core.markers import Checked, check_marker, check_unchanged, newest_marker, write_marker
from infra.agent.core.operations import HdfsCall, OperationFailed
from infra.agent.core.procedures import PROCEDURES
from infra.agent.protocol import Instruction, canonical
from tests.fakes.executor import AgentKilled, FakeExecutor, Kill, run_procedure
from tests.fakes.hdfs import FakeHdfs
from tests.fakes.hdfs_namespace import walk
from tests.fakes.virtual_time import VirtualClock

EPOCH = 4
STAGING = f"/.understudy/incoming/{EPOCH}/run1"
MANIFEST = {"version": 1, "data_sets": [{"id": "d1"}, {"id": "d2"}], "text": "ü"}
ANCHOR = {"position": 12, "link": "ab"}
When = Literal["before", "after", "torn"]
WHENS: list[When] = ["before", "after", "torn"]


def staged_lines(data_set: str) -> bytes:
    """A source manifest of one entry."""
    return canonical({"p": data_set}) + b"\n"


class Place:
    """One cluster, seen through its gateway."""

    def __init__(self, directory: Path) -> None:
        self.clock = VirtualClock()
        self.hdfs = FakeHdfs(self.clock)
        self.directory = directory

    def instruction(self, kind: str, name: str = "i1", term: int = 5, **payload: Any) -> Instruction:
        site = {"cluster": "b", "namenodes": ["http://b"], "hbase": None}
        payload = {"sites": {payload.pop("role", "secondary"): site}, **payload}
        return Instruction(name, kind, "pair", "b", EPOCH, term, "run1", "step", 1, 1 << 60, payload)

    def marker(self, serial: int = 1, **changed: Any) -> dict[str, Any]:
        marker = {"pair": "pair", "cluster": "b", "identity": "SECONDARY", "epoch": EPOCH, "serial": serial}
        return {**marker, **changed}

    def run(self, procedure: Procedure, kill: Kill | None = None, name: str = "i1") -> Any:
        executor = FakeExecutor(self.clock, self.directory / name, hdfs={"primary": self.hdfs, "secondary": self.hdfs})
        try:
            return run_procedure(procedure, executor, kill)
        finally:
            executor.appender.abandon()

    def write(self, marker: dict[str, Any], kill: Kill | None = None, name: str = "i1", term: int = 5) -> Any:
        serial = marker["serial"]
        instruction = self.instruction("WriteMarker", name, term, serial=serial, marker=marker)
        return self.run(write_marker(instruction, b""), kill, name)

    def seal(self, kill: Kill | None = None, name: str = "i1", **changed: Any) -> Any:
        payload = {"recovery_point": "rp1", "manifest": MANIFEST, "anchor": ANCHOR, "staging": STAGING, **changed}
        instruction = self.instruction("SealRecoveryPoint", name, **payload)
        return self.run(PROCEDURES["SealRecoveryPoint"](instruction, b""), kill, name)

    def stage(self) -> None:
        """What a run leaves in staging when it is verified."""
        for data_set in ("d1", "d2"):
            self.hdfs.call("PUT", "MKDIRS", f"{STAGING}/{data_set}/moved", {"permission": "700"})
            self.hdfs.write(f"{STAGING}/{data_set}/manifest", staged_lines(data_set))

    def files(self, path: str = "/.understudy") -> dict[str, bytes]:
        root = self.hdfs.find(path)
        if root is None:
            return {}
        return {name: inode.data() for name, inode in walk(root) if not inode.is_directory}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def until_it_lives(act: Callable[[Kill | None], Any], number: int, when: When) -> Any:
    """Let an agent die at one operation, and the next one do the rest; None when the first one came to its end."""
    try:
        act(Kill(number, when, in_flight_lands=True))
    except AgentKilled:
        return act(None)
    return None


# Markers


def test_a_marker_is_written_with_the_products_layout(place: Place) -> None:
    result = place.write(place.marker())
    assert result == {"serial": 1, "marker": {**place.marker(), "term": 5}}
    assert place.files() == {"identity/1.json": canonical(result["marker"])}
    for name in ("identity", "scratch", "incoming", f"incoming/{EPOCH}", "recovery-points", "clock"):
        inode = place.hdfs.find(f"/.understudy/{name}")
        assert inode is not None
        assert inode.is_directory
        assert inode.mode == "700"
    assert place.hdfs.find("/.understudy").mode == "700"  # type: ignore[union-attr]


def test_a_primary_gets_no_place_for_senders(place: Place) -> None:
    place.write(place.marker(identity="PRIMARY"))
    assert place.hdfs.find(f"/.understudy/incoming/{EPOCH}") is None


def test_writing_the_same_again_is_writing_it_once(place: Place) -> None:
    first = place.write(place.marker())
    assert place.write(place.marker(), name="i2", term=9) == first, "a later controller finds what is there"


@pytest.mark.parametrize("when", WHENS)
def test_a_marker_is_whole_wherever_an_agent_dies(tmp_path: Path, when: When) -> None:
    for number in range(1, 100):
        place = Place(tmp_path / str(number))
        result = until_it_lives(lambda kill, place=place: place.write(place.marker(), kill), number, when)  # type: ignore[misc]
        assert place.files() == {"identity/1.json": canonical({**place.marker(), "term": 5})}
        assert place.hdfs.find(f"/.understudy/incoming/{EPOCH}") is not None
        if result is None:
            assert number > 10
            return
    raise AssertionError("it never came to its end")


@pytest.mark.parametrize("op", ["RENAME", "CREATE", "MKDIRS"])
def test_lost_answers_do_no_harm(place: Place, op: str) -> None:
    place.hdfs.lose_answer(op)
    place.write(place.marker())
    assert list(place.files()) == ["identity/1.json"]


def test_another_marker_with_the_serial_is_a_conflict_and_stays(place: Place) -> None:
    place.write(place.marker(pair="other"))
    with pytest.raises(OperationFailed, match=r"CONFLICT.*other"):
        place.write(place.marker(), name="i2")
    assert json.loads(place.files()["identity/1.json"])["pair"] == "other"


def test_of_two_writers_at_the_same_time_one_is_told(place: Place) -> None:
    """The other writer's marker comes into being between our look and our rename."""
    instruction = place.instruction("WriteMarker", serial=1, marker=place.marker())
    executor = FakeExecutor(place.clock, place.directory / "i1", hdfs={"secondary": place.hdfs})
    call = executor._HdfsCall

    def call_after_the_other(operation: HdfsCall) -> Any:
        if operation.op == "RENAME":
            place.hdfs.write("/.understudy/identity/1.json", canonical(place.marker(pair="theirs")))
        return call(operation)

    executor.others[HdfsCall] = call_after_the_other
    with pytest.raises(OperationFailed, match="CONFLICT"):
        run_procedure(write_marker(instruction, b""), executor)
    assert [json.loads(data)["pair"] for data in place.files().values()] == ["theirs"]


@pytest.mark.parametrize("there", [2, 3, 10])
def test_a_history_that_went_further_is_never_covered_up(place: Place, there: int) -> None:
    place.write(place.marker())
    place.hdfs.write(f"/.understudy/identity/{there}.json", canonical(place.marker(there, pair="other")))
    for serial in (1, *({there - 1, there + 2} - {1})):
        with pytest.raises(OperationFailed, match="CONFLICT"):
            place.write(place.marker(serial), name=f"w{serial}")
    assert len(place.files()) == 2


def test_a_marker_that_is_followed_while_it_is_written_is_not_called_written(place: Place) -> None:
    instruction = place.instruction("WriteMarker", serial=1, marker=place.marker())
    executor = FakeExecutor(place.clock, place.directory / "i1", hdfs={"secondary": place.hdfs})
    call = executor._HdfsCall

    def call_before_the_other(operation: HdfsCall) -> Any:
        result = call(operation)
        if operation.op == "RENAME":
            place.hdfs.write("/.understudy/identity/2.json", canonical(place.marker(2, identity="PRIMARY")))
        return result

    executor.others[HdfsCall] = call_before_the_other
    with pytest.raises(OperationFailed, match="CONFLICT"):
        run_procedure(write_marker(instruction, b""), executor)


def test_markers_follow_one_another(place: Place) -> None:
    for serial in range(1, 12):
        place.write(place.marker(serial), name=f"w{serial}")
    assert place.run(newest_marker("secondary"))["serial"] == 11, "by number, not by letters"


@pytest.mark.parametrize(
    "changed", [{"pair": "x"}, {"cluster": "x"}, {"identity": "PRIMARY"}, {"epoch": EPOCH - 1}], ids=str
)
def test_a_marker_that_does_not_fit_is_named(place: Place, changed: dict[str, Any]) -> None:
    instruction = place.instruction("SealRecoveryPoint")
    place.hdfs.call("PUT", "MKDIRS", "/.understudy/identity", {"permission": "700"})
    place.hdfs.write("/.understudy/identity/1.json", canonical(place.marker(**changed)))
    with pytest.raises(OperationFailed, match="MARKER_MISMATCH") as caught:
        place.run(check_marker(instruction, "secondary", "SECONDARY"))
    assert repr(next(iter(changed.values()))) in caught.value.message


def test_a_marker_that_was_followed_has_changed(place: Place) -> None:
    place.write(place.marker())
    instruction = place.instruction("SealRecoveryPoint")
    before = Checked(place.run(newest_marker("secondary")), None)
    place.run(check_unchanged(instruction, "secondary", before))
    place.hdfs.write("/.understudy/identity/stranger", b"no marker")
    place.run(check_unchanged(instruction, "secondary", before))
    place.hdfs.write("/.understudy/identity/2.json", canonical(place.marker(2)))
    with pytest.raises(OperationFailed, match="MARKER_MISMATCH"):
        place.run(check_unchanged(instruction, "secondary", before))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_damaged_marker_is_no_identity(place: Place, content: bytes) -> None:
    place.write(place.marker())
    place.hdfs.write("/.understudy/identity/2.json", content)
    with pytest.raises(OperationFailed, match="MARKER_DAMAGED"):
        place.run(newest_marker("secondary"))


# Recovery points


@pytest.fixture
def staged(place: Place) -> Place:
    place.write(place.marker(), name="w1")
    place.stage()
    return place


def layer_of(data_set: str) -> tuple[str, bytes]:
    """The whole layer of what is staged, and its name."""
    lines = staged_lines(data_set)
    layer = b"".join(compressed([header(None, 1, hashlib.sha256(lines).hexdigest()), lines]))
    return f"rp1-{hashlib.sha256(layer).hexdigest()[:16]}", layer


def list_of(data_set: str) -> bytes:
    """What the recovery point says of its layers."""
    name, layer = layer_of(data_set)
    sha256 = hashlib.sha256(staged_lines(data_set)).hexdigest()
    return canonical({"layers": [{"bytes": len(layer), "name": name}], "sha256": sha256})


SEALED = {
    "recovery-points/rp1/manifest.json": canonical(MANIFEST),
    "recovery-points/rp1/anchor.json": canonical(ANCHOR),
    "recovery-points/rp1/d1.layers": list_of("d1"),
    "recovery-points/rp1/d2.layers": list_of("d2"),
}
LAYERS = {f"manifests/{one}/{layer_of(one)[0]}": layer_of(one)[1] for one in ("d1", "d2")}


def without_marker(place: Place) -> dict[str, bytes]:
    return {name: data for name, data in place.files().items() if not name.startswith("identity/")}


def test_a_recovery_point_is_sealed_whole_and_staging_goes(staged: Place) -> None:
    result = staged.seal()
    assert without_marker(staged) == {**SEALED, **LAYERS}
    assert result == {
        "manifest_sha256": hashlib.sha256(canonical(MANIFEST)).hexdigest(),
        "anchor_sha256": hashlib.sha256(canonical(ANCHOR)).hexdigest(),
    }
    assert staged.hdfs.find(STAGING) is None
    assert staged.seal(name="i2") == result, "sealing again finds it sealed"


@pytest.mark.parametrize("next_attempt", [False, True])
@pytest.mark.parametrize("when", WHENS)
def test_a_recovery_point_is_whole_or_not_there_wherever_an_agent_dies(
    tmp_path: Path, when: When, next_attempt: bool
) -> None:
    for number in range(1, 100):
        place = Place(tmp_path / str(number))
        place.write(place.marker(), name="w1")
        place.stage()
        try:
            place.seal(Kill(number, when, in_flight_lands=True))
        except AgentKilled:
            there = {name for name in place.files() if name.startswith("recovery-points/")}
            assert there in (set(), set(SEALED))
            place.seal(name="i2" if next_attempt else "i1")
            assert without_marker(place) == {**SEALED, **LAYERS}
            assert place.hdfs.find(STAGING) is None
        else:
            assert number > 10
            return
    raise AssertionError("it never came to its end")


def test_a_lost_answer_of_the_last_rename_does_no_harm(staged: Place) -> None:
    staged.hdfs.lose_answer("RENAME", "rp1-seal")
    staged.seal()
    assert without_marker(staged) == {**SEALED, **LAYERS}


def test_what_somebody_else_wrote_is_never_taken_for_sealed(staged: Place) -> None:
    staged.seal()
    staged.hdfs.write("/.understudy/recovery-points/rp1/manifest.json", b"{}")
    with pytest.raises(OperationFailed, match="SEAL_DIFFERS"):
        staged.seal(name="i2")


def test_without_staging_only_manifest_and_anchor_are_written(staged: Place) -> None:
    staged.seal(staging=None)
    assert {name for name in without_marker(staged) if "recovery-points" in name} == {
        "recovery-points/rp1/manifest.json",
        "recovery-points/rp1/anchor.json",
    }
    assert staged.hdfs.find(STAGING) is not None


def test_a_cluster_that_is_something_else_by_now_is_not_written_to(staged: Place) -> None:
    staged.hdfs.write("/.understudy/identity/2.json", canonical(staged.marker(2, identity="FENCED")))
    with pytest.raises(OperationFailed, match="MARKER_MISMATCH"):
        staged.seal()
    assert not any("recovery-points" in name for name in staged.files())


# What the primary is owed


@pytest.fixture
def primary(place: Place) -> Place:
    place.write(place.marker(identity="PRIMARY"))
    return place


def test_the_primary_keeps_manifest_and_anchor_alone(primary: Place, tmp_path: Path) -> None:
    result = primary.seal(staging=None, role="primary")
    other = Place(tmp_path / "other")
    other.write(other.marker(), name="w1")
    other.stage()
    assert other.seal() == result, "the very same bytes on both sides"
    both = ("recovery-points/rp1/anchor.json", "recovery-points/rp1/manifest.json")
    assert without_marker(primary) == {name: SEALED[name] for name in both}


def test_nothing_is_written_where_no_primary_is(staged: Place) -> None:
    with pytest.raises(OperationFailed, match="MARKER_MISMATCH"):
        staged.seal(staging=None, role="primary")
    assert not any("recovery-points" in name for name in staged.files())


@pytest.mark.parametrize("when", WHENS)
def test_what_an_ended_sealing_left_goes_with_the_recovery_point(tmp_path: Path, when: When) -> None:
    for number in range(1, 100):
        place = Place(tmp_path / str(number))
        place.write(place.marker(identity="PRIMARY"), name="w1")
        wanted = {"snapshot": "us-1", "data_sets": [], "staging": None, "recovery_point": "rp1"}
        try:
            place.seal(Kill(number, when, in_flight_lands=True), staging=None, role="primary")
        except AgentKilled:
            removal = place.instruction("RemoveSnapshots", "i2", role="primary", **wanted)
            place.run(remove_snapshots(removal, b""), name="i2")
            assert without_marker(place) == {}
            assert place.hdfs.find("/.understudy/scratch/rp1-seal") is None
        else:
            assert number > 5
            return
    raise AssertionError("it never came to its end")
