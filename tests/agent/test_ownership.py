"""Whose cluster it is: one record that moves by compare-and-set, whatever dies in between and whoever else is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from infra.agent.core import ownership
from infra.agent.core.markers import Checked, check_marker, check_unchanged, show_owner, write_marker
from infra.agent.core.operations import HdfsCall, OperationFailed
from infra.agent.core.ownership import CONTROLLER, Owner, parse_owner
from infra.agent.protocol import Instruction, WireError, canonical, check_controller
from tests.fakes.executor import AgentKilled, FakeExecutor, Kill, run_procedure
from tests.fakes.hdfs import FakeHdfs
from tests.fakes.hdfs_namespace import walk
from tests.fakes.virtual_time import VirtualClock

When = Literal["before", "after", "torn"]
SINCE = "20260131T235959Z"


def device(letter: str = "a", store: str = "5", position: int = 10, **more: Any) -> dict[str, Any]:
    """A control device: an incarnation of a store."""
    link = f"{letter}{position:031x}"
    told = {"store": store * 32, "incarnation": letter * 32, "host": f"host-{letter}", "since": SINCE, "term": 3}
    return {**told, "position": position, "link": link, "follows": {}, **more}


class Place:
    """One cluster, as agents see it who were submitted by different control devices."""

    def __init__(self, directory: Path) -> None:
        self.clock = VirtualClock()
        self.hdfs = FakeHdfs(self.clock)
        self.directory = directory
        self.count = 0

    def executor(self, controller: dict[str, Any] | None) -> FakeExecutor:
        self.count += 1
        executor = FakeExecutor(self.clock, self.directory / str(self.count), hdfs={"secondary": self.hdfs})
        executor.controller = controller
        return executor

    def instruction(self, kind: str = "FreezeCopies", epoch: int = 4, **payload: Any) -> Instruction:
        site = {"cluster": "b", "namenodes": ["http://b"], "hbase": None}
        payload = {"sites": {"secondary": site}, **payload}
        return Instruction("i1", kind, "pair", "b", epoch, 5, "run1", "step", 1, 1 << 60, payload)

    def write(
        self,
        controller: dict[str, Any] | None,
        serial: int = 1,
        epoch: int = 4,
        kill: Kill | None = None,
        **more: Any,
    ) -> Any:
        marker = {"pair": "pair", "cluster": "b", "identity": "SECONDARY", "epoch": epoch, "serial": serial, **more}
        if controller is not None:
            marker |= {"store": controller["store"], "host": controller["host"]}
        instruction = self.instruction("WriteMarker", epoch, serial=serial, marker=marker)
        executor = self.executor(controller)
        try:
            return run_procedure(write_marker(instruction, b""), executor, kill)
        finally:
            executor.appender.abandon()

    def let_through(self, controller: dict[str, Any] | None, before: Checked | None = None, epoch: int = 4) -> Checked:
        checked: Checked = run_procedure(
            check_marker(self.instruction(epoch=epoch), "secondary", "SECONDARY", before), self.executor(controller)
        )
        return checked

    def names(self) -> list[str]:
        inode = self.hdfs.find(CONTROLLER)
        return [] if inode is None else list(inode.children or ())

    def owner(self) -> Owner:
        (name,) = self.names()
        owner = parse_owner(name)
        assert owner is not None
        return owner

    def all(self) -> dict[str, Any]:
        return {
            name: None if inode.is_directory else inode.data()
            for name, inode in walk(self.hdfs.root)
            if not name.startswith(".understudy/scratch")
        }


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def owned(place: Place) -> Place:
    """It belongs to the store of fives, and its first control device has written the marker."""
    place.write(device())
    return place


def code_of(call: Any) -> str:
    with pytest.raises(OperationFailed) as caught:
        call()
    return caught.value.code


def test_the_first_one_to_write_a_marker_owns_the_cluster(owned: Place) -> None:
    owner = owned.owner()
    assert (owner.store, owner.host, owner.since, owner.term, owner.position) == ("5" * 32, "host-a", SINCE, 3, 10)
    assert len(owner.name) < 255


def test_the_record_goes_on_with_its_control_device_and_never_back(owned: Place) -> None:
    owned.let_through(device(position=12))
    assert owned.owner().position == 12
    owned.let_through(device(position=11))
    assert owned.owner().position == 12


def test_another_store_is_told_whose_it_is_and_changes_nothing(owned: Place) -> None:
    before = owned.all()
    with pytest.raises(OperationFailed, match="PAIR_OWNED") as caught:
        owned.let_through(device("b", store="6", position=99, term=1000))
    for word in ("5" * 32, "host-a", SINCE):
        assert word in caught.value.message
    assert "take-over" in caught.value.remedy
    assert code_of(lambda: owned.write(device("b", store="6"))) == "PAIR_OWNED"
    assert code_of(lambda: owned.let_through(None)) == "PAIR_OWNED", "who does not say who it is"
    assert owned.all() == before


def test_a_copy_of_the_store_goes_on_only_from_a_record_that_it_knows(owned: Place) -> None:
    known = owned.owner().name
    before = owned.all()
    with pytest.raises(OperationFailed, match="OTHER_CONTROLLER") as caught:
        owned.let_through(device("b", position=50))
    assert "host-a" in caught.value.message
    assert owned.all() == before
    owned.let_through(device("b", position=50, follows={"b": known}))
    assert (owned.owner().incarnation, owned.owner().line) == ("b" * 32, "a" * 16)
    assert owned.owner().since == SINCE
    assert code_of(lambda: owned.let_through(device(position=60, term=99))) == "OTHER_CONTROLLER"
    assert code_of(lambda: owned.let_through(device("c", position=60, follows={"b": known}))) == "OTHER_CONTROLLER"


def test_of_two_that_know_the_same_record_one_gets_through(owned: Place) -> None:
    """The other one's rename comes between our look and ours."""
    known = owned.owner().name
    executor = owned.executor(device("b", position=50, follows={"b": known}))
    call = executor._HdfsCall

    def call_after_the_other(operation: HdfsCall) -> Any:
        if operation.op == "RENAME":
            executor.others.clear()
            owned.let_through(device("c", position=51, follows={"b": known}))
        return call(operation)

    executor.others[HdfsCall] = call_after_the_other
    procedure = check_marker(owned.instruction(), "secondary", "SECONDARY")
    assert code_of(lambda: run_procedure(procedure, executor)) == "OTHER_CONTROLLER"
    assert owned.owner().incarnation == "c" * 32


