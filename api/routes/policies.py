"""Backup policies: ``/v1/policies``."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web
from msgspec import UNSET, Struct, UnsetType

from api.face import FACE, answer, changed, find, shown
from api.requests import body, caller
from api.routes.names import Name
from api.routes.of_service import page_of_service
from domain.protection.policy import Barrier, Settings


class BarrierBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """See ``domain.protection.policy.Barrier``."""

    hold: Name
    release: Name
    hold_max_seconds: int


class SettingsBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """See ``domain.protection.policy.Settings``, which also has the default of whatever is left out."""

    direction: str | UnsetType = UNSET
    engine: str | UnsetType = UNSET
    max_skew_ms: int | UnsetType = UNSET
    verification: str | UnsetType = UNSET
    barrier: BarrierBody | UnsetType | None = UNSET
    keep_last: int | UnsetType = UNSET
    mass_change_percent: int | UnsetType = UNSET
    lead_seconds: int | UnsetType = UNSET
    warm_up_seconds: int | UnsetType = UNSET
    fire_tolerance_ms: int | UnsetType = UNSET
    workers: int | UnsetType = UNSET
    megabytes_per_second: int | UnsetType | None = UNSET
    trial_clone: bool | UnsetType = UNSET
    trial_clone_hours: int | UnsetType = UNSET
    sample_percent: int | UnsetType = UNSET
    recheck_days: int | UnsetType = UNSET
    read_days: int | UnsetType = UNSET
    read_percent: int | UnsetType = UNSET
    patience_seconds: int | UnsetType = UNSET
    leave_out_unreadable: bool | UnsetType = UNSET
    head_mode: str | UnsetType = UNSET
    changed_head: str | UnsetType = UNSET

    def to_domain(self) -> Settings:
        """Return the settings; raise ``InvalidInput`` naming the first value that cannot be accepted."""
        given: dict[str, Any] = {
            name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not UNSET
        }
        if isinstance(self.barrier, BarrierBody):
            given["barrier"] = Barrier(**msgspec.structs.asdict(self.barrier))
        settings = Settings(**given)
        settings.validate()
        return settings


class PolicyBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """A policy to enter, or that changes."""

    name: Name
    service: Name
    settings: SettingsBody = msgspec.field(default_factory=SettingsBody)


async def add(request: web.Request) -> web.Response:
    """Enter a policy, or change it."""
    wanted = await body(request, PolicyBody)
    commands = request.app[FACE].commands
    identity = await commands.add_policy(caller(request), wanted.name, wanted.service, wanted.settings.to_domain())
    return await changed(request, "policy", identity)


async def list_all(request: web.Request) -> web.Response:
    """Answer a page of policies."""
    return await page_of_service(request, "policy")


async def show(request: web.Request) -> web.Response:
    """Answer one policy."""
    return answer(shown(await find(request.app[FACE], "policy", request.match_info["name"])))


ROUTES = (
    web.post("/v1/policies", add),
    web.get("/v1/policies", list_all),
    web.get("/v1/policies/{name}", show),
)
