"""Pages of listings with blocks: the quick way of reading them says the very same as the general one, or leaves it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.agent.core.block_identity import block, identity_of
from infra.agent.core.hdfs import Identify, ListPage
from infra.agent.core.operations import HdfsCall, OperationFailed
from infra.agent.core.protobuf import Message, ProtobufError, data_field, integer_field, text_field
from infra.agent.shell import listed_files
from infra.agent.shell.listed_files import page_of
from infra.agent.shell.web_listing import WebListing

UINT64 = st.integers(0, (1 << 64) - 1)
SMALL = st.integers(0, (1 << 31) - 1)
NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=80)


def located(numbers: tuple[int, int], pool: str = "BP-1-127.0.0.1-1700000000000", length: int = 7) -> bytes:
    """A message LocatedBlock, as Hadoop writes it."""
    extended = text_field(1, pool) + integer_field(2, numbers[0]) + integer_field(3, numbers[1])
    node = data_field(1, text_field(1, "127.0.0.1") + text_field(2, "dn") + text_field(3, "uuid" * 9))
    return (
        data_field(1, extended + integer_field(4, length))
        + integer_field(2, 0)
        + data_field(3, node)
        + integer_field(4, 0)
        + data_field(5, data_field(1, b"") + data_field(2, b""))
        + integer_field(6, 0)
        + integer_field(7, 1)
        + text_field(8, "DS-1")
    )


def file(
    name: str = "f",
    owner: str = "app",
    group: str = "staff",
    mode: int = 0o644,
    numbers: tuple[int, int, int, int, int] = (12, 1_764_000_000_000, 3, 134_217_728, 16_401),
    blocks: tuple[tuple[int, int], ...] = ((1 << 30, 1001),),
    policy: int = 7,
    flags: int | None = 0,
    more: bytes = b"",
    kind: int = 2,
) -> bytes:
    """A message HdfsFileStatus, as Hadoop writes it."""
    length, modified, replication, block_size, identity = numbers
    found = b"".join(data_field(2, located(one)) for one in blocks)
    last = data_field(4, located(blocks[-1])) if blocks else b""
    return (
        integer_field(1, kind)
        + text_field(2, name)
        + integer_field(3, length)
        + data_field(4, integer_field(1, mode))
        + text_field(5, owner)
        + text_field(6, group)
        + integer_field(7, modified)
        + integer_field(8, modified)
        + integer_field(10, replication)
        + integer_field(11, block_size)
        + data_field(12, integer_field(1, length) + found + integer_field(3, 0) + last + integer_field(5, 1))
        + integer_field(13, identity)
        + integer_field(14, 0)
        + integer_field(16, policy)
        + (b"" if flags is None else integer_field(18, flags))
        + more
    )


def listing(*entries: bytes, remaining: int = 0) -> Message:
    body = b"".join(data_field(1, entry) for entry in entries) + integer_field(2, remaining)
    return Message(memoryview(data_field(1, body)), "getListing")


def entries_of(*entries: bytes) -> list[dict[str, Any]]:
    page = page_of(listing(*entries))
    assert page is not None
    found: list[dict[str, Any]] = page["DirectoryListing"]["partialListing"]["FileStatuses"]["FileStatus"]
    return found


def test_a_page() -> None:
    page = page_of(listing(file("a"), file("b", blocks=()), remaining=4))
    assert page is not None
    assert page["DirectoryListing"]["remainingEntries"] == 4
    a, b = page["DirectoryListing"]["partialListing"]["FileStatuses"]["FileStatus"]
    assert a == {
        "pathSuffix": "a",
        "type": "FILE",
        "length": 12,
        "permission": "644",
        "owner": "app",
        "group": "staff",
        "modificationTime": 1_764_000_000_000,
        "replication": 3,
        "blockSize": 134_217_728,
        "fileId": 16_401,
        "childrenNum": 0,
        "storagePolicy": 7,
        "blocks": identity_of(block(1 << 30, 1001)),
    }
    assert "blocks" not in b
    assert page_of(Message(memoryview(b""), "getListing")) is None


@given(
    NAMES,
    NAMES,
    NAMES,
    st.integers(0, 0o7777),
    st.tuples(UINT64, UINT64, SMALL, UINT64, UINT64),
    st.lists(st.tuples(UINT64, UINT64), max_size=4).map(tuple),
    st.one_of(st.none(), st.integers(0, 15)),
)
def test_both_ways_say_the_same(
    name: str,
    owner: str,
    group: str,
    mode: int,
    numbers: tuple[int, int, int, int, int],
    blocks: tuple[tuple[int, int], ...],
    flags: int | None,
) -> None:
    data = file(name, owner, group, mode, numbers, blocks, flags=flags)
    assert entries_of(data) == [listed_files._entry(data)]


def test_nearly_all_are_read_the_quick_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listed_files, "_entry", lambda data: pytest.fail("this one could be read quickly"))
    usual = (file(), file(blocks=()), file(flags=None), file("é" * 40), file(blocks=((5, 1), (1 << 40, 9))))
    assert len(entries_of(*usual)) == len(usual)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (file(flags=1), {"aclBit": True}),
        (file(flags=6), {"encBit": True, "ecBit": True}),
        (file(flags=None, mode=0o644 | 1 << 12), {"aclBit": True, "permission": "644"}),
        (file(more=data_field(15, b"")), {"encBit": True}),
        (file(more=data_field(17, b"")), {"ecBit": True}),
        (file(more=integer_field(40, 9)), {}),
        (file("n" * 300), {"pathSuffix": "n" * 300}),
        (file(owner="o" * 200), {"owner": "o" * 200}),
        (file(numbers=(1, (1 << 64) - 5, 1, 1, 1)), {"modificationTime": -5}),
        (file(blocks=((1 << 63, 9),)), {"blocks": identity_of(block(1 << 63, 9))}),
        (file(kind=1, blocks=()), {"type": "DIRECTORY"}),
        (file(kind=3, blocks=()), {"type": "SYMLINK"}),
    ],
    ids=range(12),
)
def test_whatever_else_comes_is_read_field_by_field(data: bytes, told: dict[str, Any]) -> None:
    (found,) = entries_of(data)
    assert {name: found[name] for name in told} == told
    assert found == listed_files._entry(data)


def test_fields_in_another_order_are_understood() -> None:
    data = file()
    turned = integer_field(13, 16_401) + data
    assert entries_of(turned) == entries_of(data)


@pytest.mark.parametrize("size", [*range(1, 40), 100, 150, 200])
def test_what_is_cut_off_is_told(size: int) -> None:
    with pytest.raises(ProtobufError):
        entries_of(file()[:size])


@given(st.binary(max_size=200))
def test_any_bytes_give_entries_or_are_told(data: bytes) -> None:
    try:
        entries_of(data)
    except ProtobufError:
        return


def test_any_wrong_byte_is_told_or_passed_over() -> None:
    """What is passed over without being looked at may hold anything."""
    whole = file(blocks=((5, 1), (1 << 40, 9)))
    for position in range(len(whole)):
        for value in (0, 0x7F, 0x80, 0xFF):
            data = whole[:position] + bytes([value]) + whole[position + 1 :]
            try:
                (found,) = entries_of(data)
            except ProtobufError:
                continue
            assert found.keys() >= {"pathSuffix", "type", "length", "fileId"}


class Web:
    """A NameNode over WebHDFS."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, call: HdfsCall) -> dict[str, Any]:
        if call.op == "LISTSTATUS_BATCH":
            found = [
                {"pathSuffix": name, "type": "FILE", "length": 3 if name != "empty" else 0} for name in self.answers
            ]
            statuses = [*found, {"pathSuffix": "d", "type": "DIRECTORY", "length": 0}]
            page = {"FileStatuses": {"FileStatus": statuses}}
            return {"DirectoryListing": {"partialListing": page, "remainingEntries": 0}}
        assert call.op == "GET_BLOCK_LOCATIONS"
        self.asked.append(call.path)
        answer = self.answers[call.path.rpartition("/")[2]]
        if isinstance(answer, OperationFailed):
            raise answer
        return {"LocatedBlocks": {"locatedBlocks": [{"block": dict(zip(BLOCK, one, strict=True))} for one in answer]}}


