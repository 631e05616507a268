"""Forms pairs: has the markers written."""

from __future__ import annotations

from typing import Any

from domain.pair.pair import FORMING, ClusterPair
from domain.stateful import Context
from infra.store.session import Session
from infra.workers.handlers.handler import Handler, Outcome


class PairHandler(Handler[ClusterPair]):
    """A pair wants one marker after the other."""

    aggregate_class = ClusterPair

    def conclude(
        self,
        session: Session,
        context: Context,
        aggregate: ClusterPair,
        instruction: str,
        outcome: Outcome,
        anchor: dict[str, Any],
    ) -> None:
        """Assign the identity whose marker stands, or try again."""
        aggregate.conclude(context, instruction, dict(outcome))

    def clusters(self, aggregate: ClusterPair) -> tuple[str, ...]:
        """Both members."""
        return tuple(aggregate.members)

    def epoch(self, session: Session, aggregate: ClusterPair) -> int:
        """The pair's own."""
        return aggregate.epoch

    def waiting_for(self, aggregate: ClusterPair) -> str:
        """Which marker is to be written, and what is to be taken over by a person."""
        if aggregate.state != FORMING:
            return ""
        markers = [f"the identity marker of {wanted.cluster}" for wanted in aggregate.next_instructions()]
        left = [f"another take-over, of {name}, which could not be reached" for name in aggregate.not_reached]
        return ", ".join([*markers, *left])
