"""Carry operations out with threads: a bounded pool for HDFS and the spool, one for HBase and hooks, and timers.

Which method performs which operation is one table. Waiting never takes a thread of the pools, so that procedures which
pause between tries do not keep others from working. ``stop`` returns when nothing that was started can have an effect
any more: transfers and waits are cut short, a single request is awaited within its own time-out. Operations in bulk go
through a ``Pace``, if there is one, which says when each may begin. A read that was announced (``Ahead``) begins at
once, and whoever asks for it gets what has come of it.
"""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable, NamedTuple, Sequence

from infra.agent.core.hdfs import ListPage
from infra.agent.core.machine import Outcome
from infra.agent.core.operations import (
    Ahead,
    Fire,
    HBaseCall,
    HdfsCall,
    Now,
    Operation,
    OperationFailed,
    RunHook,
    SleepUntil,
)
from infra.agent.shell.pace import Pace
from infra.agent.shell.reports import Log
from infra.agent.shell.work_files import spool_failed

CALL_THREADS = 16
ON_TIME_THREADS = 2  # however many calls to HBase hang, the moment does not wait for them
MOST_AHEAD = 64
TIMER_STEP_SECONDS = 0.25

Perform = Callable[[Any], Any]


class _Timer(NamedTuple):
    """A wait: until the clock shows ``at_ms``, or as long as that was away, should the clock be set back meanwhile."""

    at_ms: float
    due_seconds: float
    number: int

    def left_seconds(self, now_ms: float, now_seconds: float) -> float:
        return min((self.at_ms - now_ms) / 1000, self.due_seconds - now_seconds)


class Executor:
    """Performs the operations of one instruction."""

    def __init__(
        self,
        performs: dict[type[Operation], Perform],
        workers: int,
        now_ms: Callable[[], float],
        cancelled: threading.Event,
        log: Log,
        close: Callable[[], None],
        pace: Pace | None = None,
    ) -> None:
        self._pace = pace
        self._performs = performs
        self._now_ms = now_ms
        self._cancelled = cancelled
        self._log = log
        self._close = close
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._timers: list[_Timer] = []
        self._ahead: dict[Operation, Future[Any]] = {}
        self._workers = ThreadPoolExecutor(workers, "worker")
        self._callers = ThreadPoolExecutor(CALL_THREADS, "caller")
        self._on_time = ThreadPoolExecutor(ON_TIME_THREADS, "on-time")

    def start(self, number: int, operation: Operation) -> None:
        """Begin an operation."""
        if isinstance(operation, Now):
            self._outcomes.put(Outcome(number, self._now_ms()))
        elif isinstance(operation, Ahead):
            if len(self._ahead) < MOST_AHEAD:
                self._ahead[operation.read] = self._workers.submit(self._performs[type(operation.read)], operation.read)
            self._outcomes.put(Outcome(number))
        elif isinstance(operation, (HdfsCall, ListPage)):
            self._workers.submit(self._perform, number, operation, self._ahead.pop(operation, None))
        elif isinstance(operation, SleepUntil):
            left_seconds = max(0.0, operation.at_ms - self._now_ms()) / 1000
            self._timers.append(_Timer(operation.at_ms, time.monotonic() + left_seconds, number))
        elif isinstance(operation, HBaseCall):
            self._callers.submit(self._perform, number, operation)
        elif isinstance(operation, (RunHook, Fire)):
            self._on_time.submit(self._perform, number, operation)
        elif self._pace is not None and self._pace.holds(number, operation):
            self._begin_what_may()
        else:
            self._workers.submit(self._perform, number, operation)

    def _begin_what_may(self) -> None:
        if self._pace is not None:
            for number, operation in self._pace.ready():
                self._workers.submit(self._perform, number, operation)

    def wait(self, timeout_seconds: float) -> Sequence[Outcome]:
        """The outcomes that have come; none when the time is over before any."""
        self._begin_what_may()
        now_ms, now_seconds = self._now_ms(), time.monotonic()
        left = [timer.left_seconds(now_ms, now_seconds) for timer in self._timers]
        timeout_seconds = max(0.0, min([timeout_seconds, TIMER_STEP_SECONDS, *left]))
        outcomes: list[Outcome] = []
        try:
            outcomes.append(self._outcomes.get(timeout=timeout_seconds))
            while True:
                outcomes.append(self._outcomes.get_nowait())
        except queue.Empty:
            pass
        if self._pace is not None:
            for outcome in outcomes:
                self._pace.ended(outcome.number)
            self._begin_what_may()
        now_ms, now_seconds = self._now_ms(), time.monotonic()
        due = [timer for timer in self._timers if timer.left_seconds(now_ms, now_seconds) <= 0]
        self._timers = [timer for timer in self._timers if timer not in due]
        outcomes.extend(Outcome(timer.number, now_ms) for timer in sorted(due))
        return outcomes

    def stop(self) -> None:
        """Cut waiting and copying short, and return when no operation can have an effect any more."""
        self._cancelled.set()
        self._workers.shutdown(wait=True)
        self._callers.shutdown(wait=True)
        self._on_time.shutdown(wait=True)
        self._close()

    def _perform(self, number: int, operation: Operation, begun: Future[Any] | None = None) -> None:
        try:
            if self._cancelled.is_set():
                raise OperationFailed("ABORTED", "not started because the instruction ends")
            # What was begun ahead and failed is done again. It began before this, so no thread waits for a later one.
            if begun is not None and begun.exception() is None:
                self._outcomes.put(Outcome(number, begun.result()))
            else:
                self._outcomes.put(Outcome(number, self._performs[type(operation)](operation)))
        except OperationFailed as failure:
            self._outcomes.put(Outcome(number, failure=failure))
        except OSError as error:
            self._log.write(f"{operation!r:.300}: {error!r}")
            self._outcomes.put(Outcome(number, failure=spool_failed(error)))
        except Exception as error:  # noqa: BLE001 - a fault of the shell must reach the procedure that waits for it
            self._log.write(f"{operation!r:.300}: {error!r}")
            failed = OperationFailed("INTERNAL", f"{type(error).__name__}: {error}", unknown=True)
            self._outcomes.put(Outcome(number, failure=failed))
