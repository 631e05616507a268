"""The acknowledgement log: what was sent and when, what was acknowledged and when.

NDJSON, two lines an operation: ``{"sent_at", …the operation}`` before it is sent and ``{"data_set", "sequence",
"acknowledged_at"}`` after it was acknowledged. Times are seconds since the epoch by this machine's clock. Each line is
handed to the operating system before the application goes on, so it survives the application's death.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from scripts.labkit.application.operations import Operation
from scripts.labkit.errors import LabError


@dataclass(frozen=True)
class LoggedOperation:
    """``acknowledged_at`` is None when no acknowledgement arrived: the operation may or may not have happened."""

    operation: Operation
    sent_at: float
    acknowledged_at: float | None = None


class AcknowledgementLog:
    """The writing side; the application's writers share one."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._file = path.open("a", buffering=1)  # a line is written when it is complete

    def sent(self, operation: Operation) -> None:
        self._write({**asdict(operation), "sent_at": self._clock()})

    def acknowledged(self, operation: Operation) -> None:
        at = self._clock()
        self._write({"data_set": operation.data_set, "sequence": operation.sequence, "acknowledged_at": at})

    def close(self) -> None:
        self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        with self._lock:
            self._file.write(json.dumps(line) + "\n")


def read_log(path: Path) -> dict[str, list[LoggedOperation]]:
    """The operations of each data set, in their order.

    Raises LabError when the log contradicts itself: such a log is no truth to compare with. An incomplete last line, of
    an application that is writing or was killed, is left out.
    """
    found: dict[str, list[LoggedOperation]] = {}
    for number, line in _lines(path):
        operations = found.setdefault(line["data_set"], [])
        if "sent_at" in line:
            sent_at = line.pop("sent_at")
            operation = Operation(**line)
            _require(operation.sequence == len(operations) + 1, path, number, "an operation is missing or out of order")
            _require(
                not operations or operations[-1].acknowledged_at is not None,
                path,
                number,
                "an operation was sent before the one before it was acknowledged",
            )
            operations.append(LoggedOperation(operation, sent_at))
        else:
            _require(len(operations) == line["sequence"], path, number, "an acknowledgement without its operation")
            last = operations[-1]
            _require(last.acknowledged_at is None, path, number, "a second acknowledgement of one operation")
            operations[-1] = replace(last, acknowledged_at=line["acknowledged_at"])
    return found


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open() as log:
        for number, text in enumerate(log, start=1):
            if text.endswith("\n"):
                yield number, json.loads(text)


def _require(condition: bool, path: Path, number: int, fault: str) -> None:
    if not condition:
        raise LabError(f"{path}, line {number}: {fault}")
