"""The web application on a real port or Unix socket, in a thread of its own, over a control plane in memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from api.access import Access, token_hash
from api.app import make_app
from api.face import Face
from tests.api.fake_control_plane import FakeControlPlane

TOKEN = "us_a-token-for-the-command-line"


@dataclass
class Serving:
    """A server that listens at ``address`` (a URL, or the path of a socket)."""

    address: str
    control_plane: FakeControlPlane
    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in the server's loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=10)


@contextmanager
def serving(socket: Path | None = None) -> Iterator[Serving]:
    """Serve until the block ends."""
    loop = asyncio.new_event_loop()
    started: list[Serving] = []
    ready = threading.Event()
    stop = asyncio.Event()

    async def serve() -> None:
        control_plane = FakeControlPlane()
        face = Face(commands=control_plane, reads=control_plane, version="1.2.3")
        runner = web.AppRunner(make_app(face, Access.of({"alice": token_hash(TOKEN)})), shutdown_timeout=2)
        await runner.setup()
        if socket is None:
            site: web.BaseSite = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            address = f"http://{host}:{port}"
        else:
            await web.UnixSite(runner, str(socket)).start()
            address = str(socket)
        started.append(Serving(address, control_plane, loop, stop))
        ready.set()
        await stop.wait()
        await runner.cleanup()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10), "the server has not started"
    try:
        yield started[0]
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(stop.set)
        thread.join(10)
