"""The application's loop keeps its promise: at most one operation is unacknowledged, and it is repeated."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from scripts.labkit.application.files import FileWriter
from scripts.labkit.application.log import AcknowledgementLog, read_log
from scripts.labkit.application.operations import Operation, apply_to
from scripts.labkit.application.rows import RowWriter
from scripts.labkit.application.settings import ApplicationSettings
from scripts.labkit.application.writer import Unacknowledged, Writer
from scripts.labkit.layout import LabLayout


class ScriptedWriter(Writer):
    """Writes one key after the other; ``outcomes`` says of each try whether it is acknowledged."""

    def __init__(self, log: AcknowledgementLog, outcomes: list[bool], stop: threading.Event) -> None:
        super().__init__("/data/x", 1000, log)
        self.tries: list[tuple[int, bool]] = []
        self._outcomes = outcomes
        self._stop = stop

    def choose(self, sequence: int) -> Operation:
        return Operation(self.data_set, sequence, "write", f"key-{sequence}", 60)

    def carry_out(self, operation: Operation, *, again: bool) -> None:
        self.tries.append((operation.sequence, again))
        acknowledged = self._outcomes.pop(0)
        if not self._outcomes:
            self._stop.set()
        if not acknowledged:
            raise Unacknowledged("no answer")


def run(path: Path, outcomes: list[bool]) -> ScriptedWriter:
    stop = threading.Event()
    history = read_log(path).get("/data/x", []) if path.exists() else []
    log = AcknowledgementLog(path)
    writer = ScriptedWriter(log, outcomes, stop)
    writer.run(history, stop)
    log.close()
    return writer


def test_an_operation_without_an_answer_is_repeated_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = run(path, [True, False, True, True])
    assert writer.tries == [(1, False), (2, False), (2, True), (3, False)]
    assert [logged.acknowledged_at is not None for logged in read_log(path)["/data/x"]] == [True, True, True]
    assert set(writer.contents) == {"key-1", "key-2", "key-3"}


def test_after_a_restart_the_unanswered_operation_is_repeated_first(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert run(path, [True, False]).contents.keys() == {"key-1"}
    assert [logged.acknowledged_at is not None for logged in read_log(path)["/data/x"]] == [True, False]
    again = run(path, [True, True])
    assert again.tries == [(2, True), (3, False)]
    assert again.contents.keys() == {"key-1", "key-2", "key-3"}


@pytest.mark.parametrize("kind", ["files", "rows"])
def test_every_chosen_operation_fits_the_contents(tmp_path: Path, kind: str) -> None:
    cluster = LabLayout(tmp_path, (18000, 28000)).cluster("a")
    settings = ApplicationSettings(large_file_bytes=100)
    log = AcknowledgementLog(tmp_path / "log")
    writer: Writer = (
        FileWriter(cluster, settings, log) if kind == "files" else RowWriter(cluster, settings, "orders", log)
    )
    seen = set()
    for sequence in range(1, 3000):
        operation = writer.choose(sequence)
        existed = operation.key in writer.contents
        assert existed or operation.kind == "write"
        assert not operation.target or operation.target not in writer.contents
        seen.add((operation.kind, existed))
        apply_to(writer.contents, operation)
    log.close()
    expected = {("write", False), ("write", True), ("delete", True)}
    assert seen == (expected | {("append", True), ("rename", True)} if kind == "files" else expected)
