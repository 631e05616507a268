"""Fire: start several calls at one instant of the gateway's clock.

Everything slow is done before: the threads run, the connections are open, the HBase process is warm. One thread waits
in short steps (so that a clock that steps is noticed), spins through the last two milliseconds, looks at the clock once
more, and lets all callers go at once. Each caller notes the clock right before it sends and right after it has the
answer; nothing is repeated, because a repetition would be another instant.
"""

from __future__ import annotations

import threading
from typing import Any, Callable

from infra.agent.core.operations import Fire, HBaseCall, HdfsCall, Operation, OperationFailed
from infra.agent.shell.connections import Connections
from infra.agent.shell.hbase_process import HBaseProcess
from infra.agent.shell.webhdfs import WebHdfs

PREPARE_BEFORE_MS = 3_000.0  # a NameNode's idle connection lives for at least 10 s
LONGEST_WAIT_MS = 250.0
SPIN_MS = 2.0


class Firing:
    """Carries out ``Fire``."""

    def __init__(
        self,
        webhdfs: WebHdfs,
        connections: Connections,
        hbase: Callable[[str], HBaseProcess],
        now_ms: Callable[[], float],
        cancelled: threading.Event,
    ) -> None:
        self._webhdfs = webhdfs
        self._connections = connections
        self._hbase = hbase
        self._now_ms = now_ms
        self._cancelled = cancelled

    def fire(self, operation: Fire) -> list[dict[str, Any]]:
        """Wait for the instant and start all calls; see ``Fire`` for the result and MOMENT_MISSED."""
        self._wait_until(operation.at_ms - PREPARE_BEFORE_MS)
        shots: list[_Shot] = []
        try:
            for call in operation.calls:
                shots.append(self._prepare(call))
            self._wait_until(operation.at_ms)
            self._check_not_late(operation)
        except BaseException:
            for shot in shots:
                shot.call_off()
            raise
        for shot in shots:
            shot.release()
        return [shot.result() for shot in shots]

    def _check_not_late(self, operation: Fire) -> None:
        late_ms = self._now_ms() - operation.at_ms
        if late_ms > operation.tolerance_ms:
            raise OperationFailed(
                "MOMENT_MISSED",
                f"the clock is {late_ms:.0f} ms past the moment, {operation.tolerance_ms:.0f} ms are allowed",
                detail={"late_ms": late_ms},
            )

    def _wait_until(self, at_ms: float) -> None:
        while True:
            left_ms = at_ms - self._now_ms()
            if left_ms <= SPIN_MS:
                break
            if self._cancelled.wait(min(left_ms - SPIN_MS, LONGEST_WAIT_MS) / 1000):
                raise OperationFailed("ABORTED", "nothing was fired because the instruction ends")
        while self._now_ms() < at_ms:
            pass

    def _prepare(self, call: Operation) -> _Shot:
        """Do everything of a call but sending it."""
        if isinstance(call, HBaseCall):
            process, request, timeout_seconds = self._hbase(call.site), call.request, call.timeout_seconds
            process.warm_up()
            return _Shot(lambda: process.call(request, timeout_seconds), _nothing, self._now_ms)
        assert isinstance(call, HdfsCall), call
        hdfs_call = call
        try:
            index, connection = self._webhdfs.open_to_active(hdfs_call.site)
        except OperationFailed as failure:
            failed = failure  # the name of an except clause ends with it
            return _Shot(lambda: _raise(failed), _nothing, self._now_ms)
        return _Shot(lambda: self._webhdfs.call_once_on(hdfs_call, index, connection), connection.close, self._now_ms)


class _Shot:
    """One call on a thread of its own that waits to be let go; ``undo`` lets go of what was prepared for it."""

    def __init__(self, send: Callable[[], Any], undo: Callable[[], None], now_ms: Callable[[], float]) -> None:
        self._send = send
        self._undo = undo
        self._now_ms = now_ms
        self._go = threading.Event()
        self._called_off = False
        self._result: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def release(self) -> None:
        self._go.set()

    def call_off(self) -> None:
        self._called_off = True
        self._go.set()
        self._thread.join()
        self._undo()

    def result(self) -> dict[str, Any]:
        self._thread.join()
        return self._result

    def _run(self) -> None:
        self._go.wait()
        if self._called_off:
            return
        asked_ms = self._now_ms()
        outcome: tuple[str, Any]
        try:
            outcome = ("value", self._send())
        except OperationFailed as failure:
            outcome = (
                "failure",
                {
                    "code": failure.code,
                    "message": failure.message,
                    "unknown": failure.unknown,
                    "transient": failure.transient,
                    "detail": failure.detail,
                },
            )
        except Exception as error:  # noqa: BLE001 - the other shots' results must not be lost with this one's fault
            outcome = ("failure", {"code": "INTERNAL", "message": repr(error), "unknown": True, "detail": {}})
        self._result = {"asked_ms": asked_ms, "done_ms": self._now_ms(), outcome[0]: outcome[1]}


def _nothing() -> None:
    """There is nothing to undo."""


def _raise(failure: OperationFailed) -> None:
    raise failure
