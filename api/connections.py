"""What the API bears from whoever can connect to it, without a token: deadlines, and a bound on connections.

- A header has to be complete ``HEADER_SECONDS`` after its connection was made or its last answer was sent, else the
  connection is closed. (Bodies have a deadline of their own, in ``api.requests``.)
- Who does not take an answer is let go: what waits to be sent has to get less, by ``SLOWEST_BYTES`` a second, within
  ``STALLED_SECONDS``. Live views stay open as long as they are read.
- There are at most ``Connections.limit`` connections, fewer than the process may have files. One more takes the place
  of the oldest on which no request is being answered; if all are being answered, it is told 503 and closed.
- What cannot be read as HTTP is answered by a problem document, and neither answered nor logged is what it was: the
  parser's words quote the request, tokens included.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from aiohttp import web

from api.problems import CONTENT_TYPE, internal_problem, malformed_request, of_http, problem, too_many_connections

HEADER_SECONDS = 15.0
STALLED_SECONDS = 30.0
SLOWEST_BYTES = 256
LOOK_SECONDS = 2.0
LINGERING_SECONDS = 2.0
MOST_CONNECTIONS = 512
WANTED_FILES = 4_096

log = logging.getLogger("understudy.http")


def connections_limit() -> int:
    """How many connections there may be: at most half of the files that this process may open (raised if possible)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    files = WANTED_FILES if soft == resource.RLIM_INFINITY else soft
    return min(MOST_CONNECTIONS, files // 2)


@dataclass
class _Open:
    transport: asyncio.Transport
    unsent: int = 0
    since: float = 0.0


class Connections:
    """All connections that are open, in the order in which they were made."""

    def __init__(self, limit: int, now: Callable[[], float]) -> None:
        self.limit = limit
        self._now = now
        self._open: dict[GuardedHandler, _Open] = {}

    def __len__(self) -> int:
        return len(self._open)

    def has_room(self, handler: GuardedHandler, transport: asyncio.Transport) -> bool:
        """Count a connection, if need be in place of one that is not being answered; False if there is none."""
        if len(self._open) >= self.limit:
            idle = next((one for one in self._open if not one.is_answering), None)
            if idle is None:
                log.warning("no connection is free", extra={"open": len(self._open)})
                return False
            log.warning("a connection was closed to make room for another", extra={"open": len(self._open)})
            self._open.pop(idle).transport.abort()
        self._open[handler] = _Open(transport, since=self._now())
        return True

    def gone(self, handler: GuardedHandler) -> None:
        """Count a connection no more."""
        self._open.pop(handler, None)

    def end_stalled(self) -> None:
        """End the connections whose other side does not take what is sent."""
        for handler, one in list(self._open.items()):
            unsent = one.transport.get_write_buffer_size()
            if unsent == 0 or unsent <= one.unsent - SLOWEST_BYTES * LOOK_SECONDS:
                one.since = self._now()
            one.unsent = unsent
            if self._now() - one.since >= STALLED_SECONDS:
                log.info("a connection was ended whose other side reads nothing")
                self.gone(handler)
                one.transport.abort()


class GuardedHandler(web.RequestHandler):
    """aiohttp's side of one connection, held to the rules above."""

    __slots__ = ("_guarded_by", "_is_refused")

    def __init__(self, connections: Connections, manager: web.Server, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._guarded_by = connections
        self._is_refused = False

    @property
    def is_answering(self) -> bool:
        """Whether a request is being answered on it."""
        return self._request_in_progress

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or refuse and close."""
        assert isinstance(transport, asyncio.Transport)
        if self._guarded_by.has_room(self, transport):
            super().connection_made(transport)
            return
        self._is_refused = True
        transport.write(_refusal())
        transport.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        self._guarded_by.gone(self)
        if not self._is_refused:
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; a fault while it is read ends this connection, without a word of what it was."""
        if self._is_refused:
            return
        try:
            super().data_received(data)
        except Exception as error:  # noqa: BLE001 - the loop would log its words, which may quote the request
            self.log_exception("what came over a connection met a fault", exc_info=error)
            self.force_close()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what no handler could be asked about, and end the connection."""
        if status == HTTPStatus.BAD_REQUEST:
            log.info("a request could not be read as HTTP", extra={"fault": type(exc).__name__})
            response = problem(malformed_request(), uuid4().hex)
        else:
            self.log_exception("a request met a fault", exc_info=exc)
            response = internal_problem(uuid4().hex)
        if request.writer.output_size > 0:
            raise ConnectionError("a part of another answer is sent already")
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; aiohttp's own, which quote the request, as problem documents."""
        if isinstance(resp, web.HTTPException):
            resp = problem(of_http(resp), uuid4().hex)
        return await super().finish_response(request, resp, start_time)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log where it happened and of which kind it was: the exception's words may quote the request."""
        fault = kw.get("exc_info")
        where = traceback.format_tb(fault.__traceback__) if isinstance(fault, BaseException) else []
        log.error(str(args[0]) if args else "", extra={"fault": type(fault).__name__, "where": "".join(where)})


class _GuardedServer(web.Server):
    def __init__(self, connections: Connections, made: web.Server) -> None:
        super().__init__(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            **made._kwargs,
        )
        self._guards = connections

    def __call__(self) -> web.RequestHandler:
        return GuardedHandler(self._guards, self, loop=self._loop, **self._kwargs)


class GuardedRunner(web.AppRunner):
    """Runs the application behind guarded connections."""

    def __init__(self, app: web.Application, *, limit: int, header_seconds: float = HEADER_SECONDS, **kwargs: Any):
        super().__init__(
            app,
            access_log=None,
            keepalive_timeout=header_seconds,
            lingering_time=LINGERING_SECONDS,
            auto_decompress=False,
            **kwargs,
        )
        self._limit = limit
        self._looking: asyncio.Task[None] | None = None
        self.connections: Connections | None = None

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        self.connections = Connections(self._limit, asyncio.get_running_loop().time)
        self._looking = asyncio.create_task(_look_on(self.connections), name="connections")
        return _GuardedServer(self.connections, made)

    async def _cleanup_server(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await super()._cleanup_server()


async def _look_on(connections: Connections) -> None:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        connections.end_stalled()


def _refusal() -> bytes:
    response = problem(too_many_connections(), uuid4().hex)
    assert isinstance(response.body, bytes)
    head = (
        f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {len(response.body)}\r\n"
        "Retry-After: 1\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + response.body
