"""Keeps the HBase administration process warm between instructions, because its start costs seconds of CPU.

One keeper for each spool, version of the agent and administration command: a process of its own, holding a lock and
listening on a Unix socket in the spool, which nobody but the gateway's user can reach. It starts the command, passes
the lines of any number of agents on to it, and each reply to the agent that asked. It ends when nobody has been
connected for ``idle_seconds``, and takes nobody new after ``MAXIMUM_AGE_SECONDS``, so that changed configuration and
expired logins do not live on; the command ends with its input, so it never outlives its keeper.

What an agent reads: ``{"ready": true, …}`` once, before which it sends nothing; replies, with the ids of its own
requests; ``{"log": text}``; and last ``{"ended": why}`` if the command ended. A connection that ends without a line met
a keeper that was about to leave: join again.

It holds no state worth keeping: killed at any time, it is started again by the next agent, and whoever waited for a
reply knows that the outcome is unknown.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import socket
import subprocess
import time
from asyncio.subprocess import PIPE
from typing import Any, Sequence

from infra.agent.protocol import canonical
from infra.agent.shell.detaching import own_command
from infra.agent.shell.locks import Lock, acquire
from infra.agent.version import ROOT, agent_version, archive_path

IDLE_SECONDS = 300.0
MAXIMUM_AGE_SECONDS = 3600.0
LEAVE_SECONDS = 15.0
LONGEST_LINE_BYTES = 64 << 20
START_SECONDS = 20.0
RETRY_SECONDS = 0.02
RESTART_SECONDS = 2.0


class Address:
    """Where the keeper of a command listens."""

    def __init__(self, directory: str, command: Sequence[str]) -> None:
        self.directory = directory
        self.command = list(command)
        script = os.path.join(os.path.dirname(self.command[-1]), "hbase_admin.rb")
        with contextlib.suppress(OSError):  # a script that cannot be read is one that cannot be told from another
            status = os.stat(script)
            script = f"{script} {status.st_ino} {status.st_mtime_ns}"
        told = canonical({"command": self.command, "script": script, "agent": agent_version()})
        self.name = f"hbase-{hashlib.sha256(told).hexdigest()[:12]}"

    def path(self, kind: str) -> str:
        """The path of its "socket", "lock" or "log"."""
        return os.path.join(self.directory, f"{self.name}.{kind}")

    @contextlib.contextmanager
    def short_path(self) -> Any:
        """The socket's path through a descriptor of its directory: a socket's path may have 107 bytes at most."""
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield f"/proc/self/fd/{descriptor}/{self.name}.socket"
        finally:
            os.close(descriptor)


def join(address: Address, idle_seconds: float) -> socket.socket:
    """Connect to the keeper, starting one where there is none; raises OSError when none can be reached."""
    give_up_at = time.monotonic() + START_SECONDS
    start_at = 0.0
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with address.short_path() as path:
                connection.connect(path)
            return connection
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            if time.monotonic() > give_up_at:
                raise
        except BaseException:
            connection.close()
            raise
        if time.monotonic() >= start_at:
            _start(address, idle_seconds)
            start_at = time.monotonic() + RESTART_SECONDS
        time.sleep(RETRY_SECONDS)


def _start(address: Address, idle_seconds: float) -> None:
    words = [*own_command(), "hbase-keeper", "--spool", address.directory, "--idle", str(idle_seconds)]
    subprocess.run(
        [*words, "--", *address.command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # a keeper that lives has a log of its own
        cwd="/" if archive_path() is not None else ROOT,
        check=True,
        timeout=START_SECONDS,
    )


def leave_behind(address: Address, idle_seconds: float) -> None:
    """Leave a keeper behind as a process of its own, unless there is one already; returns at once."""
    lock = acquire(address.path("lock"), 0)
    if lock is None or os.fork() != 0:
        return
    os.setsid()
    log = os.open(address.path("log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    asyncio.run(Keeper(address, lock, idle_seconds).keep())


class _Agent:
    """One connected agent."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def tell(self, message: dict[str, Any]) -> None:
        # Without waiting: an agent that does not read must not keep the others from their replies.
        self._writer.write(canonical(message) + b"\n")

    def close(self) -> None:
        self._writer.close()


