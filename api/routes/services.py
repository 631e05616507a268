"""Services and their backups: ``/v1/services``."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from aiohttp import web
from msgspec import Meta, Struct

from api.face import FACE, answer, changed, find, page, shown
from api.moments import SOONEST, moment_ms
from api.requests import Page, body, caller, query
from api.routes.names import Name
from domain.components.registry import component
from domain.errors import InvalidInput
from domain.protection.backup_run.states import ENDED
from domain.values.data_set import DataSet

NEWEST_RUNS = 50
"""Among so many runs others that are not over yet are looked for."""

Component = Annotated[str, Meta(min_length=1, max_length=32)]
DataSetName = Annotated[str, Meta(min_length=1, max_length=4_096)]
Direction = Annotated[str, Meta(pattern="^(push|pull)$")]


class DataSetBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """``component`` is a kind such as "hdfs" or "hbase"; ``name`` is a path or table, wildcards allowed."""

    component: Component
    name: DataSetName


class ServiceBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """A service to enter, or whose data sets change.

    With ``adopts`` its first run takes over directories that somebody else has filled on the secondary.
    """

    name: Name
    pair: Name
    adopts: bool = False
    data_sets: Annotated[tuple[DataSetBody, ...], Meta(min_length=1, max_length=10_000)]

    def to_domain(self) -> tuple[DataSet, ...]:
        """Return the data sets; raise ``InvalidInput`` naming the first that cannot be protected."""
        return tuple(_data_set(f"data_sets[{number}]", wanted) for number, wanted in enumerate(self.data_sets))


class BackupBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """``at`` is an instant with its zone, ``now`` or ``soonest``; without a policy, the service's only one is meant."""

    policy: Name | None = None
    at: Annotated[str, Meta(min_length=1, max_length=64)] = "now"
    direction: Direction | None = None


class PlanBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """``at`` is an instant with its zone, or ``now``; without a policy, the service's only one is meant."""

    policy: Name | None = None
    at: Annotated[str, Meta(min_length=1, max_length=64)] = "now"


def _data_set(field: str, wanted: DataSetBody) -> DataSet:
    try:
        component(wanted.component)
    except InvalidInput as error:
        raise _inside(f"{field}.component", error) from None
    try:
        return DataSet.parse(wanted.component, wanted.name)
    except InvalidInput as error:
        raise _inside(f"{field}.name", error) from None


def _inside(field: str, error: InvalidInput) -> InvalidInput:
    return InvalidInput(field, error.message.removeprefix(f"{error.field}: "), remedy=error.remedy, code=error.code)


async def add(request: web.Request) -> web.Response:
    """Enter a service, or change its data sets."""
    wanted = await body(request, ServiceBody)
    commands = request.app[FACE].commands
    identity = await commands.add_service(caller(request), wanted.name, wanted.pair, wanted.to_domain(), wanted.adopts)
    return await changed(request, "service", identity)


async def list_all(request: web.Request) -> web.Response:
    """Answer a page of services."""
    return await page(request.app[FACE], "service", query(request, Page), {})


async def show(request: web.Request) -> web.Response:
    """Answer one service."""
    return answer(shown(await find(request.app[FACE], "service", request.match_info["name"])))


async def backup(request: web.Request) -> web.Response:
    """Plan a run of the service for a moment; answer the run, and in ``also_open`` others that are not over yet."""
    wanted = await body(request, BackupBody)
    face = request.app[FACE]
    identity = await face.commands.backup(
        caller(request),
        request.match_info["name"],
        policy=wanted.policy,
        moment_ms=moment_ms(wanted.at),
        direction=wanted.direction,
        is_soonest=wanted.at == SOONEST,
    )
    entry = await face.reads.get("run", identity)
    same = {"service_name": entry.summary["service_name"]}
    newest = await face.reads.list("run", same, limit=NEWEST_RUNS, after=None, newest_first=True)
    others = [str(run.id) for run in newest if run.id != identity and run.state not in ENDED]
    return answer({**shown(entry), "also_open": others}, HTTPStatus.ACCEPTED, location=f"/v1/runs/{identity}")


async def plan(request: web.Request) -> web.Response:
    """Look at both clusters; answer how much a backup would be, how long it would take, and what speaks against it."""
    wanted = await body(request, PlanBody)
    commands = request.app[FACE].commands
    name = request.match_info["name"]
    return answer(await commands.plan(caller(request), name, wanted.policy, moment_ms(wanted.at)))


ROUTES = (
    web.post("/v1/services", add),
    web.get("/v1/services", list_all),
    web.get("/v1/services/{name}", show),
    web.post("/v1/services/{name}/backups", backup),
    web.post("/v1/services/{name}/plan", plan),
)
