"""One writer a data set: choose an operation, log it, carry it out until it is acknowledged, log that."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod

from scripts.labkit.application.log import AcknowledgementLog, LoggedOperation
from scripts.labkit.application.operations import Contents, Operation, apply_to

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 2.0

logger = logging.getLogger(__name__)


class Unacknowledged(Exception):
    """The cluster did not say that the operation was done: it may have been."""


class Writer(ABC):
    """The loop, the same for files and rows.

    Invariant: at most one operation is without an acknowledgement, the last. So an operation whose outcome is unknown
    is repeated, in a form that changes nothing if it was done, until it is acknowledged; and an application that was
    ended in between repeats it first when it is started again.
    """

    def __init__(self, data_set: str, per_second: float, log: AcknowledgementLog) -> None:
        self.data_set = data_set
        self.contents: Contents = {}
        self._interval_seconds = 1 / per_second
        self._log = log
        self._sequence = 0

    @abstractmethod
    def choose(self, sequence: int) -> Operation:
        """The next operation, which fits the contents."""

    @abstractmethod
    def carry_out(self, operation: Operation, *, again: bool) -> None:
        """Do it; ``again`` when it may have been done already. Raises Unacknowledged."""

    def run(self, history: list[LoggedOperation], stop: threading.Event) -> None:
        """Go on after ``history`` until told to stop."""
        for logged in history:
            self._sequence = logged.operation.sequence
            if logged.acknowledged_at is not None:
                apply_to(self.contents, logged.operation)
            elif not self._until_acknowledged(logged.operation, stop, again=True):
                return
        due = time.monotonic()
        while not stop.wait(max(due - time.monotonic(), 0)):
            self._sequence += 1
            operation = self.choose(self._sequence)
            self._log.sent(operation)
            if not self._until_acknowledged(operation, stop, again=False):
                return
            # Time lost in an outage is not caught up with a burst.
            due = max(due + self._interval_seconds, time.monotonic())

    def _until_acknowledged(self, operation: Operation, stop: threading.Event, *, again: bool) -> bool:
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            try:
                self.carry_out(operation, again=again)
            except Unacknowledged as error:
                logger.warning("%s %d %s: %s", self.data_set, operation.sequence, operation.kind, error)
            else:
                self._log.acknowledged(operation)
                apply_to(self.contents, operation)
                return True
            if stop.wait(pause_seconds):
                return False
            again = True
            pause_seconds = min(pause_seconds * 2, _LONGEST_PAUSE_SECONDS)
