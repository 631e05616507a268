"""Reads what a request says, strictly: unknown fields, double keys, control characters and wrong types are refused.

Every refusal names the field. Bodies are JSON objects in UTF-8 of at most ``BODY_BYTES``.
"""

from __future__ import annotations

import hashlib
import json
import re
from asyncio import timeout
from http import HTTPStatus
from typing import Annotated, Any, TypeVar
from uuid import UUID, uuid4

import msgspec
from aiohttp import web
from msgspec import Meta

from api.characters import UNPRINTABLE, escaped
from api.problems import RequestRefused
from domain.errors import InvalidInput
from infra.control_plane import Caller

T = TypeVar("T")

BODY_BYTES = 1 << 20
BODY_SECONDS = 20
DEEPEST = 16
MOST_VALUES = 50_000
_SHOWN = 200
ACTOR = web.RequestKey("actor", str)
REQUEST_ID = web.RequestKey("request_id", str)
DIGEST = web.RequestKey("digest", str)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PATH = re.compile(r"(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?", re.DOTALL)
_MEMBER = re.compile(r"Object (missing required|contains unknown) field `(?P<name>.*)`", re.DOTALL)


class Empty(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a command that needs nothing said."""


class Page(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which part of a list is wanted. ``after`` is ``next`` of the page before."""

    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100
    after: Annotated[int, Meta(ge=0, le=1 << 62)] | None = None


def caller(request: web.Request) -> Caller:
    """Return who asks, under which ids; raise ``InvalidInput`` for an Idempotency-Key that is no UUID.

    The body is read before: a key that the caller chose stands for caller, operation and body together.
    """
    digest = request[DIGEST] if "Idempotency-Key" in request.headers and DIGEST in request else ""
    return Caller(actor=request[ACTOR], request_id=request[REQUEST_ID], command_id=_command_id(request), digest=digest)


def _command_id(request: web.Request) -> UUID:
    given = request.headers.get("Idempotency-Key")
    if given is None:
        return uuid4()
    try:
        return UUID(given.strip('"'))
    except ValueError:
        raise InvalidInput("Idempotency-Key", "it is no UUID.", remedy="Send a new UUID for each command.") from None


def request_id(request: web.Request) -> str:
    """Return the id of the request, given or made; raise ``InvalidInput`` for one that cannot be logged."""
    given = request.headers.get("X-Request-Id")
    if given is None:
        return uuid4().hex
    if not _REQUEST_ID.fullmatch(given):
        raise InvalidInput(
            "X-Request-Id", "it has another form.", remedy="Use 1 to 64 letters, digits, dots, dashes or underscores."
        )
    return given


def identity(request: web.Request) -> UUID:
    """Return the id in the path; raise ``InvalidInput`` if it is none."""
    text = request.match_info["id"]
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInput("id", f"{text[:80]!r} is no id.", remedy="Give the whole id, a UUID.") from None


def query(request: web.Request, shape: type[T]) -> T:
    """Return the query string as ``shape``; raise ``InvalidInput`` naming the parameter."""
    values: dict[str, str] = {}
    for name, value in request.query.items():
        if name in values:
            raise InvalidInput(escaped(name[:80]), "it is given twice.", remedy="Give it once.")
        values[name] = value
    _look_through(values)
    return _convert(values, shape, strict=False)


async def body(request: web.Request, shape: type[T]) -> T:
    """Return the body as ``shape``; raise ``InvalidInput`` naming the field, or ``RequestRefused``."""
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise RequestRefused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "ENCODED_BODY",
            "the body is compressed.",
            remedy="Send it as it is, without Content-Encoding.",
        )
    if request.content_type != "application/json" and (request.can_read_body or shape is not Empty):
        raise RequestRefused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "NOT_JSON",
            "the body's type is not application/json.",
            remedy="Send 'Content-Type: application/json'.",
        )
    try:
        async with timeout(BODY_SECONDS):
            data = await request.read()
    except TimeoutError:
        raise RequestRefused(
            HTTPStatus.REQUEST_TIMEOUT, "BODY_TOO_SLOW", f"the body did not arrive within {BODY_SECONDS} s."
        ) from None
    try:
        value = _decode(data) if data or shape is not Empty else {}
    except RecursionError:
        raise _malformed("it is nested too deeply.") from None
    _look_through(value)
    request[DIGEST] = _digest([request[ACTOR], request.method, request.path, value])
    return _convert(value, shape, strict=True)


def _digest(what: list[object]) -> str:
    """The same for the same JSON, however it is written."""
    text = json.dumps(what, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _decode(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise _malformed("it is not UTF-8.") from None
    except ValueError as error:
        raise _malformed(f"{error}.") from None
    if not isinstance(value, dict):
        raise _malformed("it is no object.")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for name, member in pairs:
        if name in value:
            raise ValueError(f"the key {name[:80]!r} occurs twice")
        value[name] = member
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _malformed(what: str) -> RequestRefused:
    return RequestRefused(
        HTTPStatus.BAD_REQUEST, "MALFORMED_BODY", f"the body is not acceptable JSON: {what}", remedy="Send one object."
    )


def _convert(value: dict[str, Any], shape: type[T], *, strict: bool) -> T:
    try:
        return msgspec.convert(value, shape, strict=strict)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None


def _invalid(message: str) -> InvalidInput:
    found = _PATH.fullmatch(message)
    assert found is not None
    what, path = found["what"], (found["path"] or "").lstrip(".")
    member = _MEMBER.fullmatch(what)
    if member is None:
        return InvalidInput(path or "body", f"{what[:300]}.", remedy="Give a value of that form.")
    field = f"{path}.{member['name']}" if path else member["name"]
    if member[1] == "missing required":
        return InvalidInput(field[:200], "it is missing.", remedy="Give it.")
    return InvalidInput(field[:200], "there is no such field.", remedy="Leave it out, or check its spelling.")


class _Place:
    """Where a value stands in what holds it; written out only where something is wrong with it."""

    __slots__ = ("above", "depth", "step")

    def __init__(self, above: _Place | None, step: str) -> None:
        self.above = above
        self.step = step
        self.depth: int = 0 if above is None else above.depth + 1

    def __str__(self) -> str:
        steps = []
        place: _Place | None = self
        while place is not None:
            steps.append(place.step[:_SHOWN])
            place = place.above
        return "".join(reversed(steps)).lstrip(".")[:_SHOWN].encode("ascii", "backslashreplace").decode()


def _look_through(whole: object) -> None:
    """Refuse what is nested too deeply, holds too many values, or has a text that cannot be printed.

    One step for each value, however they are nested; the names of members are texts, too.
    """
    left: list[tuple[object, _Place]] = [(whole, _Place(None, ""))]
    seen = 1
    while left:
        value, place = left.pop()
        seen += len(value) if isinstance(value, dict | list) else 0
        if seen > MOST_VALUES:
            raise _malformed(f"it holds more than {MOST_VALUES} values.")
        if place.depth > DEEPEST:
            raise _malformed(f"it is nested more than {DEEPEST} deep.")
        if isinstance(value, str):
            _check_printable(value, place)
        elif isinstance(value, dict):
            for name, member in value.items():
                inside = _Place(place, f".{name}")
                _check_printable(name, inside)
                left.append((member, inside))
        elif isinstance(value, list):
            left += [(member, _Place(place, f"[{number}]")) for number, member in enumerate(value)]


def _check_printable(text: str, place: _Place) -> None:
    if UNPRINTABLE.search(text):
        raise InvalidInput(
            str(place),
            "it holds a character that cannot be printed.",
            remedy="Use printable characters alone.",
        )
