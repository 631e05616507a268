"""The gateway's HBase administration process, as an agent speaks to it: through its keeper, in JSON lines.

A request is ``{"id": n, "do": …}``; its reply is ``{"id": n, "ok": true, "result": …}`` or ``{"id": n, "ok": false,
"exception": "java class", "message": …}``. Replies come in any order. What the process writes besides goes to the
instruction's log. It stays warm when the agent ends; what a killed agent asked for goes on, so whoever takes over finds
out what became of it.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import threading
from typing import Any, Sequence

from infra.agent.core.operations import OperationFailed
from infra.agent.protocol import canonical
from infra.agent.shell.hbase_keeper import IDLE_SECONDS, Address, join
from infra.agent.shell.reports import Log

START_SECONDS = 120.0
WARM_UP_SECONDS = 20.0


class _Pending:
    """A request on its way."""

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.reply: dict[str, Any] | None = None


class HBaseProcess:
    """The process that ``command`` starts, shared through a keeper in ``directory``; joined again when it has ended."""

    def __init__(self, directory: str, command: Sequence[str], log: Log, idle_seconds: float = IDLE_SECONDS) -> None:
        self._address = Address(directory, command)
        self._idle_seconds = idle_seconds
        self._log = log
        self._lock = threading.Lock()
        self._current: _Connection | None = None

    def call(self, request: dict[str, Any], timeout_seconds: float) -> dict[str, Any]:
        """Send a request and wait for its reply; see ``HBaseCall`` for the failures."""
        pending = self._joined().send(request)
        if not pending.answered.wait(timeout_seconds):
            raise OperationFailed(
                "HBASE_TIMEOUT",
                f"no reply to {request.get('do')!r} within {timeout_seconds:.0f} s",
                unknown=True,
                transient=True,
            )
        return _result(pending.reply, request)

    def warm_up(self) -> None:
        """Let it run, connected with HBase, which closes idle connections; raises when it cannot be started."""
        self._joined()
        try:
            self.call({"do": "find_snapshot", "name": "none", "table": "none"}, WARM_UP_SECONDS)
        except OperationFailed as failure:
            self._log.write(f"HBase is not warm: {failure}")  # what is asked for next tells the failure itself

    def close(self) -> None:
        """Leave the keeper."""
        with self._lock:
            if self._current is not None:
                self._current.close()
                self._current = None

    def _joined(self) -> _Connection:
        with self._lock:
            if self._current is None or self._current.has_ended:
                if self._current is not None:
                    self._current.close()
                self._current = self._join()
            return self._current

    def _join(self) -> _Connection:
        while True:
            try:
                connection = _Connection(join(self._address, self._idle_seconds), self._log)
            except (OSError, subprocess.SubprocessError) as error:
                raise self._unavailable(str(error)) from error
            if connection.is_ready():
                return connection
            connection.close()
            if connection.why_ended is not None:
                raise self._unavailable(f"it did not become ready: {connection.why_ended}")

    def _unavailable(self, reason: str) -> OperationFailed:
        return OperationFailed(
            "HBASE_ADMIN_UNAVAILABLE",
            f"{' '.join(self._address.command)}: {reason}",
            remedy="Run the administrator's set-up on this gateway, then `understudy cluster check`.",
            transient=True,
        )


class _Connection:
    """One connection with a keeper; what is asked after its end has begun is answered at once: it died."""

    def __init__(self, connection: socket.socket, log: Log) -> None:
        self.has_ended = False
        self.why_ended: str | None = None
        self._connection = connection
        self._log = log
        self._lock = threading.Lock()
        self._write_lock = threading.Lock()  # not _lock: whoever reads replies must never wait for a full buffer
        self._pending: dict[int, _Pending] = {}
        self._number = 0
        self._ready = _Pending()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def is_ready(self) -> bool:
        """Wait until it can be asked; False when it has ended, or does not get ready."""
        if not self._ready.answered.wait(START_SECONDS):
            self.why_ended = f"nothing was heard for {START_SECONDS:.0f} s"
        return self._ready.reply is not None

    def send(self, request: dict[str, Any]) -> _Pending:
        """Send a request; its reply will be in what is returned."""
        pending = _Pending()
        with self._lock:
            self._number += 1
            number = self._number
            if self.has_ended:
                pending.answered.set()
                return pending
            self._pending[number] = pending
        try:
            with self._write_lock:
                self._connection.sendall(canonical({**request, "id": number}) + b"\n")
        except OSError as error:
            raise _died(request) from error
        return pending

    def close(self) -> None:
        """Leave."""
        with contextlib.suppress(OSError):  # it has ended already, which is what is wanted
            self._connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._connection.close()

    def _read(self) -> None:
        with contextlib.suppress(ConnectionError), self._connection.makefile("rb") as stream:
            for line in stream:
                self._hear(json.loads(line.decode("utf-8")))
        with self._lock:
            self.has_ended = True
            abandoned = [self._ready, *self._pending.values()]
            self._pending.clear()
        for pending in abandoned:
            pending.answered.set()

    def _hear(self, message: dict[str, Any]) -> None:
        if "log" in message:
            self._log.write(message["log"])
        elif "ended" in message:
            self.why_ended = message["ended"]
            self._log.write(f"the HBase administration process has ended: {self.why_ended}")
        elif message.get("ready") is True:
            self._log.write(f"the HBase administration process is ready: {message}")
            self._ready.reply = message
            self._ready.answered.set()
        else:
            with self._lock:
                pending = self._pending.pop(message.get("id", -1), None)
            if pending is not None:
                pending.reply = message
                pending.answered.set()


def _result(reply: dict[str, Any] | None, request: dict[str, Any]) -> dict[str, Any]:
    if reply is None:
        raise _died(request)
    if reply.get("exception") == "Refused" and "is not in the vocabulary" in str(reply.get("message")):
        raise OperationFailed(
            "ADMIN_COMMAND_OLD",
            f"HBase's administration on this gateway is older than the agent: {reply.get('message')}",
            remedy="Let the administrator run today's set-up script on this gateway: understudy setup-script CLUSTER.",
            detail={"exception": "Refused"},
        )
    if reply.get("exception") == "Refused":
        raise OperationFailed(
            "HBASE_REFUSED",
            f"{reply.get('message')}: HBase's administration does that to nobody's tables and snapshots but our own",
            detail={"exception": "Refused"},
        )
    if reply.get("ok") is not True:
        raise OperationFailed(
            "HBASE",
            f"{request.get('do')}: {reply.get('exception')}: {reply.get('message')}",
            detail={"exception": str(reply.get("exception", ""))},
        )
    result: dict[str, Any] = reply.get("result") or {}
    return result


def _died(request: dict[str, Any]) -> OperationFailed:
    return OperationFailed(
        "HBASE_ADMIN_DIED",
        f"the HBase administration process ended before it answered {request.get('do')!r}",
        remedy="See the instruction's log on the gateway.",
        unknown=True,
        transient=True,
    )
