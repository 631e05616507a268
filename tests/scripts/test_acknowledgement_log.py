"""The log holds what was sent and what was acknowledged, and is refused when it contradicts itself."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import pytest

from scripts.labkit.application.log import AcknowledgementLog, LoggedOperation, read_log
from scripts.labkit.application.operations import Operation
from scripts.labkit.errors import LabError

FIRST = Operation("/data/x", 1, "write", "file", 60)
SECOND = Operation("/data/x", 2, "delete", "file")


def write(path: Path, *entries: Operation | int) -> None:
    """Log an operation as sent, or (a number) the operation with that sequence as acknowledged; a second apart."""
    clock = count(100)
    log = AcknowledgementLog(path, clock=lambda: float(next(clock)))
    known = {1: FIRST, 2: SECOND}
    for entry in entries:
        if isinstance(entry, int):
            log.acknowledged(known[entry])
        else:
            log.sent(entry)
    log.close()


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, FIRST, 1, SECOND)
    assert read_log(path) == {"/data/x": [LoggedOperation(FIRST, 100.0, 101.0), LoggedOperation(SECOND, 102.0, None)]}


def test_an_incomplete_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, FIRST, 1)
    with path.open("a") as log:
        log.write('{"data_set": "/data/x", "seq')
    assert [logged.acknowledged_at for logged in read_log(path)["/data/x"]] == [101.0]


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        ((SECOND,), "missing or out of order"),
        ((FIRST, SECOND), "before the one before it was acknowledged"),
        ((FIRST, 1, 1), "second acknowledgement"),
        ((FIRST, 2), "without its operation"),
    ],
)
def test_a_log_that_contradicts_itself_is_refused(
    tmp_path: Path, entries: tuple[Operation | int, ...], fault: str
) -> None:
    path = tmp_path / "log"
    write(path, *entries)
    with pytest.raises(LabError, match=fault):
        read_log(path)


def test_each_line_is_in_the_file_when_the_call_returns(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = AcknowledgementLog(path)
    log.sent(FIRST)
    assert json.loads(path.read_text())["sequence"] == 1
    log.close()
