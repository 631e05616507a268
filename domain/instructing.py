"""Aggregates that have instructions carried out: what was sent, what failed, which attempt is next.

Ordering rule: ``Instructed`` is committed before an instruction is sent, and an attempt's number grows only by
``AttemptFailed``, which records a *known* failure. An outcome that is not known keeps the id: asking again attaches.

Nothing waits for ever without an alarm: an aggregate that has something open and gets nowhere for longer than its
``patience_seconds`` records ``Stalled``, whatever it waits for. Every event that says that it has got somewhere ends
the alarm; that an instruction is sent again, or fails again, says no such thing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from domain.instruction import Wanted
from domain.stateful import Context, Stateful

FIRST_DELAY_SECONDS = 2
LONGEST_DELAY_SECONDS = 300
MANY_FAILURES = 100
"""More than a working day of them: what is still tried then is tried once an hour, so that the log grows no faster."""
HOUR_SECONDS = 3_600
PATIENCE_SECONDS = 3_600
STALLED = "STALLED"


@dataclass(frozen=True)
class Sent:
    """What is needed to send an instruction again as the very same one, and to know when its spool may go."""

    cluster: str
    digest: str
    epoch: int
    not_after_ms: int


class Instructing(Stateful):
    """The base of aggregates with effects on clusters; ``next_instructions`` depends on state alone."""

    def __init__(self) -> None:
        super().__init__()
        self.instructed: dict[str, Sent] = {}
        self.failures: dict[str, int] = {}
        self.not_before: dict[str, datetime] = {}
        self.last_failure: dict[str, dict[str, Any]] = {}
        self.stopped: dict[str, dict[str, Any]] = {}
        self.moved_at: datetime | None = None
        self.stall: dict[str, Any] | None = None

    class Instructed(Stateful.Event):
        """An instruction is about to be sent; ``digest`` is that of its canonical form, for replay to compare.

        ``epoch`` and ``not_after_ms`` (on the cluster's clock) are in that form and are not known to the aggregate
        otherwise. The term is not in it: a later controller sends the same instruction.
        """

        instruction: str
        kind: str
        step: str
        cluster: str
        attempt: int
        digest: str
        epoch: int
        not_after_ms: int

        GETS_SOMEWHERE = False

        def evolve(self, aggregate: Instructing) -> None:
            """Remember what was sent, and where."""
            aggregate.instructed[self.instruction] = Sent(self.cluster, self.digest, self.epoch, self.not_after_ms)

    class AttemptFailed(Stateful.Event):
        """An instruction ended with a known failure and will be tried again under the next attempt's id.

        ``is_final``: it was refused for good, so the next attempt waits for a person.
        """

        instruction: str
        step: str
        code: str
        message: str
        remedy: str
        not_before: datetime
        is_final: bool = False

        GETS_SOMEWHERE = False

        def evolve(self, aggregate: Instructing) -> None:
            """Count the failure; the next attempt waits until ``not_before``, or for a person."""
            failure = {"code": self.code, "message": self.message, "remedy": self.remedy}
            aggregate.failures[self.step] = aggregate.failures.get(self.step, 0) + 1
            aggregate.not_before[self.step] = self.not_before
            aggregate.last_failure[self.step] = failure
            if self.is_final:
                aggregate.stopped[self.step] = failure

    class Stalled(Stateful.Event):
        """Nothing has moved since ``since``, for longer than anybody wants to wait; ``why`` is what could be seen."""

        since: datetime
        why: str

        GETS_SOMEWHERE = False

        def evolve(self, aggregate: Instructing) -> None:
            """Raise the alarm until something moves."""
            aggregate.stall = {"since_ms": int(self.since.timestamp() * 1000), "why": self.why}

    class SpoolsForgotten(Stateful.Event):
        """The gateways have forgotten instructions that can have no effect any more."""

        instructions: tuple[str, ...]

        GETS_SOMEWHERE = False

        def evolve(self, aggregate: Instructing) -> None:
            """Forget them here, too."""
            for instruction in self.instructions:
                aggregate.instructed.pop(instruction, None)

    @property
    def pair_id(self) -> UUID:
        """The pair that the instructions belong to."""
        raise NotImplementedError

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is wanted, or will be by itself: then what gateways keep of it may be forgotten."""
        return self.state in self.ALLOWED_IN["SpoolsForgotten"]

    def remember(self, event: Stateful.Event) -> None:
        """See ``Stateful``; keep besides when it got somewhere the last time, which ends an alarm."""
        super().remember(event)
        if event.GETS_SOMEWHERE:
            self.moved_at = event.timestamp
            self.stall = None

    @property
    def patience_seconds(self) -> int:
        """How long it may get nowhere before an alarm is raised."""
        return PATIENCE_SECONDS

    @property
    def waits_since(self) -> datetime:
        """Since when it has got nowhere."""
        return self.moved_at or self.created_on

    def patience_ends(self) -> datetime | None:
        """When an alarm is due; None where nothing is waited for, and while the alarm is raised."""
        if self.is_at_rest or self.stall is not None:
            return None
        return self.waits_since + timedelta(seconds=self.patience_seconds)

    def note_stall(self, context: Context, since: datetime, why: str) -> None:
        """Raise the alarm that nothing moves, and say since when and what can be seen of the reason."""
        self.note(self.Stalled, context, since=since, why=why)

    @property
    def way_on(self) -> str:
        """What a person can do about an alarm that nothing moves."""
        return "Remove what is in the way: it goes on by itself then, and the alarm ends."

    @property
    def alarms(self) -> list[dict[str, Any]]:
        """What a person has to do something about; of the form of a finding."""
        if self.stall is None:
            return []
        since = datetime.fromtimestamp(self.stall["since_ms"] / 1000, UTC).isoformat(timespec="seconds")
        return [
            {
                "code": STALLED,
                "subject": "",
                "message": f"it has got nowhere since {since}: {self.stall['why']}.",
                "remedy": self.way_on,
            }
        ]

    def sent_to(self, cluster: str) -> tuple[str, ...]:
        """The instructions that went to a cluster and that its gateway may still know, oldest first."""
        return tuple(instruction for instruction, sent in self.instructed.items() if sent.cluster == cluster)

    def next_instructions(self) -> tuple[Wanted, ...]:
        """What should be done now; none when the aggregate waits for a person or is at its end."""
        raise NotImplementedError

    def cluster_of(self, role: str) -> str:
        """The name of the cluster that has a role ("primary" or "secondary") in what is to be done."""
        raise NotImplementedError

    def wish(self, step: str, kind: str, role: str, payload: dict[str, Any], **more: Any) -> Wanted:
        """The present attempt of a step, on the cluster that has a role; ``more`` are further fields of ``Wanted``."""
        first = Wanted(self.id, step, kind, role, self.cluster_of(role), 1, payload, **more)
        step = first.wire_step
        return replace(
            first,
            attempt=self.attempt_of(step),
            not_before=self.not_before.get(step),
            is_stopped=step in self.stopped,
        )

    def attempt_of(self, step: str) -> int:
        """The number of the present attempt of a step, from 1."""
        return self.failures.get(step, 0) + 1

    def instruct(self, context: Context, wanted: Wanted, digest: str, epoch: int, not_after_ms: int) -> None:
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
            epoch=epoch,
            not_after_ms=not_after_ms,
        )

    def fail_attempt(
        self, context: Context, wanted: Wanted, failure: dict[str, Any], *, is_final: bool = False
    ) -> None:
        """Record a known failure that is worth another attempt, later each time (``delay_seconds``).

        With ``is_final`` it is not, before a person has done something about it and says so.
        """
        delay = delay_seconds(self.failures.get(wanted.wire_step, 0))
        self.note(
            self.AttemptFailed,
            context,
            instruction=wanted.id,
            step=wanted.wire_step,
            code=failure["code"],
            message=failure["message"],
            remedy=failure.get("remedy") or "",
            not_before=context.at + timedelta(seconds=delay),
            is_final=is_final,
        )

    def forget_spools(self, context: Context, instructions: tuple[str, ...]) -> None:
        """Record that gateways have forgotten these; raises ``Refused`` unless the aggregate is at rest."""
        self.note(self.SpoolsForgotten, context, instructions=instructions)

    def wants(self, instruction: str) -> Wanted | None:
        """The wish with this id if it still stands; an answer to a wish that no longer stands decides nothing."""
        return next((w for w in self.next_instructions() if w.id == instruction), None)


def delay_seconds(failures: int) -> int:
    """How long the next attempt waits after this many earlier failures: 2 s doubling to 5 min, at last an hour."""
    if failures >= MANY_FAILURES:
        return HOUR_SECONDS
    return int(min(FIRST_DELAY_SECONDS * 2**failures, LONGEST_DELAY_SECONDS))
