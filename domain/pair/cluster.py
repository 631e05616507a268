"""One cluster: its name, its endpoints, its limits, and the pair it belongs to (which says what its identity is)."""

from __future__ import annotations

from uuid import NAMESPACE_URL, UUID, uuid5

from domain.errors import Conflict
from domain.stateful import Context, Stateful
from domain.values.endpoints import Endpoints
from domain.values.limits import Limits
from domain.values.names import check_name


class Cluster(Stateful):
    """Invariant: the name never changes; it belongs to one pair at most, and never to another one."""

    ALLOWED_IN = {"EndpointsChanged": ("ACTIVE",), "LimitsChanged": ("ACTIVE",), "JoinedPair": ("ACTIVE",)}

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

    class LimitsChanged(Stateful.Event):
        """Everything together may take so much of it from now on, also what is at work already."""

        limits: Limits

        def evolve(self, aggregate: Cluster) -> None:
            """Take the new limits."""
            aggregate.limits = self.limits

    class JoinedPair(Stateful.Event):
        """It stands in for another cluster, or is stood in for, from now on."""

        pair: UUID

        def evolve(self, aggregate: Cluster) -> None:
            """Remember the pair."""
            aggregate.pair = self.pair

    def __init__(self) -> None:
        super().__init__()
        self.name = ""
        self.pair: UUID | None = None
        self.endpoints: Endpoints
        self.limits = Limits()

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

    def change_limits(self, context: Context, limits: Limits) -> None:
        """Record other limits, unless they are the same; raise ``InvalidInput`` for one that cannot be accepted."""
        limits.validate()
        if limits != self.limits:
            self.note(self.LimitsChanged, context, limits=limits)

    def join(self, context: Context, pair: UUID) -> None:
        """Become a member of a pair; raise ``Conflict`` if it is a member of another."""
        if self.pair is not None and self.pair != pair:
            raise Conflict(
                "IN_ANOTHER_PAIR",
                f"cluster {self.name} belongs to another pair.",
                remedy="A cluster has one identity, so it belongs to one pair: name another cluster.",
            )
        if self.pair is None:
            self.note(self.JoinedPair, context, pair=pair)
