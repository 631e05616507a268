"""Hostile, damaged, late, outdated and unknown submissions: each is refused with its code and leaves no trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.agent.protocol import MAXIMUM_BYTES, Instruction, WireError, canonical
from infra.agent.shell.admission import admit
from infra.agent.shell.disk import Disk
from infra.agent.shell.ending import Ending
from infra.agent.shell.looking import forget, look
from infra.agent.shell.spool import Entry, Spool, SpoolUnusable
from infra.agent.shell.terms import Terms

NOW_MS = 1_750_000_000_000.0


def submission(**changes: Any) -> dict[str, Any]:
    """A good submission with some of its instruction's fields changed; None removes a field."""
    fields: dict[str, Any] = {
        "version": 1,
        "id": "i1",
        "kind": "Abort",
        "pair": "pair",
        "cluster": "a",
        "epoch": 3,
        "term": 5,
        "run": "run",
        "step": "step",
        "attempt": 0,
        "not_after_ms": int(NOW_MS) + 1000,
        "payload": {"instructions": []},
    }
    fields.update(changes)
    return {
        "instruction": {name: value for name, value in fields.items() if value is not None},
        "credentials": {"primary": {"hdfs": {"kind": "simple", "user": "hdfs"}}},
    }


def deep(levels: int) -> Any:
    """Lists within lists."""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


