"""Whether the control device answers: ``/v1/health``, without a token, so it tells nothing else."""

from __future__ import annotations

from aiohttp import web

from api.face import FACE, answer


async def health(request: web.Request) -> web.Response:
    """Answer once the store answers; ``Unavailable`` otherwise."""
    face = request.app[FACE]
    await face.reads.list("cluster", {}, limit=1, after=None, newest_first=False)
    return answer({"status": "ok", "version": face.version})


ROUTES = (web.get("/v1/health", health),)
