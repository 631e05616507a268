"""Lists of what belongs to services: of one service and in one state if they are named, which have to exist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from aiohttp import web
from msgspec import Meta

from api.face import FACE, Face, page
from api.requests import Page, query
from api.routes.names import Name
from domain.errors import InvalidInput, NotFound

State = Annotated[str, Meta(pattern="^[A-Z_]{1,32}$")]
MOST_NAMES = 20
"""So many services are named in a refusal."""


class OfService(Page, forbid_unknown_fields=True, kw_only=True):
    """A page of what belongs to services."""

    service: Name | None = None


class InState(OfService, forbid_unknown_fields=True, kw_only=True):
    """A page of what belongs to services and has a state."""

    state: State | None = None


async def page_of_service(request: web.Request, kind: str) -> web.Response:
    """Answer a page of a kind without states; raise ``InvalidInput`` for a service that is not there."""
    wanted = query(request, OfService)
    face = request.app[FACE]
    await _check_service(face, wanted.service)
    return await page(face, kind, wanted, {"service_name": wanted.service})


async def page_in_state(request: web.Request, kind: str, states: Sequence[str]) -> web.Response:
    """Answer a page, the newest first; raise ``InvalidInput`` for a service or state that is not there."""
    wanted = query(request, InState)
    face = request.app[FACE]
    if wanted.state is not None and wanted.state not in states:
        raise InvalidInput("state", f"there is no state {wanted.state}.", remedy=f"Give one of {', '.join(states)}.")
    await _check_service(face, wanted.service)
    filters = {"service_name": wanted.service, "state": wanted.state}
    return await page(face, kind, wanted, filters, newest_first=True)


async def _check_service(face: Face, name: str | None) -> None:
    """Without this, a misspelt name would look like a service without backups."""
    if name is None:
        return
    try:
        await face.reads.get("service", name)
    except NotFound:
        there = await face.reads.list("service", {}, limit=MOST_NAMES + 1, after=None, newest_first=False)
        names = ", ".join(str(entry.name) for entry in there[:MOST_NAMES])
        more = " and others" if len(there) > MOST_NAMES else ""
        remedy = f"There is {names}{more}." if there else "There is none yet: enter one with 'understudy service add'."
        raise InvalidInput("service", f"there is no service named {name!r}.", remedy=remedy) from None