def test_of_two_first_ones_one_gets_through(place: Place) -> None:
    executor = place.executor(device())
    call = executor._HdfsCall

    def call_after_the_other(operation: HdfsCall) -> Any:
        if operation.op == "RENAME":
            executor.others.clear()
            place.write(device("b", store="6"))
        return call(operation)

    executor.others[HdfsCall] = call_after_the_other
    marker = {"pair": "pair", "cluster": "b", "identity": "SECONDARY", "epoch": 4, "serial": 1}
    instruction = place.instruction("WriteMarker", serial=1, marker=marker)
    assert code_of(lambda: run_procedure(write_marker(instruction, b""), executor)) == "PAIR_OWNED"
    assert place.owner().store == "6" * 32


def test_many_agents_of_one_control_device_get_through_together(owned: Place) -> None:
    executor = owned.executor(device(position=50))
    call = executor._HdfsCall
    others = iter(range(11, 30))

    def call_after_another(operation: HdfsCall) -> Any:
        number = next(others, None) if operation.op == "RENAME" else None
        if number is not None:
            owned.let_through(device(position=number))
        return call(operation)

    executor.others[HdfsCall] = call_after_another
    run_procedure(check_marker(owned.instruction(), "secondary", "SECONDARY"), executor)
    assert owned.owner().position == 50


@pytest.mark.parametrize("op", ["RENAME", "MKDIRS", "DELETE"])
def test_lost_answers_do_no_harm(place: Place, op: str) -> None:
    place.hdfs.lose_answer(op)
    place.write(device())
    place.hdfs.lose_answer(op)
    place.let_through(device(position=12))
    assert place.owner().position == 12


