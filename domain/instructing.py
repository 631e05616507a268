"""Aggregates that have instructions carried out: what was sent, what failed, which attempt is next.

Ordering rule: ``Instructed`` is committed before an instruction is sent, and an attempt's number grows only by
``AttemptFailed``, which records a *known* failure. An outcome that is not known keeps the id: asking again attaches.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from domain.instruction import Wanted
from domain.stateful import Context, Stateful

FIRST_DELAY_SECONDS = 2
LONGEST_DELAY_SECONDS = 300


class Instructing(Stateful):
    """The base of aggregates with effects on clusters; ``next_instructions`` depends on state alone."""

    def __init__(self) -> None:
        super().__init__()
        self.instructed: dict[str, str] = {}
        self.sent_to: dict[str, list[str]] = {}
        self.failures: dict[str, int] = {}
        self.not_before: dict[str, datetime] = {}
        self.last_failure: dict[str, dict[str, Any]] = {}

    class Instructed(Stateful.Event):
        """An instruction is about to be sent; ``digest`` is that of its canonical form, for replay to compare."""

        instruction: str
        kind: str
        step: str
        cluster: str
        attempt: int
        digest: str
        not_after_ms: int

        def evolve(self, aggregate: Instructing) -> None:
            """Remember the id with its digest, and the cluster that it went to."""
            aggregate.instructed[self.instruction] = self.digest
            aggregate.sent_to.setdefault(self.cluster, []).append(self.instruction)

    class AttemptFailed(Stateful.Event):
        """An instruction ended with a known failure and will be tried again under the next attempt's id."""

        instruction: str
        step: str
        code: str
        message: str
        remedy: str
        not_before: datetime

        def evolve(self, aggregate: Instructing) -> None:
            """Count the failure; the next attempt waits until ``not_before``."""
            aggregate.failures[self.step] = aggregate.failures.get(self.step, 0) + 1
            aggregate.not_before[self.step] = self.not_before
            aggregate.last_failure[self.step] = {"code": self.code, "message": self.message, "remedy": self.remedy}

    def next_instructions(self) -> tuple[Wanted, ...]:
        """What should be done now; none when the aggregate waits for a person or is at its end."""
        raise NotImplementedError

    def attempt_of(self, step: str) -> int:
        """The number of the present attempt of a step, from 1."""
        return self.failures.get(step, 0) + 1

    def instruct(self, context: Context, wanted: Wanted, digest: str, not_after_ms: int) -> None:
        """Record that ``wanted`` is about to be sent; repeating it for the same id changes nothing."""
        if wanted.id in self.instructed:
            return
        self.note(
            self.Instructed,
            context,
            instruction=wanted.id,
            kind=wanted.kind,
            step=wanted.wire_step,
            cluster=wanted.cluster,
            attempt=wanted.attempt,
            digest=digest,
            not_after_ms=not_after_ms,
        )

    def fail_attempt(self, context: Context, wanted: Wanted, failure: dict[str, Any]) -> None:
        """Record a known failure that is worth another attempt, later each time (2 s doubling to 5 min)."""
        delay = min(FIRST_DELAY_SECONDS * 2 ** self.failures.get(wanted.wire_step, 0), LONGEST_DELAY_SECONDS)
        self.note(
            self.AttemptFailed,
            context,
            instruction=wanted.id,
            step=wanted.wire_step,
            code=failure["code"],
            message=failure["message"],
            remedy=failure.get("remedy", ""),
            not_before=context.at + timedelta(seconds=delay),
        )

    def wants(self, instruction: str) -> Wanted | None:
        """The wish with this id if it still stands; an answer to a wish that no longer stands decides nothing."""
        return next((w for w in self.next_instructions() if w.id == instruction), None)
