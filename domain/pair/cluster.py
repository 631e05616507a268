"""One cluster: its name and its endpoints, nothing else (its identity belongs to the pair)."""

from __future__ import annotations

from uuid import NAMESPACE_URL, UUID, uuid5

from domain.stateful import Context, Stateful
from domain.values.endpoints import Endpoints
from domain.values.names import check_name


class Cluster(Stateful):
    """Invariant: the name never changes; runs that were planned keep the endpoints that they were planned with."""

    ALLOWED_IN = {"EndpointsChanged": ("ACTIVE",)}

    class Registered(Stateful.Created):
        """The cluster was entered."""

        name: str
        endpoints: Endpoints

        def evolve(self, aggregate: Cluster) -> None:
            """Take name and endpoints."""
            aggregate.name = self.name
            aggregate.endpoints = self.endpoints

    class EndpointsChanged(Stateful.Event):
        """The cluster is reached in another way from now on."""

        endpoints: Endpoints

        def evolve(self, aggregate: Cluster) -> None:
            """Take the new endpoints."""
            aggregate.endpoints = self.endpoints

    def __init__(self) -> None:
        super().__init__()
        self.name = ""
        self.endpoints: Endpoints

    @staticmethod
    def identity(name: str) -> UUID:
        """The id of the cluster with this name."""
        return uuid5(NAMESPACE_URL, f"understudy:cluster:{name}")

    @classmethod
    def register(cls, context: Context, name: str, endpoints: Endpoints) -> Cluster:
        """Enter a cluster; raise ``InvalidInput`` for a name that cannot be accepted."""
        check_name("cluster.name", name)
        return cls.begin(cls.Registered, cls.identity(name), context, name=name, endpoints=endpoints)

    def change_endpoints(self, context: Context, endpoints: Endpoints) -> None:
        """Record new endpoints, unless they are the same."""
        if endpoints != self.endpoints:
            self.note(self.EndpointsChanged, context, endpoints=endpoints)
