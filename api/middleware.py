"""What every request goes through, from the outside in: id and log line, errors, Host, token.

Nothing of an unexpected exception leaves the process but the request's id; the log has the rest.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from uuid import uuid4

from aiohttp import web

from api.access import Access
from api.problems import internal_problem, malformed_request, of_http, problem
from api.requests import ACTOR, REQUEST_ID, request_id
from domain.errors import UnderstudyError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ACCESS = web.AppKey("access", Access)
WITHOUT_TOKEN = frozenset({"/v1/health"})

log = logging.getLogger("understudy.api")


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request its id, answer errors as problem documents, and log one line."""
    started = time.monotonic()
    request[REQUEST_ID] = uuid4().hex
    try:
        request[REQUEST_ID] = request_id(request)
        response = await handler(request)
    except UnderstudyError as error:
        response = problem(error, request[REQUEST_ID])
        log.log(
            logging.ERROR if response.status >= 500 else logging.INFO,
            "refused",
            extra={"request_id": request[REQUEST_ID], "code": error.code, "detail": error.message},
        )
    except web.HTTPException as error:
        response = problem(of_http(error), request[REQUEST_ID])
    except web.RequestPayloadError:
        response = problem(malformed_request(), request[REQUEST_ID])
    except ConnectionError:  # the other side has gone, perhaps in the midst of its body
        log.info("the connection was lost", extra={"request_id": request[REQUEST_ID]})
        raise
    except Exception:
        log.exception("a request met a fault", extra={"request_id": request[REQUEST_ID]})
        response = internal_problem(request[REQUEST_ID])
    if not response.prepared:
        response.headers["X-Request-Id"] = request[REQUEST_ID]
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
    _log_request(request, response, started)
    return response


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Check the Host header and the token; the token's name is the actor from here on."""
    access = request.app[ACCESS]
    access.check_host(request.headers.get("Host"))
    if request.path not in WITHOUT_TOKEN:
        request[ACTOR] = access.actor(request.headers.get("Authorization"))
    return await handler(request)


def _log_request(request: web.Request, response: web.StreamResponse, started: float) -> None:
    log.info(
        "answered",
        extra={
            "request_id": request[REQUEST_ID],
            "actor": request.get(ACTOR, ""),
            "method": request.method,
            "path": request.path[:300],
            "status": response.status,
            "duration_ms": round((time.monotonic() - started) * 1000),
        },
    )
