"""Pairs of clusters: ``/v1/pairs``."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from msgspec import Meta, Struct

from api.face import FACE, answer, changed, find, page, shown
from api.requests import Page, body, caller, query
from api.routes.names import Name
from api.watching import Watched, watch
from domain.pair.pair import LONGEST_WORDS, STEADY


class PairBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """Two clusters to join, by name."""

    name: Name
    primary: Name
    secondary: Name


class TakeOverBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """Two clusters to take over from the store that they belong to, and why."""

    primary: Name
    secondary: Name
    from_store: Annotated[str, Meta(pattern=r"^([0-9a-f]{32}|unknown)$", description="a store's id, or unknown")]
    reason: Annotated[str, Meta(min_length=1, max_length=LONGEST_WORDS)]


async def create(request: web.Request) -> web.Response:
    """Join two clusters."""
    wanted = await body(request, PairBody)
    commands = request.app[FACE].commands
    identity = await commands.create_pair(caller(request), wanted.name, wanted.primary, wanted.secondary)
    return await changed(request, "pair", identity)


async def take_over(request: web.Request) -> web.Response:
    """Take a pair over from a control device that is lost; repeated for what could not be reached before."""
    wanted = await body(request, TakeOverBody)
    identity = await request.app[FACE].commands.take_over_pair(
        caller(request),
        request.match_info["name"],
        wanted.primary,
        wanted.secondary,
        wanted.from_store,
        wanted.reason,
    )
    return await changed(request, "pair", identity)


async def list_all(request: web.Request) -> web.Response:
    """Answer a page of pairs."""
    return await page(request.app[FACE], "pair", query(request, Page), {})


async def show(request: web.Request) -> web.Response:
    """Answer one pair."""
    return answer(shown(await find(request.app[FACE], "pair", request.match_info["name"])))


async def watch_one(request: web.Request) -> web.StreamResponse:
    """Stream the pair's changes, and its live facts between, until it is steady."""
    live = request.app[FACE].commands.live
    watched = Watched("pair", request.match_info["name"], ended=lambda state: state == STEADY, live=live)
    return await watch(request, watched)


ROUTES = (
    web.post("/v1/pairs", create),
    web.get("/v1/pairs", list_all),
    web.get("/v1/pairs/{name}", show),
    web.post("/v1/pairs/{name}/take-over", take_over),
    web.get("/v1/pairs/{name}/watch", watch_one),
)
