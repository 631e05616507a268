"""Small complete values for tests of the domain: contexts, clusters, a pair, a service, a policy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from domain.pair.pair import ClusterPair
from domain.protection.policy import BackupPolicy, Settings
from domain.protection.service import Service
from domain.stateful import Context
from domain.values.data_set import DataSet
from domain.values.endpoints import Endpoints, Gateway, HBase
from tests.domain.honest import shown

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SPACE = UUID("00000000-0000-4000-8000-000000000001")

ORDERS = DataSet("hdfs", "/data/orders")
ACCOUNTS = DataSet("hbase", "shop:accounts")
CARTS = DataSet("hbase", "shop:carts")
DATA_SETS = (ORDERS, ACCOUNTS, CARTS)


class Contexts:
    """Makes contexts with ids and times that follow one another."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, *, at: datetime | None = None) -> Context:
        self._count += 1
        return Context(
            command_id=uuid5(SPACE, str(self._count)),
            at=at or NOW + timedelta(seconds=self._count),
            actor="ann",
            request_id=f"request-{self._count}",
            cause="",
            code_version="1",
        )


def endpoints(name: str) -> Endpoints:
    """A cluster with one NameNode and HBase."""
    gateway = Gateway(f"{name}-gateway", 22, "understudy", "ssh-ed25519 AAAA", "/keys/id", "/var/spool/understudy")
    return Endpoints(gateway, (f"http://{name}:9870",), HBase())


ENDPOINTS = {name: endpoints(name) for name in ("north", "south")}


def new_pair(contexts: Contexts) -> ClusterPair:
    """A pair whose markers are not written yet."""
    return ClusterPair.form(contexts(), "main", "north", "south", ENDPOINTS)


def succeeded(result: dict[str, Any] | None = None) -> dict[str, Any]:
    """The outcome of an instruction that did what it should."""
    return {"status": "succeeded", "result": result or {}, "failure": None}


def failed(code: str, **more: Any) -> dict[str, Any]:
    """The outcome of an instruction that did not."""
    failure = {"code": code, "message": f"{code} happened", "remedy": "Look.", "data_set": None, "detail": {}, **more}
    return {"status": "failed", "result": None, "failure": failure}


def steady_pair(contexts: Contexts) -> ClusterPair:
    """A pair whose markers stand."""
    pair = new_pair(contexts)
    for _ in range(2):
        (wanted,) = pair.next_instructions()
        pair.conclude(contexts(), wanted.id, succeeded(shown(wanted)))
    return pair


def new_service(contexts: Contexts, data_sets: tuple[DataSet, ...] = DATA_SETS) -> Service:
    """A service with one directory and two tables."""
    return Service.define(contexts(), "shop", new_pair(contexts), data_sets)


def new_policy(contexts: Contexts, service: Service, **settings: Any) -> BackupPolicy:
    """A policy of the service; ``settings`` differ from the default."""
    return BackupPolicy.enter(contexts(), "nightly", service, Settings(**settings))
