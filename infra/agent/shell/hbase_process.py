"""The HBase administration process: started by the site's admin command, kept warm, spoken to in JSON lines.

After its start it writes ``{"ready": true, …}``. A request is ``{"id": n, "do": …}``; its reply is ``{"id": n,
"ok": true, "result": …}`` or ``{"id": n, "ok": false, "exception": "java class", "message": …}``. Replies come in any
order. What it writes to standard error goes to the instruction's log. It ends when its standard input ends, so it never
outlives the agent, however the agent dies; it runs as another user, so it could not be killed anyway.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from typing import IO, Any, Sequence

from infra.agent.core.operations import OperationFailed
from infra.agent.protocol import canonical
from infra.agent.shell.reports import Log

START_SECONDS = 120.0
END_SECONDS = 10.0
DEFAULT_COMMAND = ("sudo", "-n", "-u", "hbase", "/usr/local/lib/understudy/hbase-admin")


class _Pending:
    """A request on its way."""

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.reply: dict[str, Any] | None = None


class HBaseProcess:
    """One such process at a time, started again at the next request when it has ended."""

    def __init__(self, command: Sequence[str], log: Log) -> None:
        self._command = list(command)
        self._log = log
        self._lock = threading.Lock()
        self._current: _Process | None = None

    def call(self, request: dict[str, Any], timeout_seconds: float) -> dict[str, Any]:
        """Send a request and wait for its reply; see ``HBaseCall`` for the failures."""
        pending = self._started().send(request)
        if not pending.answered.wait(timeout_seconds):
            raise OperationFailed(
                "HBASE_TIMEOUT",
                f"no reply to {request.get('do')!r} within {timeout_seconds:.0f} s",
                unknown=True,
                transient=True,
            )
        return _result(pending.reply, request)

    def warm_up(self) -> None:
        """Start the process if it does not run."""
        self._started()

    def close(self) -> None:
        """End it by ending its input."""
        with self._lock:
            if self._current is not None:
                self._current.close()
                self._current = None

    def _started(self) -> _Process:
        with self._lock:
            if self._current is None or self._current.has_ended:
                if self._current is not None:
                    self._current.close()
                self._current = _Process(self._command, self._log)
            return self._current


class _Process:
    """One run of the command; what is asked after its end has begun is answered at once: it died."""

    def __init__(self, command: Sequence[str], log: Log) -> None:
        self.has_ended = False
        self._log = log
        self._lock = threading.Lock()
        self._write_lock = threading.Lock()  # not _lock: whoever reads replies must never wait for a full pipe
        self._pending: dict[int, _Pending] = {}
        self._number = 0
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/"
            )
        except OSError as error:
            raise _cannot_start(command, str(error)) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._input = self._process.stdin
        ready = _Pending()
        self._threads = [
            threading.Thread(target=self._read_errors, args=(self._process.stderr,), daemon=True),
            threading.Thread(target=self._read_replies, args=(self._process.stdout, ready), daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        if not ready.answered.wait(START_SECONDS) or ready.reply is None:
            self.close()
            raise _cannot_start(command, "it did not become ready")
        self._log.write(f"HBase process {self._process.pid} is ready: {ready.reply}")

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
                self._input.write(canonical({**request, "id": number}) + b"\n")
                self._input.flush()
        except (OSError, ValueError) as error:
            raise _died(request) from error
        return pending

    def close(self) -> None:
        """End its input, and wait a while for its end."""
        with contextlib.suppress(BrokenPipeError):  # it has ended already, which is what is wanted
            self._input.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._log.write(f"the HBase process {self._process.pid} has not ended although its input has")
            return
        for thread in self._threads:
            thread.join(END_SECONDS)

    def _read_replies(self, stream: IO[bytes], ready: _Pending) -> None:
        with stream:
            for line in stream:
                reply = _decode(line)
                if reply is None:
                    self._log.write(f"hbase wrote: {line.decode('utf-8', 'replace').rstrip()}")
                elif reply.get("ready") is True:
                    ready.reply = reply
                    ready.answered.set()
                else:
                    self._deliver(reply)
        with self._lock:
            self.has_ended = True
            abandoned = [ready, *self._pending.values()]
            self._pending.clear()
        for pending in abandoned:
            pending.answered.set()

    def _deliver(self, reply: dict[str, Any]) -> None:
        with self._lock:
            pending = self._pending.pop(reply.get("id", -1), None)
        if pending is not None:
            pending.reply = reply
            pending.answered.set()

    def _read_errors(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                self._log.write(f"hbase: {line.decode('utf-8', 'replace').rstrip()}")


def _decode(line: bytes) -> dict[str, Any] | None:
    """A reply, or None for a line that is none (a Java library that prints)."""
    try:
        value = json.loads(line.decode("utf-8"))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _result(reply: dict[str, Any] | None, request: dict[str, Any]) -> dict[str, Any]:
    if reply is None:
        raise _died(request)
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


def _cannot_start(command: Sequence[str], reason: str) -> OperationFailed:
    return OperationFailed(
        "HBASE_ADMIN_UNAVAILABLE",
        f"{' '.join(command)}: {reason}",
        remedy="Run the administrator's set-up on this gateway, then `understudy cluster check`.",
        transient=True,
    )
