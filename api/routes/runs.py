"""Backup runs: ``/v1/runs``. A run's page is everything that is known about it."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from msgspec import Meta, Struct

from api.face import FACE, answer, changed, find
from api.requests import Empty, body, caller, identity, query
from api.routes.names import Reason
from api.routes.of_service import page_in_state
from api.watching import Watched, watch
from domain.protection.backup_run.states import ENDED, STATES


class Cancellation(Struct, forbid_unknown_fields=True, kw_only=True):
    """Why a run is not wanted any more; ``give_up`` is for one whose heads are being changed, in vain."""

    reason: Reason
    give_up: bool = False


async def list_all(request: web.Request) -> web.Response:
    """Answer a page of runs."""
    return await page_in_state(request, "run", STATES)


async def show(request: web.Request) -> web.Response:
    """Answer a run's page."""
    face = request.app[FACE]
    entry = await find(face, "run", request.match_info["id"])
    return answer(await face.commands.run_page(entry.id))


async def cancel(request: web.Request) -> web.Response:
    """Give a run up; once the secondary's heads are being changed only with ``give_up``."""
    wanted = await body(request, Cancellation)
    run = identity(request)
    commands = request.app[FACE].commands
    end = commands.give_up_run if wanted.give_up else commands.cancel_run
    await end(caller(request), run, wanted.reason)
    return await changed(request, "run", run)


async def confirm(request: web.Request) -> web.Response:
    """Let a run go on that was held because it changes more than its policy allows without asking."""
    await body(request, Empty)
    run = identity(request)
    await request.app[FACE].commands.confirm_run(caller(request), run)
    return await changed(request, "run", run)


async def retry(request: web.Request) -> web.Response:
    """Let a run go on that was refused for good, when somebody has done something about it."""
    await body(request, Empty)
    run = identity(request)
    await request.app[FACE].commands.retry_run(caller(request), run)
    return await changed(request, "run", run)


class LossesPage(Struct, forbid_unknown_fields=True, kw_only=True):
    """Which data set (its id), and from where on: ``next`` of the page before."""

    data_set: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
    offset: Annotated[int, Meta(ge=0, le=1 << 50)] = 0


async def losses(request: web.Request) -> web.Response:
    """Answer a page of what a run would delete or replace of what it takes over, as its list on the secondary says."""
    wanted = query(request, LossesPage)
    commands = request.app[FACE].commands
    return answer(await commands.losses(caller(request), identity(request), wanted.data_set, wanted.offset))


async def watch_one(request: web.Request) -> web.StreamResponse:
    """Stream the run's page at each change, and its live facts between, until it has ended."""
    commands = request.app[FACE].commands
    watched = Watched(
        "run",
        request.match_info["id"],
        ended=lambda state: state in ENDED,
        page=commands.run_page,
        live=commands.live,
    )
    return await watch(request, watched)


ROUTES = (
    web.get("/v1/runs", list_all),
    web.get("/v1/runs/{id}", show),
    web.post("/v1/runs/{id}/cancel", cancel),
    web.post("/v1/runs/{id}/confirm", confirm),
    web.post("/v1/runs/{id}/retry", retry),
    web.get("/v1/runs/{id}/losses", losses),
    web.get("/v1/runs/{id}/watch", watch_one),
)
