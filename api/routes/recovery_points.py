"""Recovery points: ``/v1/recovery-points``. Opening, closing and expiring take time: watch it until it is done."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web
from msgspec import Struct

from api.face import FACE, answer, find, shown
from api.requests import Empty, body, caller, identity
from api.routes.names import Reason
from api.routes.of_service import page_in_state
from api.watching import Watched, watch
from domain.protection.recovery_point import BUSY, RecoveryPoint


class Expiry(Struct, forbid_unknown_fields=True, kw_only=True):
    """Why a recovery point is not wanted any more."""

    reason: Reason


async def list_all(request: web.Request) -> web.Response:
    """Answer a page of recovery points."""
    return await page_in_state(request, "recovery-point", RecoveryPoint.STATES)


async def show(request: web.Request) -> web.Response:
    """Answer one recovery point."""
    return answer(shown(await find(request.app[FACE], "recovery-point", request.match_info["id"])))


async def open_one(request: web.Request) -> web.Response:
    """Begin to make it readable on the secondary under scratch names."""
    await body(request, Empty)
    await request.app[FACE].commands.open_recovery_point(caller(request), identity(request))
    return await _begun(request)


async def close(request: web.Request) -> web.Response:
    """Begin to remove what opening made."""
    await body(request, Empty)
    await request.app[FACE].commands.close_recovery_point(caller(request), identity(request))
    return await _begun(request)


async def expire(request: web.Request) -> web.Response:
    """Begin to remove it from both clusters."""
    wanted = await body(request, Expiry)
    await request.app[FACE].commands.expire_recovery_point(caller(request), identity(request), wanted.reason)
    return await _begun(request)


async def watch_one(request: web.Request) -> web.StreamResponse:
    """Stream its changes, and its live facts between, until nothing is under way."""
    live = request.app[FACE].commands.live
    watched = Watched("recovery-point", request.match_info["id"], ended=lambda state: state not in BUSY, live=live)
    return await watch(request, watched)


async def _begun(request: web.Request) -> web.Response:
    entry = await request.app[FACE].reads.get("recovery-point", identity(request))
    return answer(shown(entry), HTTPStatus.ACCEPTED)


ROUTES = (
    web.get("/v1/recovery-points", list_all),
    web.get("/v1/recovery-points/{id}", show),
    web.post("/v1/recovery-points/{id}/open", open_one),
    web.post("/v1/recovery-points/{id}/close", close),
    web.post("/v1/recovery-points/{id}/expire", expire),
    web.get("/v1/recovery-points/{id}/watch", watch_one),
)
