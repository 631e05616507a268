"""One SSH connection to a gateway: kept open, opened again when it was lost, never more than eight sessions at a time.

The host key is given, not learned: another key is an error that says so. A connection that cannot be had is not tried
again before its back-off is over; whoever asks in between gets the last error at once, so that a dead gateway costs
nobody a time-out. OpenSSH refuses more than ten sessions on one connection by default; where it is set to grant fewer,
there are more connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncssh

from domain.errors import Unavailable
from domain.values.endpoints import Gateway
from infra.clusters.keys import KeyDirectory
from infra.clusters.remote_command import LONGEST_GREETING_BYTES, own_output, remote_command

STAYING_SESSIONS = 3  # the channels of ``ssh_lines``
SESSIONS_LIMIT = 8 - STAYING_SESSIONS
WINDOW_BYTES = 8 << 20
READ_BYTES = 1 << 20
OUTPUT_MAXIMUM_BYTES = 32 << 20
COMPLAINT_BYTES = 8 << 10
MORE_CONNECTIONS = 7


@dataclass(frozen=True)
class SshLimits:
    """How long to wait for what."""

    connect_seconds: float = 10.0
    command_seconds: float = 60.0
    first_back_off_seconds: float = 1.0
    longest_back_off_seconds: float = 30.0


@dataclass(frozen=True)
class Completed:
    """What a remote command left."""

    exit_status: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True)
class Started:
    """A remote process; what it writes itself begins after ``mark``."""

    process: asyncssh.SSHClientProcess[bytes]
    mark: bytes


class SshConnection:
    """Runs commands on one gateway."""

    def __init__(self, gateway: Gateway, keys: KeyDirectory, limits: SshLimits | None = None) -> None:
        self.gateway = gateway
        self._keys = keys
        self.limits = limits or SshLimits()
        self._connection: asyncssh.SSHClientConnection | None = None
        self._more: list[asyncssh.SSHClientConnection] = []
        self._connecting = asyncio.Lock()
        self._sessions = asyncio.Semaphore(SESSIONS_LIMIT)
        self._failure: Unavailable | None = None
        self._not_before = 0.0
        self._back_off_seconds = 0.0

    async def run(self, script: str, data: bytes = b"", timeout_seconds: float | None = None) -> Completed:
        """Run a script of /bin/sh with ``data`` as its input; what it has started is ended when the time is over."""
        timeout_seconds = timeout_seconds or self.limits.command_seconds
        async with self._sessions, self.told_apart():
            started = await self.start(script)
            process = started.process
            try:
                async with asyncio.timeout(timeout_seconds):
                    if data:
                        with contextlib.suppress(OSError):  # it does not want its input, and says why in its output
                            process.stdin.write(data)
                            process.stdin.write_eof()
                    stdout, stderr = await asyncio.gather(self._whole(started), _last(process.stderr))
                    await process.wait_closed()
            except TimeoutError:
                raise Unavailable(
                    "GATEWAY_TIMEOUT",
                    f"{self.where} did not finish {script.split()[0]!r} within {timeout_seconds:.0f} s.",
                    remedy="Look at the load of the gateway and at the agent's log in its spool.",
                ) from None
            finally:
                end(process)
        return Completed(-1 if process.returncode is None else process.returncode, stdout, stderr)

    async def start(self, script: str) -> Started:
        """Start a script of /bin/sh in a session of its own; raises ``Unavailable`` and the errors of ``asyncssh``.

        Where the server grants no further session on the connection (``MaxSessions``), one more connection is made.
        """
        command = remote_command(script)
        refused: asyncssh.ChannelOpenError | None = None
        first = await self.connect()
        for connection in [first, *(one for one in self._more if not one.is_closed())]:
            try:
                process = await connection.create_process(command.line, encoding=None, window=WINDOW_BYTES)
            except asyncssh.ChannelOpenError as error:
                refused = error
            else:
                return Started(process, command.mark)
        assert refused is not None
        self._more = [one for one in self._more if not one.is_closed()]
        if len(self._more) >= MORE_CONNECTIONS:
            raise refused
        more = await self._open()
        self._more.append(more)
        process = await more.create_process(command.line, encoding=None, window=WINDOW_BYTES)
        return Started(process, command.mark)

    async def begun(self, started: Started) -> bytes:
        """Pass over what was written before the script began; returns what it has written by then."""
        received = b""
        while (own := own_output(received, started.mark)) is None:
            piece = await started.process.stdout.read(READ_BYTES)
            received += piece
            if not piece or len(received) > LONGEST_GREETING_BYTES + READ_BYTES:
                raise await self._never_began(started, received, is_over=not piece)
        return own

    async def _never_began(self, started: Started, received: bytes, is_over: bool) -> Unavailable:
        said = received[-300:].decode("utf-8", "replace").strip()
        if not is_over:
            return Unavailable(
                "GATEWAY_GREETS",
                f"{self.where} writes without end before a command begins: {said!r}.",
                remedy="Let the start-up files of that user's shell write nothing where there is no terminal.",
            )
        complaint = (await _last(started.process.stderr)).decode("utf-8", "replace").strip()[-300:]
        return Unavailable(
            "GATEWAY_SHELL",
            f"{self.where} does not run commands; it says {said or complaint or 'nothing'!r}.",
            remedy="Give that user a login shell (/bin/bash, say) whose start-up files do not end it.",
        )

    async def _whole(self, started: Started) -> bytes:
        """All that the script writes."""
        pieces = [await self.begun(started)]
        size = len(pieces[0])
        while piece := await started.process.stdout.read(READ_BYTES):
            pieces.append(piece)
            size += len(piece)
            if size > OUTPUT_MAXIMUM_BYTES:
                raise Unavailable(
                    "AGENT_FAILED",
                    f"{self.where} answers with more than {OUTPUT_MAXIMUM_BYTES} bytes.",
                    remedy="Look what has the name of Python on that gateway.",
                )
        return b"".join(pieces)

    async def connect(self) -> asyncssh.SSHClientConnection:
        """The connection, opened if there is none; raises ``Unavailable``."""
        async with self._connecting:
            if self._connection is not None and not self._connection.is_closed():
                return self._connection
            if self._failure is not None and time.monotonic() < self._not_before:
                raise self._failure
            try:
                async with self.told_apart():
                    self._connection = await self._open()
            except Unavailable as failure:
                longest = self.limits.longest_back_off_seconds
                self._back_off_seconds = min(
                    max(2 * self._back_off_seconds, self.limits.first_back_off_seconds), longest
                )
                self._not_before = time.monotonic() + self._back_off_seconds
                self._failure = failure
                raise
            self._failure = None
            self._back_off_seconds = 0.0
            return self._connection

    async def close(self) -> None:
        """Let go of the connection."""
        for connection in (self._connection, *self._more):
            if connection is not None:
                connection.close()
                await connection.wait_closed()
            self._connection = None

    @property
    def where(self) -> str:
        """The gateway in words."""
        return f"the gateway {self.gateway.user}@{self.gateway.host}:{self.gateway.port}"

    async def _open(self) -> asyncssh.SSHClientConnection:
        gateway = self.gateway
        host = gateway.host if gateway.port == 22 else f"[{gateway.host}]:{gateway.port}"
        return await asyncssh.connect(
            gateway.host,
            gateway.port,
            username=gateway.user,
            client_keys=[await self._keys.key(gateway.client_key_file)],
            known_hosts=asyncssh.import_known_hosts(f"{host} {gateway.host_key}\n"),
            config=None,
            agent_path=None,
            gss_host=None,
            preferred_auth="publickey",
            connect_timeout=self.limits.connect_seconds,
            login_timeout=self.limits.connect_seconds,
            keepalive_interval=15,
            keepalive_count_max=3,
        )

    @asynccontextmanager
    async def told_apart(self) -> AsyncIterator[None]:
        """Turn what can go wrong with SSH into errors with codes and remedies."""
        try:
            yield
        except asyncssh.HostKeyNotVerifiable as error:
            raise Unavailable(
                "HOST_KEY_CHANGED",
                f"{self.where} shows another host key than the one that was entered.",
                remedy="Find out why. If the host was set up anew, enter its new key with `cluster add`.",
            ) from error
        except asyncssh.PermissionDenied as error:
            raise Unavailable(
                "GATEWAY_DENIED",
                f"{self.where} does not let us in: {error}",
                remedy=f"Put the public key of {self.gateway.client_key_file} into the user's authorized_keys.",
            ) from error
        except (asyncssh.Error, OSError, EOFError, TimeoutError) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: BaseException) -> Unavailable:
        if isinstance(error, ConnectionRefusedError):
            remedy = "Start the SSH server of that host, or correct the port."
            return Unavailable("GATEWAY_REFUSED", f"{self.where} refuses the connection.", remedy=remedy)
        remedy = "Check the network between the control device and that host."
        return Unavailable(
            "GATEWAY_UNREACHABLE", f"{self.where} cannot be reached: {str(error) or 'no answer'}.", remedy=remedy
        )


async def _last(stream: asyncssh.SSHReader[bytes]) -> bytes:
    """The last of what a stream says until it ends."""
    kept = b""
    while piece := await stream.read(READ_BYTES):
        kept = (kept + piece)[-COMPLAINT_BYTES:]
    return kept


def end(process: asyncssh.SSHClientProcess[bytes]) -> None:
    """End a remote process; closing its channel alone would leave it running until it reads its input."""
    if not process.is_closing():
        with contextlib.suppress(OSError):  # the connection is gone, and its server ends the session
            process.kill()
        process.close()
