"""A remote command that stays: it answers each line that it is given, so that asking costs a round trip and no more.

It is started when it is first needed, and again when it has died. It ends by itself when its input ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import asyncssh

from domain.errors import Unavailable
from infra.clusters.ssh_connection import READ_BYTES, SshConnection, end

LINE_MAXIMUM_BYTES = 32 << 20
SKIPPED_MAXIMUM_BYTES = 1 << 30
BEGINNING_BYTES = 4 << 10


class TooLong(bytes):
    """The beginning of a line that was too long to be kept; the rest was passed over."""


class LineChannel:
    """Questions and answers in lines, one question at a time."""

    def __init__(self, connection: SshConnection, command: Callable[[], Coroutine[None, None, str]]) -> None:
        self._connection = connection
        self._command = command
        self._process: asyncssh.SSHClientProcess[bytes] | None = None
        self._lock = asyncio.Lock()
        self._rest = b""

    async def ask(self, line: bytes, answers: int, timeout_seconds: float) -> list[bytes]:
        """Send a line and return that many lines; raises ``Unavailable``. After a failure the command starts anew."""
        async with self._lock:
            try:
                async with self._connection.told_apart(), asyncio.timeout(timeout_seconds):
                    process = await self._started()
                    process.stdin.write(line)
                    return [await self._read_line(process) for _ in range(answers)]
            except BaseException:
                await self._drop()
                raise

    async def close(self) -> None:
        """End the remote command."""
        async with self._lock:
            await self._drop()

    async def _started(self) -> asyncssh.SSHClientProcess[bytes]:
        if self._process is None or self._process.is_closing():
            started = await self._connection.start(await self._command())
            self._process = started.process
            self._rest = await self._connection.begun(started)
        return self._process

    async def _read_line(self, process: asyncssh.SSHClientProcess[bytes]) -> bytes:
        # Not readline: a line longer than the channel's window would never be complete for it.
        pieces: list[bytes] = []
        size = 0
        while b"\n" not in self._rest:
            size += len(self._rest)
            if size <= LINE_MAXIMUM_BYTES:
                pieces.append(self._rest)
            elif len(pieces) > 1:
                pieces = [b"".join(pieces)[:BEGINNING_BYTES]]
            self._rest = await process.stdout.read(READ_BYTES)
            if not self._rest or size > SKIPPED_MAXIMUM_BYTES:
                raise await self._failed(process)
        end_of_line = self._rest.index(b"\n") + 1
        if size + end_of_line > LINE_MAXIMUM_BYTES:
            self._rest = self._rest[end_of_line:]
            return TooLong(b"".join(pieces)[:BEGINNING_BYTES])
        pieces.append(self._rest[:end_of_line])
        self._rest = self._rest[end_of_line:]
        return b"".join(pieces)

    async def _failed(self, process: asyncssh.SSHClientProcess[bytes]) -> Unavailable:
        complaint = "too long an answer"
        if process.stdout.at_eof():
            complaint = (await process.stderr.read(2000)).decode("utf-8", "replace").strip()[-500:]
        return Unavailable(
            "AGENT_FAILED",
            f"the agent on {self._connection.where} ended while it was asked: {complaint or 'no reason'}",
            remedy="Try again; if it stays, look at the spool directory on the gateway.",
        )

    async def _drop(self) -> None:
        process, self._process, self._rest = self._process, None, b""
        if process is not None:
            end(process)
