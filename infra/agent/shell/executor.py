"""Carry operations out with threads: a bounded pool for HDFS and the spool, one for HBase and hooks, and timers.

Which method performs which operation is one table. Waiting never takes a thread of the pools, so that procedures which
pause between tries do not keep others from working. ``stop`` returns when nothing that was started can have an effect
any more: transfers and waits are cut short, a single request is awaited within its own time-out.
"""

from __future__ import annotations

import heapq
import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Sequence

from infra.agent.core.machine import Outcome
from infra.agent.core.operations import Fire, HBaseCall, Now, Operation, OperationFailed, RunHook, SleepUntil
from infra.agent.shell.reports import Log
from infra.agent.shell.work_files import spool_failed

CALL_THREADS = 16
TIMER_STEP_SECONDS = 0.25

Perform = Callable[[Any], Any]


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
    ) -> None:
        self._performs = performs
        self._now_ms = now_ms
        self._cancelled = cancelled
        self._log = log
        self._close = close
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._timers: list[tuple[float, int]] = []
        self._workers = ThreadPoolExecutor(workers, "worker")
        self._callers = ThreadPoolExecutor(CALL_THREADS, "caller")

    def start(self, number: int, operation: Operation) -> None:
        """Begin an operation."""
        if isinstance(operation, Now):
            self._outcomes.put(Outcome(number, self._now_ms()))
        elif isinstance(operation, SleepUntil):
            heapq.heappush(self._timers, (operation.at_ms, number))
        elif isinstance(operation, (HBaseCall, RunHook, Fire)):
            self._callers.submit(self._perform, number, operation)
        else:
            self._workers.submit(self._perform, number, operation)

    def wait(self, timeout_seconds: float) -> Sequence[Outcome]:
        """The outcomes that have come; none when the time is over before any."""
        timeout_seconds = min(timeout_seconds, TIMER_STEP_SECONDS)
        if self._timers:
            timeout_seconds = min(timeout_seconds, max(0.0, (self._timers[0][0] - self._now_ms()) / 1000))
        outcomes: list[Outcome] = []
        try:
            outcomes.append(self._outcomes.get(timeout=timeout_seconds))
            while True:
                outcomes.append(self._outcomes.get_nowait())
        except queue.Empty:
            pass
        now_ms = self._now_ms()
        while self._timers and self._timers[0][0] <= now_ms:
            outcomes.append(Outcome(heapq.heappop(self._timers)[1], now_ms))
        return outcomes

    def stop(self) -> None:
        """Cut waiting and copying short, and return when no operation can have an effect any more."""
        self._cancelled.set()
        self._workers.shutdown(wait=True)
        self._callers.shutdown(wait=True)
        self._close()

    def _perform(self, number: int, operation: Operation) -> None:
        try:
            if self._cancelled.is_set():
                raise OperationFailed("ABORTED", "not started because the instruction ends")
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
