"""What the web application needs from the control plane: commands and reads.

Kinds are ``cluster``, ``pair``, ``service``, ``policy``, ``run``, ``recovery-point``, ``replica``, ``refusal``,
``pause`` and ``control-device``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from domain.protection.policy import Settings
from domain.values.data_set import DataSet
from domain.values.endpoints import Endpoints
from infra.control_plane import Caller


class Entry(NamedTuple):
    """One thing as lists show it; ``position`` is the cursor for the page after it."""

    id: UUID
    name: str | None
    version: int
    state: str
    summary: dict[str, Any]
    position: int


class Reads(Protocol):
    """What is committed."""

    async def list(
        self,
        kind: str,
        filters: Mapping[str, str],
        *,
        limit: int,
        after: int | None,
        newest_first: bool,
    ) -> Sequence[Entry]:
        """Return a page of things of a kind, by age."""

    async def get(self, kind: str, reference: str | UUID) -> Entry:
        """Return the thing with this id or name; raise ``NotFound``."""

    async def ids_with_prefix(self, kind: str, prefix: str, limit: int) -> Sequence[UUID]:
        """Return the ids of a kind that begin with these hexadecimal digits, at most ``limit``."""

    async def wait_for(self, position: int) -> int:
        """Wait until an event with at least this position is committed; return the newest position."""


class Commands(Protocol):
    """What can be asked for. A command is durable when it returns; repeating its id returns the first answer."""

    async def add_cluster(self, caller: Caller, name: str, endpoints: Endpoints) -> UUID:
        """Enter a cluster, or change its endpoints."""

    async def change_limits(self, caller: Caller, name: str, changes: Mapping[str, Any]) -> UUID:
        """Let other limits hold for a cluster; ``changes`` has those that change."""

    async def pause(self, caller: Caller, scope: str, reason: str) -> UUID:
        """Begin nothing more of a scope: "all", "cluster:NAME" or "service:NAME"."""

    async def resume(self, caller: Caller, scope: str, reason: str) -> UUID:
        """Let a scope go on."""

    async def create_pair(self, caller: Caller, name: str, primary: str, secondary: str) -> UUID:
        """Join two clusters."""

    async def cluster_owner(self, caller: Caller, name: str) -> dict[str, Any]:
        """Whose a cluster is, as it says now: ``owner``, ``seen_ms``, ``marker``, ``is_ours``, or ``failure``."""

    async def take_over_pair(
        self, caller: Caller, name: str, primary: str, secondary: str, from_store: str, reason: str
    ) -> UUID:
        """Take two clusters over from a control device that is lost."""

    async def add_service(
        self, caller: Caller, name: str, pair: str, data_sets: tuple[DataSet, ...], adopts: bool = False
    ) -> UUID:
        """Enter a service, or change its data sets; ``adopts``: take over what stands on the secondary."""

    async def add_policy(self, caller: Caller, name: str, service: str, settings: Settings) -> UUID:
        """Enter a policy, or change it."""

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
        """Plan a run for a moment; None is as soon as the policy's lead allows, or as the newest runs needed."""

    async def plan(self, caller: Caller, service: str, policy: str | None, moment_ms: int | None) -> dict[str, Any]:
        """How much a backup would be, and how long it would take."""

    async def give_up_run(self, caller: Caller, run: UUID, reason: str) -> None:
        """Give up a run that is rolled forward in vain."""

    async def cancel_run(self, caller: Caller, run: UUID, reason: str) -> None:
        """Give a run up."""

    async def confirm_run(self, caller: Caller, run: UUID) -> None:
        """Let a held run go on."""

    async def retry_run(self, caller: Caller, run: UUID) -> None:
        """Let a run go on that was refused for good."""

    async def losses(self, caller: Caller, run: UUID, data_set: str, offset: int) -> dict[str, Any]:
        """A page of what a run would delete or replace of a tree that it takes over."""

    async def open_recovery_point(self, caller: Caller, recovery_point: UUID) -> None:
        """Make it readable on the secondary."""

    async def close_recovery_point(self, caller: Caller, recovery_point: UUID) -> None:
        """Remove what opening made."""

    async def expire_recovery_point(self, caller: Caller, recovery_point: UUID, reason: str) -> None:
        """Remove it from both clusters."""

    async def check_cluster(self, caller: Caller, name: str) -> dict[str, Any]:
        """Look at a cluster through its gateway: facts and findings."""

    def refused(self) -> dict[str, dict[str, str]]:
        """The clusters that are another control device's, by name: ``code, message, remedy`` of the newest look."""

    def live(self, identity: UUID, /) -> dict[str, Any]:
        """What is known about a run, pair or recovery point at this instant and nowhere recorded."""

    async def run_page(self, run_id: UUID) -> dict[str, Any]:
        """Everything that a run's page shows."""