GOOD = canonical(submission())
HOSTILE = {
    "empty": (b"", "MALFORMED"),
    "not JSON": (b"rm -rf /", "MALFORMED"),
    "not an object": (b"[]", "MALFORMED"),
    "half of it": (GOOD[: len(GOOD) // 2], "MALFORMED"),
    "two values": (GOOD + GOOD, "MALFORMED"),
    "not UTF-8": (GOOD.replace(b'"run"', b'"r\xff"'), "MALFORMED"),
    "UTF-16": (GOOD.decode().encode("utf-16"), "MALFORMED"),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD, "MALFORMED"),
    "a lone surrogate": (GOOD.replace(b'"run":"run"', b'"run":"\\ud800"'), "MALFORMED"),
    "NaN": (GOOD.replace(b'"epoch":3', b'"epoch":NaN'), "MALFORMED"),
    "an infinity": (GOOD.replace(b'"epoch":3', b'"epoch":1e999'), "MALFORMED"),
    "a huge number": (GOOD.replace(b'"epoch":3', b'"epoch":' + b"9" * 100_000), "MALFORMED"),
    "a fraction": (GOOD.replace(b'"epoch":3', b'"epoch":3.0'), "MALFORMED"),
    "true for a number": (GOOD.replace(b'"epoch":3', b'"epoch":true'), "MALFORMED"),
    "a key twice": (GOOD.replace(b'"epoch":3', b'"epoch":9,"epoch":3'), "MALFORMED"),
    "very deep": (b"[" * 200_000 + b"]" * 200_000, "MALFORMED"),
    "deep in the payload": (canonical(submission(payload={"instructions": deep(60)})), "MALFORMED"),
    "too large": (b" " * MAXIMUM_BYTES + GOOD, "TOO_LARGE"),
    "no credentials": (canonical({"instruction": submission()["instruction"]}), "MALFORMED"),
    "something besides": (canonical({**submission(), "command": "sh"}), "MALFORMED"),
    "another version": (canonical(submission(version=2)), "UNKNOWN_VERSION"),
    "no version": (canonical(submission(version=None)), "UNKNOWN_VERSION"),
    "an unknown kind": (canonical(submission(kind="Execute")), "UNKNOWN_KIND"),
    "an unknown field": (canonical(submission(shell="sh")), "MALFORMED"),
    "a missing field": (canonical(submission(run=None)), "MALFORMED"),
    "a payload of another kind": (canonical(submission(kind="TakeSnapshots")), "INVALID_PAYLOAD"),
    "an unknown field in the payload": (canonical(submission(payload={"instructions": [], "x": 1})), "INVALID_PAYLOAD"),
    "a path as id": (canonical(submission(id="../../etc/cron.d/x")), "MALFORMED"),
    "a hidden name as id": (canonical(submission(id=".new.i1")), "MALFORMED"),
    "nothing as id": (canonical(submission(id="")), "MALFORMED"),
    "a NUL in the id": (canonical(submission(id="i\x00")), "MALFORMED"),
    "other digits in the id": (canonical(submission(id="i٣")), "MALFORMED"),
    "a line end after the id": (canonical(submission(id="i1\n")), "MALFORMED"),
    "a very long id": (canonical(submission(id="i" * 201)), "MALFORMED"),
    "a negative epoch": (canonical(submission(epoch=-1)), "MALFORMED"),
    "an allowance of less than nothing": (
        canonical({**submission(), "allow": {"workers": -1, "bytes_per_second": None}}),
        "MALFORMED",
    ),
    "an allowance of no bytes": (
        canonical({**submission(), "allow": {"workers": 1, "bytes_per_second": 0}}),
        "MALFORMED",
    ),
    "half an allowance": (canonical({**submission(), "allow": {"workers": 1}}), "MALFORMED"),
    "an allowance that is none": (canonical({**submission(), "allow": [1, None]}), "MALFORMED"),
    "late": (canonical(submission(not_after_ms=int(NOW_MS) - 1)), "TOO_LATE"),
}


def files_of(directory: Path) -> dict[str, bytes]:
    """Everything below a directory, except the lock that holds the spool still."""
    found = {}
    for path in directory.rglob("*"):
        if path.is_file() and path != directory / "lock":
            found[str(path.relative_to(directory))] = path.read_bytes()
        elif path.is_dir() and path.name != "instructions":
            found[str(path.relative_to(directory))] = b"directory"
    return found


def refusal(data: bytes, spool: Spool) -> str:
    """The code with which a submission is refused."""
    with pytest.raises(WireError) as caught:
        admit(data, spool, lambda: NOW_MS)
    assert caught.value.message
    return caught.value.code


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(str(tmp_path / "spool"))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_submissions_are_refused_without_a_trace(spool: Spool, name: str) -> None:
    data, code = HOSTILE[name]
    assert refusal(data, spool) == code
    assert files_of(Path(spool.root)).keys() <= {"attempts", "attempts.json"}, "an index of nothing says nothing"


@pytest.mark.parametrize("name", HOSTILE)
def test_nor_do_they_change_a_spool_in_use(spool: Spool, name: str) -> None:
    admit(canonical(submission(id="other", step="other")), spool, lambda: NOW_MS)
    before = files_of(Path(spool.root))
    data, code = HOSTILE[name]
    assert refusal(data, spool) == code
    assert files_of(Path(spool.root)) == before


@pytest.mark.parametrize(
    "credentials",
    [
        [],
        {"third": {}},
        {"primary": []},
        {"primary": {"root": {"kind": "simple", "user": "root"}}},
        {"primary": {"hdfs": {"kind": "simple", "user": "hdfs&doas=x"}}},
        {"primary": {"hdfs": {"kind": "simple", "user": ""}}},
        {"primary": {"hdfs": {"kind": "simple"}}},
        {"primary": {"hdfs": {"kind": "password", "user": "hdfs"}}},
        {"primary": {"hdfs": {"kind": ["simple"], "user": "hdfs"}}},
        {"primary": {"hdfs": {"kind": "simple", "user": "hdfs", "more": 1}}},
    ],
)
def test_credentials_of_another_shape_are_refused(spool: Spool, credentials: Any) -> None:
    assert refusal(canonical({**submission(), "credentials": credentials}), spool) == "MALFORMED"
    assert files_of(Path(spool.root)) == {}


def test_what_a_later_controller_has_sent_shuts_earlier_ones_out(spool: Spool) -> None:
    admit(canonical(submission()), spool, lambda: NOW_MS)
    admit(canonical(submission(id="i2", step="two", epoch=4, term=5)), spool, lambda: NOW_MS)
    admit(canonical(submission(id="i3", step="three", epoch=4, term=9)), spool, lambda: NOW_MS)
    before = files_of(Path(spool.root))
    assert refusal(canonical(submission(id="i4", step="four", epoch=3, term=9)), spool) == "OLD_EPOCH"
    assert refusal(canonical(submission(id="i4", step="four", epoch=4, term=8)), spool) == "OLD_TERM"
    assert refusal(canonical(submission(epoch=3, term=9)), spool) == "OLD_EPOCH"
    assert files_of(Path(spool.root)) == before
    another_pair = submission(id="i4", step="four", pair="other", epoch=1, term=1)
    assert not admit(canonical(another_pair), spool, lambda: NOW_MS).known


def told(store: str = "a", **more: Any) -> dict[str, Any]:
    """Who submits: the control device of a store."""
    who = {"store": store * 32, "incarnation": "1" * 32, "host": f"host-{store}", "since": "20260101T000000Z"}
    return {**who, "term": 1, "position": 1, "link": "0" * 32, "follows": {}, **more}


def sent(spool: Spool, number: int, epoch: int, term: int, controller: dict[str, Any] | None) -> str | None:
    """The code by which a submission of its own is refused, None if it is admitted."""
    one = submission(id=f"i{number}", step=f"step-{number}", epoch=epoch, term=term)
    data = canonical(one if controller is None else {**one, "controller": controller})
    try:
        admit(data, spool, lambda: NOW_MS)
    except WireError as error:
        return error.code
    return None


def test_terms_are_compared_within_one_store_and_epoch(spool: Spool) -> None:
    assert sent(spool, 1, 4, 5, None) is None, "nobody has told a store yet"
    assert sent(spool, 2, 4, 9, told("a")) is None
    assert sent(spool, 3, 4, 8, told("a")) == "OLD_TERM"
    assert sent(spool, 4, 4, 8, None) == "OLD_TERM", "who tells no store may be the same"
    assert sent(spool, 5, 4, 1, told("b")) is None, "the cluster tells whose it is, not the gateway"
    assert sent(spool, 6, 4, 99, told("b")) is None
    assert sent(spool, 7, 4, 10, told("a")) is None, "the other one's terms are none of it"
    assert sent(spool, 8, 5, 1, told("b")) is None
    assert sent(spool, 9, 4, 11, told("a")) == "PAIR_OWNED"
    assert sent(spool, 10, 4, 11, told("b")) == "OLD_EPOCH"
    assert sent(spool, 11, 5, 1, told("a")) is None
    assert sent(spool, 12, 5, 0, told("b")) == "OLD_TERM"


def test_the_store_that_has_begun_a_later_epoch_is_named(spool: Spool) -> None:
    assert sent(spool, 1, 4, 5, told("a")) is None
    assert sent(spool, 2, 5, 1, told("b")) is None
    before = files_of(Path(spool.root))
    late = {**submission(id="i3", step="three", epoch=4, term=99), "controller": told("a")}
    with pytest.raises(WireError) as refused:
        admit(canonical(late), spool, lambda: NOW_MS)
    assert refused.value.code == "PAIR_OWNED"
    assert "b" * 32 in refused.value.message
    assert "host-b" in refused.value.message
    assert files_of(Path(spool.root)) == before


def test_a_lower_term_counts_once_the_clusters_have_confirmed_it(spool: Spool) -> None:
    assert sent(spool, 1, 4, 5, told("a")) is None
    assert sent(spool, 2, 4, 9, told("a", host="copy")) is None, "a copy of the store was here first"
    assert sent(spool, 3, 4, 5, told("a")) == "OLD_TERM"
    assert sent(spool, 3, 4, 5, told("a", is_confirmed=True)) is None
    assert sent(spool, 4, 4, 5, told("a")) is None, "from here on without"
    assert sent(spool, 5, 4, 4, told("a")) == "OLD_TERM", "its own earlier starts are over"
    assert sent(spool, 6, 3, 9, told("a", is_confirmed=True)) == "OLD_EPOCH"
    assert sent(spool, 7, 4, 5, told("a", is_confirmed="yes")) == "MALFORMED"


def test_an_epoch_of_another_store_counts_no_longer_than_the_clusters_confirm_an_earlier_one(spool: Spool) -> None:
    assert sent(spool, 1, 4, 5, told("a")) is None
    armed = instruction_of(spool, 1)
    assert sent(spool, 2, 5, 1, told("b")) is None, "the cluster refuses it, after it was here"
    terms = Terms(spool)
    assert not terms.epoch_is_over(armed, told("a")), "what is under way goes on: the cluster judges it"
    assert terms.epoch_is_over(armed, told("b"))
    assert terms.epoch_is_over(armed), "who tells no store may be the same"
    assert sent(spool, 3, 4, 6, told("a")) == "PAIR_OWNED"
    assert sent(spool, 3, 4, 6, told("a", is_confirmed=True)) is None
    assert sent(spool, 4, 4, 6, told("a")) is None, "from here on without"
    assert sent(spool, 5, 4, 5, told("a")) == "OLD_TERM"
    assert sent(spool, 6, 5, 1, told("b")) is None, "and who is confirmed by the cluster later is not shut out"
    assert sent(spool, 7, 4, 6, told("a")) == "PAIR_OWNED"


def instruction_of(spool: Spool, number: int) -> Instruction:
    """An instruction that was sent."""
    return spool.entry(f"i{number}").instruction()


def test_a_spool_serves_one_cluster(spool: Spool) -> None:
    admit(canonical(submission()), spool, lambda: NOW_MS)
    assert refusal(canonical(submission(id="i2", cluster="b")), spool) == "WRONG_CLUSTER"


def test_the_same_wish_of_a_later_controller_attaches_and_renews_the_credentials(spool: Spool) -> None:
    admit(canonical(submission()), spool, lambda: NOW_MS)
    renewed = {"secondary": {"hbase": {"kind": "simple", "user": "hbase"}}}
    again = canonical({**submission(term=6), "credentials": renewed})
    admitted = admit(again, spool, lambda: NOW_MS + 3_600_000)  # long after not_after: it had come in time
    assert admitted.known
    assert admitted.entry.credentials() == renewed
    assert admitted.entry.instruction() is not None
    assert refusal(canonical(submission(term=6, not_after_ms=int(NOW_MS) + 2)), spool) == "NOT_THE_SAME"


def test_the_agents_of_two_attempts_know_each_other(spool: Spool) -> None:
    admit(canonical(submission(id="second", attempt=1)), spool, lambda: NOW_MS)
    assert refusal(canonical(submission(id="first", attempt=0)), spool) == "SUPERSEDED"
    assert not admit(canonical(submission(id="other", attempt=0, step="else")), spool, lambda: NOW_MS).known
    assert not admit(canonical(submission(id="third", attempt=2)), spool, lambda: NOW_MS).known
    assert refusal(canonical(submission(id="second", attempt=1)), spool) == "SUPERSEDED"


def test_an_instruction_that_was_ended_before_it_arrived_is_refused_when_it_comes(spool: Spool) -> None:
    spool.open()
    started: list[Entry] = []
    ending = Ending(spool, lambda: NOW_MS, started.append)
    assert ending.end("i1") == "aborted"
    assert refusal(GOOD, spool) == "SUPERSEDED"
    assert ending.end("i1") == "aborted"
    assert started == []


@pytest.mark.parametrize("has_begun", [True, False])
def test_what_has_begun_to_change_a_copy_is_started_again_and_not_ended(spool: Spool, has_begun: bool) -> None:
    spool.open()
    wire = (Path(__file__).parent / "wire" / "ApplyStaged.json").read_bytes()
    name = json.loads(wire)["id"]
    spool.create(name, {"instruction.json": wire})
    if has_begun:
        Path(spool.entry(name).path("journal")).write_bytes(b'{"begun":true,"data_set":"d1"}\n')
    started: list[str] = []
    ending = Ending(spool, lambda: NOW_MS, lambda entry: started.append(entry.id))
    assert ending.end(name) == ("running" if has_begun else "aborted")
    assert started == ([name] if has_begun else [])
    assert (spool.entry(name).outcome() is None) == has_begun


def test_the_directory_of_instructions_is_flushed_before_an_instruction_is_accepted(tmp_path: Path) -> None:
    flushed: list[tuple[str, bool]] = []

    class Flushes(Disk):
        def flush_directory(self, path: str) -> None:
            flushed.append((Path(path).name, spool.entry("i1").exists()))
            super().flush_directory(path)

    spool = Spool(str(tmp_path / "spool"), Flushes())
    admit(GOOD, spool, lambda: NOW_MS)
    assert (".new.i1", False) in flushed  # whole before it can be seen
    assert ("instructions", True) in flushed  # and found after a power cut


def test_files_are_private_and_durable_before_anybody_can_see_them(spool: Spool) -> None:
    entry = admit(GOOD, spool, lambda: NOW_MS).entry
    for path in [Path(spool.root), Path(entry.directory), *Path(entry.directory).iterdir()]:
        assert path.stat().st_mode & 0o077 == 0, path
    assert json.loads(Path(entry.path("instruction.json")).read_bytes()) == submission()["instruction"]


def test_what_a_crash_left_of_a_creation_does_no_harm(spool: Spool) -> None:
    spool.open()
    torn = Path(spool.root) / "instructions" / ".new.i1"
    torn.mkdir()
    (torn / "instruction.json").write_bytes(b'{"version":')
    assert list(spool.entries()) == []
    assert not admit(GOOD, spool, lambda: NOW_MS).known
    assert not torn.exists()


def test_a_spool_of_somebody_else_is_not_used(spool: Spool, tmp_path: Path) -> None:
    spool.open()
    Path(spool.root).chmod(0o750)
    with pytest.raises(SpoolUnusable, match="0700"):
        admit(GOOD, spool, lambda: NOW_MS)
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolUnusable):
        admit(GOOD, Spool(str(tmp_path / "file" / "spool")), lambda: NOW_MS)


