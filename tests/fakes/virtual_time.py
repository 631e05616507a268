"""Virtual time: one clock for the simulated world, and an asyncio loop that lives by it.

The clock belongs to the world, not to the loop: agents, clusters and timers go on in ``VirtualClock`` when a control
device (its loop) has been dropped, exactly as they do when its process dies. Nothing here ever waits: where a real
program would wait, the clock jumps to the next thing that happens. Callbacks of one instant run in the order in which
they were asked for, so everything is deterministic.
"""

from __future__ import annotations

import asyncio
import heapq
import selectors
from collections.abc import Callable
from typing import Any

Callback = Callable[[], object]


class Timer:
    """A callback that will run, unless it is cancelled before."""

    def __init__(self, at_ms: float, callback: Callback) -> None:
        self.at_ms = at_ms
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        """Take it back."""
        self.callback = None


class NothingLeftToHappen(RuntimeError):
    """Somebody waits for something that nobody will ever do."""


class VirtualClock:
    """The world's time in milliseconds since the epoch, and what is going to happen."""

    def __init__(self, start_ms: float = 1_750_000_000_000.0) -> None:
        self.now_ms = start_ms
        self._timers: list[tuple[float, int, Timer]] = []
        self._count = 0

    def call_at(self, at_ms: float, callback: Callback) -> Timer:
        """Run ``callback`` at an instant; at once, but not within this call, if that has passed."""
        timer = Timer(max(at_ms, self.now_ms), callback)
        self._count += 1
        heapq.heappush(self._timers, (timer.at_ms, self._count, timer))
        return timer

    def next_at_ms(self) -> float | None:
        """When the next thing happens, or None."""
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def advance_to(self, at_ms: float) -> None:
        """Let everything happen that is due until then."""
        while (due := self.next_at_ms()) is not None and due <= at_ms:
            self.run_next()
        self.now_ms = max(self.now_ms, at_ms)

    def run_next(self) -> None:
        """Jump to the next thing that happens and let it happen."""
        if self.next_at_ms() is None:
            raise NothingLeftToHappen
        at_ms, _, timer = heapq.heappop(self._timers)
        self.now_ms = max(self.now_ms, at_ms)
        callback, timer.callback = timer.callback, None
        assert callback is not None
        callback()

    def run_until(self, condition: Callable[[], bool], limit_ms: float = 7 * 86_400_000.0) -> None:
        """Let things happen until the condition holds; fails when nothing is left or the time limit is over."""
        give_up_at = self.now_ms + limit_ms
        while not condition():
            self.run_next()
            if self.now_ms > give_up_at:
                raise NothingLeftToHappen(f"the condition did not hold within {limit_ms} ms of virtual time")


class _JumpingSelector(selectors.SelectSelector):
    """Where the loop would wait, the clock jumps."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        world_at_ms = self._clock.next_at_ms()
        # At least a microsecond: a shorter wait would be lost in the rounding, and time would stand still.
        loop_at_ms = None if timeout is None else self._clock.now_ms + max(timeout * 1000, 0.001)
        if world_at_ms is not None and (loop_at_ms is None or world_at_ms <= loop_at_ms):
            self._clock.run_next()
        elif loop_at_ms is not None:
            self._clock.now_ms = loop_at_ms
        else:
            raise NothingLeftToHappen("every task waits, and nothing is going to happen")
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is the world's; threads have no place in it."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        super().__init__(_JumpingSelector(clock))
        # Coarser than the rounding of seconds since the epoch, or a timer due exactly now would never be seen as due.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """The world's time in seconds."""
        return self._clock.now_ms / 1000


def run_virtually(clock: VirtualClock, coroutine: Any) -> Any:
    """Run a coroutine to its end on a new loop that lives by ``clock``."""
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(clock)) as runner:
        return runner.run(coroutine)