BLOCK = ("blockId", "generationStamp")


def blocks_of(page: dict[str, Any]) -> dict[str, str]:
    statuses = page["DirectoryListing"]["partialListing"]["FileStatuses"]["FileStatus"]
    return {status["pathSuffix"]: status["blocks"] for status in statuses if "blocks" in status}


def test_webhdfs_tells_the_same_identities_file_by_file() -> None:
    web = Web({"a": [(1 << 30, 1001)], "empty": [], "two": [(5, 1), (-7, 9)]})
    two = identity_of(block(5, 1) + block((1 << 64) - 7, 9))
    expected = {"a": identity_of(block(1 << 30, 1001)), "two": two}
    assert blocks_of(WebListing(web).list_page(ListPage("primary", "/t", ""))) == expected
    assert web.asked == ["/t/a", "/t/two"]
    told = WebListing(web).identify(Identify("primary", ("/t/two", "/t/empty", "/t/a")))
    assert told == [two, None, expected["a"]]


def test_of_what_is_listed_no_more_are_asked_for_than_is_affordable() -> None:
    web = Web({"a": [(1, 1)], "b": [(2, 2)], "c": [(3, 3)]})
    listing = WebListing(web, limit=2, draw=lambda: 0.999)
    assert list(blocks_of(listing.list_page(ListPage("primary", "/t", "")))) == ["a", "b"]
    assert blocks_of(listing.list_page(ListPage("primary", "/t", ""))) == {}
    assert listing.identify(Identify("primary", ("/t/c",))) == [identity_of(block(3, 3))]


def test_none_of_the_others_is_left_out_for_ever() -> None:
    web = Web({"a": [(1, 1)], "b": [(2, 2)], "c": [(3, 3)], "d": [(4, 4)]})
    draws = iter([0.7, 0.4])
    listing = WebListing(web, limit=2, draw=lambda: next(draws))
    assert list(blocks_of(listing.list_page(ListPage("primary", "/t", "")))) == ["a", "b", "d"]


def refused(exception: str, **more: Any) -> OperationFailed:
    return OperationFailed("HDFS", exception, detail={"exception": exception}, **more)


def test_who_does_not_know_the_operation_is_asked_once() -> None:
    web = Web({"a": refused("IllegalArgumentException"), "b": [(2, 2)]})
    listing = WebListing(web)
    assert blocks_of(listing.list_page(ListPage("primary", "/t", ""))) == {}
    assert listing.identify(Identify("primary", ("/t/b",))) == [None]
    assert web.asked == ["/t/a"]


def test_a_file_that_is_gone_has_no_identity() -> None:
    web = Web({"a": refused("FileNotFoundException"), "b": [(2, 2)]})
    assert list(blocks_of(WebListing(web).list_page(ListPage("primary", "/t", "")))) == ["b"]


def test_trouble_that_passes_is_told() -> None:
    web = Web({"a": refused("RetriableException", transient=True)})
    with pytest.raises(OperationFailed):
        WebListing(web).list_page(ListPage("primary", "/t", ""))
