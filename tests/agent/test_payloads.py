"""Hostile payloads of every kind: refused with the field's name, nothing written, and no operation of any kind.

The good payloads are those of the golden wire files. Each field of each of them is replaced by values of other types,
and by values of the right type that would reach what is not the product's; each instruction is offered twice: to
admission, and as a file that somebody has written into the spool itself.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.agent.core.operations import Operation
from infra.agent.payloads import PAYLOADS
from infra.agent.protocol import WireError, canonical, parse_instruction
from infra.agent.shapes import Omissible
from infra.agent.shell.admission import admit
from infra.agent.shell.ending import Ending
from infra.agent.shell.looking import forget
from infra.agent.shell.runner import run
from infra.agent.shell.spool import Entry, Spool

WIRE = Path(__file__).parent / "wire"
KINDS = sorted(PAYLOADS)
NOW_MS = 1_750_000_000_000.0
Place = tuple[Any, ...]

LARGE = 10**17
WRONG_TYPES: tuple[Any, ...] = (None, True, 0.5, -1, LARGE, "", "x" * 20_000, [], [[]], [None], {}, {"x": 1}, "\0")
# What a field may well be among those; by the field's name.
HARMLESS: dict[str, tuple[Any, ...]] = {
    "anchor": ({}, {"x": 1}),
    "barrier": (None,),
    "base": (None,),
    "base_is_on_source": (True,),
    "copies_here": (True,),
    "hbase": (None,),
    "instructions": ([],),
    "open_files": ([],),
    "patterns": ([],),
    "recovery_point": (None,),
    "staging": (None,),
    "trial_clone": (None,),
}
NOT_OPTIONAL = {  # in these kinds, although the same name may be null in others
    ("SealRecoveryPoint", "recovery_point"),
    *((kind, "staging") for kind in KINDS if kind not in ("RemoveSnapshots", "SealRecoveryPoint")),
}

SNAPSHOTS = ("r1", "daily", "us", "us-", "US-r1", "us-../x", "us-r1/..", "us-*", "us-r1\n", "us-r1 ", "us-ü")
PATHS = (
    "/", "relative", "/a/../b", "/a/..", "/./a", "/a//b", "/a/", "/a/.snapshot/us-r1", "/.understudy",
    "/.understudy/identity", "/.reserved/raw/a", "/a\0b", "/" + "x" * 9_000,
)  # fmt: skip
TABLES = (
    "a/b", "../x", "*", "shop:*", "hbase:meta", "hbase:acl", "understudy:canary", "understudy_scratch:x.us-r1",
    "understudy2:x", ":x", "shop:", "a:b:c", "-x", ".x", "x y", "a\u0301", "a\u200b", "shop:x\n", "x" * 500,
)  # fmt: skip
STAGING = (
    "/", "/data", "/.understudy", "/.understudy/incoming", "/.understudy/incoming/4", "/.understudy/incoming/4/",
    "/.understudy/incoming/4/run-2", "/.understudy/incoming/5/run-1", "/.understudy/incoming/04/run-1",
    "/.understudy/incoming/4/run-1/", "/.understudy/incoming/4/run-1/..", "/.understudy/incoming/4/../run-1",
    "/.understudy/incoming/../identity/run-1", "/.understudy/recovery-points/run-1", "/.understudy/identity/1.json",
    "/.understudy/incoming/4/run-1\n", "/.understudy/incoming/-4/run-1", "/.understudy/incoming/٤/run-1",
    "//.understudy/incoming/4/run-1", ".understudy/incoming/4/run-1",
)  # fmt: skip
NAMES = ("../x", "a/b", "..", ".", "x y", "x\n", "x\0", "ü", "x" * 300)

# Values of the right type that would reach too far; by the field's name.
TOO_FAR: dict[str, tuple[Any, ...]] = {
    "admin_command": (
        [], "sudo", [1], ["sh", "-c", "id"], ["sudo", "-n", "-u", "hbase", "/bin/sh"],
        ["sudo", "-n", "-u", "hbase", "/lib/hbase-admin", "more"], ["sudo", "-n", "-E", "hbase", "/lib/hbase-admin"],
        ["sudo", "-n", "-u", "-i", "/lib/hbase-admin"], ["sudo", "-n", "-u", "hbase", "hbase-admin"],
        ["sudo", "-n", "-u", "hbase", "/lib/../hbase-admin"], ["sudo", "-n", "-u", "hbase", "/x/hbase-admin\n"],
        ["sudo", "-n", "-u", "hbase", 1], ["env", "-n", "-u", "hbase", "/lib/hbase-admin"],
    ),
    "base": SNAPSHOTS,
    "cluster": ("../x", "x y", "north"),
    "component": ("hive", "HDFS"),
    "data_set": ([], {"id": "d1"}),
    "epoch": (3, 5),
    "fire_tolerance_ms": (0, 60_001),
    "head_mode": ("777", "1755", "7000", "rwx"),
    "hold": ("../../bin/sh", "/bin/sh", "-x", "a b"),
    "hold_max_seconds": (0, 601),
    "id": NAMES,
    "identity": ("UNASSIGNED", "primary", "KING"),
    "instructions": (["../x"], [1], ["i1", "/etc"], ["x" * 300]),
    "level": ("all", "BYTES"),
    "marker": ({"identity": "PRIMARY"},),
    "namenodes": (
        ["file:///etc/passwd"], ["http://a/b"], ["http://a@b"], ["http://a?op=DELETE"], ["http://a#b"],
        ["http://"], ["http://a b"], ["ftp://a"], ["http://a"] * 17,
    ),
    "open_files": (["/etc"], ["../x"], ["a/../b"], [""], [1], ["a//b"], ["a\0"]),
    "pair": ("pair-2",),
    "path": PATHS,
    "patterns": ([{"id": "d1", "component": "hdfs", "path": "/.understudy/*"}],
                 [{"id": "t1", "component": "hbase", "table": "hbase:*"}]),
    "percent": (101,),
    "recovery_point": NAMES,
    "release": ("../../bin/sh", "a b"),
    "role": ("PRIMARY", "third"),
    "root": (*PATHS, "hbase"),
    "scratch": (*NAMES, "trial", "a.b", "shop:a", "understudy_scratch:x", "*", "-x"),
    "seed": NAMES,
    "serial": (0, 8),
    "sites": ({"third": {}},),
    "snapshot": SNAPSHOTS,
    "staging": STAGING,
    "table": TABLES,
    "trial_clone": TABLES,
    "warm_up_ms": (3_600_001,),
    "workers": (0, 257),
}  # fmt: skip
# A pattern is no name yet, and a cluster that is only reached may have any name.
FINE_IN_PATTERNS = ("*", "shop:*")
OTHERS = {
    "CheckCluster": "secondary",
    "ShowOwner": "secondary",
    "ReplicateSnapshots": "primary",
    "SendSnapshots": "secondary",
}


def golden(kind: str) -> dict[str, Any]:
    """A good instruction in wire form."""
    wire: dict[str, Any] = json.loads((WIRE / f"{kind}.json").read_bytes())
    return wire


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Every place within a JSON value."""
    yield place
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield from places(member, (*place, key))


