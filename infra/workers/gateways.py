"""The gateways of all clusters: one host each, and one look for everything that is going on there.

A gateway is asked about all of its instructions at once, however many runs they belong to: the number of SSH calls
grows with the number of clusters, not of services.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from domain.errors import Unavailable
from domain.values.endpoints import Endpoints
from infra.ports.clock import Clock
from infra.ports.gateway import GatewayHost, Seen, Submission, SubmissionRefused, Submitted
from infra.settings import WorkerSettings
from infra.workers.answers import bounded_milestones, bounded_progress
from infra.workers.live import REACHABLE, Live
from infra.workers.turns import Turns
from infra.workers.waiting import Backoff

T = TypeVar("T")

LOOK_SECONDS = 0.25
"""So long a look may last: it ends at once when there is news. What is to come later is slept before."""
POLL_GROWTH = 1.25
"""An end is noticed late by at most a quarter of what the instruction took, and long ones cost few looks."""

OpenGateway = Callable[[str, Endpoints], GatewayHost]
"""Makes the host of a cluster's gateway, by the cluster's name; it connects when it is first used."""


@dataclass
class _Follower:
    """Somebody who wants to know about one instruction; ``news`` is the newest, ``arrived`` says that there is some."""

    id: str
    arrived: asyncio.Event
    news: Seen | Exception | None = None
    progress: Mapping[str, Any] | None = None
    offset: int = 0
    told: tuple[Any, ...] = ()

    def tell(self, news: Seen | Exception) -> None:
        """Hand it over; what was not taken yet is replaced."""
        self.news = news
        self.arrived.set()


class Gateway:
    """One cluster's gateway as the workers use it; tells ``live`` whether it can be reached."""

    def __init__(
        self, cluster: str, host: GatewayHost, clock: Clock, live: Live, turns: Turns, settings: WorkerSettings
    ) -> None:
        self.cluster = cluster
        self._turns = turns
        self.offset_ms = 0.0
        self._host = host
        self._live = live
        self._poll = Backoff(clock, settings.poll_seconds, settings.longest_poll_seconds, POLL_GROWTH)
        self._retry = Backoff(clock, settings.retry_seconds, settings.longest_retry_seconds)
        self._followers: list[_Follower] = []
        self._looking: asyncio.Task[None] | None = None
        self._joined = asyncio.Event()
        self._clock = clock

    async def submit(self, submission: Submission) -> Submitted | SubmissionRefused:
        """See ``GatewayHost.submit``."""
        return await self._told(self._host.submit(submission))

    async def forget(self, ids: list[str]) -> dict[str, str]:
        """See ``GatewayHost.forget``."""
        return await self._told(self._host.forget(ids))

    async def look(self, ids: list[str]) -> dict[str, Seen]:
        """See ``GatewayHost.look``."""
        return await self._told(self._host.look(ids))

    async def controller_clock(self) -> dict[str, float]:
        """The control device's clock minus the gateway's, as instructions' results tell clocks."""
        measured = await self._told(self._host.clock_offset())
        self.offset_ms = measured.offset_ms
        return {"offset_ms": -measured.offset_ms, "uncertainty_ms": measured.uncertainty_ms}

    async def _told(self, call: Awaitable[T]) -> T:
        try:
            answer = await call
        except Unavailable as error:
            self._live.gateway(self.cluster, f"{error.code}: {error.message}")
            raise
        self._live.gateway(self.cluster, REACHABLE)
        return answer

    def follow(self, instruction: str) -> Following:
        """Begin to look at an instruction regularly; use it as a context, which ends it."""
        follower = _Follower(instruction, asyncio.Event())
        self._followers.append(follower)
        self._poll.reset()
        self._joined.set()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_on())
        return Following(self, follower)

    def leave(self, follower: _Follower) -> None:
        """Look at it no more."""
        self._followers.remove(follower)

    async def _look_on(self) -> None:
        """Look as long as anybody follows: soon after something new, less often while nothing happens."""
        while self._followers:
            delay = self._poll.next_seconds()
            await self._pause(delay - LOOK_SECONDS)
            followers = list(self._followers)
            ids = list(dict.fromkeys(f.id for f in followers))
            after = {f.id: f.offset for f in followers if f.offset}
            latest = self._clock.monotonic_seconds() + min(delay, LOOK_SECONDS)
            try:
                allowed = {one: found for one in ids if (found := self._turns.allowance(one)) is not None}
                seen = await self._told(self._host.look(ids, after, allowed, min(delay, LOOK_SECONDS)))
                has_news = [_tell_seen(follower, _bounded(seen[follower.id])) for follower in followers]
                if any(has_news):
                    self._poll.reset()
                else:  # also where it was not waited for news
                    await self._pause(latest - self._clock.monotonic_seconds())
            except Unavailable as error:
                _tell_all(followers, error)
                await self._retry.wait()
            except Exception as error:
                _tell_all(followers, error)
                raise
            else:
                self._retry.reset()

    async def _pause(self, seconds: float) -> None:
        """Look no sooner, unless somebody joins who has not been looked at yet."""
        if seconds <= 0:
            return
        self._joined.clear()
        over = asyncio.create_task(self._clock.sleep_until(self._clock.monotonic_seconds() + seconds))
        joined = asyncio.create_task(self._joined.wait())
        try:
            await asyncio.wait([over, joined], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (over, joined):
                task.cancel()
            await asyncio.gather(over, joined, return_exceptions=True)

    async def close(self) -> None:
        """Stop looking and let go of the connection."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await self._host.close()


def _tell_all(followers: list[_Follower], error: Exception) -> None:
    for follower in followers:
        follower.tell(error)


def _bounded(seen: Seen) -> Seen:
    return replace(seen, progress=bounded_progress(seen.progress), milestones=bounded_milestones(seen.milestones))


def _tell_seen(follower: _Follower, seen: Seen) -> bool:
    """Hand it over; say whether something was reached, which makes more news soon likely."""
    follower.offset = seen.progress_offset
    follower.progress = seen.progress or follower.progress
    state = (seen.known, seen.alive, tuple(sorted(seen.milestones)), seen.outcome is not None)
    is_new, follower.told = state != follower.told, state
    follower.tell(replace(seen, progress=follower.progress))
    return is_new


class Following:
    """A view of one instruction that is renewed by itself."""

    def __init__(self, gateway: Gateway, follower: _Follower) -> None:
        self._gateway = gateway
        self._follower = follower

    def __enter__(self) -> Following:
        return self

    def __exit__(self, *_: object) -> None:
        self._gateway.leave(self._follower)

    async def next(self) -> Seen:
        """Wait for the next look; raise ``Unavailable`` when it did not succeed."""
        await self._follower.arrived.wait()
        self._follower.arrived.clear()
        news = self._follower.news
        assert news is not None
        if isinstance(news, Exception):
            raise news
        return news


class Gateways:
    """The gateways by cluster; another host takes over when a cluster's endpoints have changed."""

    def __init__(
        self, open_gateway: OpenGateway, clock: Clock, live: Live, turns: Turns, settings: WorkerSettings
    ) -> None:
        self._open = open_gateway
        self._turns = turns
        self._clock = clock
        self._live = live
        self._settings = settings
        self._gateways: dict[tuple[str, Endpoints], Gateway] = {}

    def of(self, cluster: str, endpoints: Endpoints) -> Gateway:
        """The gateway of a cluster that is reached in this way."""
        key = (cluster, endpoints)
        if key not in self._gateways:
            host = self._open(cluster, endpoints)
            self._gateways[key] = Gateway(cluster, host, self._clock, self._live, self._turns, self._settings)
        return self._gateways[key]

    def offsets_ms(self) -> Mapping[str, float]:
        """By how much each cluster's gateway was found to be ahead of the control device; 0 until it is measured."""
        return {cluster: gateway.offset_ms for (cluster, _), gateway in self._gateways.items()}

    async def close(self) -> None:
        """Let go of all connections; agents go on."""
        for gateway in self._gateways.values():
            await gateway.close()
