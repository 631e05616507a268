"""Work files of the spool: appended whole, cut, read in parts, sorted in little memory, exchanged with HDFS."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.agent.core.operations import Download, SpoolAppend, SpoolRead, SpoolSort, SpoolTruncate, Upload
from infra.agent.shell.disk import Appender, Disk
from infra.agent.shell.spool import Entry
from infra.agent.shell.transfers import Transfers
from infra.agent.shell.work_files import WorkFiles
from tests.agent.http_peer import break_off_after, peers
from tests.agent.test_webhdfs import Client


class Flushes(Disk):
    """A disk that remembers what was flushed."""

    def __init__(self) -> None:
        self.flushed: list[str] = []

    def flush(self, descriptor: int, path: str) -> None:
        self.flushed.append(Path(path).name)
        super().flush(descriptor, path)


class Directory:
    """The work files in a directory."""

    def __init__(self, path: Path, transfers: Transfers | None = None) -> None:
        self.path = path
        self.disk = Flushes()
        self.appender = Appender(self.disk, str(path))
        self.files = WorkFiles(Entry(self.disk, str(path), "i1"), self.disk, self.appender, transfers)

    def content(self, name: str) -> bytes:
        return (self.path / name).read_bytes()


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    made = Directory(tmp_path)
    yield made
    made.appender.close()


def test_a_durable_append_makes_everything_before_it_durable(directory: Directory) -> None:
    directory.files.append(SpoolAppend("manifest", b"a\n", durable=False))
    directory.files.append(SpoolAppend("plan", b"b\n", durable=False))
    assert directory.disk.flushed == []
    directory.files.append(SpoolAppend("journal", b"c\n"))
    assert sorted(directory.disk.flushed) == ["journal", "manifest", "plan"]
    directory.files.append(SpoolAppend("journal", b"d\n"))
    assert directory.disk.flushed[3:] == ["journal"]


def test_appends_of_many_threads_are_whole(directory: Directory) -> None:
    lines = [b"%05d %s\n" % (number, b"x" * (number % 500)) for number in range(2000)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda line: directory.files.append(SpoolAppend("journal", line, durable=False)), lines))
    assert sorted(directory.content("journal").splitlines(keepends=True)) == lines


@pytest.mark.parametrize("torn", [b"", b"torn", b"x" * 3_000_000])
def test_a_torn_line_is_dropped_by_the_next_agent(directory: Directory, torn: bytes) -> None:
    (directory.path / "journal").write_bytes(b"one\ntwo\n" + torn)
    directory.files.append(SpoolAppend("journal", b"three\n"))
    assert directory.content("journal") == b"one\ntwo\nthree\n"


def test_a_file_of_nothing_but_a_torn_line_becomes_empty(directory: Directory) -> None:
    (directory.path / "journal").write_bytes(b"torn" * 1_000_000)
    directory.files.append(SpoolAppend("journal", b"one\n"))
    assert directory.content("journal") == b"one\n"


def test_files_are_read_in_parts_and_cut(directory: Directory) -> None:
    assert directory.files.read(SpoolRead("plan")) == b""
    directory.files.append(SpoolAppend("plan", b"0123456789\n"))
    assert directory.files.read(SpoolRead("plan", 3, 4)) == b"3456"
    assert directory.files.read(SpoolRead("plan", 11, 4)) == b""
    directory.files.truncate(SpoolTruncate("plan", 3))
    assert directory.content("plan") == b"012"
    directory.files.truncate(SpoolTruncate("plan", 100))
    assert directory.content("plan") == b"012"
    directory.files.truncate(SpoolTruncate("fresh"))
    assert directory.content("fresh") == b""


@pytest.mark.parametrize("memory_bytes", [1, 1000, 1 << 20])
def test_lines_are_sorted_bytewise_whatever_the_memory(directory: Directory, memory_bytes: int) -> None:
    chance = random.Random(7)
    lines = [bytes(chance.randrange(32, 256) for _ in range(chance.randrange(20))) + b"\n" for _ in range(1500)]
    (directory.path / "unsorted").write_bytes(b"".join(lines) + b"torn")
    assert directory.files.sort(SpoolSort("unsorted", "sorted"), memory_bytes) == 1500
    assert directory.content("sorted").splitlines(keepends=True) == sorted(lines)
    assert {path.name for path in directory.path.iterdir()} == {"unsorted", "sorted"}


def test_a_file_can_be_sorted_into_itself_and_appended_to(directory: Directory) -> None:
    directory.files.append(SpoolAppend("list", b"b\na\n"))
    assert directory.files.sort(SpoolSort("list", "list")) == 2
    directory.files.append(SpoolAppend("list", b"c\n"))
    assert directory.content("list") == b"a\nb\nc\n"


def test_names_that_are_not_plain_are_programmer_errors(directory: Directory) -> None:
    for name in ("../x", "/etc/passwd", "", ".hidden", "outcome.json", "lock", "a/b", "instruction.json"):
        with pytest.raises(AssertionError):
            directory.files.append(SpoolAppend(name, b"x\n"))
        with pytest.raises(AssertionError):
            directory.files.truncate(SpoolTruncate(name))


def test_files_go_to_hdfs_and_come_back_over_broken_transfers(tmp_path: Path) -> None:
    with peers(1) as (peer,):
        client = Client(tmp_path, [peer.url])
        (tmp_path / "spool").mkdir()
        directory = Directory(tmp_path / "spool", client.transfers)
        content = b"line\n" * 500_000
        directory.files.append(SpoolAppend("manifest", content))
        expected = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        assert directory.files.upload(Upload("manifest", "primary", "/m")) == expected
        assert peer.files["/m"] == content
        peer.misbehaviours["DN:OPEN"] = [break_off_after(1_000_000)]
        directory.files.append(SpoolAppend("copy", b"old\n"))
        assert directory.files.download(Download("primary", "/m", "copy")) == expected
        assert directory.content("copy") == content
        assert {path.name for path in directory.path.iterdir()} == {"manifest", "copy"}
        directory.appender.close()
        client.connections.close()
