"""Says before anything moves how much a backup is and how long it will take: what ``understudy plan`` asks for.

Both clusters are looked at as a run would, and nothing is changed there. What copies of the pair have reached before is
in the log. Nothing else goes into a prediction; see ``domain.protection.sizing``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from domain import preflight
from domain.errors import InvalidInput
from domain.pair.cluster import Cluster
from domain.pair.identity import PRIMARY, SECONDARY
from domain.pair.pair import ClusterPair
from domain.preflight.finding import Facts
from domain.protection.backup_run.run import BackupRun
from domain.protection.backup_run.states import COMPLETED, STAGING
from domain.protection.policy import BackupPolicy, Settings
from domain.protection.replica import Replica
from domain.protection.service import Service
from domain.protection.sizing import FORMULA, NEWEST_COPIES, Copied, Rates, forecast, measured, size_of
from domain.stateful import Context
from infra.control_plane.checking import Place, check
from infra.control_plane.conditions import moment
from infra.control_plane.run_page import durations
from infra.store.queries import Queries
from infra.store.session import Session
from infra.workers.driver import Equipment
from infra.workers.handlers.handler import endpoints_of


@dataclass(frozen=True)
class Question:
    """What is to be planned, out of the store: the policy's settings, both sides, and what is there already."""

    service: UUID
    service_name: str
    adopts: bool
    policy_name: str
    settings: Settings
    pair: UUID
    names: Mapping[str, str]
    epoch: int
    places: Mapping[str, Place]
    moment_ms: int
    limit_bytes_per_second: int | None
    is_first: bool


def question(session: Session, context: Context, service: UUID, policy: UUID, moment_ms: int | None) -> Question:
    """Load all of it; raises ``Refused`` for a moment out of reach, and while the pair is forming."""
    protected, chosen = session.load(Service, service), session.load(BackupPolicy, policy)
    pair = session.load(ClusterPair, protected.pair)
    names = {"primary": pair.cluster_with(PRIMARY), "secondary": pair.cluster_with(SECONDARY)}
    endpoints = endpoints_of(session, *names.values())
    sites = {role: endpoints[name] for role, name in names.items()}
    patterns = tuple(data_set.to_wire() for data_set in protected.data_sets)
    at_ms = moment(context, chosen.settings.lead_seconds * 1000, moment_ms)
    replica = session.find(Replica, Replica.identity(service, names["secondary"]))
    return Question(
        service=service,
        service_name=protected.name,
        adopts=protected.adopts,
        policy_name=chosen.name,
        settings=chosen.settings,
        pair=pair.id,
        names=names,
        epoch=pair.epoch,
        places={role: Place(name, role, pair.id, pair.epoch, sites, names, patterns) for role, name in names.items()},
        moment_ms=at_ms,
        limit_bytes_per_second=bandwidth_at(session, chosen.settings, tuple(names.values()), at_ms),
        is_first=replica is None or not replica.kept,
    )


def bandwidth_at(session: Session, settings: Settings, clusters: tuple[str, ...], moment_ms: int) -> int | None:
    """The lowest of the limits that the policy and the clusters set to a copy that begins then; None without any."""
    at = datetime.fromtimestamp(moment_ms / 1000, UTC)
    limits = [session.load(Cluster, Cluster.identity(name)).limits.at(at).bytes_per_second for name in clusters]
    return min((limit for limit in (*limits, settings.bytes_per_second) if limit is not None), default=None)


async def rates_between(queries: Queries, pair: UUID) -> Rates | None:
    """What the newest completed runs of a pair have reached; None when none of them has moved anything."""
    newest = {"pair": str(pair), "state": COMPLETED}
    runs = await queries.list("BackupRun", newest, limit=NEWEST_COPIES, newest_first=True)
    return measured([await _copied(queries, run.id, run.summary["totals"]) for run in runs])


async def _copied(queries: Queries, run: UUID, totals: Mapping[str, Any]) -> Copied:
    spans = durations(await queries.history(run), BackupRun.INITIAL_STATE)
    seconds = sum(span["seconds"] or 0.0 for span in spans if span["state"] == STAGING)
    return Copied(totals["bytes_moved"], totals["files_moved"], seconds)


async def plan(asked: Question, queries: Queries, equipment: Equipment, term: int) -> dict[str, Any]:
    """The plan as plain JSON values; raises what looking at a cluster raises."""
    primary, secondary, rates = await asyncio.gather(
        check(asked.places["primary"], equipment, term, {"sizes": True}),
        check(asked.places["secondary"], equipment, term, {"adopts": True} if asked.adopts else {}),
        rates_between(queries, asked.pair),
    )
    size = size_of(primary["data_sets"])
    predicted = None
    if asked.is_first and size is not None:
        predicted = forecast(size, rates, asked.limit_bytes_per_second, is_most=asked.adopts)
    return {
        "service": asked.service_name,
        "policy": asked.policy_name,
        "direction": asked.settings.direction,
        **asked.names,
        "moment_ms": asked.moment_ms,
        "first_copy": asked.is_first,
        "data_sets": _data_sets(primary, secondary),
        "total": asdict(size) if size is not None else None,
        "forecast": asdict(predicted) if predicted is not None else None,
        "formula": FORMULA,
        "last_run": None if asked.is_first else await _last_run(queries, asked.service),
        "findings": [finding.to_json() for finding in preflight.judge_facts(_facts(asked, primary, secondary))],
    }


def _data_sets(primary: Mapping[str, Any], secondary: Mapping[str, Any]) -> list[dict[str, Any]]:
    stands = {one["id"]: one.get("stands") for one in secondary["data_sets"]}
    try:
        found = preflight.resolved_data_sets(primary)
    except InvalidInput:
        return []  # the findings tell
    sizes = {one["id"]: one.get("size") for one in primary["data_sets"]}
    return [{**one.to_wire(), "name": one.name, "size": sizes[one.id], "stands": stands.get(one.id)} for one in found]


def _facts(asked: Question, primary: Mapping[str, Any], secondary: Mapping[str, Any]) -> Facts:
    return Facts(
        primary=primary,
        secondary=secondary,
        names=asked.names,
        pair=asked.pair.hex,
        epoch=asked.epoch,
        max_skew_ms=asked.settings.max_skew_ms,
        hooks=asked.settings.hooks,
        adopts=asked.adopts,
    )


async def _last_run(queries: Queries, service: UUID) -> dict[str, Any] | None:
    """What the newest completed run has moved, of how much, and how long that took."""
    newest = {"service": str(service), "state": COMPLETED}
    for run in await queries.list("BackupRun", newest, limit=1, newest_first=True):
        copied = await _copied(queries, run.id, run.summary["totals"])
        whole = {name: run.summary["totals"][name] for name in ("bytes", "files")}
        return {"run": str(run.id), **whole, "bytes_moved": copied.bytes, "files_moved": copied.files,
                "seconds": copied.seconds}  # fmt: skip
    return None
