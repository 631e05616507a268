"""What a command must find before it may decide: who is meant, when, and what may not be named."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from domain.errors import InvalidInput, NotFound, Refused
from domain.pair.cluster import Cluster
from domain.pair.identity import PRIMARY
from domain.pair.pair import ClusterPair
from domain.protection.backup_run.run import BackupRun
from domain.protection.backup_run.states import ENDED
from domain.protection.lead import Preparation, soonest_ms
from domain.protection.pause import EVERYTHING
from domain.protection.service import Service
from domain.stateful import Context, Stateful
from domain.values.data_set import DataSet
from domain.values.endpoints import Endpoints
from infra.control_plane.checking import Place
from infra.store.queries import Queries
from infra.store.session import Session
from infra.workers.handlers.handler import endpoints_of

A = TypeVar("A", bound=Stateful)

FARTHEST_MOMENT = timedelta(days=31)
NEWEST_LOOKED_AT = 10


def check_scope(session: Session, scope: str) -> None:
    """Raise unless a scope names something."""
    kind, _, name = scope.partition(":")
    kinds: dict[str, type[Cluster | Service]] = {"cluster": Cluster, "service": Service}
    if kind in kinds and name:
        load(session, kinds[kind], kinds[kind].identity(name), kind, name)
    elif scope != EVERYTHING:
        raise InvalidInput("scope", f"{scope!r} is no scope.", remedy="Write all, cluster:NAME or service:NAME.")


async def soonest_lead_ms(queries: Queries, service: UUID) -> int:
    """How far ahead the soonest moment of a service lies, by its newest runs."""
    runs = await queries.list("BackupRun", {"service": str(service)}, limit=NEWEST_LOOKED_AT, newest_first=True)
    newest = []
    for run in runs:
        is_too_late = (run.summary["failure"] or {}).get("code") == "MOMENT_MISSED"
        armed_after_ms = None if is_too_late else run.summary["armed_after_ms"]
        if is_too_late or armed_after_ms is not None:
            newest.append(Preparation(run.summary["lead_ms"], armed_after_ms))
    return soonest_ms(newest)


def moment(context: Context, lead_ms: int, moment_ms: int | None) -> int:
    """The moment that is meant, None being ``lead_ms`` ahead; raises ``Refused`` for one out of reach."""
    now_ms = int(context.at.timestamp() * 1000)
    if moment_ms is None:
        return now_ms + lead_ms
    if moment_ms <= now_ms:
        raise Refused(
            "MOMENT_PAST",
            f"the moment passed {timedelta(seconds=(now_ms - moment_ms) // 1000)} (h:mm:ss) ago.",
            remedy="Choose a moment to come, far enough away for the checks.",
        )
    if moment_ms - now_ms > FARTHEST_MOMENT / timedelta(milliseconds=1):
        raise Refused(
            "MOMENT_FAR",
            f"the moment is more than {FARTHEST_MOMENT.days} days away.",
            remedy="Choose an earlier one: agents wait for it on the gateway all the time.",
        )
    return moment_ms


def was_done(session: Session, pair: UUID, command_id: UUID) -> bool:
    """Whether a command about a pair is a repeated one: it gets its first answer, whatever is the case by now."""
    found = session.find(ClusterPair, pair)
    return found is not None and found.answer_to(command_id) is not None


def is_over(session: Session, run: UUID) -> bool:
    """Whether nothing of a run is under way any more."""
    found = session.find(BackupRun, run)
    return found is None or found.state in ENDED


def refuse_hbases_own(
    session: Session, pair: ClusterPair, data_sets: tuple[DataSet, ...], field: str = "data_sets"
) -> None:
    """HBase's files make sense together with its tables alone, and change under every copy."""
    for cluster in pair.intended:
        hbase = session.load(Cluster, Cluster.identity(cluster)).endpoints.hbase
        if hbase is None:
            continue
        root = DataSet("hdfs", hbase.root)
        for data_set in data_sets:
            if data_set.overlaps(root):
                raise InvalidInput(
                    field,
                    f"{data_set} would take in files of HBase, whose directory on {cluster} is {hbase.root}.",
                    remedy="Name the tables (--hbase), and directories that hold data of their own.",
                    code="HBASE_DIRECTORY",
                )


def place_of(session: Session, name: str) -> Place:
    """Where a cluster stands, for looking at it."""
    cluster = load(session, Cluster, Cluster.identity(name), "cluster", name)
    if cluster.pair is None:
        sites = {"primary": cluster.endpoints}
        return Place(name, "primary", None, 0, sites, {"primary": name}, ())
    pair = session.load(ClusterPair, cluster.pair)
    names = {"primary" if identity == PRIMARY else "secondary": one for one, identity in pair.intended.items()}
    role = next(role for role, one in names.items() if one == name)
    endpoints = endpoints_of(session, *names.values())
    claimed = tuple(data_set.to_wire() for data_sets in pair.claims.values() for data_set in data_sets)
    sites = {role: endpoints[one] for role, one in names.items()}
    return Place(name, role, pair.id, pair.epoch, sites, names, claimed)


def losses_of(run: BackupRun, data_set: str, offset: int) -> tuple[Place, dict[str, Any]]:
    """Where the list lies of what a run would take from a tree that it takes over, and what to ask for there."""
    found = next((one for one in run.data_sets if one.id == data_set and run.adopted(one)), None)
    if found is None:
        message = f"run {run.id} takes over nothing at a data set with the id {data_set[:80]!r}."
        raise Refused("NO_LIST", message, remedy="Only a first run of an adopted service has such lists.")
    name = run.plan.secondary
    sites = {"secondary": run.plan.endpoints[name]}
    place = Place(name, "secondary", run.pair_id, run.plan.epoch, sites, {"secondary": name}, ())
    told = {"sites": {"secondary": run.sites["secondary"]}, "data_set": found.to_wire()}
    return place, {**told, "staging": run.staging, "offset": offset}


def endpoints_of_named(session: Session, *names: str) -> dict[str, Endpoints]:
    """Today's endpoints of clusters that a person names."""
    return {name: load(session, Cluster, Cluster.identity(name), "cluster", name).endpoints for name in names}


def load(session: Session, kind: type[A], identity: UUID, word: str, name: str = "") -> A:
    """The aggregate with this id; raises ``NotFound`` with the word that people use for it."""
    found = session.find(kind, identity)
    if found is None:
        raise NotFound(word, name or str(identity))
    return found
