"""The commands of the workers: everything that they have recorded goes through here.

A worker holds no state: it asks for the present situation, carries out what is wanted, and hands the outcome in. Each
command loads the aggregate anew, so an outcome that comes twice or too late decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from domain.instructing import Instructing, Sent
from domain.instruction import Wanted
from domain.pair.cluster import Cluster
from domain.stateful import Context
from domain.values.endpoints import Endpoints
from infra.ports.clock import Clock
from infra.store.queries import Queries
from infra.store.session import Session
from infra.store.writer import Writer
from infra.workers.handlers.handler import Handler, endpoints_of
from infra.workers.handlers.pair import PairHandler
from infra.workers.handlers.recovery_point import RecoveryPointHandler
from infra.workers.handlers.run import RunHandler
from infra.workers.live import Seen
from infra.workers.outgoing import Outgoing, digest_of, instruction_of
from infra.workers.sharing import Demand

T = TypeVar("T")

ACTOR = "controller"
LOOKING_AROUND = timedelta(minutes=5)
NOTHING_SEEN = Seen()
HANDLERS: Mapping[str, Handler[Any]] = {
    handler.aggregate_class.__name__: handler for handler in (PairHandler(), RunHandler(), RecoveryPointHandler())
}


@dataclass(frozen=True)
class Controller:
    """Who the workers are: this process, with its term, its clock, and its way to make ids.

    ``store`` is the store's id, ``incarnation`` that of this start of it, on ``host``, ``since`` then.
    """

    term: int
    code_version: str
    clock: Clock
    new_id: Callable[[], UUID]
    store: UUID
    incarnation: UUID
    host: str
    since: datetime

    def context(self, cause: str = "") -> Context:
        """The context of one command of the workers; ``cause`` is the instruction that it is about."""
        command = self.new_id()
        return Context(
            command_id=command,
            at=self.clock.now(),
            actor=ACTOR,
            request_id="",
            cause=cause,
            code_version=self.code_version,
        )


@dataclass(frozen=True)
class Situation:
    """What an aggregate wants at this instant.

    ``wanted`` are the ids of everything that it wants, ``outgoing`` what is to be started now, ``demands`` what all
    that is in bulk takes, whether it is under way or waits for its turn, ``ways`` how the clusters are reached today
    whose gateways are at what is under way, ``wake_at`` when to ask again at the latest.
    ``is_over``: nothing is left to do unless somebody asks for something.
    """

    wanted: frozenset[str]
    outgoing: tuple[Outgoing, ...]
    demands: tuple[Demand, ...]
    ways: Mapping[str, Endpoints]
    wake_at: datetime | None
    is_over: bool
    waiting_for: str
    clusters: tuple[str, ...]


class Decisions:
    """Runs the workers' commands on the writer."""

    def __init__(self, controller: Controller, writer: Writer, queries: Queries, *, at_once: int) -> None:
        """``at_once`` bounds how many instructions of one aggregate are carried out at the same time."""
        self._controller = controller
        self._writer = writer
        self._queries = queries
        self._at_once = at_once
        self._began = controller.clock.now()

    async def situation(
        self,
        kind: str,
        identity: UUID,
        in_flight: Collection[str],
        may_run: frozenset[str],
        offsets_ms: Mapping[str, float],
        seen: Seen = NOTHING_SEEN,
    ) -> Situation:
        """Advance the aggregate as far as it goes by itself, and record what is to be started now.

        ``in_flight`` are the instructions that are being carried out already; ``may_run`` those in bulk whose turn it
        is; ``seen`` is for the alarm of one that gets nowhere.
        """
        handler = HANDLERS[kind]
        taken = frozenset(in_flight)

        def decide(session: Session, context: Context) -> Situation:
            aggregate = session.load(handler.aggregate_class, identity)
            handler.advance(session, context, aggregate, self._began)
            patience_ends = self._patience_ends(aggregate, seen)
            if patience_ends is not None and context.at >= patience_ends:
                since = max(filter(None, (aggregate.waits_since, seen.moved_at)))
                aggregate.note_stall(context, since, _why(aggregate, handler.waiting_for(aggregate), seen))
                patience_ends = None
            situation = self._situation(session, context, handler, aggregate, taken, may_run, offsets_ms)
            wake_at = min(filter(None, (situation.wake_at, patience_ends)), default=None)
            return replace(situation, wake_at=wake_at)

        return await self._command(identity, decide)

    def _patience_ends(self, aggregate: Instructing, seen: Seen) -> datetime | None:
        """When an alarm is due, by what is recorded and by what could be seen.

        A controller that was off looks for a while before it says that nothing moves.
        """
        recorded = aggregate.patience_ends()
        if recorded is None:
            return None
        patience = timedelta(seconds=aggregate.patience_seconds)
        by_sight = seen.moved_at + patience if seen.moved_at is not None else recorded
        return max(recorded, by_sight, self._began + min(patience, LOOKING_AROUND))

    def _situation(
        self,
        session: Session,
        context: Context,
        handler: Handler[Any],
        aggregate: Instructing,
        in_flight: frozenset[str],
        may_run: frozenset[str],
        offsets_ms: Mapping[str, float],
    ) -> Situation:
        wanted = aggregate.next_instructions()
        due, delayed = _split(wanted, in_flight, context.at)
        under_way = [w for w in wanted if w.id in in_flight]
        # What an agent may be at already is always followed, and a turn that was given is not left unused.
        sent = [w for w in due if w.id in aggregate.instructed]
        others = sorted((w for w in due if w.id not in aggregate.instructed), key=lambda w: w.id not in may_run)
        due = sent + others[: max(0, self._at_once - len(under_way) - len(sent))]
        asked = [handler.demand(session, aggregate, w) for w in (*under_way, *due)]
        demands = tuple(demand for demand in asked if demand is not None)
        waiting = {demand.id for demand in demands} - may_run
        due = [w for w in due if w.id not in waiting]
        epoch = handler.epoch(session, aggregate) if due else 0
        outgoing = tuple(self._outgoing(session, context, handler, aggregate, wish, epoch, offsets_ms) for wish in due)
        times = [w.not_before for w in delayed if w.not_before is not None]
        deadline = handler.deadline(aggregate, self._began)
        return Situation(
            wanted=frozenset(w.id for w in wanted),
            outgoing=outgoing,
            demands=demands,
            ways=endpoints_of(session, *{w.cluster for w in under_way}),
            wake_at=min([*times, *([deadline] if deadline else [])], default=None),
            is_over=aggregate.is_at_rest,
            waiting_for=handler.waiting_for(aggregate),
            clusters=handler.clusters(aggregate),
        )

    def _outgoing(
        self,
        session: Session,
        context: Context,
        handler: Handler[Any],
        aggregate: Instructing,
        wanted: Wanted,
        epoch: int,
        offsets_ms: Mapping[str, float],
    ) -> Outgoing:
        """Record ``Instructed`` unless it is recorded already, and build the instruction from the record."""
        if wanted.id not in aggregate.instructed:
            now_ms = context.at.timestamp() * 1000 + offsets_ms.get(wanted.cluster, 0.0)
            not_after_ms = int(now_ms) + wanted.lifetime_seconds * 1000
            digest = digest_of(aggregate, wanted, epoch, not_after_ms)
            aggregate.instruct(context, wanted, digest, epoch, not_after_ms)
        sent: Sent = aggregate.instructed[wanted.id]
        sites = {role: site["cluster"] for role, site in wanted.payload.get("sites", {}).items()}
        endpoints = endpoints_of(session, wanted.cluster, *sites.values())
        return Outgoing(
            owner=aggregate.id,
            data_set=wanted.data_set,
            instruction=instruction_of(wanted, aggregate.pair_id, sent, self._controller.term),
            endpoints=endpoints[wanted.cluster],
            sites={role: endpoints[cluster] for role, cluster in sites.items()},
            fails_unreachable=handler.fails_unreachable(aggregate, wanted),
        )

    async def conclude(self, kind: str, identity: UUID, instruction: str, outcome: Mapping[str, Any]) -> None:
        """Hand in the outcome of an instruction."""
        handler = HANDLERS[kind]
        head = await self._queries.head()
        anchor = {"position": head.position, "link": head.link.hex(), "term": self._controller.term}

        def decide(session: Session, context: Context) -> None:
            aggregate = session.load(handler.aggregate_class, identity)
            handler.conclude(session, context, aggregate, instruction, outcome, anchor)

        await self._command(identity, decide, cause=instruction)

    async def milestone(self, kind: str, identity: UUID, instruction: str, name: str, facts: dict[str, Any]) -> None:
        """Hand in a named point that an agent reached."""
        handler = HANDLERS[kind]

        def decide(session: Session, context: Context) -> None:
            aggregate = session.load(handler.aggregate_class, identity)
            handler.milestone(context, aggregate, instruction, name, facts)

        await self._command(identity, decide, cause=instruction)

    async def stalled(self, kind: str, identity: UUID, instruction: str, last_bytes: int, since_ms: int) -> None:
        """Hand in the news that an instruction has moved nothing for a while."""
        handler = HANDLERS[kind]

        def decide(session: Session, context: Context) -> None:
            aggregate = session.load(handler.aggregate_class, identity)
            wanted = aggregate.wants(instruction)
            if wanted is not None:
                handler.stalled(context, aggregate, wanted, last_bytes, since_ms)

        await self._command(identity, decide, cause=instruction)

    async def sweepable(self, kind: str, identity: UUID, before_ms: float) -> dict[str, list[str]]:
        """The instructions of an aggregate at rest, by cluster, once no cluster can accept any of them any more."""
        aggregate_class = HANDLERS[kind].aggregate_class

        def decide(session: Session, context: Context) -> dict[str, list[str]]:
            aggregate = session.load(aggregate_class, identity)
            found: dict[str, list[str]] = {}
            latest_ms = max((sent.not_after_ms for sent in aggregate.instructed.values()), default=0)
            if aggregate.is_at_rest and latest_ms < before_ms:
                for instruction, sent in aggregate.instructed.items():
                    found.setdefault(sent.cluster, []).append(instruction)
            return found

        return await self._command(identity, decide)

    async def endpoints(self, cluster: str) -> Endpoints:
        """Today's endpoints of a cluster; raises ``NotFound``."""

        def decide(session: Session, context: Context) -> Endpoints:
            return endpoints_of(session, cluster)[cluster]

        return await self._command(Cluster.identity(cluster), decide)

    async def forgotten(self, kind: str, identity: UUID, instructions: Sequence[str]) -> None:
        """Record that gateways have forgotten instructions, unless the aggregate wants something again."""
        aggregate_class = HANDLERS[kind].aggregate_class

        def decide(session: Session, context: Context) -> None:
            aggregate = session.load(aggregate_class, identity)
            if aggregate.is_at_rest:
                aggregate.forget_spools(context, tuple(instructions))

        await self._command(identity, decide)

    async def _command(self, identity: UUID, decide: Callable[[Session, Context], T], *, cause: str = "") -> T:
        context = self._controller.context(cause)
        answer = await self._writer.execute(context, identity, lambda session: decide(session, context))
        # The command's id is new, so it is no repetition and has a value.
        assert not answer.is_repeat
        return answer.value  # type: ignore[return-value]


def _why(aggregate: Instructing, waiting_for: str, seen: Seen) -> str:
    """Why nothing moves, as far as it can be told: what failed, what could be seen, or else what is waited for."""
    steps = {wanted.wire_step for wanted in aggregate.next_instructions()}
    failed = [
        f"{step} failed {aggregate.failures[step]} times, the last time with {failure['code']}: {failure['message']}"
        for step, failure in aggregate.last_failure.items()
        if step in steps
    ]
    told = [f"it waits for {waiting_for}"] if waiting_for else []
    return "; ".join([*told, *failed, *([seen.obstacles] if seen.obstacles else [])]).rstrip(".")


def _split(wanted: Sequence[Wanted], in_flight: frozenset[str], now: datetime) -> tuple[list[Wanted], list[Wanted]]:
    """What may start now, and what has to wait for its time."""
    due: list[Wanted] = []
    delayed: list[Wanted] = []
    for wish in wanted:
        if wish.id not in in_flight and not wish.is_stopped:
            (due if wish.not_before is None or wish.not_before <= now else delayed).append(wish)
    return due, delayed
