"""Live changes as Server-Sent Events: what a thing is now, again at each change, until it has ended.

Messages: ``change`` (``id`` is the version, ``data`` the page), ``live`` (facts recorded nowhere, at most one a second
and only when they differ), ``end`` (the last; ``data`` holds the state). Comments keep a quiet stream alive. A client
that was cut off resumes with ``?after=VERSION`` (or ``Last-Event-ID``): what it has seen is not sent again.

Bounded: so many streams at once, so long each (the client then resumes), and a look at the store at most each
``PAUSE_SECONDS`` however many events others commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from api.face import FACE, Face, find, shown
from api.ports import Entry
from api.problems import RequestRefused
from api.requests import REQUEST_ID, query

MAXIMUM_STREAMS = 64
LONGEST_SECONDS = 3_600.0
LIVE_SECONDS = 1.0
PAUSE_SECONDS = 0.1
QUIET_SECONDS = 10.0


class Streams:
    """Counts the streams that are open."""

    def __init__(self, limit: int = MAXIMUM_STREAMS) -> None:
        self._limit = limit
        self._open = 0

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Hold a place while a stream is open; raise ``RequestRefused`` TOO_MANY_STREAMS when there is none."""
        if self._open >= self._limit:
            raise RequestRefused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "TOO_MANY_STREAMS",
                f"{self._limit} live views are open.",
                remedy="Close one of them, or ask for the page instead.",
            )
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1


STREAMS = web.AppKey("streams", Streams)


class After(Struct, forbid_unknown_fields=True):
    """The version that the client has seen; 0 for none."""

    after: Annotated[int, Meta(ge=0, le=1 << 62)] = 0


@dataclass(frozen=True)
class Watched:
    """What is watched: a kind, a reference, when it has ended, and where its page and live facts come from."""

    kind: str
    reference: str
    ended: Callable[[str], bool]
    page: Callable[[UUID], Awaitable[dict[str, Any]]] | None = None
    live: Callable[[UUID], dict[str, Any]] | None = None


@dataclass(frozen=True)
class Message:
    """One Server-Sent Event; without an ``event`` it is a comment that keeps the connection alive."""

    event: str = ""
    data: Any = None
    version: int | None = None

    def encode(self) -> bytes:
        """Return it as it goes over the wire; JSON has no line feed of its own."""
        if not self.event:
            return b":\n\n"
        number = b"" if self.version is None else b"id: %d\n" % self.version
        return b"%sevent: %s\ndata: %s\n\n" % (number, self.event.encode(), msgspec.json.encode(self.data))


async def watch(request: web.Request, watched: Watched) -> web.StreamResponse:
    """Answer a stream; errors before its first byte are ordinary problem documents."""
    face = request.app[FACE]
    seen = query(request, After).after or _last_event(request)
    entry = await find(face, watched.kind, watched.reference)
    with request.app[STREAMS].one_more():
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Request-Id": request[REQUEST_ID],
            }
        )
        await response.prepare(request)
        with suppress(TimeoutError, ConnectionResetError):
            async with asyncio.timeout(LONGEST_SECONDS):
                async for message in messages(face, watched, entry, seen):
                    await response.write(message.encode())
        with suppress(ConnectionResetError):
            await response.write_eof()
        return response


async def messages(face: Face, watched: Watched, entry: Entry, seen: int) -> AsyncIterator[Message]:
    """Yield what has changed since version ``seen``, until it has ended or the control device stops."""
    told: dict[str, Any] | None = None
    quiet = 0.0
    while not face.stopping.is_set():
        position = await face.reads.wait_for(0)
        entry = await face.reads.get(watched.kind, entry.id)
        before = (seen, told)
        if entry.version > seen:
            seen = entry.version
            page = await watched.page(entry.id) if watched.page else shown(entry)
            yield Message("change", page, seen)
        if watched.ended(entry.state):
            yield Message("end", {"state": entry.state}, entry.version)
            return
        if watched.live and (facts := watched.live(entry.id)) != told:
            told = facts
            yield Message("live", facts)
        quiet = quiet + LIVE_SECONDS if before == (seen, told) else 0.0
        if quiet >= QUIET_SECONDS:
            quiet = 0.0
            yield Message()
        await _next_look(face, position)


async def _next_look(face: Face, position: int) -> None:
    """Wait for the next commit, or a second, or the end of the control device."""
    await asyncio.sleep(PAUSE_SECONDS)
    tasks = {asyncio.ensure_future(face.reads.wait_for(position + 1)), asyncio.ensure_future(face.stopping.wait())}
    try:
        await asyncio.wait(tasks, timeout=LIVE_SECONDS - PAUSE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _last_event(request: web.Request) -> int:
    given = request.headers.get("Last-Event-ID", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 19 else 0
