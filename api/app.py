"""Builds the web application over a control plane. It knows no adapter and no file: ``main`` does."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from api.access import Access
from api.face import FACE, Face
from api.middleware import ACCESS, guard, problems
from api.requests import BODY_BYTES
from api.routes import (
    clusters,
    control_device,
    health,
    pairs,
    pauses,
    policies,
    recovery_points,
    refusals,
    runs,
    services,
)
from api.watching import STREAMS, Streams

ROUTES: Sequence[web.RouteDef] = (
    *health.ROUTES,
    *control_device.ROUTES,
    *clusters.ROUTES,
    *pairs.ROUTES,
    *services.ROUTES,
    *policies.ROUTES,
    *runs.ROUTES,
    *recovery_points.ROUTES,
    *refusals.ROUTES,
    *pauses.ROUTES,
)


def make_app(face: Face, access: Access) -> web.Application:
    """Return the application. Live views end when it shuts down, so that a stop does not wait for them."""
    app = web.Application(middlewares=[problems, guard], client_max_size=BODY_BYTES)
    app[FACE] = face
    app[ACCESS] = access
    app[STREAMS] = Streams()
    app.add_routes(ROUTES)
    app.on_shutdown.append(_end_streams)
    return app


async def _end_streams(app: web.Application) -> None:
    app[FACE].stopping.set()
