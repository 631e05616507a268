"""A control plane in memory: what it is told it shows, and it raises what it is told to raise."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from msgspec import to_builtins

from api.moments import SOONEST
from api.ports import Entry
from domain.errors import NotFound, Refused
from domain.protection.policy import Settings
from domain.values.data_set import DataSet
from domain.values.endpoints import Endpoints
from domain.values.limits import Limits
from infra.control_plane import Caller


class FakeControlPlane:
    """Both ports of the web application. ``calls`` is what was asked; ``raises`` is raised by the next call."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, UUID], Entry] = {}
        self.pages: dict[UUID, dict[str, Any]] = {}
        self.live_facts: dict[UUID, dict[str, Any]] = {}
        self.calls: list[tuple[str, Caller, tuple[Any, ...]]] = []
        self.findings: list[dict[str, Any]] = []
        self.owners: dict[str, dict[str, Any]] = {}
        self.refusals: dict[str, dict[str, str]] = {}
        self.planned: dict[str, Any] = {}
        self.raises: Exception | None = None
        self.answers: dict[UUID, UUID] = {}
        self.position = 0
        self._moved = asyncio.Condition()

    def put(self, kind: str, identity: UUID, name: str | None, state: str, summary: dict[str, Any]) -> None:
        """Show a thing, a version further than before."""
        before = self.entries.get((kind, identity))
        self.position += 1
        self.entries[kind, identity] = Entry(
            identity,
            name,
            before.version + 1 if before else 1,
            state,
            summary,
            before.position if before else self.position,
        )

    async def move(self, kind: str, identity: UUID, state: str) -> None:
        """Bring a thing to another state and wake whoever waits."""
        entry = self.entries[kind, identity]
        async with self._moved:
            self.put(kind, identity, entry.name, state, entry.summary)
            if kind == "run":
                self.pages[identity] = {**self.pages[identity], "state": state}
            self._moved.notify_all()

    async def list(
        self, kind: str, filters: Mapping[str, str], *, limit: int, after: int | None, newest_first: bool
    ) -> Sequence[Entry]:
        """See ``Reads``."""
        self._fail_if_told()
        found = [
            entry
            for (its_kind, _), entry in self.entries.items()
            if its_kind == kind
            and all(
                (entry.state if field == "state" else entry.summary.get(field)) == value
                for field, value in filters.items()
            )
        ]
        found.sort(key=lambda entry: entry.position, reverse=newest_first)
        if after is not None:
            found = [entry for entry in found if (entry.position < after if newest_first else entry.position > after)]
        return found[:limit]

    async def get(self, kind: str, reference: str | UUID) -> Entry:
        """See ``Reads``."""
        self._fail_if_told()
        for (its_kind, identity), entry in self.entries.items():
            if its_kind == kind and (str(identity) == str(reference) or entry.name == reference):
                return entry
        raise NotFound(kind, str(reference))

    async def ids_with_prefix(self, kind: str, prefix: str, limit: int) -> Sequence[UUID]:
        """See ``Reads``."""
        found = [identity for its_kind, identity in self.entries if its_kind == kind]
        return [identity for identity in found if identity.hex.startswith(prefix)][:limit]

    async def wait_for(self, position: int) -> int:
        """See ``Reads``."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.position >= position)
        return self.position

    async def add_cluster(self, caller: Caller, name: str, endpoints: Endpoints) -> UUID:
        """See ``Commands``."""
        limits = to_builtins(Limits())
        return self._enter("add_cluster", caller, "cluster", name, "ACTIVE", endpoints=asdict(endpoints), limits=limits)

    async def change_limits(self, caller: Caller, name: str, changes: Mapping[str, Any]) -> UUID:
        """See ``Commands``."""
        limits = replace(Limits(), **changes)
        limits.validate()
        endpoints = (await self.get("cluster", name)).summary["endpoints"]
        return self._enter(
            "change_limits", caller, "cluster", name, "ACTIVE", endpoints=endpoints, limits=to_builtins(limits)
        )

    async def pause(self, caller: Caller, scope: str, reason: str) -> UUID:
        """See ``Commands``."""
        return self._enter("pause", caller, "pause", scope, "PAUSED", by=caller.actor, since_ms=0, reason=reason)

    async def resume(self, caller: Caller, scope: str, reason: str) -> UUID:
        """See ``Commands``."""
        return self._enter("resume", caller, "pause", scope, "RUNNING", by="", since_ms=None, reason="")

    async def create_pair(self, caller: Caller, name: str, primary: str, secondary: str) -> UUID:
        """See ``Commands``."""
        if primary == secondary:
            raise Refused("SAME_CLUSTER", "primary and secondary are the same cluster.", remedy="Name two clusters.")
        return self._enter("create_pair", caller, "pair", name, "FORMING", primary=primary, secondary=secondary)

    def refused(self) -> dict[str, dict[str, str]]:
        """See ``Commands``."""
        return self.refusals

    async def cluster_owner(self, caller: Caller, name: str) -> dict[str, Any]:
        """See ``Commands``."""
        await self.get("cluster", name)
        return self.owners[name]

    async def take_over_pair(
        self, caller: Caller, name: str, primary: str, secondary: str, from_store: str, reason: str
    ) -> UUID:
        """See ``Commands``."""
        summary = {"primary": primary, "secondary": secondary, "from_store": from_store, "reason": reason}
        return self._enter("take_over_pair", caller, "pair", name, "FORMING", **summary)

    async def add_service(
        self, caller: Caller, name: str, pair: str, data_sets: tuple[DataSet, ...], adopts: bool = False
    ) -> UUID:
        """See ``Commands``."""
        await self.get("pair", pair)
        wire = [data_set.to_wire() for data_set in data_sets]
        return self._enter(
            "add_service", caller, "service", name, "ACTIVE", pair_name=pair, data_sets=wire, adopts=adopts
        )

    async def add_policy(self, caller: Caller, name: str, service: str, settings: Settings) -> UUID:
        """See ``Commands``."""
        await self.get("service", service)
        return self._enter(
            "add_policy", caller, "policy", name, "ACTIVE", service_name=service, settings=asdict(settings)
        )

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
        """See ``Commands``."""
        self._record("backup", caller, service, policy, SOONEST if is_soonest else moment_ms, direction)
        await self.get("service", service)
        if caller.command_id not in self.answers:
            run = uuid5(NAMESPACE_URL, f"run {len(self.entries)}")
            summary = {"service_name": service, "moment_ms": moment_ms, "direction": direction or "push"}
            self.put("run", run, None, "PLANNED", summary)
            self.pages[run] = {"id": str(run), "state": "PLANNED"}
            self.answers[caller.command_id] = run
        return self.answers[caller.command_id]

    async def plan(self, caller: Caller, service: str, policy: str | None, moment_ms: int | None) -> dict[str, Any]:
        """See ``Commands``."""
        self._record("plan", caller, service, policy, moment_ms)
        await self.get("service", service)
        return self.planned

    async def cancel_run(self, caller: Caller, run: UUID, reason: str) -> None:
        """See ``Commands``."""
        self._record("cancel_run", caller, run, reason)
        await self.get("run", run)
        await self.move("run", run, "CANCELLED")

    async def retry_run(self, caller: Caller, run: UUID) -> None:
        """See ``Commands``."""
        self._record("retry_run", caller, run)

    async def give_up_run(self, caller: Caller, run: UUID, reason: str) -> None:
        """See ``Commands``."""
        self._record("give_up_run", caller, run, reason)
        await self.get("run", run)
        await self.move("run", run, "CLEANING")

    async def confirm_run(self, caller: Caller, run: UUID) -> None:
        """See ``Commands``."""
        self._record("confirm_run", caller, run)
        await self.get("run", run)
        await self.move("run", run, "APPLYING")

    async def losses(self, caller: Caller, run: UUID, data_set: str, offset: int) -> dict[str, Any]:
        """See ``Commands``."""
        self._record("losses", caller, run, data_set, offset)
        await self.get("run", run)
        return {"losses": [], "next": None}

    async def open_recovery_point(self, caller: Caller, recovery_point: UUID) -> None:
        """See ``Commands``."""
        self._record("open_recovery_point", caller, recovery_point)
        await self.move("recovery-point", recovery_point, "OPENING")

    async def close_recovery_point(self, caller: Caller, recovery_point: UUID) -> None:
        """See ``Commands``."""
        self._record("close_recovery_point", caller, recovery_point)
        await self.move("recovery-point", recovery_point, "CLOSING")

    async def expire_recovery_point(self, caller: Caller, recovery_point: UUID, reason: str) -> None:
        """See ``Commands``."""
        self._record("expire_recovery_point", caller, recovery_point, reason)
        await self.move("recovery-point", recovery_point, "EXPIRING")

    async def check_cluster(self, caller: Caller, name: str) -> dict[str, Any]:
        """See ``Commands``."""
        self._record("check_cluster", caller, name)
        return {"safe_mode": False, "findings": self.findings}

    def live(self, run_id: UUID) -> dict[str, Any]:
        """See ``Commands``."""
        return self.live_facts.get(run_id, {})

    async def run_page(self, run_id: UUID) -> dict[str, Any]:
        """See ``Commands``."""
        self._fail_if_told()
        return self.pages[run_id]

    def _enter(self, call: str, caller: Caller, kind: str, name: str, state: str, **summary: Any) -> UUID:
        self._record(call, caller, name, summary)
        identity = uuid5(NAMESPACE_URL, f"{kind}:{name}")
        self.put(kind, identity, name, state, summary)
        return identity

    def _record(self, call: str, caller: Caller, *arguments: Any) -> None:
        self.calls.append((call, caller, arguments))
        self._fail_if_told()

    def _fail_if_told(self) -> None:
        if self.raises is not None:
            raised, self.raises = self.raises, None
            raise raised