ALLOWED = {"workers": 2, "bytes_per_second": 1000}


def test_an_allowance_comes_with_the_submission_and_with_each_look(spool: Spool) -> None:
    entry = admit(canonical({**submission(), "allow": ALLOWED}), spool, lambda: NOW_MS).entry
    path = Path(entry.path("allowance.json"))
    assert json.loads(path.read_bytes()) == ALLOWED
    assert path.stat().st_mode & 0o077 == 0
    later = {"workers": 0, "bytes_per_second": None}
    look(canonical({"ids": ["i1", "i2"], "allow": {"i1": later, "i2": later}}), spool)
    assert json.loads(path.read_bytes()) == later
    assert not spool.entry("i2").exists(), "nobody knows it"
    look(canonical({"ids": ["i1"]}), spool)
    assert json.loads(path.read_bytes()) == later
    admit(canonical({**submission(), "allow": ALLOWED}), spool, lambda: NOW_MS)
    assert json.loads(path.read_bytes()) == ALLOWED
    admit(canonical(submission()), spool, lambda: NOW_MS)
    assert json.loads(path.read_bytes()) == ALLOWED


@pytest.mark.parametrize(
    "allow",
    [b"[]", b'{"i2":{"workers":1,"bytes_per_second":1}}', b'{"i1":{"workers":1}}', b'{"i1":{"workers":1.5}}',
     b'{"i1":{"workers":true,"bytes_per_second":null}}', b'{"i1":null}', b'{"../x":{"workers":1}}',
     b'{"i1":{"workers":1,"bytes_per_second":null,"more":1}}'],
)  # fmt: skip
def test_a_look_with_a_hostile_allowance_says_nothing_to_anybody(spool: Spool, allow: bytes) -> None:
    entry = admit(canonical({**submission(), "allow": ALLOWED}), spool, lambda: NOW_MS).entry
    with pytest.raises(WireError):
        look(b'{"ids":["i1"],"allow":' + allow + b"}", spool)
    assert json.loads(Path(entry.path("allowance.json")).read_bytes()) == ALLOWED


@pytest.mark.parametrize(
    "request_",
    [b"", b"[]", b'{"ids":"i1"}', b'{"ids":["../x"]}', b'{"ids":[1]}', b'{"ids":["i1"],"after":{"i1":-1}}',
     b'{"ids":["i1"],"wait_ms":-1}', b'{"ids":["i1"],"wait_ms":1001}', b'{"ids":["i1"],"wait_ms":true}'],
)  # fmt: skip
def test_hostile_looks_are_refused(spool: Spool, request_: bytes) -> None:
    with pytest.raises(WireError):
        look(request_, spool)


@pytest.mark.parametrize("request_", [b"", b'{"ids":["../x"]}', b'{"ids":["/etc"]}', b'{"ids":null}'])
def test_nothing_hostile_is_forgotten(spool: Spool, request_: bytes) -> None:
    spool.open()
    with pytest.raises(WireError):
        forget(request_, spool, lambda: NOW_MS)
