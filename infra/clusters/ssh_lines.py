"""A remote command that stays: it answers each line that it is given, so that asking costs a round trip and no more.

It is started when it is first needed, and again when it has died. It ends by itself when its input ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import asyncssh

from domain.errors import Unavailable
from infra.clusters.ssh_connection import WINDOW_BYTES, SshConnection, end


class LineChannel:
    """Questions and answers in lines, one question at a time."""

    def __init__(self, connection: SshConnection, command: Callable[[], Coroutine[None, None, str]]) -> None:
        self._connection = connection
        self._command = command
        self._process: asyncssh.SSHClientProcess[bytes] | None = None
        self._lock = asyncio.Lock()

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
            command = await self._command()
            connection = await self._connection.connect()
            self._process = await connection.create_process(command, encoding=None, window=WINDOW_BYTES)
        return self._process

    async def _read_line(self, process: asyncssh.SSHClientProcess[bytes]) -> bytes:
        line = await process.stdout.readline()
        if not line.endswith(b"\n"):
            complaint = (await process.stderr.read(2000)).decode("utf-8", "replace").strip()
            raise Unavailable(
                "AGENT_FAILED",
                f"the agent on {self._connection.where} ended while it was asked: {complaint[-500:] or 'no reason'}",
                remedy="Try again; if it stays, look at the spool directory on the gateway.",
            )
        return line

    async def _drop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            end(process)
