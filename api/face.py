"""What route handlers share: the control plane that they speak to, and the forms of their answers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from uuid import UUID

import msgspec
from aiohttp import web

from api.ports import Commands, Entry, Reads
from api.requests import Page
from domain.errors import NotFound, Refused

SHORTEST_PREFIX = 4
_PREFIX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True)
class Face:
    """``stopping`` is set when streams should end."""

    commands: Commands
    reads: Reads
    version: str
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


FACE = web.AppKey("face", Face)


def answer(value: object, status: HTTPStatus = HTTPStatus.OK, location: str | None = None) -> web.Response:
    """Return a JSON response."""
    headers = {"Location": location} if location else {}
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json", headers=headers
    )


def shown(entry: Entry) -> dict[str, Any]:
    """Return one thing as the API shows it."""
    return {
        "id": str(entry.id),
        "name": entry.name,
        "state": entry.state,
        "version": entry.version,
        "summary": entry.summary,
    }


async def page(
    face: Face, kind: str, wanted: Page, filters: Mapping[str, str | None], *, newest_first: bool = False
) -> web.Response:
    """Answer a page of a list; ``next`` is what ``after`` has to be for the next one, null at the end."""
    entries = await face.reads.list(
        kind,
        {name: value for name, value in filters.items() if value is not None},
        limit=wanted.limit,
        after=wanted.after,
        newest_first=newest_first,
    )
    following = entries[-1].position if len(entries) == wanted.limit else None
    return answer({"items": [shown(entry) for entry in entries], "next": following})


async def find(face: Face, kind: str, reference: str) -> Entry:
    """Return the thing with this name, id, or unambiguous beginning of an id (at least four digits).

    Raises ``NotFound``, and ``Refused`` AMBIGUOUS naming what it could be.
    """
    try:
        return await face.reads.get(kind, reference)
    except NotFound:
        prefix = reference.replace("-", "").lower()
        if not (SHORTEST_PREFIX <= len(prefix) <= 32 and _PREFIX.fullmatch(prefix)):
            raise NotFound(kind, reference[:80], remedy=_list_them(kind)) from None
    found = await face.reads.ids_with_prefix(kind, prefix, 3)
    if not found:
        raise NotFound(kind, reference[:80], remedy=_list_them(kind))
    if len(found) > 1:
        raise Refused(
            "AMBIGUOUS",
            f"{reference!r} could be {', '.join(str(one) for one in found)}.",
            remedy="Give more of the id.",
        )
    return await face.reads.get(kind, found[0])


def _list_them(kind: str) -> str:
    command = {"run": "runs", "recovery-point": "recovery-points"}.get(kind, f"{kind} list")
    return f"List what there is with 'understudy {command}'."


async def changed(request: web.Request, kind: str, identity: UUID) -> web.Response:
    """Answer a command with the thing as it is now."""
    return answer(shown(await request.app[FACE].reads.get(kind, identity)))
