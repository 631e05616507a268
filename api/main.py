"""The composition root: the one place where settings, store, gateways, workers and the web application meet.

Ordering rule: the controller's lock and a new term are taken first (by opening the store), so nothing is sent anywhere
by a process that another one has replaced. Stopping goes the other way: requests are ended, then the workers (agents go
on by themselves), then what is queued is committed and the lock is released.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

from aiohttp import web

from api.access import Access
from api.app import make_app
from api.connections import GuardedRunner, connections_limit
from api.face import Face
from api.logs import log_to_stderr
from api.private_files import refuse_shared
from api.reading import StoreReads
from domain.errors import Conflict, Unavailable
from domain.values.endpoints import Endpoints
from infra.agent.archive import build
from infra.clock import SystemClock
from infra.clusters.keys import KeyDirectory
from infra.clusters.setup_script import GatewaySetup as GatewaySetup
from infra.clusters.setup_script import setup_script as administrators_script
from infra.clusters.ssh_gateway import SshGateway
from infra.control_plane.control_plane import ControlPlane
from infra.settings import Listen, Settings, SettingsError, load_settings
from infra.store.store import Store, open_store
from infra.summaries import CONTENTS
from infra.workers.decisions import Decisions
from infra.workers.equipment import Equipment
from infra.workers.gateways import Gateways, OpenGateway
from infra.workers.live import Live
from infra.workers.outgoing import simple_credentials
from infra.workers.standing import Standing
from infra.workers.starting import start
from infra.workers.supervisor import Supervisor
from infra.workers.turns import Turns

SHUTDOWN_SECONDS = 5.0
SOCKET_MODE = 0o660
STORE_ENDS = ("-wal", "-shm", "-journal", ".lock")

__all__ = ["GatewaySetup", "administrators_script", "control_device", "run", "ssh_gateways"]

log = logging.getLogger("understudy")


def run(config: Path, log_level: str) -> None:
    """Run the control device until SIGTERM or SIGINT; raises errors of the tree for what keeps it from running."""
    refuse_shared("--config", config)
    settings = load_settings(config)
    _refuse_shared(settings)
    os.umask(0o077)
    log_to_stderr(log_level)
    asyncio.run(_run(settings))


def _refuse_shared(settings: Settings) -> None:
    """Raise ``InvalidInput`` NOT_PRIVATE for what others could change, and for a store that they could read."""
    store = settings.store_path
    refuse_shared("[store] path", store.parent)
    is_open = store.parent.exists() and bool(store.parent.stat().st_mode & 0o077)
    for path in (store, *(store.with_name(store.name + end) for end in STORE_ENDS)):
        refuse_shared("[store] path", path, secret=is_open)
    refuse_shared("[keys] directory", settings.keys)
    if settings.listen.socket is not None:
        refuse_shared("[listen] socket", settings.listen.socket.parent)


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with control_device(settings, ssh_gateways(KeyDirectory(settings.keys))) as (where, workers):
        print(f"listening on {where}", flush=True)  # what a person, or a script that starts it, waits for
        log.info("the control device runs", extra={"listening_on": where})
        await _until(stop, workers)
    log.info("the control device has stopped")


def ssh_gateways(keys: KeyDirectory) -> OpenGateway:
    """Return what reaches real gateways, with keys of this directory alone; the agent's archive is built once."""
    archive = build()

    def open_gateway(cluster: str, endpoints: Endpoints) -> SshGateway:
        return SshGateway(endpoints.gateway, archive, keys)

    return open_gateway


@asynccontextmanager
async def control_device(
    settings: Settings, open_gateway: OpenGateway
) -> AsyncIterator[tuple[str, asyncio.Task[None]]]:
    """Run everything inside the block; give where it listens, and the task of the workers."""
    store = await asyncio.to_thread(_open, settings)
    try:
        control_plane, supervisor = _compose(store, settings, open_gateway)
        face = Face(control_plane, StoreReads(store.queries), version("understudy"))
        runner = GuardedRunner(
            make_app(face, Access.of(settings.tokens, settings.listen.hosts)),
            limit=connections_limit(),
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        await runner.setup()
        workers = asyncio.create_task(supervisor.run(), name="workers")
        try:
            where = await _listen(runner, settings.listen)
            try:
                yield where, workers
            finally:
                if settings.listen.socket is not None:
                    settings.listen.socket.unlink(missing_ok=True)
        finally:
            await runner.cleanup()
            workers.cancel()
            await asyncio.gather(workers, return_exceptions=True)
    finally:
        await store.close()


def _open(settings: Settings) -> Store:
    try:
        settings.store_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            "[store] path",
            f"its directory {settings.store_path.parent} cannot be made: {error.strerror}.",
            remedy="Name another place, or make it, owned by whoever runs the control device.",
            code="SETTINGS_INVALID",
        ) from None
    return open_store(settings.store_path, CONTENTS)


def _compose(store: Store, settings: Settings, open_gateway: OpenGateway) -> tuple[ControlPlane, Supervisor]:
    clock = SystemClock()
    turns = Turns(clock)
    live = Live(turns)
    controller = start(store, version("understudy"), clock, uuid4, socket.gethostname())
    equipment = Equipment(
        decisions=Decisions(controller, store.writer, store.queries, at_once=settings.workers.copies_per_run),
        gateways=Gateways(open_gateway, clock, live, turns, settings.workers),
        credentials=simple_credentials,
        clock=clock,
        live=live,
        turns=turns,
        settings=settings.workers,
        standing=Standing(controller, store.queries),
    )
    control_plane = ControlPlane(
        controller, store.writer, store.queries, equipment, check_key=KeyDirectory(settings.keys).check
    )
    return control_plane, Supervisor(store.queries, equipment)


async def _listen(runner: web.AppRunner, listen: Listen) -> str:
    """Begin to answer; raise ``Conflict`` ADDRESS_IN_USE or ``Unavailable`` CANNOT_LISTEN."""
    try:
        if listen.socket is not None:
            await web.SockSite(runner, _unix_socket(listen.socket)).start()
            return str(listen.socket)
        await web.TCPSite(runner, listen.host, listen.port).start()
        host, port = runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    except OSError as error:
        where = listen.socket or f"{listen.host}:{listen.port}"
        raise Unavailable(
            "CANNOT_LISTEN", f"nothing can listen on {where}: {error.strerror}.", remedy="Change [listen]."
        ) from None


def _unix_socket(path: Path) -> socket.socket:
    """Bind a socket that its owner and group may use; what a controller that was killed has left is replaced."""
    if path.is_socket():
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
            else:
                raise Conflict("ADDRESS_IN_USE", f"somebody answers on {path}.", remedy="Use another socket.")
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    os.chmod(path, SOCKET_MODE)
    return made


async def _until(stop: asyncio.Event, workers: asyncio.Task[None]) -> None:
    """Wait for a signal; raise what ended the workers (``TakenOver`` when another controller has a higher term)."""
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({stopping, workers}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
    if workers.done():
        await workers
        raise AssertionError("the workers work until they are cancelled")
