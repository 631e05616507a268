"""Refused commands: ``/v1/refusals``. Who tried what, and why it was not done."""

from __future__ import annotations

from aiohttp import web

from api.face import FACE, page
from api.requests import Page, query
from api.routes.names import Name


class RefusalPage(Page, forbid_unknown_fields=True, kw_only=True):
    """A page of refusals, the newest first; of one actor if it is named."""

    actor: Name | None = None


async def list_all(request: web.Request) -> web.Response:
    """Answer a page of refusals."""
    wanted = query(request, RefusalPage)
    return await page(request.app[FACE], "refusal", wanted, {"actor": wanted.actor}, newest_first=True)


ROUTES = (web.get("/v1/refusals", list_all),)