@pytest.mark.parametrize("when", ["before", "after", "torn"])
def test_there_is_one_record_wherever_an_agent_dies(tmp_path: Path, when: When) -> None:
    for number in range(1, 100):
        place = Place(tmp_path / str(number))
        try:
            place.write(device(), kill=Kill(number, when, in_flight_lands=True))
        except AgentKilled:
            place.write(device(position=12))
            assert place.owner().position in (10, 12)
            continue
        assert number > 15
        return
    raise AssertionError("it never came to its end")


def test_what_was_let_through_goes_on_while_one_control_device_follows_another(owned: Place) -> None:
    before = owned.let_through(device(position=12))
    followed = device("b", position=50, follows={"b": owned.owner().name})
    owned.let_through(followed)
    assert owned.let_through(device(position=12), before) == before._replace(owner=owned.owner())
    run_procedure(check_unchanged(owned.instruction(), "secondary", before), owned.executor(device(position=12)))
    assert owned.owner().incarnation == "b" * 32, "it is not its record to change"
    assert code_of(lambda: owned.let_through(device(position=12))) == "OTHER_CONTROLLER", "a late one is not known"


def test_a_pair_from_before_stores_had_ids_is_claimed_by_the_first_contact(place: Place) -> None:
    place.write(None)
    assert place.names() == []
    place.let_through(device())
    assert place.owner().store == "5" * 32
    assert code_of(lambda: place.let_through(device("b", store="6"))) == "PAIR_OWNED"


def test_a_new_pair_is_not_formed_where_a_marker_from_before_stands(place: Place) -> None:
    place.write(None)
    before = place.all()
    with pytest.raises(OperationFailed, match=r"PAIR_OWNED.*before stores had ids"):
        place.write(device())
    assert place.all() == before


def test_a_marker_tells_whose_it_is_where_the_record_is_lost(owned: Place) -> None:
    owned.hdfs.call("DELETE", "DELETE", CONTROLLER, {"recursive": "true"})
    assert code_of(lambda: owned.let_through(device("b", store="6"))) == "PAIR_OWNED"
    assert code_of(lambda: owned.write(device("b", store="6"))) == "PAIR_OWNED"
    owned.let_through(device())
    assert owned.owner().store == "5" * 32


def test_a_record_that_an_administrator_has_removed_is_none(owned: Place) -> None:
    owned.hdfs.call("DELETE", "DELETE", f"{CONTROLLER}/{owned.owner().name}", {"recursive": "true"})
    owned.let_through(device(position=12))
    assert owned.owner().position == 12


@pytest.mark.parametrize("names", [["stranger"], ["x", "y"]])
def test_a_damaged_record_lets_nobody_through(owned: Place, names: list[str]) -> None:
    owned.hdfs.call("DELETE", "DELETE", CONTROLLER, {"recursive": "true"})
    for name in ["", *names]:
        owned.hdfs.call("PUT", "MKDIRS", f"{CONTROLLER}/{name}".rstrip("/"), {"permission": "700"})
    assert code_of(lambda: owned.let_through(device())) == "OWNER_DAMAGED"


# Taking over


def taking(from_store: str = "5" * 32) -> dict[str, Any]:
    return {"from_store": from_store, "by": "ann", "reason": "it burnt", "at_ms": 1}


def test_taking_over_begins_a_new_line_and_epoch_and_evicts_the_older_ones(owned: Place) -> None:
    before = owned.let_through(device(position=12))
    owned.hdfs.call("PUT", "MKDIRS", "/.understudy/incoming/4/run1/d1", {"permission": "700"})
    owned.write(device("b", store="6"), 2, 5, taken_over=taking())
    assert (owned.owner().store, owned.owner().line) == ("6" * 32, "b" * 16)
    assert owned.hdfs.find("/.understudy/incoming/4") is None
    assert owned.hdfs.find("/.understudy/incoming/5") is not None
    assert owned.hdfs.find("/.understudy/evicted/2-4/run1/d1") is not None, "nothing is deleted"
    for attempt in (None, before):
        with pytest.raises(OperationFailed, match="PAIR_OWNED") as caught:
            owned.let_through(device(position=13), attempt)
        assert "host-b" in caught.value.message
    assert (
        code_of(
            lambda: run_procedure(
                check_unchanged(owned.instruction(), "secondary", before), owned.executor(device(position=12))
            )
        )
        == "MARKER_MISMATCH"
    )
    owned.let_through(device("b", store="6", position=11), epoch=5)


