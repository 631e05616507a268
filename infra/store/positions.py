"""Tells waiting coroutines that the log has grown, without polling.

The library offers no subscription on SQLite; within the controller's one process this is all that live views need.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from dataclasses import dataclass


@dataclass(eq=False)
class _Waiter:
    position: int
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[None]


class Positions:
    """The newest committed position, and those who wait for a later one; for use from any thread and loop."""

    def __init__(self, newest: int) -> None:
        self._newest = newest
        self._waiters: set[_Waiter] = set()
        self._lock = threading.Lock()

    @property
    def newest(self) -> int:
        """The newest committed position."""
        return self._newest

    async def wait_for(self, position: int) -> int:
        """Return the newest position as soon as it is at least ``position``."""
        loop = asyncio.get_running_loop()
        waiter = _Waiter(position, loop, loop.create_future())
        with self._lock:
            if self._newest >= position:
                return self._newest
            self._waiters.add(waiter)
        try:
            await waiter.future
        finally:
            with self._lock:
                self._waiters.discard(waiter)
        return self._newest

    def advance(self, newest: int) -> None:
        """Announce a commit; called by the writer."""
        with self._lock:
            self._newest = max(self._newest, newest)
            due = {waiter for waiter in self._waiters if waiter.position <= self._newest}
            self._waiters -= due
        for waiter in due:
            # RuntimeError: the loop is closed, so nobody is left who waits.
            with suppress(RuntimeError):
                waiter.loop.call_soon_threadsafe(_wake, waiter.future)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
