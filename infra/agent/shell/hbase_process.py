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
    """One such process at a time, started again at the next request when it has died."""

    def __init__(self, command: Sequence[str], log: Log) -> None:
        self._command = list(command)
        self._log = log
        self._start_lock = threading.Lock()
        self._write_lock = threading.Lock()  # not _lock: whoever reads replies must never wait for a full pipe
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._pending: dict[int, _Pending] = {}
        self._number = 0

    def call(self, request: dict[str, Any], timeout_seconds: float) -> dict[str, Any]:
        """Send a request and wait for its reply; see ``HBaseCall`` for the failures."""
        process = self._started()
        pending = _Pending()
        with self._lock:
            self._number += 1
            number = self._number
            self._pending[number] = pending
        try:
            self._send(process, {**request, "id": number})
            if not pending.answered.wait(timeout_seconds):
                raise OperationFailed(
                    "HBASE_TIMEOUT",
                    f"no reply to {request.get('do')!r} within {timeout_seconds:.0f} s",
                    unknown=True,
                    transient=True,
                )
        finally:
            with self._lock:
                self._pending.pop(number, None)
        return _result(pending.reply, request)

    def warm_up(self) -> None:
        """Start the process if it does not run."""
        self._started()

    def close(self) -> None:
        """End it by ending its input."""
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended already, which is what is wanted
            process.stdin.close()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._log.write(f"the HBase process {process.pid} has not ended although its input has")

    def _started(self) -> subprocess.Popen[bytes]:
        with self._start_lock:
            if self._process is not None and self._process.poll() is None:
                return self._process
            self._process = self._start()
            return self._process

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/"
            )
        except OSError as error:
            raise _cannot_start(self._command, str(error)) from error
        assert process.stdout is not None
        assert process.stderr is not None
        ready = _Pending()
        threading.Thread(target=self._read_errors, args=(process.stderr,), daemon=True).start()
        threading.Thread(target=self._read_replies, args=(process.stdout, ready), daemon=True).start()
        if not ready.answered.wait(START_SECONDS) or ready.reply is None:
            if process.stdin is not None:
                process.stdin.close()
            raise _cannot_start(self._command, "it did not become ready")
        self._log.write(f"HBase process {process.pid} is ready: {ready.reply}")
        return process

    def _send(self, process: subprocess.Popen[bytes], message: dict[str, Any]) -> None:
        assert process.stdin is not None
        try:
            with self._write_lock:
                process.stdin.write(canonical(message) + b"\n")
                process.stdin.flush()
        except (OSError, ValueError) as error:
            raise _died(message) from error

    def _read_replies(self, stream: IO[bytes], ready: _Pending) -> None:
        for line in stream:
            reply = _decode(line)
            if reply is None:
                self._log.write(f"hbase wrote: {line.decode('utf-8', 'replace').rstrip()}")
            elif reply.get("ready") is True:
                ready.reply = reply
                ready.answered.set()
            else:
                with self._lock:
                    pending = self._pending.get(reply.get("id", -1))
                if pending is not None:
                    pending.reply = reply
                    pending.answered.set()
        ready.answered.set()
        with self._lock:
            abandoned = list(self._pending.values())
        for pending in abandoned:
            pending.answered.set()

    def _read_errors(self, stream: IO[bytes]) -> None:
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
