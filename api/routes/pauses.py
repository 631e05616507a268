"""Pauses: ``/v1/pauses``. Everything, a cluster or a service stands still until somebody lets it go on."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from msgspec import Meta, Struct

from api.face import FACE, changed, page
from api.requests import Page, body, caller, query
from api.routes.names import Reason
from domain.protection.pause import PAUSED

Scope = Annotated[str, Meta(max_length=100, description="all, cluster:NAME or service:NAME")]


class PauseBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """What is to stand still, and why."""

    scope: Scope
    reason: Reason


class ResumeBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """What is to go on."""

    scope: Scope
    reason: Annotated[str, Meta(max_length=1_000)] = ""


async def pause(request: web.Request) -> web.Response:
    """Begin nothing more of a scope that moves or reads data."""
    wanted = await body(request, PauseBody)
    identity = await request.app[FACE].commands.pause(caller(request), wanted.scope, wanted.reason)
    return await changed(request, "pause", identity)


async def resume(request: web.Request) -> web.Response:
    """Let a scope go on."""
    wanted = await body(request, ResumeBody)
    identity = await request.app[FACE].commands.resume(caller(request), wanted.scope, wanted.reason)
    return await changed(request, "pause", identity)


async def list_all(request: web.Request) -> web.Response:
    """Answer a page of what stands still now."""
    return await page(request.app[FACE], "pause", query(request, Page), {"state": PAUSED})


ROUTES = (
    web.get("/v1/pauses", list_all),
    web.post("/v1/pauses", pause),
    web.post("/v1/pauses/resume", resume),
)