def checked_places(kind: str) -> list[Place]:
    """The places of a payload that are checked one by one: evidence may have any form."""
    found = [place for place in places(golden(kind)["payload"]) if place and isinstance(place[-1], str)]
    evidence = ("anchor", "manifest")
    return [p for p in found if len(p) == 1 or p[0] not in evidence or p[-1] in ("id", "recovery_point")]


def at(wire: dict[str, Any], place: Place) -> Any:
    """What stands at a place of the payload."""
    value = wire["payload"]
    for key in place:
        value = value[key]
    return value


def changed(wire: dict[str, Any], place: Place, value: Any) -> dict[str, Any]:
    """The instruction with another value at a place of its payload."""
    wire = copy.deepcopy(wire)
    at(wire, place[:-1])[place[-1]] = value
    return wire


def hostile(kind: str) -> Iterator[tuple[Place, Any]]:
    """What a field is replaced by, for every field of the kind."""
    for place in checked_places(kind):
        field = place[-1]
        harmless = [] if (kind, field) in NOT_OPTIONAL else list(HARMLESS.get(field, ()))
        if place[0] == "patterns":
            harmless += FINE_IN_PATTERNS
        if place == ("sites", OTHERS.get(kind), "cluster"):
            harmless.append("north")
        for value in (*WRONG_TYPES, *TOO_FAR.get(field, ())):
            if not any(type(value) is type(one) and value == one for one in [*harmless, at(golden(kind), place)]):
                yield place, value


