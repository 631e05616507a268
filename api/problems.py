"""Errors as RFC 9457 problem documents: the one place that maps errors to HTTP.

    status  error
    ------  -------------------------------------------------------------------------------------
    400     MALFORMED_REQUEST       it is not HTTP as the control device speaks it
    400     MALFORMED_BODY          the body is no JSON object, or a key occurs in it twice
    401     UNAUTHENTICATED         no token, or one that is not known
    404     NotFound, NO_SUCH_PATH
    405     METHOD_NOT_ALLOWED
    408     BODY_TOO_SLOW
    409     Refused, Conflict       the command does not fit the present state; nothing was changed
    413     BODY_TOO_LARGE
    415     NOT_JSON, ENCODED_BODY  the body's type is not application/json, or it is compressed
    421     WRONG_HOST              the Host header names another server
    422     InvalidInput            a field has a value that cannot be accepted; ``field`` names it
    500     INTERNAL                a fault in the control device; only the request's id is told
    503     TOO_MANY_CONNECTIONS    every connection that there may be is busy
    503     Unavailable             a part could not be asked; the outcome may be unknown: repeat with the same key

A document holds ``type``, ``title``, ``status``, ``detail``, ``code`` and ``request_id``, and, where there is one,
``field`` and ``remedy``. ``code`` is permanent; scripts match on it.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from domain.errors import InvalidInput, NotFound, Refused, Unavailable, UnderstudyError

CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:understudy:error:"


class RequestRefused(UnderstudyError):
    """The request itself cannot be served, whatever it asks for; ``status`` is the HTTP status."""

    def __init__(self, status: HTTPStatus, code: str, message: str, *, remedy: str = "") -> None:
        super().__init__(code, message, remedy=remedy)
        self.status = status


def status_of(error: UnderstudyError) -> HTTPStatus:
    """Return the status that an error of the tree is answered with."""
    match error:
        case RequestRefused():
            return error.status
        case InvalidInput():
            return HTTPStatus.UNPROCESSABLE_ENTITY
        case NotFound():
            return HTTPStatus.NOT_FOUND
        case Refused():
            return HTTPStatus.CONFLICT
        case Unavailable():
            return HTTPStatus.SERVICE_UNAVAILABLE
        case _:
            return HTTPStatus.INTERNAL_SERVER_ERROR


def problem(error: UnderstudyError, request_id: str) -> web.Response:
    """Return the response that tells an error of the tree."""
    status = status_of(error)
    document: dict[str, Any] = {
        "type": TYPE_PREFIX + error.code,
        "title": status.phrase,
        "status": int(status),
        "detail": error.message,
        "code": error.code,
        "request_id": request_id,
    }
    if error.field:
        document["field"] = error.field
    if error.remedy:
        document["remedy"] = error.remedy
    headers = {"WWW-Authenticate": 'Bearer realm="understudy"'} if status == HTTPStatus.UNAUTHORIZED else {}
    return web.Response(
        body=msgspec.json.encode(document), status=int(status), content_type=CONTENT_TYPE, headers=headers
    )


def internal_problem(request_id: str) -> web.Response:
    """Return the response for an unexpected exception: it tells nothing but where to look."""
    return problem(
        UnderstudyError(
            "INTERNAL",
            "the control device met a fault of its own; what was asked may or may not have been done.",
            remedy=f"Look for request {request_id} in the control device's log.",
        ),
        request_id,
    )


def malformed_request() -> UnderstudyError:
    """The refusal of what cannot be read as a request; it tells nothing of what it was."""
    return RequestRefused(
        HTTPStatus.BAD_REQUEST,
        "MALFORMED_REQUEST",
        "the request is not HTTP as it is spoken here: a line, a header, a length or a chunk of it has another form.",
        remedy="Send HTTP/1.1 without control characters in its headers, each header of less than 8 KiB.",
    )


def too_many_connections() -> UnderstudyError:
    """The refusal of a connection when all that there may be are busy."""
    return RequestRefused(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "TOO_MANY_CONNECTIONS",
        "every connection that there may be is busy.",
        remedy="Repeat it a little later.",
    )


def of_http(error: web.HTTPException) -> UnderstudyError:
    """Return the tree's error for one that aiohttp itself raised."""
    if error.status == HTTPStatus.NOT_FOUND:
        return RequestRefused(
            HTTPStatus.NOT_FOUND, "NO_SUCH_PATH", "there is nothing at this path.", remedy="See docs/api.md."
        )
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return RequestRefused(
            HTTPStatus.METHOD_NOT_ALLOWED,
            "METHOD_NOT_ALLOWED",
            f"{error.method} does not apply here.",
            remedy=f"Use {allowed}.",
        )
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return RequestRefused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "BODY_TOO_LARGE", "the body is too large.", remedy="Send less at once."
        )
    return RequestRefused(HTTPStatus(error.status), "BAD_REQUEST", error.reason or "the request cannot be served.")
