"""A recovery point: a verified, restorable state of a whole service on the secondary.

Invariant: it is AVAILABLE only after its run had every proof. Expiry is an intent first (EXPIRING) and a fact (EXPIRED)
only when both clusters said that the snapshots are gone. It is not expired while it is open.

Opening makes it readable under scratch names on the secondary (snapshot paths, cloned tables); closing removes them.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from domain.errors import Refused
from domain.instructing import Instructing
from domain.instruction import Wanted
from domain.stateful import Context, Rule, Stateful
from domain.values.data_set import DataSet
from domain.values.endpoints import Endpoints

AVAILABLE = "AVAILABLE"
OPENING = "OPENING"
OPEN = "OPEN"
CLOSING = "CLOSING"
EXPIRING = "EXPIRING"
EXPIRED = "EXPIRED"
DAMAGED = "DAMAGED"
BUSY = (OPENING, CLOSING, EXPIRING)


class RecoveryPoint(Instructing):
    """The result of one completed run."""

    INITIAL_STATE = AVAILABLE
    STATES = (AVAILABLE, OPENING, OPEN, CLOSING, EXPIRING, EXPIRED, DAMAGED)
    RULES = (
        Rule("open", (AVAILABLE,), OPENING, "OpeningStarted"),
        Rule("opened", (OPENING,), OPEN, "Opened"),
        Rule("close", (OPENING, OPEN), CLOSING, "ClosingStarted"),
        Rule("closed", (CLOSING,), AVAILABLE, "Closed"),
        Rule("expire", (AVAILABLE, DAMAGED), EXPIRING, "ExpiryIntended"),
        Rule("expired", (EXPIRING,), EXPIRED, "Expired"),
        Rule("damage", (AVAILABLE,), DAMAGED, "DamageFound"),
    )
    ALLOWED_IN = {
        "SideExpired": (EXPIRING,),
        "OpeningAborted": (CLOSING,),
        "Instructed": BUSY,
        "AttemptFailed": BUSY,
        "SpoolsForgotten": (AVAILABLE, OPEN, EXPIRED, DAMAGED),
    }

    class Established(Stateful.Created):
        """A run completed; ``evidence`` is what its sealed manifest says."""

        run: UUID
        service: UUID
        pair: UUID
        primary: str
        secondary: str
        endpoints: dict[str, Endpoints]
        snapshot: str
        moment_ms: int
        data_sets: tuple[DataSet, ...]
        manifest_sha256: str
        evidence: dict[str, Any]

        def evolve(self, aggregate: RecoveryPoint) -> None:
            """Take what is known for good."""
            aggregate.made = self
            aggregate.endpoints = dict(self.endpoints)

    class OpeningStarted(Stateful.Moved):
        """A person wants to read it; ``endpoints`` are those of today."""

        endpoints: dict[str, Endpoints]

        def evolve(self, aggregate: RecoveryPoint) -> None:
            """Every opening has scratch names of its own."""
            aggregate.openings += 1
            aggregate.failure = None
            aggregate.endpoints = dict(self.endpoints)

    class Opened(Stateful.Moved):
        """It is readable under the told names."""

        readable: dict[str, Any]

        def evolve(self, aggregate: RecoveryPoint) -> None:
            """Keep where to look."""
            aggregate.readable = self.readable

    class ClosingStarted(Stateful.Moved):
        """It is not needed open any more, or could not be opened."""

        endpoints: dict[str, Endpoints]
        failure: dict[str, Any] | None

        def evolve(self, aggregate: RecoveryPoint) -> None:
            """Remember why it could not be opened, or that the opening may be going on."""
            aggregate.endpoints = dict(self.endpoints)
            aggregate.failure = self.failure
            if self.from_state == OPENING and self.failure is None:
                aggregate.to_abort = aggregate.sent_to(aggregate.made.secondary)

    class OpeningAborted(Stateful.Event):
        """What was opening it has ended and can make nothing any more."""

        def evolve(self, aggregate: RecoveryPoint) -> None:
            """Go on to the removal."""
            aggregate.to_abort = ()

    class Closed(Stateful.Moved):
        """Nothing of the opening is left."""

        def evolve(self, aggregate: RecoveryPoint) -> None:
            """Forget the scratch names."""
            aggregate.readable = {}

    class ExpiryIntended(Stateful.Moved):
        """It is to be removed from both clusters, and is no base or choice from now on."""

        reason: str
        endpoints: dict[str, Endpoints]

        def evolve(self, aggregate: RecoveryPoint) -> None:
            """Both sides are to be cleaned."""
            aggregate.endpoints = dict(self.endpoints)
            aggregate.expiry_reason = self.reason
            aggregate.sides_left = ["primary", "secondary"]

    class SideExpired(Stateful.Event):
        """One cluster has nothing of it any more."""

        role: str

        def evolve(self, aggregate: RecoveryPoint) -> None:
            """Cross the side off."""
            aggregate.sides_left.remove(self.role)

    class Expired(Stateful.Moved):
        """Nothing of it is left."""

    class DamageFound(Stateful.Moved):
        """A later verification found it damaged."""

        failure: dict[str, Any]

        def evolve(self, aggregate: RecoveryPoint) -> None:
            """Keep what was found."""
            aggregate.failure = self.failure

    class Instructed(Instructing.Instructed):
        """An instruction about it is about to be sent."""

    class AttemptFailed(Instructing.AttemptFailed):
        """An instruction about it failed and is tried again."""

    class SpoolsForgotten(Instructing.SpoolsForgotten):
        """The gateways have forgotten what was asked of them about it."""

    def __init__(self) -> None:
        super().__init__()
        self.made: RecoveryPoint.Established
        self.openings = 0
        self.readable: dict[str, Any] = {}
        self.failure: dict[str, Any] | None = None
        self.expiry_reason = ""
        self.sides_left: list[str] = []
        self.endpoints: dict[str, Endpoints] = {}
        self.to_abort: tuple[str, ...] = ()

    @classmethod
    def establish(cls, context: Context, identity: UUID, **facts: Any) -> RecoveryPoint:
        """Make it available; only a run that completes does this, in the same save."""
        return cls.begin(cls.Established, identity, context, **facts)

    @property
    def pair_id(self) -> UUID:
        """The pair whose clusters hold it."""
        return self.made.pair

    @property
    def scratch(self) -> str:
        """The prefix of the names of the present opening; unique per recovery point and opening."""
        return f"understudy_scratch_{self.id.hex[:12]}_{self.openings}"

    def next_instructions(self) -> tuple[Wanted, ...]:
        """Open, close, or remove from each side."""
        common = {"data_sets": [d.to_wire() for d in self.made.data_sets]}
        if self.state == OPENING:
            payload = {**common, "snapshot": self.made.snapshot, "scratch": self.scratch}
            return (self._wanted(f"open-{self.openings}", "OpenCopies", "secondary", self._at("secondary", payload)),)
        if self.state == CLOSING and self.to_abort:
            abort = {"instructions": list(self.to_abort)}
            return (self._wanted(f"abort-{self.openings}", "Abort", "secondary", abort),)
        if self.state == CLOSING:
            payload = {**common, "scratch": self.scratch}
            return (self._wanted(f"close-{self.openings}", "CloseCopies", "secondary", self._at("secondary", payload)),)
        if self.state == EXPIRING:
            return tuple(self._remove(role, common) for role in self.sides_left)
        return ()

    def _remove(self, role: str, common: dict[str, Any]) -> Wanted:
        payload = {
            **common,
            "snapshot": self.made.snapshot,
            "staging": None,
            "recovery_point": self.id.hex if role == "secondary" else None,
        }
        return self._wanted(f"expire-{role}", "RemoveSnapshots", role, self._at(role, payload))

    def _cluster_of(self, role: str) -> str:
        return self.made.primary if role == "primary" else self.made.secondary

    def _at(self, role: str, payload: dict[str, Any]) -> dict[str, Any]:
        cluster = self._cluster_of(role)
        return {"sites": {role: self.endpoints[cluster].to_site(cluster)}, **payload}

    def _wanted(self, step: str, kind: str, role: str, payload: dict[str, Any]) -> Wanted:
        return Wanted(
            owner=self.id,
            step=step,
            kind=kind,
            role=role,
            cluster=self._cluster_of(role),
            attempt=self.attempt_of(step),
            payload=payload,
            not_before=self.not_before.get(step),
        )

    def open(self, context: Context, endpoints: dict[str, Endpoints]) -> None:
        """Begin to make it readable."""
        self.fire("open", context, endpoints=endpoints)

    def close(self, context: Context, endpoints: dict[str, Endpoints]) -> None:
        """Begin to remove what an opening made."""
        self.fire("close", context, endpoints=endpoints, failure=None)

    def expire(self, context: Context, reason: str, endpoints: dict[str, Endpoints]) -> None:
        """Begin to remove it; raises ``Refused`` while it is open."""
        self.fire("expire", context, reason=reason, endpoints=endpoints)

    def conclude(self, context: Context, instruction: str, outcome: dict[str, Any]) -> None:
        """Take the outcome of an instruction; one that no longer stands decides nothing."""
        wanted = self.wants(instruction)
        if wanted is None:
            return
        failure = outcome["failure"]
        if failure is not None:
            if self.state == OPENING:
                self.fire("close", context, endpoints=self.endpoints, failure=dict(failure))
            else:
                self.fail_attempt(context, wanted, failure)
        elif self.state == OPENING:
            self.fire("opened", context, readable=outcome["result"]["data_sets"])
        elif self.state == CLOSING and self.to_abort:
            self.note(self.OpeningAborted, context)
        elif self.state == CLOSING:
            self.fire("closed", context)
        else:
            self.note(self.SideExpired, context, role=wanted.role)
            if not self.sides_left:
                self.fire("expired", context)

    def refuse_if_gone(self) -> None:
        """Raise ``Refused`` unless it can still be used."""
        if self.state in (EXPIRING, EXPIRED, DAMAGED):
            raise Refused(
                "NOT_AVAILABLE", f"recovery point {self.id} is {self.state}.", remedy="Choose one that is AVAILABLE."
            )
