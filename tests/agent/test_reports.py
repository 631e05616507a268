"""What a running instruction tells: bounded, newest first, and whole lines only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.agent.shell import reports
from infra.agent.shell.disk import Appender, Disk
from infra.agent.shell.reports import Log, MilestoneFile, ProgressFile, read_milestones, read_progress
from infra.agent.shell.spool import Entry


class Told:
    """The reports of one entry at a time that the test sets."""

    def __init__(self, directory: Path) -> None:
        self.entry = Entry(Disk(), str(directory), "i1")
        self.seconds = 100.0
        self.progress = ProgressFile(self.entry, lambda: self.seconds * 1000, lambda: self.seconds)


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


def newest(told: Told, after: int = 0) -> tuple[int | None, int]:
    facts, offset = read_progress(told.entry, after)
    return (None if facts is None else facts["files"]), offset


def test_the_newest_is_read_once_and_nothing_is_told_too_often(told: Told) -> None:
    assert newest(told) == (None, 0)
    told.progress.tell({"step": "copy", "files": 1, "files_total": 9})
    told.progress.tell({"step": "copy", "files": 2, "files_total": 9})
    files, offset = newest(told)
    assert files == 1
    assert newest(told, offset) == (None, offset)
    told.seconds += 1
    told.progress.tell({"step": "copy", "files": 3, "files_total": 9})
    told.progress.tell({"step": "other", "files": 4, "files_total": 9})
    assert newest(told, offset)[0] == 4
    told.progress.tell({"step": "copy", "files": 9, "files_total": 9})
    assert newest(told, offset)[0] == 9


def test_facts_without_totals_are_limited_too(told: Told) -> None:
    for number in range(10):
        told.progress.tell({"step": "scan", "files": number})
    assert newest(told)[0] == 0


def test_the_file_is_begun_anew_when_it_is_full_and_old_offsets_do_no_harm(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "PROGRESS_MAXIMUM_BYTES", 1000)
    offsets = {0}
    for number in range(200):
        told.seconds += 1
        told.progress.tell({"step": "copy" * (number % 7), "files": number, "files_total": 1000})
        assert Path(told.entry.path("progress.ndjson")).stat().st_size <= 1000
        for offset in offsets:
            assert newest(told, offset)[0] in (None, number)
        offsets.add(newest(told)[1])
    assert newest(told)[0] == 199


def test_a_milestone_stands_as_it_was_told_first(told: Told) -> None:
    appender = Appender(Disk(), told.entry.directory)
    MilestoneFile(told.entry, appender, lambda: 1.0).reach("armed", {"try": 1})
    again = MilestoneFile(told.entry, appender, lambda: 2.0)
    again.reach("armed", {"try": 2})
    again.reach("fired", {})
    assert read_milestones(told.entry) == {"armed": {"try": 1}, "fired": {}}
    appender.append("milestones.ndjson", b'{"name":"to', durable=True)
    assert set(read_milestones(told.entry)) == {"armed", "fired"}
    appender.close()


def test_the_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "LOG_MAXIMUM_BYTES", 2000)
    log = Log(str(tmp_path / "log"))
    for number in range(300):
        log.write(f"line {number}\nand more")
    log.write("x" * 100_000)
    files = list(tmp_path.iterdir())
    assert {path.name for path in files} <= {"log", "log.old"}
    assert sum(path.stat().st_size for path in files) < 2 * 2000 + reports.LINE_MAXIMUM_BYTES
    assert json.dumps("line 299")[1:-1] in "".join(path.read_text() for path in files)