class Keeper:
    """One keeper; ``keep`` returns when it has ended."""

    def __init__(self, address: Address, lock: Lock, idle_seconds: float) -> None:
        self._address = address
        self._lock: Lock | None = lock
        self._idle_seconds = idle_seconds
        self._agents: set[_Agent] = set()
        self._asked: dict[int, tuple[_Agent, Any]] = {}
        self._number = 0
        self._beginning: list[dict[str, Any]] = []  # what was told until it was ready and heard: newcomers hear it, too
        self._is_ready = False
        self._deserted_at = time.monotonic() + START_SECONDS  # nobody could have come yet

    async def keep(self) -> None:
        """Start the command, serve agents, and leave when nobody needs it or the command has ended."""
        self._deserted = asyncio.Event()
        self._visited = asyncio.Event()
        with self._address.short_path() as path:
            self._server = await asyncio.start_unix_server(self._serve, path=path, limit=LONGEST_LINE_BYTES)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._address.command, stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd="/", limit=LONGEST_LINE_BYTES
            )
        except OSError as error:
            await self._end(str(error))
            return
        reading = [asyncio.ensure_future(self._read_replies()), asyncio.ensure_future(self._read_errors())]
        ended = asyncio.ensure_future(asyncio.wait(reading))
        leaving = asyncio.ensure_future(self._grow_old())
        await asyncio.wait([ended, leaving], return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if not ended.done():
            self._retire()
        assert self._process.stdin is not None
        self._process.stdin.close()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._process.wait(), LEAVE_SECONDS)
        await self._end(f"exit code {self._process.returncode}")

    async def _grow_old(self) -> None:
        """Until nobody is connected any more, and it is old or nobody has been for a while."""
        born_at = time.monotonic()
        while True:
            now = time.monotonic()
            if now - born_at > MAXIMUM_AGE_SECONDS:
                self._retire()
            retired = self._lock is None
            if not self._agents and (retired or now - self._deserted_at >= self._idle_seconds):
                return
            self._deserted.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._deserted.wait(), max(min(self._idle_seconds, 5.0), 0.5))

    def _retire(self) -> None:
        """Take nobody new; another keeper may start from now on."""
        if self._lock is not None:
            self._server.close()
            with contextlib.suppress(FileNotFoundError):  # newer Pythons remove it themselves
                os.unlink(self._address.path("socket"))
            self._lock.release()
            self._lock = None

    async def _end(self, why: str) -> None:
        with contextlib.suppress(asyncio.TimeoutError):  # whoever started this is about to connect, and wants to know
            await asyncio.wait_for(self._visited.wait(), START_SECONDS)
        self._retire()
        for agent in self._agents:
            agent.tell({"ended": why})
            agent.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        agent = _Agent(writer)
        self._agents.add(agent)
        self._visited.set()
        for message in self._beginning:
            agent.tell(message)
        try:
            async for line in reader:
                request = json.loads(line.decode("utf-8"))
                self._number += 1
                self._asked[self._number] = (agent, request["id"])
                assert self._process.stdin is not None
                self._process.stdin.write(canonical({**request, "id": self._number}) + b"\n")
        except ConnectionError:
            pass  # the agent died: what it asked for goes on, and nobody waits for the reply
        finally:
            self._agents.discard(agent)
            self._deserted_at = time.monotonic()
            self._deserted.set()
            agent.close()

    async def _read_replies(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            reply = _decode(line)
            if reply is None:
                self._tell_all({"log": f"hbase wrote: {line.decode('utf-8', 'replace').rstrip()}"})
            elif reply.get("ready") is True:
                self._tell_all(reply)
                self._is_ready = True
            else:
                agent, number = self._asked.pop(reply.get("id", -1), (None, None))
                if agent in self._agents and agent is not None:
                    agent.tell({**reply, "id": number})

    async def _read_errors(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self._tell_all({"log": f"hbase: {line.decode('utf-8', 'replace').rstrip()}"})

    def _tell_all(self, message: dict[str, Any]) -> None:
        for agent in self._agents:
            agent.tell(message)
        if not (self._is_ready and self._visited.is_set()):
            self._beginning.append(message)


def _decode(line: bytes) -> dict[str, Any] | None:
    """A reply, or None for a line that is none (a Java library that prints)."""
    try:
        value = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
