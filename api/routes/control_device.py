"""This control device: ``/v1/control-device``."""

from __future__ import annotations

from aiohttp import web

from api.face import FACE, answer


async def show(request: web.Request) -> web.Response:
    """Answer which store this is, which control device acts for it, and which clusters have ``refused`` it."""
    found = await request.app[FACE].reads.list("control-device", {}, limit=1, after=None, newest_first=False)
    summary = found[0].summary if found else {}
    return answer({**summary, "refused": request.app[FACE].commands.refused()})


ROUTES = (web.get("/v1/control-device", show),)