def one_value_each(kind: str) -> dict[Place, Any]:
    """One hostile value for each field: what makes values unfit is one test, that nobody acts on them is another."""
    return dict(hostile(kind))


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(str(tmp_path / "spool"))
    made.open()
    return made


def name_of(place: Place) -> str:
    """How a refusal names the place."""
    text = "payload"
    for key in place:
        text += f"[{key}]" if isinstance(key, int) else f".{key}"
    return text


def needed(kind: str) -> set[str]:
    """The fields that a payload may not leave out."""
    return {name for name, check in PAYLOADS[kind].items() if not isinstance(check, Omissible)}


def test_every_field_is_among_those_that_are_replaced() -> None:
    for kind in KINDS:
        assert {place[0] for place, _ in hostile(kind)} == needed(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_each_hostile_value_is_refused_by_the_name_of_its_field(kind: str) -> None:
    for place, value in hostile(kind):
        error = refusal(changed(golden(kind), place, value))
        assert error is not None, f"{name_of(place)} = {value!r:.60} was accepted"
        assert error.code == "INVALID_PAYLOAD", (place, value)
        # A field that contradicts another one is told with one of the two.
        contradicts = place[-1] in ("cluster", "role", "sites", "id", "epoch", "serial", "pair", "recovery_point")
        assert name_of(place) in error.message or contradicts, (place, value, error.message)
        assert len(error.message) < 1_000


@pytest.mark.parametrize("kind", KINDS)
def test_fields_that_are_missing_or_unknown_are_refused(kind: str) -> None:
    records = [place for place in [(), *checked_places(kind)] if isinstance(at(golden(kind), place), dict)]
    for place in records:
        if place[:1] in (("anchor",), ("manifest",)):
            continue
        assert_invalid(changed(golden(kind), (*place, "shell"), "sh"), place)
        for field in at(golden(kind), place):
            if kind in ("CheckCluster", "ShowOwner") and place == ("sites",):
                continue  # a cluster may be looked at alone
            wire = golden(kind)
            del at(wire, place)[field]
            assert_invalid(wire, (*place, field))


def refusal(wire: dict[str, Any]) -> WireError | None:
    """Why an instruction is refused; None when it is not."""
    try:
        parse_instruction(wire)
    except WireError as error:
        return error
    return None


def assert_invalid(wire: dict[str, Any], place: Place) -> None:
    error = refusal(wire)
    assert error is not None, place
    assert error.code == "INVALID_PAYLOAD", place


@pytest.mark.parametrize("kind", ["RemoveSnapshots", "SealRecoveryPoint"])
def test_staging_is_the_secondarys_alone(kind: str) -> None:
    wire = {**golden(kind), "cluster": "east"}
    wire["payload"]["sites"] = golden("TakeSnapshots")["payload"]["sites"]
    assert_invalid(wire, ("staging",))
    wire["payload"]["staging"] = None
    assert parse_instruction(wire).payload["sites"].keys() == {"primary"}


class NoPerformer:
    """Carries nothing out; it must never be asked."""

    def start(self, number: int, operation: Operation) -> None:
        raise AssertionError(f"an operation was yielded: {operation}")

    def wait(self, timeout_seconds: float) -> Any:
        raise AssertionError("something was waited for")

    def stop(self) -> None:
        raise AssertionError("something was begun")


@pytest.mark.parametrize("kind", KINDS)
def test_admission_writes_nothing_of_it(kind: str, spool: Spool) -> None:
    for place, value in one_value_each(kind).items():
        submission = {"instruction": changed(golden(kind), place, value), "credentials": {}}
        with pytest.raises(WireError) as caught:
            admit(canonical(submission), spool, lambda: NOW_MS)
        assert caught.value.code == "INVALID_PAYLOAD"
    assert list(spool.entries()) == []
    assert not (Path(spool.root) / "epochs.json").exists()


def write(spool: Spool, name: str, data: bytes) -> None:
    """Put an instruction into the spool as somebody does who goes round admission."""
    entry = Path(spool.root) / "instructions" / name
    entry.mkdir()
    (entry / "lock").touch()
    (entry / "journal").write_bytes(b'{"data_set":"d1"}\n')
    (entry / "instruction.json").write_bytes(data)


def run_from_file(spool: Spool, name: str, data: bytes) -> dict[str, Any]:
    """The outcome of an instruction that somebody has written into the spool."""
    write(spool, name, data)
    told: list[bool] = []
    assert run(spool, spool.entry(name), lambda: NOW_MS, lambda *_: NoPerformer(), told.append)
    assert told == [True]
    outcome = spool.entry(name).outcome()
    assert outcome is not None
    return outcome


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_written_into_the_spool_itself_fails_before_any_operation(kind: str, spool: Spool) -> None:
    for number, (place, value) in enumerate(one_value_each(kind).items()):
        outcome = run_from_file(spool, f"h{number}", canonical(changed(golden(kind), place, value)))
        assert outcome["status"] == "failed"
        assert outcome["failure"]["code"] == "INVALID_PAYLOAD", (place, value)


DAMAGED = {
    "nothing": b"",
    "no JSON": b"\xff\x00",
    "half of it": (WIRE / "RemoveSnapshots.json").read_bytes()[:300],
    "NaN": (WIRE / "TakeSnapshots.json").read_bytes().replace(b'"warm_up_ms":60000', b'"warm_up_ms":NaN'),
    "very deep": b"[" * 100_000,
    "a number of many digits": (WIRE / "Abort.json").read_bytes().replace(b'"term":9', b'"term":' + b"9" * 50_000),
    "a field twice": (WIRE / "Abort.json").read_bytes().replace(b'"term":9', b'"term":9,"term":8'),
    "an unknown kind": (WIRE / "Abort.json").read_bytes().replace(b'"Abort"', b'"Execute"'),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_instruction_ends_and_does_not_stand_in_the_way_of_others(name: str, spool: Spool) -> None:
    outcome = run_from_file(spool, "damaged", DAMAGED[name])
    assert (outcome["status"], outcome["kind"]) == ("failed", None)
    assert outcome["failure"]["code"] in ("MALFORMED", "UNKNOWN_KIND")
    submission = {"instruction": {**golden("Abort"), "attempt": 1}, "credentials": {}}
    assert not admit(canonical(submission), spool, lambda: NOW_MS).known


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_instruction_can_be_ended_superseded_and_forgotten(name: str, spool: Spool) -> None:
    write(spool, "damaged", DAMAGED[name])
    entry = spool.entry("damaged")
    assert entry.has_instruction()
    assert spool.attempts_of(parse_instruction(golden("Abort"))) == []
    started: list[Entry] = []
    assert Ending(spool, lambda: NOW_MS, started.append).end("damaged") == "aborted"
    assert started == [], "nobody carries it out, so nobody rolls it forward"
    assert forget(canonical({"ids": ["damaged"]}), spool, lambda: NOW_MS)["forgotten"] == ["damaged"]


def test_what_came_later_may_be_left_out_and_is_checked_when_it_is_there() -> None:
    wire = golden("SendSnapshots")
    older = [{"snapshot": "us-r1", "recovery_point": "p1"}]
    assert parse_instruction({**wire, "payload": {**wire["payload"], "older_bases": older}})
    too_far: tuple[Any, ...] = (None, [{}], [{"snapshot": "daily", "recovery_point": "p1"}], older * 17)
    for wrong in too_far:
        with pytest.raises(WireError, match="older_bases"):
            parse_instruction({**wire, "payload": {**wire["payload"], "older_bases": wrong}})
    assert parse_instruction({**wire, "payload": {**wire["payload"], "open_listed_ms": 0}})
    for listed in (None, -1, 1.5, 1 << 51, "0", True):
        with pytest.raises(WireError, match="open_listed_ms"):
            parse_instruction({**wire, "payload": {**wire["payload"], "open_listed_ms": listed}})
    wire = golden("ApplyStaged")
    wire["payload"]["data_sets"][0]["from_head"] = "yes"
    with pytest.raises(WireError, match="from_head"):
        parse_instruction(wire)
