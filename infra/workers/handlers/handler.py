"""What the driver needs to know about a kind of aggregate.

Handlers run inside commands: they see a session of the store and change aggregates, nothing else. Besides the
aggregate they may load others that must be saved with it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar

from domain.instructing import Instructing
from domain.instruction import Wanted
from domain.pair.cluster import Cluster
from domain.stateful import Context
from domain.values.endpoints import Endpoints
from infra.store.session import Session
from infra.workers.sharing import Demand

A = TypeVar("A", bound=Instructing)

Outcome = Mapping[str, Any]
"""How an instruction ended; see ``infra.agent.protocol.outcome``."""


class Handler(ABC, Generic[A]):
    """The special part of driving one kind of aggregate."""

    aggregate_class: ClassVar[type[Instructing]]

    @abstractmethod
    def conclude(
        self,
        session: Session,
        context: Context,
        aggregate: A,
        instruction: str,
        outcome: Outcome,
        anchor: dict[str, Any],
    ) -> None:
        """Take the outcome of an instruction; ``anchor`` is the audit log's head just before."""

    @abstractmethod
    def clusters(self, aggregate: A) -> tuple[str, ...]:
        """The clusters that it concerns."""

    @abstractmethod
    def epoch(self, session: Session, aggregate: A) -> int:
        """The epoch that its next instructions carry."""

    @abstractmethod
    def waiting_for(self, aggregate: A) -> str:
        """What it waits for, in words."""

    def advance(self, session: Session, context: Context, aggregate: A, began: datetime) -> None:
        """Do what can be done without a cluster, at the time ``context.at``; this controller began at ``began``."""
        return

    def deadline(self, aggregate: A, began: datetime) -> datetime | None:
        """When ``advance`` should be called again even if nothing happens."""
        return None

    def milestone(self, context: Context, aggregate: A, instruction: str, name: str, facts: dict[str, Any]) -> None:
        """Take a named point that an agent reached."""
        return

    def stalled(self, context: Context, aggregate: A, wanted: Wanted, last_bytes: int, since_ms: int) -> None:
        """Take the news that an instruction has moved no byte for a while."""
        return

    def demand(self, session: Session, aggregate: A, wanted: Wanted) -> Demand | None:
        """What an instruction in bulk takes of the clusters; None for one that begins as soon as it is wanted."""
        return None

    def fails_unreachable(self, aggregate: A, wanted: Wanted) -> bool:
        """Whether a gateway that cannot be reached is a failure of the instruction; otherwise it is waited for."""
        return False


def endpoints_of(session: Session, *clusters: str) -> dict[str, Endpoints]:
    """Today's endpoints of clusters, by name; raises ``NotFound``."""
    return {name: session.load(Cluster, Cluster.identity(name)).endpoints for name in clusters}
