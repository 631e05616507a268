"""Every command that can be asked for. A command is durable when it returns; repeating its id gives the first answer.

Each command is one function over a session of the store: it loads what it decides about, calls the aggregates, and
everything that it changed is saved together. What has to be done on clusters for it is not its business: the workers
see in the store that there is something to do. A command that is refused leaves a ``Refusal``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar
from uuid import UUID, uuid4

from domain.errors import Conflict, Refused
from domain.pair.cluster import Cluster
from domain.pair.identity import PRIMARY, SECONDARY
from domain.pair.pair import FORMING, ClusterPair, RunLimits
from domain.protection.backup_run import conclude
from domain.protection.backup_run.run import BackupRun
from domain.protection.backup_run.states import OPEN
from domain.protection.pause import Pause, not_paused, scopes_of
from domain.protection.policy import BackupPolicy, Settings
from domain.protection.recovery_point import DAMAGED, RecoveryPoint
from domain.protection.replica import Replica
from domain.protection.service import Service, check_number
from domain.protection.sizing import Rates
from domain.stateful import Context
from domain.values.data_set import DataSet
from domain.values.endpoints import Endpoints
from infra.control_plane.caller import Caller
from infra.control_plane.checking import ask, check
from infra.control_plane.claims import ClaimsComparison, Offload, claims_of
from infra.control_plane.conditions import (
    check_scope,
    endpoints_of_named,
    is_over,
    load,
    losses_of,
    moment,
    place_of,
    refuse_hbases_own,
    soonest_lead_ms,
    was_done,
)
from infra.control_plane.ownership import found_for_take_over, owners, refuse_owned
from infra.control_plane.planning import bandwidth_at, plan, question, rates_between
from infra.control_plane.refusals import Refusals, recorded
from infra.control_plane.run_page import durations, recorded_page
from infra.store.queries import Queries
from infra.store.session import Session
from infra.store.writer import Writer
from infra.workers.decisions import Controller
from infra.workers.equipment import Equipment
from infra.workers.handlers.handler import endpoints_of
from infra.workers.handlers.recovery_point import holder, replica_of
from infra.workers.handlers.run import around
from infra.workers.shedding import expire

T = TypeVar("T")


class ControlPlane:
    """The commands and pages of the control device."""

    def __init__(
        self,
        controller: Controller,
        writer: Writer,
        queries: Queries,
        equipment: Equipment,
        *,
        offload: Offload = asyncio.to_thread,
        check_key: Callable[[str], None] = lambda key: None,
    ) -> None:
        self._controller = controller
        self._writer = writer
        self._queries = queries
        self._equipment = equipment
        self._check_key = check_key
        self._comparing = ClaimsComparison(queries, offload)
        self._run_limits = RunLimits(equipment.settings.runs_per_service, equipment.settings.runs_per_gateway)
        self.refusals = Refusals(writer)

    @recorded
    async def add_cluster(self, caller: Caller, name: str, endpoints: Endpoints) -> UUID:
        """Enter a cluster; one that is known is reached by these endpoints from now on.

        Raises ``InvalidInput`` HBASE_DIRECTORY for a root of HBase that a service protects as a directory, and
        KEY_ELSEWHERE for a key outside of the directory of keys.
        """
        self._check_key(endpoints.gateway.client_key_file)

        def decide(session: Session, context: Context) -> None:
            cluster = session.find(Cluster, Cluster.identity(name))
            if cluster is None:
                session.add(Cluster.register(context, name, endpoints))
            elif cluster.endpoints != endpoints:
                cluster.change_endpoints(context, endpoints)
                pair = session.load(ClusterPair, cluster.pair) if cluster.pair else None
                if pair is None:
                    return
                for claimed in pair.claims.values():
                    refuse_hbases_own(session, pair, claimed, "hbase.root")
                if pair.state == FORMING:
                    pair.take_endpoints(context, {**pair.endpoints, name: endpoints})

        return await self._command(caller, Cluster.identity(name), decide)

    @recorded
    async def change_limits(self, caller: Caller, name: str, changes: Mapping[str, Any]) -> UUID:
        """Let other limits hold for a cluster from now on; ``changes`` has those of ``Limits`` that change."""

        def decide(session: Session, context: Context) -> None:
            cluster = load(session, Cluster, Cluster.identity(name), "cluster", name)
            cluster.change_limits(context, replace(cluster.limits, **changes))

        return await self._command(caller, Cluster.identity(name), decide)

    @recorded
    async def pause(self, caller: Caller, scope: str, reason: str) -> UUID:
        """Begin nothing more of a scope that moves or reads data; raises ``NotFound`` for one that names nothing."""

        def decide(session: Session, context: Context) -> None:
            check_scope(session, scope)
            found = session.find(Pause, Pause.identity(scope))
            if found is None:
                session.add(Pause.begin_for(context, scope, reason))
            else:
                found.pause(context, reason)

        return await self._command(caller, Pause.identity(scope), decide)

    @recorded
    async def resume(self, caller: Caller, scope: str, reason: str) -> UUID:
        """Let a scope go on; raises ``Refused`` NOT_PAUSED."""

        def decide(session: Session, context: Context) -> None:
            check_scope(session, scope)
            found = session.find(Pause, Pause.identity(scope))
            if found is None:
                raise not_paused(scope)
            found.resume(context, reason)

        return await self._command(caller, Pause.identity(scope), decide)

    @recorded
    async def create_pair(self, caller: Caller, name: str, primary: str, secondary: str) -> UUID:
        """Join two clusters; their markers are written by the workers.

        Raises ``Conflict`` PAIR_OWNED for a cluster that belongs to another store, if it can be asked.
        """
        identity = ClusterPair.identity(name)

        def new_members(session: Session, context: Context) -> dict[str, Endpoints]:
            members = [load(session, Cluster, Cluster.identity(one), "cluster", one) for one in (primary, secondary)]
            is_new = primary != secondary and all(member.pair is None for member in members)
            return {member.name: member.endpoints for member in members} if is_new else {}

        unpaired = await self._read(caller, identity, new_members)
        refuse_owned(await owners(unpaired, self._equipment, self._controller), self._controller)

        def decide(session: Session, context: Context) -> None:
            self._form_pair(session, context, name, primary, secondary)

        return await self._command(caller, identity, decide)

    def _form_pair(self, session: Session, context: Context, name: str, primary: str, secondary: str) -> ClusterPair:
        """The pair, formed now unless it is known."""
        members = [load(session, Cluster, Cluster.identity(one), "cluster", one) for one in (primary, secondary)]
        pair = session.find(ClusterPair, ClusterPair.identity(name))
        if pair is not None:
            if pair.intended != {primary: PRIMARY, secondary: SECONDARY}:
                raise Conflict("NAME_TAKEN", f"pair {name} joins other clusters.", remedy="Use another name.")
            return pair
        endpoints = {member.name: member.endpoints for member in members}
        store, host = self._controller.store, self._controller.host
        pair = ClusterPair.form(context, name, primary, secondary, endpoints, store, host)
        session.add(pair)
        for member in members:
            member.join(context, pair.id)
        return pair

    async def cluster_owner(self, caller: Caller, name: str) -> dict[str, Any]:
        """Whose a cluster is, as it says now; see ``infra.control_plane.ownership.owners``."""
        return (await self._owners(caller, name))[name]  # type: ignore[no-any-return]

    async def _owners(self, caller: Caller, *names: str) -> dict[str, Any]:
        clusters = await self._read(
            caller, Cluster.identity(names[0]), lambda session, _: endpoints_of_named(session, *names)
        )
        return await owners(clusters, self._equipment, self._controller)

    @recorded
    async def take_over_pair(
        self, caller: Caller, name: str, primary: str, secondary: str, from_store: str, reason: str
    ) -> UUID:
        """Take two clusters over from a control device that is lost; the workers write the markers that say so.

        What cannot be reached now is taken over by doing this again. Raises what ``found_for_take_over`` raises.
        """
        controller, identity = self._controller, ClusterPair.identity(name)
        found: dict[str, tuple[int, int]] = {}
        if not await self._read(caller, identity, lambda session, _: was_done(session, identity, caller.command_id)):
            told = await self._owners(caller, primary, secondary)
            found = found_for_take_over(told, from_store, controller)

        def decide(session: Session, context: Context) -> None:
            pair = self._form_pair(session, context, name, primary, secondary)
            pair.take_over(
                context,
                from_store=from_store,
                reason=reason,
                store=controller.store,
                host=controller.host,
                found=found,
                endpoints=endpoints_of(session, primary, secondary),
            )

        taken = await self._command(caller, identity, decide)
        self._equipment.standing.doubt()
        return taken

    @recorded
    async def add_service(
        self, caller: Caller, name: str, pair: str, data_sets: tuple[DataSet, ...], adopts: bool = False
    ) -> UUID:
        """Enter a service, or other data sets of one that is known; claims them in the pair, in the same save.

        With ``adopts`` its first run takes over what somebody else has put on the secondary.

        Raises ``Conflict`` OVERLAP, and RUN_OPEN for taking away what a run copies, which another service could claim
        then; and ``InvalidInput`` HBASE_DIRECTORY for what HBase keeps its own files in.
        """
        identity = Service.identity(name)
        check_number(data_sets)
        open_run = await self._open_run_of(identity)
        pair_id = ClusterPair.identity(pair)
        claimed = await self._read(
            caller, pair_id, lambda session, _: claims_of(load(session, ClusterPair, pair_id, "pair", pair))
        )
        compared_with = await self._comparing.compare(identity, data_sets, claimed)

        def decide(session: Session, context: Context) -> None:
            owner = load(session, ClusterPair, pair_id, "pair", pair)
            refuse_hbases_own(session, owner, data_sets)
            service = session.find(Service, identity)
            if service is None:
                session.add(Service.define(context, name, owner, data_sets, adopts))
            elif service.pair != owner.id:
                raise Conflict(
                    "NAME_TAKEN", f"service {name} belongs to pair {service.pair_name}.", remedy="Rename it."
                )
            elif service.data_sets == data_sets and service.adopts >= adopts:
                return
            elif open_run is not None and not set(service.data_sets) <= set(data_sets):
                raise Conflict(
                    "RUN_OPEN",
                    f"run {open_run} of service {name} is not over: nothing can be taken out until then.",
                    remedy="Wait for its end, or cancel it; then do this again.",
                )
            else:
                service.change_data_sets(context, data_sets, adopts)
            owner.claim(context, identity, data_sets, lambda other: session.load(Service, other).name, compared_with)

        return await self._command(caller, identity, decide)

    async def _open_run_of(self, service: UUID) -> UUID | None:
        for state in OPEN:
            found = await self._queries.list("BackupRun", {"service": str(service), "state": state}, limit=1)
            if found:
                return found[0].id
        return None

    @recorded
    async def add_policy(self, caller: Caller, name: str, service: str, settings: Settings) -> UUID:
        """Enter a policy, or other settings of one that is known."""

        def decide(session: Session, context: Context) -> None:
            protected = load(session, Service, Service.identity(service), "service", service)
            policy = session.find(BackupPolicy, BackupPolicy.identity(name))
            if policy is None:
                session.add(BackupPolicy.enter(context, name, protected, settings))
            elif policy.service != protected.id:
                raise Conflict("NAME_TAKEN", f"policy {name} is for {policy.service_name}.", remedy="Use another name.")
            else:
                policy.change(context, settings)

        return await self._command(caller, BackupPolicy.identity(name), decide)

    @recorded
    async def backup(
        self,
        caller: Caller,
        service: str,
        *,
        policy: str | None,
        moment_ms: int | None,
        direction: str | None,
        is_soonest: bool = False,
    ) -> UUID:
        """Plan a run for a moment (None: as soon as the policy's lead allows) and return its id.

        With ``is_soonest`` the moment lies as little ahead as the service's newest runs needed. A moment that nobody
        named may be chosen anew by the run, as long as nothing is cut.

        Raises ``Refused`` MOMENT_PAST, MOMENT_FAR, PAUSED, NO_SUCH_IDENTITY while the pair is forming, TOO_MANY_RUNS,
        and AMBIGUOUS when the service has several policies and none is named.
        """
        policy_id = await self._policy_of(service, policy)
        identity = BackupRun.identity_of_wish(policy_id, caller.command_id)
        rates = await self._rates_of(service)
        lead_ms = await soonest_lead_ms(self._queries, Service.identity(service)) if is_soonest else None

        def decide(session: Session, context: Context) -> None:
            protected = session.load(Service, Service.identity(service))
            chosen = session.load(BackupPolicy, policy_id)
            pair = session.load(ClusterPair, protected.pair)
            primary, secondary = pair.cluster_with(PRIMARY), pair.cluster_with(SECONDARY)
            for scope in scopes_of(service, (primary, secondary)):
                pause = session.find(Pause, Pause.identity(scope))
                if pause is not None:
                    pause.refuse_new_run()
            ahead_ms = chosen.settings.lead_seconds * 1000 if lead_ms is None else lead_ms
            at_ms = moment(context, ahead_ms, moment_ms)
            run = BackupRun.plan_for(
                context,
                identity,
                service=protected,
                policy=chosen,
                epoch=pair.epoch,
                primary=primary,
                secondary=secondary,
                endpoints=endpoints_of(session, primary, secondary),
                moment_ms=at_ms,
                direction=direction,
                rates=rates,
                limit_bytes_per_second=bandwidth_at(session, chosen.settings, (primary, secondary), at_ms),
                moment_is_free=moment_ms is None,
            )
            session.add(run)
            pair.plan_run(context, identity, protected.id, self._run_limits, lambda one: is_over(session, one))
            if session.find(Replica, Replica.identity(protected.id, secondary)) is None:
                session.add(Replica.start(context, protected.id, secondary))

        return await self._command(caller, identity, decide)

    async def _rates_of(self, service: str) -> Rates | None:
        known = await self._queries.get("Service", service)
        return await rates_between(self._queries, UUID(known.summary["pair"]))

    async def plan(self, caller: Caller, service: str, policy: str | None, moment_ms: int | None) -> dict[str, Any]:
        """How much a backup would be and how long it would take, as a look at both clusters tells; nothing changes."""
        policy_id = await self._policy_of(service, policy)
        asked = await self._read(
            caller,
            policy_id,
            lambda session, context: question(session, context, Service.identity(service), policy_id, moment_ms),
        )
        return await plan(asked, self._queries, self._equipment, self._controller.term)

    async def _policy_of(self, service: str, policy: str | None) -> UUID:
        """The named policy, or the only one of the service."""
        known = await self._queries.get("Service", service)
        if policy is not None:
            chosen = await self._queries.get("BackupPolicy", policy)
            if chosen.summary["service"] != str(known.id):
                raise Refused("OTHER_SERVICE", f"policy {policy} is for {chosen.summary['service_name']}.")
            return chosen.id
        policies = await self._queries.list("BackupPolicy", {"service": str(known.id)}, limit=2)
        if not policies:
            raise Refused(
                "NO_POLICY",
                f"service {service} has no policy.",
                remedy=f"understudy policy add NAME --service {service}",
            )
        if len(policies) > 1:
            raise Refused("AMBIGUOUS", f"service {service} has several policies.", remedy="Name one with --policy.")
        return policies[0].id

    @recorded
    async def cancel_run(self, caller: Caller, run: UUID, reason: str) -> None:
        """Give a run up; raises ``Refused`` once the secondary's heads are being changed."""
        await self._change_run(caller, run, partial(conclude.cancel, reason=reason))

    @recorded
    async def give_up_run(self, caller: Caller, run: UUID, reason: str) -> None:
        """Give up a run that is rolled forward in vain; raises ``Refused`` while an agent may be at work for it."""
        await self._change_run(caller, run, partial(conclude.abandon, reason=reason))

    @recorded
    async def confirm_run(self, caller: Caller, run: UUID) -> None:
        """Let a run go on that was held because of a mass change; it applies as soon as it is its turn."""

        def confirm(context: Context, found: BackupRun, about: conclude.Around) -> None:
            found.confirm(context)
            conclude.begin_applying(context, found, about)

        await self._change_run(caller, run, confirm)

    @recorded
    async def retry_run(self, caller: Caller, run: UUID) -> None:
        """Let a run go on that was refused for good; raises ``Refused`` NOT_STOPPED for any other."""
        await self._change_run(caller, run, lambda context, found, about: found.retry(context))

    async def losses(self, caller: Caller, run: UUID, data_set: str, offset: int) -> dict[str, Any]:
        """A page of what a run would delete or replace of a tree that it takes over: ``losses`` and ``next``.

        Raises ``Refused`` NO_LIST for a run or data set without such a list, and when it is gone with the run's end.
        """
        place, payload = await self._read(
            caller, run, lambda session, _: losses_of(load(session, BackupRun, run, "run"), data_set, offset)
        )
        return await ask(place, self._equipment, self._controller.term, "ListLosses", payload, run)

    async def _change_run(
        self, caller: Caller, run: UUID, change: Callable[[Context, BackupRun, conclude.Around], None]
    ) -> None:
        def decide(session: Session, context: Context) -> None:
            found = load(session, BackupRun, run, "run")
            change(context, found, around(session, found, {}))

        await self._command(caller, run, decide)

    @recorded
    async def open_recovery_point(self, caller: Caller, recovery_point: UUID) -> None:
        """Make it readable on the secondary; it is held as long as it is open."""

        def decide(session: Session, context: Context) -> None:
            point = load(session, RecoveryPoint, recovery_point, "recovery point")
            point.refuse_if_gone()
            replica = replica_of(session, point)
            point.open(context, endpoints_of(session, point.made.primary, point.made.secondary), replica.kept)
            replica.hold(context, point.id, holder(point))

        await self._command(caller, recovery_point, decide)

    @recorded
    async def close_recovery_point(self, caller: Caller, recovery_point: UUID) -> None:
        """Remove what opening made."""

        def decide(session: Session, context: Context) -> None:
            point = load(session, RecoveryPoint, recovery_point, "recovery point")
            point.close(context, endpoints_of(session, point.made.primary, point.made.secondary))

        await self._command(caller, recovery_point, decide)

    @recorded
    async def expire_recovery_point(self, caller: Caller, recovery_point: UUID, reason: str) -> None:
        """Remove it from both clusters; raises ``Conflict`` HELD or IS_BASE for one that is needed."""

        def decide(session: Session, context: Context) -> None:
            point = load(session, RecoveryPoint, recovery_point, "recovery point")
            if point.state != DAMAGED:
                point.refuse_if_gone()
            expire(session, context, replica_of(session, point), point, reason)

        await self._command(caller, recovery_point, decide)

    async def check_cluster(self, caller: Caller, name: str) -> dict[str, Any]:
        """Look at a cluster through its gateway, now: facts and findings; recorded nowhere."""

        place = await self._read(caller, Cluster.identity(name), lambda session, _: place_of(session, name))
        return await check(place, self._equipment, self._controller.term, {"tries_rights": True})

    def refused(self) -> dict[str, dict[str, str]]:
        """The clusters that were another control device's when they were last asked, with what was told then."""
        return {
            cluster: {"code": error.code, "message": error.message, "remedy": error.remedy}
            for cluster, error in sorted(self._equipment.standing.refused.items())
        }

    def live(self, run_id: UUID) -> dict[str, Any]:
        """What is known about a run at this instant and recorded nowhere; see ``infra.workers.live``."""
        return self._equipment.live.shown(run_id)

    async def run_page(self, run_id: UUID) -> dict[str, Any]:
        """Everything that a run's page shows; see ``infra.control_plane.run_page``."""
        context = self._controller.context()
        answer = await self._writer.execute(
            context, run_id, lambda session: recorded_page(load(session, BackupRun, run_id, "run"))
        )
        assert answer.value is not None
        history = await self._queries.history(run_id)
        return {
            **answer.value,
            "durations": durations(history, BackupRun.INITIAL_STATE),
            "live": self.live(run_id),
        }

    def context_of(self, caller: Caller) -> Context:
        """The context of a command that this caller asks for now."""
        return Context(
            command_id=caller.command_id,
            at=self._controller.clock.now(),
            actor=caller.actor,
            request_id=caller.request_id,
            cause=caller.cause,
            code_version=self._controller.code_version,
            digest=caller.digest,
        )

    async def _read(self, caller: Caller, target: UUID, look: Callable[[Session, Context], T]) -> T:
        """What ``look`` finds. Its id is new: the same key sent with a command before must not stand for an answer."""
        context = replace(self.context_of(caller), command_id=uuid4(), digest="")
        answer = await self._writer.execute(context, target, lambda session: look(session, context))
        assert answer.value is not None
        return answer.value

    async def _command(self, caller: Caller, target: UUID, decide: Callable[[Session, Context], None]) -> UUID:
        context = self.context_of(caller)
        await self._writer.execute(context, target, lambda session: decide(session, context))
        return target