@pytest.mark.parametrize("when", ["before", "after", "torn"])
def test_a_take_over_comes_to_its_end_wherever_an_agent_dies(tmp_path: Path, when: When) -> None:
    for number in range(1, 100):
        place = Place(tmp_path / str(number))
        place.write(device())
        new = device("b", store="6")
        try:
            place.write(new, 2, 5, Kill(number, when, in_flight_lands=True), taken_over=taking())
        except AgentKilled:
            place.write(new, 2, 5, taken_over=taking())
            assert place.owner().store == "6" * 32
            assert place.hdfs.find("/.understudy/incoming/4") is None
            place.let_through({**new, "position": 20}, epoch=5)
            continue
        assert number > 20
        return
    raise AssertionError("it never came to its end")


def test_only_the_store_that_is_named_is_taken_over_from(owned: Place) -> None:
    before = owned.all()
    new = device("b", store="6")
    assert code_of(lambda: owned.write(new, 2, 5, taken_over=taking("7" * 32))) == "PAIR_OWNED"
    assert code_of(lambda: owned.write(new, 2, 5, taken_over=taking("unknown"))) == "PAIR_OWNED"
    assert code_of(lambda: owned.write(new, 4, 5, taken_over=taking())) == "CONFLICT", "the history has gone further"
    assert owned.all() == before


def test_a_take_over_that_arrives_again_late_takes_nothing(owned: Place) -> None:
    new, third = device("b", store="6"), device("c", store="7")
    owned.write(new, 2, 5, taken_over=taking())
    owned.write(third, 3, 6, taken_over=taking("6" * 32))
    before = owned.all()
    assert code_of(lambda: owned.write(new, 2, 5, taken_over=taking())) == "CONFLICT"
    assert owned.all() == before


def test_a_restored_copy_of_the_same_store_takes_over_from_the_lost_one(owned: Place) -> None:
    restored = device("b", position=5)
    assert code_of(lambda: owned.let_through(restored)) == "OTHER_CONTROLLER"
    owned.write(restored, 2, 5, taken_over=taking())
    assert (owned.owner().incarnation, owned.owner().position) == ("b" * 32, 5)
    assert code_of(lambda: owned.let_through(device(position=99), epoch=5)) == "OTHER_CONTROLLER"


def test_a_pair_from_before_stores_had_ids_can_be_taken_over(place: Place) -> None:
    place.write(None)
    place.write(device("b", store="6"), 2, 5, taken_over=taking("unknown"))
    assert place.owner().store == "6" * 32


def test_whose_it_is_is_told_to_anybody(owned: Place) -> None:
    told = run_procedure(show_owner(owned.instruction("ShowOwner"), b""), owned.executor(None))["sites"]["secondary"]
    assert told["owner"]["name"] == owned.owner().name
    assert told["owner"]["store"] == "5" * 32
    assert told["marker"]["store"] == "5" * 32
    assert told["seen_ms"] == owned.hdfs.find(CONTROLLER).modified_ms  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "changed",
    [
        {"store": "x"}, {"incarnation": None}, {"host": "a_b"}, {"host": "a" * 64}, {"since": "now"}, {"term": -1},
        {"position": True}, {"link": "5" * 31}, {"follows": {"b": 1}}, {"follows": {"b": "x" * 256}},
        {"follows": {"a": None, "b": None, "c": None}}, {"follows": {"../x": None}}, {"more": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_control_device_that_does_not_say_who_it_is_is_refused(changed: dict[str, Any]) -> None:
    check_controller("controller", device())
    with pytest.raises(WireError, match="MALFORMED"):
        check_controller("controller", {**device(), **changed})


def test_names_that_are_no_record_are_none() -> None:
    good = Owner("5" * 32, "h", SINCE, "a" * 16, 1, "a" * 32, 7, "b" * 32)
    assert parse_owner(good.name) == good
    assert canonical(good.name)
    for name in ("", "x", good.name + "_", good.name[1:], good.name.replace("_7_", "_\u0667_")):
        assert parse_owner(name) is None
    assert ownership.AT_ONCE >= 64, "so many instructions may be at work at once"
