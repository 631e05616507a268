"""A broken or hostile NameNode, manifest or plan: no name leads out of a tree, no listing is asked for without end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.agent.core import hdfs
from infra.agent.core.checked_records import checked_step, entry_in
from infra.agent.core.hbase_entries import Manifest
from infra.agent.core.hdfs_compare import modified_ids
from infra.agent.core.hdfs_plain import line_below
from infra.agent.core.hdfs_walk import Walk
from infra.agent.core.known_damage import known_damage
from infra.agent.core.lines import LONGEST_LINE_BYTES, LineReader
from infra.agent.core.machine import Machine, Outcome
from infra.agent.core.open_files import list_open
from infra.agent.core.operations import HdfsCall, Now, OperationFailed, ReadFile, SpoolRead
from infra.agent.core.protobuf import Message, ProtobufError
from infra.agent.names import is_absolute_path, is_name, is_path

HOSTILE = ["", ".", "..", "../x", "a/b", "/", "/etc", "a/../..", "x\0y", ".snapshot", "\ud800", "a/", "..\0"]
WRONG = [None, 1, b"a", ["a"], {"a": 1}]


def status(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "pathSuffix": name,
        "type": "FILE",
        "owner": "o",
        "group": "g",
        "permission": "644",
        "length": 1,
        "modificationTime": 1,
        "fileId": 17,
        "blockSize": 1,
        "replication": 1,
        "storagePolicy": 0,
        "childrenNum": 0,
        **changes,
    }


def listing(*entries: Any, remaining: Any = 0) -> dict[str, Any]:
    statuses = {"FileStatuses": {"FileStatus": list(entries)}}
    return {"DirectoryListing": {"partialListing": statuses, "remainingEntries": remaining}}


def root() -> dict[str, Any]:
    return {"FileStatus": status("", type="DIRECTORY")}


def run(procedure: Any, answer: Any) -> Any:
    """Run a procedure; ``answer(operation)`` gives what is answered. Raises what the procedure raises."""
    machine = Machine(procedure, 64)
    outcomes: list[Outcome] = []
    for _ in range(10_000):
        asked = machine.step(outcomes)
        if machine.done:
            break
        outcomes = [Outcome(number, answer(operation)) for number, operation in asked]
    assert machine.done, "it goes on for ever"
    if machine.failure is not None:
        raise machine.failure
    return machine.result


def code_of(procedure: Any, answer: Any) -> str:
    with pytest.raises(OperationFailed) as caught:
        run(procedure, answer)
    assert caught.value.remedy
    assert not caught.value.transient
    return caught.value.code


@pytest.mark.parametrize("name", [*HOSTILE, *WRONG], ids=repr)
def test_the_rule(name: Any) -> None:
    assert not is_name(name)
    if name not in ("", "a/b"):
        assert not is_path(name)
        assert not is_absolute_path(f"/{name}" if isinstance(name, str) else name)
        assert not is_path(f"a/{name}/b" if isinstance(name, str) else name)


@given(st.lists(st.sampled_from(["", ".", "..", ".snapshot", "a", ".a", "a.", "...", " ", "é", "\n"]), max_size=5))
def test_a_path_is_its_names(names: list[str]) -> None:
    path = "/".join(names)
    assert is_path(path) == (path == "" or all(map(is_name, names)))


@pytest.mark.parametrize("name", [*HOSTILE, *WRONG], ids=repr)
@pytest.mark.parametrize("kind", ["FILE", "DIRECTORY"])
def test_a_walk_takes_no_such_name(name: Any, kind: str) -> None:
    def answer(operation: HdfsCall) -> Any:
        if operation.op == "GETFILESTATUS":
            return root()
        return listing(status("a", type=kind), status(name, type=kind), status("zz", type=kind))

    def walk() -> Any:
        walking = Walk("primary", "/data", strict=True)
        while (yield from walking.next()) is not None:
            pass

    assert code_of(walk(), answer) == "LISTING_INVALID"
    assert code_of(hdfs.list_directory("primary", "/data"), answer) == "LISTING_INVALID"


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"DirectoryListing": None},
        listing(remaining=-1),
        listing(remaining="1"),
        listing(remaining=None),
        listing(remaining=7),
        listing("a"),
        listing(status("a", length=-1)),
        listing(status("a", length="1")),
        listing(status("a", fileId=None)),
        listing(status("a", permission=644)),
        listing(status("a", storagePolicy=True)),
        listing(status("a", childrenNum="x")),
        listing({"pathSuffix": "a"}),
        listing(status("", type="DIRECTORY")),
    ],
    ids=lambda answer: json.dumps(answer)[:60],
)
def test_a_listing_of_another_shape(answer: Any) -> None:
    assert code_of(hdfs.list_directory("primary", "/data"), lambda _: answer) == "LISTING_INVALID"


def test_a_status_of_another_shape() -> None:
    for found in (None, [], "x", {}, status("", owner=None)):
        assert (
            code_of(hdfs.status("primary", "/data"), lambda _, found=found: {"FileStatus": found}) == "LISTING_INVALID"
        )


@pytest.mark.parametrize(
    "page", [listing(status("a"), status("b"), remaining=5), listing(remaining=5)], ids=["same", "none"]
)
def test_a_listing_that_never_moves_on(page: Any) -> None:
    def answer(operation: Any) -> Any:
        return root() if isinstance(operation, HdfsCall) and operation.op == "GETFILESTATUS" else page

    def walk() -> Any:
        walking = Walk("primary", "/data")
        while (yield from walking.next()) is not None:
            pass

    assert code_of(walk(), answer) in ("LISTING_INVALID", "LISTING_ORDER")
    assert code_of(hdfs.list_directory("primary", "/data"), answer) == "LISTING_INVALID"


@pytest.mark.parametrize("cursors", [[("a", 0)], [("a", 0), ("b", 1)], [("", 0)]], ids=repr)
def test_a_difference_that_never_moves_on(cursors: list[tuple[str, int]]) -> None:
    asked: list[Any] = []

    def answer(operation: HdfsCall) -> Any:
        asked.append(operation)
        path, index = cursors[len(asked) % len(cursors)]
        lists = {"modifyList": [], "createList": [], "deleteList": []}
        return {"SnapshotDiffReportListing": {**lists, "lastPath": path, "lastIndex": index}}

    assert code_of(modified_ids("primary", "/data", "s0", "s1"), answer) == "LISTING_INVALID"
    assert len(asked) < 5


@pytest.mark.parametrize(
    "changes",
    [
        {"modifyList": [{"fileId": -1}]},
        {"modifyList": [{"fileId": "1"}]},
        {"lastPath": None},
        {"lastIndex": "x"},
        {"createList": 1},
    ],
    ids=repr,
)
def test_a_difference_of_another_shape(changes: dict[str, Any]) -> None:
    whole = {"modifyList": [], "createList": [], "deleteList": [], "lastPath": "", "lastIndex": -1}
    answer = {"SnapshotDiffReportListing": {**whole, **changes}}
    assert code_of(modified_ids("primary", "/data", "s0", "s1"), lambda _: answer) == "LISTING_INVALID"


@pytest.mark.parametrize(
    "path", ["/data/../etc", "/data//x", "data/x", "/data/x\0", 7, "/data/.snapshot/s/x"], ids=repr
)
def test_open_files_with_names_that_no_file_has_are_not_known(path: Any) -> None:
    def answer(operation: Any) -> Any:
        return 0.0 if isinstance(operation, Now) else {"paths": ["/data/fine", path]}

    assert run(list_open(["/data"]), answer) is None


ENTRY = {"p": "d/f", "t": "f", "l": 1, "m": 1, "o": "o", "g": "g", "x": "644", "b": 1, "r": 1, "I": 5}
STEP = {"do": "out", "d": 1, "p": "a/b", "to": "out/0/1"}


def line(entry: Any) -> bytes:
    return json.dumps(entry).encode()


@pytest.mark.parametrize(
    "changes",
    [
        *({"p": name} for name in (*HOSTILE, *WRONG) if name not in ("", "a/b")),
        {"l": -1}, {"l": "1"}, {"l": None}, {"l": 1.5}, {"m": True}, {"t": "x"}, {"o": 1}, {"a": "user:x"}, {"a": [1]},
        {"e": []}, {"e": {"user.x": 1}}, {"f": 1}, {"c": 5}, {"q": {}}, {"I": "x"},
    ],
    ids=repr,
)  # fmt: skip
def test_a_line_of_a_manifest_that_is_none(changes: dict[str, Any]) -> None:
    assert entry_in(line(ENTRY), "manifest") == ENTRY
    if changes.get("p") == b"a":
        changes = {"p": 7}
    with pytest.raises(OperationFailed, match="LINES_DAMAGED"):
        entry_in(line({**ENTRY, **changes}), "manifest")


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"7", b"{", b"[" * 200_000, b'{"p":' * 100_000, b"\xff", b"{} {}"], ids=len
)
def test_a_line_that_is_no_record(text: bytes) -> None:
    with pytest.raises(OperationFailed, match="LINES_DAMAGED"):
        entry_in(text, "manifest")


@pytest.mark.parametrize("name", ["..", ".", "", r"\u002e\u002e", r"..\u002f..", r"a\/b", r"\u0000", ".snapshot"])
def test_plain_lines_of_a_manifest_are_held_to_the_same(name: str) -> None:
    plain = '{"I":5,"b":1,"g":"g","l":1,"m":1,"o":"o","p":"d/%s","r":1,"t":"f","x":"644"}'
    assert line_below((plain % "fine").encode(), "d", 1, 0) is not None
    assert line_below((plain % name).encode(), "d", 1, 0) is None
    with pytest.raises(OperationFailed, match="LINES_DAMAGED"):
        entry_in((plain % name).encode(), "manifest") if name != r"a\/b" else entry_in(b"", "manifest")


@pytest.mark.parametrize(
    "step",
    [
        *({**STEP, "p": name} for name in HOSTILE if name not in ("", "a/b")),
        {**STEP, "do": "delete"}, {**STEP, "do": None}, {**STEP, "to": "../../identity/99.json"},
        {**STEP, "to": "out/0/../1"},
        {**STEP, "to": None}, {"do": "in", "d": 1, "p": "a", "from": "/data/other"}, {"do": "in", "d": 1, "p": "a"},
        {"do": "in", "d": 1, "p": "a", "from": "new/0/0\n"}, {"do": "time", "d": 1, "p": "a"}, {"do": "out", "p": "a"},
        {"do": "set", "d": 1, "p": "a", "o": "x"}, {"do": "set", "d": 1, "p": "a", "a": []}, {"do": "set", "d": 1},
        {"do": "set", "d": 1, "p": "a", "e": {"user.a": 1}}, {"do": "set", "d": 1, "p": "a", "r": "1"},
    ],
    ids=repr,
)  # fmt: skip
def test_a_step_of_a_plan_that_is_none(step: dict[str, Any]) -> None:
    assert checked_step(dict(STEP), "plan") == STEP
    with pytest.raises(OperationFailed, match="LINES_DAMAGED"):
        checked_step(step, "plan")


OWN = [{"p": f".hbase-snapshot/{name}", "t": "f", "l": 1, "c": "x"} for name in (".snapshotinfo", "data.manifest")]
STORE_FILE = f"default/t/{'a' * 32}/f/{'b' * 32}"


@pytest.mark.parametrize(
    "entry",
    [
        {"p": STORE_FILE.replace("default", "..")}, {"p": STORE_FILE.replace("/t/", "/../")}, {"p": "../../../../x"},
        {"p": STORE_FILE.replace("/f/", "/../")}, {"p": STORE_FILE.replace("/f/", "//")},
        {"p": STORE_FILE.replace("b" * 32, "..")},
        {"p": STORE_FILE.replace("a" * 32, "..")}, {"p": STORE_FILE + "/x"}, {"p": 7}, {"p": STORE_FILE, "l": -1},
        {"p": STORE_FILE, "l": True}, {"p": STORE_FILE, "l": None},
    ],
    ids=repr,
)  # fmt: skip
def test_a_tables_manifest_that_leads_elsewhere(entry: dict[str, Any]) -> None:
    good = {"t": "f", "l": 1, "c": "x", "p": STORE_FILE}
    encoded = b"\n".join(line(one) for one in (*OWN, good))
    assert Manifest.parse(encoded).files == [good]
    with pytest.raises(OperationFailed, match="STAGING_DAMAGED"):
        Manifest.parse(b"\n".join(line(one) for one in (*OWN, {**good, **entry})))
    with pytest.raises(OperationFailed, match="STAGING_DAMAGED"):
        Manifest.parse(b"[" * 200_000)


def test_a_file_without_a_newline_is_not_read_into_memory() -> None:
    read: list[int] = []

    def answer(operation: SpoolRead) -> bytes:
        read.append(operation.offset)
        return b"x" * operation.length

    assert code_of(LineReader("manifest").next(), answer) == "LINES_DAMAGED"
    assert max(read) <= LONGEST_LINE_BYTES + (1 << 20)


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b"{}", b'[["a"]]', b"7", b"null", b"\xff"], ids=lambda c: repr(c[:9])
)
def test_known_damage_that_is_no_list(content: bytes) -> None:
    def answer(operation: Any) -> Any:
        return content if isinstance(operation, ReadFile) else {"FileStatus": status("")}

    assert run(known_damage({"id": "d1"}), answer) == frozenset()


def test_a_message_of_empty_fields_is_not_taken_into_memory() -> None:
    with pytest.raises(ProtobufError, match="more fields"):
        Message(memoryview(b"\x0a\x00" * (1 << 19)), "Answer")
    assert len(Message(memoryview(b"\x0a\x00" * 4000), "Answer").repeated(1)) == 4000
    assert len(Message(memoryview((b"\x0a\x20" + b"x" * 32) * 100_000), "Answer").repeated(1)) == 100_000
