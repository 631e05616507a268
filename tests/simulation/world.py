"""A whole installation in virtual time: a store, gateways with agents, and control devices that come and go.

The world (clusters, gateways with their spools, the store's file, the clock) outlives every control device. A *life* is
one control device from its start to its end; it can end after any event, or at any instant, and then nothing that it
still meant to do happens.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import NAMESPACE_URL, UUID, uuid5

from domain.pair.pair import ClusterPair
from domain.stateful import Stateful
from domain.values.endpoints import Endpoints, Gateway, HBase
from infra.control_plane import Caller
from infra.control_plane.control_plane import ControlPlane
from infra.ports.gateway import ClockOffset, Seen, Submission, SubmissionRefused, Submitted
from infra.settings import WorkerSettings
from infra.store.codec import EventCodec
from infra.store.queries import Queries
from infra.store.store import Store, open_store
from infra.store.writer import Writer
from infra.summaries import CONTENTS, KINDS
from infra.workers.decisions import Decisions
from infra.workers.equipment import Equipment
from infra.workers.gateways import Gateways
from infra.workers.live import Live
from infra.workers.outgoing import simple_credentials
from infra.workers.standing import Standing
from infra.workers.starting import start
from infra.workers.supervisor import Supervisor
from infra.workers.turns import Turns
from tests.fakes.gateway import FakeCluster, FakeGateway
from tests.fakes.virtual_time import VirtualClock, run_virtually

T = TypeVar("T")


async def inline(call: Callable[[], T]) -> T:
    """The ``offload`` of simulation."""
    return call()


class SimulatedClock:
    """The ``Clock`` of a control device in the world's time; ``shift_ms`` is how far it is ahead."""

    def __init__(self, world: VirtualClock, shift_ms: float = 0.0) -> None:
        self._world = world
        self.shift_ms = shift_ms

    def now(self) -> datetime:
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=self._world.now_ms + self.shift_ms)

    def monotonic_seconds(self) -> float:
        return self._world.now_ms / 1000

    async def sleep_until(self, monotonic_seconds: float) -> None:
        await asyncio.sleep(max(0.0, monotonic_seconds - self._world.now_ms / 1000))


class Crash(Exception):
    """The control device ended before what it was asked for was done."""


