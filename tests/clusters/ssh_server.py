"""An SSH server within the test: a real protocol peer that runs commands of this host, with SFTP, on a free port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from domain.values.endpoints import Gateway
from infra.clusters.keys import KeyDirectory


@dataclass
class Server:
    """A running server; ``sessions`` counts what it was asked to run, ``connections`` what is connected to it."""

    gateway: Gateway
    acceptor: asyncssh.SSHAcceptor
    connections: list[asyncssh.SSHServerConnection]
    commands: list[str]

    def cut_all(self) -> None:
        """Break every connection, as a network does."""
        for connection in self.connections:
            connection.abort()
        self.connections.clear()


def keys_of(gateway: Gateway) -> KeyDirectory:
    """The directory in which a gateway's key lies, for whoever made up the gateway themselves."""
    return KeyDirectory(Path(gateway.client_key_file).parent)


@asynccontextmanager
async def ssh_server(
    directory: Path, port: int = 0, shell: Sequence[str] = ("/bin/sh", "-c"), sftp: bool = True
) -> AsyncIterator[Server]:
    """Serve until the end of the block; keys and spool are in ``directory``; ``shell`` is the user's login shell."""
    host_key = _key(directory / "host_key")
    _key(directory / "client_key")
    connections: list[asyncssh.SSHServerConnection] = []
    commands: list[str] = []
    running: set[asyncio.Future[None]] = set()

    class Callbacks(asyncssh.SSHServer):
        def connection_made(self, connection: asyncssh.SSHServerConnection) -> None:
            connections.append(connection)

    async def handle(process: asyncssh.SSHServerProcess[bytes]) -> None:
        assert process.command is not None
        commands.append(process.command)
        local = await asyncio.create_subprocess_exec(
            *shell,
            process.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert local.stdout is not None
        assert local.stderr is not None
        feeding = asyncio.create_task(_feed(process.stdin, local))
        ended = asyncio.get_running_loop().create_future()
        running.add(ended)
        await asyncio.gather(_tell(local.stdout, process.stdout), _tell(local.stderr, process.stderr))
        process.exit(await local.wait())
        feeding.cancel()
        ended.set_result(None)

    acceptor = await asyncssh.listen(
        "127.0.0.1",
        port,
        server_factory=Callbacks,
        server_host_keys=[host_key],
        authorized_client_keys=str(directory / "client_key.pub"),
        process_factory=handle,
        sftp_factory=sftp,
        encoding=None,
    )
    gateway = Gateway(
        host="127.0.0.1",
        port=acceptor.get_port(),
        user="understudy",
        host_key=host_key.export_public_key().decode().strip(),
        client_key_file=str(directory / "client_key"),
        spool=str(directory / "spool"),
    )
    try:
        yield Server(gateway, acceptor, connections, commands)
    finally:
        acceptor.close()
        await acceptor.wait_closed()
        await asyncio.gather(*running)


async def _feed(source: asyncssh.SSHReader[bytes], local: asyncio.subprocess.Process) -> None:
    """Pass on what the client sends; a signal ends the command, the end of the connection is the end of its input."""
    assert local.stdin is not None
    try:
        while data := await source.read(1 << 16):
            local.stdin.write(data)
            await local.stdin.drain()
    except asyncssh.SignalReceived as received:
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            os.killpg(local.pid, signal.Signals[f"SIG{received.signal}"])
    except (asyncssh.Error, ConnectionError):
        pass  # the connection was lost
    finally:
        local.stdin.close()


async def _tell(source: asyncio.StreamReader, sink: asyncssh.SSHWriter[bytes]) -> None:
    """Pass on what the command writes, as long as there is somebody to hear it."""
    while data := await source.read(1 << 16):
        if not sink.is_closing():
            sink.write(data)


def _key(path: Path) -> asyncssh.SSHKey:
    """A key pair in files, made at the first use."""
    if not path.exists():
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(str(path))
        path.chmod(0o600)
        key.write_public_key(f"{path}.pub")
    return asyncssh.read_private_key(str(path))