@dataclass
class World:
    """What outlives control devices. ``crash_after`` is the position after whose event the present one ends."""

    directory: Path
    clusters: Mapping[str, FakeCluster]
    settings: WorkerSettings = field(default_factory=WorkerSettings)
    clock: VirtualClock = field(default_factory=VirtualClock)
    gateways: dict[str, FakeGateway] = field(default_factory=dict)
    crash_after: int | None = None
    lives: int = 0
    starts: int = 0

    def __post_init__(self) -> None:
        for name in self.clusters:
            spool = self.directory / f"spool-{name}"
            self.gateways[name] = FakeGateway(self.clock, spool, name, self.clusters)

    def endpoints(self, name: str) -> Endpoints:
        """How a cluster is reached; only its name matters here."""
        gateway = Gateway(name, 22, "understudy", "ssh-ed25519 AAAA", "/keys/id", "/spool")
        return Endpoints(gateway, (f"http://{name}:9870",), HBase())

    def live(self, scenario: Callable[[Life], Awaitable[T]], seconds: float = 7 * 86_400) -> T:
        """Start a control device, let a person do something with it, end it; raises ``Crash``."""
        self.lives += 1
        return run_virtually(self.clock, self._live(scenario, seconds))  # type: ignore[no-any-return]

    async def _live(self, scenario: Callable[[Life], Awaitable[T]], seconds: float) -> T:
        life = Life(self)
        tasks = {
            "person": asyncio.ensure_future(scenario(life)),
            "crash": asyncio.ensure_future(life.crashed.wait()),
            "workers": asyncio.ensure_future(life.supervisor.run()),
        }
        try:
            await asyncio.wait(tasks.values(), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if life.crashed.is_set():
                raise Crash
            if tasks["workers"].done():
                tasks["workers"].result()
            assert tasks["person"].done(), "the scenario did not come to its end in time"
            return cast("T", tasks["person"].result())
        finally:
            life.crashed.set()
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
            await life.store.close()

    def events(self) -> dict[UUID, list[Stateful.Event]]:
        """Everything that was recorded, by aggregate, read from the store's file."""
        store = open_store(self._store_path, SNAPSHOT_OFTEN, inline=True, durable=False, offload=inline)
        codec = EventCodec(KINDS.values())
        found: dict[UUID, list[Stateful.Event]] = {}
        reader = store.queries._recorder
        for chained in reader.chained_events(0, 1_000_000):
            assert chained.event is not None
            found.setdefault(chained.event.originator_id, []).append(codec.to_domain_event(chained.event))  # type: ignore[arg-type]
        run_virtually(self.clock, store.close())
        return found

    @property
    def _store_path(self) -> Path:
        return self.directory / "events.db"

    def open_store(self) -> Store:
        """Open the store as a new control device does."""
        return open_store(self._store_path, SNAPSHOT_OFTEN, inline=True, durable=False, offload=inline)


SNAPSHOT_OFTEN = replace(CONTENTS, snapshots_every=4)
"""Every load after a crash goes by way of a snapshot, of each kind and in every state."""


class Life:
    """One control device; ``control_plane`` and ``queries`` are what a person uses."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.crashed = asyncio.Event()
        self.store = world.open_store()
        self.queries: Queries = self.store.queries
        self.clock = clock = SimulatedClock(world.clock)
        world.starts += 1
        ids = random.Random(f"ids of start {world.starts} of {world.directory.name}")
        host = f"{world.directory.name}-device"
        self.controller = start(self.store, "1", clock, lambda: UUID(int=ids.getrandbits(128), version=4), host)
        writer = _Writer(self)
        self.writer: Writer = writer
        self.turns = Turns(clock)
        self.live = Live(self.turns)
        decisions = Decisions(self.controller, writer, self.queries, at_once=world.settings.copies_per_run)
        gateways = Gateways(self._gateway, clock, self.live, self.turns, world.settings)
        self.equipment = Equipment(
            decisions,
            gateways,
            simple_credentials,
            clock,
            self.live,
            self.turns,
            world.settings,
            Standing(self.controller, self.queries),
        )
        self.supervisor = Supervisor(self.queries, self.equipment)
        self.control_plane = ControlPlane(self.controller, writer, self.queries, self.equipment, offload=inline)

    def _gateway(self, cluster: str, endpoints: Endpoints) -> _Link:
        return _Link(self, self.world.gateways[endpoints.gateway.host])

    def caller(self, what: str) -> Caller:
        """A person who asks for something; the same words are the same command."""
        return Caller("ann", f"request {what}", self.command_id(what))

    @staticmethod
    def command_id(what: str) -> UUID:
        """The id of the command that a person puts into these words."""
        return uuid5(NAMESPACE_URL, f"command:{what}")

    @staticmethod
    def pair_id() -> UUID:
        """The pair of every story."""
        return ClusterPair.identity("main")

    async def until(self, kind: str, name_or_id: str | UUID, states: Sequence[str]) -> str:
        """Wait until something is in one of some states; return the state."""
        while True:
            head = await self.queries.wait_for(0)
            state = (await self.queries.get(KINDS[kind].__name__, name_or_id)).state
            if state in states:
                return state
            await self.queries.wait_for(head + 1)

    async def alive(self) -> None:
        """Return while the control device is alive; hang once it is not."""
        if self.crashed.is_set():
            await asyncio.get_running_loop().create_future()


class _Writer:
    """The store's writer, cut off when the control device crashes."""

    def __init__(self, life: Life) -> None:
        self._life = life

    async def execute(self, context: Any, target: UUID, decide: Any) -> Any:
        await self._life.alive()
        answer = await self._life.store.writer.execute(context, target, decide)
        crash_after = self._life.world.crash_after
        if crash_after is not None and await self._life.queries.wait_for(0) >= crash_after:
            self._life.crashed.set()
            await self._life.alive()
        return answer

    async def close(self) -> None:
        return None


class _Link:
    """The connection to a gateway, cut off when the control device crashes."""

    def __init__(self, life: Life, gateway: FakeGateway) -> None:
        self._life = life
        self._gateway = gateway

    async def submit(self, submission: Submission) -> Submitted | SubmissionRefused:
        await self._life.alive()
        return await self._gateway.submit(submission)

    async def look(
        self,
        ids: Sequence[str],
        after: Mapping[str, int] | None = None,
        allow: Mapping[str, Mapping[str, Any]] | None = None,
        wait_seconds: float = 0.0,
    ) -> dict[str, Seen]:
        await self._life.alive()
        return await self._gateway.look(ids, after, allow, wait_seconds)

    async def forget(self, ids: Sequence[str]) -> dict[str, str]:
        await self._life.alive()
        return await self._gateway.forget(ids)

    async def clock_offset(self) -> ClockOffset:
        await self._life.alive()
        return await self._gateway.clock_offset()

    async def facts(self) -> dict[str, Any]:
        await self._life.alive()
        return await self._gateway.facts()

    async def close(self) -> None:
        return None
