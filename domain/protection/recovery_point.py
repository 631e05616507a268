"""A recovery point: a verified, restorable state of a whole service on the secondary.

Invariant: it is AVAILABLE only after its run had every proof. Expiry is an intent first (EXPIRING) and a fact (EXPIRED)
only when both clusters said that the snapshots are gone. It is not expired while it is open.

Opening makes it readable under scratch names on the secondary (snapshot paths, cloned tables); closing removes them.

Its manifest and the audit anchor stand on the secondary before it exists. The primary is *owed* the same two files: it
gets them whenever it can be reached, in whatever state the recovery point is, and nothing ever waits for that. When it
expires before, an instruction that may still be writing there is ended first, so nothing is left behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from domain import answers
from domain.errors import Refused
from domain.instructing import Instructing
from domain.instruction import Wanted
from domain.protection.scratch import scratch_name
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
LIVING = (AVAILABLE, OPENING, OPEN, CLOSING, DAMAGED)

OWED = "OWED"
WRITTEN = "WRITTEN"
GIVEN_UP = "GIVEN_UP"
NOT_OWED_ANY_MORE = frozenset({"INVALID_PAYLOAD", "MALFORMED", "MARKER_MISMATCH", "SEAL_DIFFERS", "TOO_LARGE"})
"""Failures of sealing on the primary that another attempt would only repeat: most of all, it is no primary any more."""


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
        "Aborted": (CLOSING, EXPIRING),
        "DamageNoted": (OPENING, OPEN, CLOSING),
        "PrimarySealed": LIVING,
        "PrimaryGivenUp": LIVING,
        "Instructed": (*LIVING, EXPIRING),
        "AttemptFailed": (*LIVING, EXPIRING),
        "Stalled": (*LIVING, EXPIRING),
        "SpoolsForgotten": (AVAILABLE, OPEN, EXPIRED, DAMAGED),
    }

    class Established(Stateful.Created):
        """A run completed; ``evidence`` is what its sealed manifest says, ``anchor`` what is sealed beside it."""

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
        anchor: dict[str, Any]

        def evolve(self, aggregate: RecoveryPoint) -> None:
            """Take what is known for good."""
            aggregate.made = self
            aggregate.endpoints = dict(self.endpoints)

    class OpeningStarted(Stateful.Moved):
        """A person wants to read it; ``endpoints`` are those of today, its clones' names begin with ``scratch``."""

        endpoints: dict[str, Endpoints]
        scratch: str = ""

        def evolve(self, aggregate: RecoveryPoint) -> None:
            """Keep under which names it is opened, so that it is closed under the same."""
            aggregate.openings += 1
            aggregate.scratch = self.scratch
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
        to_abort: tuple[str, ...] | None = None

        def evolve(self, aggregate: RecoveryPoint) -> None:
            """Remember why it could not be opened, or what of the opening may be going on."""
            aggregate.endpoints = dict(self.endpoints)
            aggregate.failure = self.failure
            if self.to_abort is not None:
                aggregate.to_abort = self.to_abort
            elif self.from_state == "OPENING" and self.failure is None:  # recorded before the event said it
                aggregate.to_abort = aggregate.sent_to(aggregate.made.secondary)

    class Aborted(Stateful.Event):
        """What was going on for it has ended and can make nothing any more."""

        def evolve(self, aggregate: RecoveryPoint) -> None:
            """Go on to the removal."""
            aggregate.to_abort = ()

    class PrimarySealed(Stateful.Event):
        """Manifest and anchor stand on the primary, too; they were read back."""

        def evolve(self, aggregate: RecoveryPoint) -> None:
            """Nothing is owed any more."""
            aggregate.primary_manifest = WRITTEN

    class PrimaryGivenUp(Stateful.Event):
        """The primary will not get manifest and anchor: another attempt would only fail the same way."""

        failure: dict[str, Any]

        def evolve(self, aggregate: RecoveryPoint) -> None:
            """Owe nothing, and keep why."""
            aggregate.primary_manifest = GIVEN_UP
            aggregate.primary_failure = self.failure

    class Closed(Stateful.Moved):
        """Nothing of the opening is left."""

        def evolve(self, aggregate: RecoveryPoint) -> None:
            """Forget the scratch names."""
            aggregate.readable = {}

    class ExpiryIntended(Stateful.Moved):
        """It is to be removed from both clusters, and is no base or choice from now on."""

        reason: str
        endpoints: dict[str, Endpoints]
        sides: tuple[str, ...] = ("primary", "secondary")
        to_abort: tuple[str, ...] | None = None

        def evolve(self, aggregate: RecoveryPoint) -> None:
            """The sides are to be cleaned, after what may still be writing there has ended."""
            aggregate.endpoints = dict(self.endpoints)
            aggregate.expiry_reason = self.reason
            aggregate.sides_left = list(self.sides)
            if self.to_abort is not None:
                aggregate.to_abort = self.to_abort
            elif aggregate.primary_manifest == "OWED":  # recorded before the event said it
                aggregate.to_abort = aggregate.sent_to(aggregate.made.primary)

    class SideExpired(Stateful.Event):
        """One cluster has nothing of it any more."""

        role: str

        def evolve(self, aggregate: RecoveryPoint) -> None:
            """Cross the side off, if it is there."""
            aggregate.sides_left = [side for side in aggregate.sides_left if side != self.role]

    class Expired(Stateful.Moved):
        """Nothing of it is left."""

    class DamageFound(Stateful.Moved):
        """A later verification found it damaged."""

        failure: dict[str, Any]

        def evolve(self, aggregate: RecoveryPoint) -> None:
            """Keep what was found."""
            aggregate.failure = aggregate.damage = self.failure

    class DamageNoted(Stateful.Event):
        """It was found damaged while it is open; it is DAMAGED as soon as nothing of the opening is left."""

        failure: dict[str, Any]

        def evolve(self, aggregate: RecoveryPoint) -> None:
            """Keep what was found until then."""
            aggregate.damage = self.failure

    class Instructed(Instructing.Instructed):
        """An instruction about it is about to be sent."""

    class AttemptFailed(Instructing.AttemptFailed):
        """An instruction about it failed and is tried again."""

    class Stalled(Instructing.Stalled):
        """What is wanted of it has not been done for a long time."""

    class SpoolsForgotten(Instructing.SpoolsForgotten):
        """The gateways have forgotten what was asked of them about it."""

    def __init__(self) -> None:
        super().__init__()
        self.made: RecoveryPoint.Established
        self.openings = 0
        self.scratch = ""
        self.readable: dict[str, Any] = {}
        self.failure: dict[str, Any] | None = None
        self.damage: dict[str, Any] | None = None
        self.expiry_reason = ""
        self.sides_left: list[str] = []
        self.endpoints: dict[str, Endpoints] = {}
        self.to_abort: tuple[str, ...] = ()
        self.primary_manifest = OWED
        self.primary_failure: dict[str, Any] | None = None

    @classmethod
    def establish(cls, context: Context, identity: UUID, **facts: Any) -> RecoveryPoint:
        """Make it available; only a run that completes does this, in the same save."""
        return cls.begin(cls.Established, identity, context, **facts)

    @property
    def pair_id(self) -> UUID:
        """The pair whose clusters hold it."""
        return self.made.pair

    @property
    def owes_primary(self) -> bool:
        """Whether the primary is still to get manifest and anchor."""
        return self.primary_manifest == OWED and self.state in LIVING

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is wanted; what is owed to the primary is wanted until it is there."""
        return super().is_at_rest and not self.owes_primary

    def _opening(self) -> dict[str, Any]:
        """Under which names it is opened; openings from before the event told it have a number in theirs."""
        if self.scratch:
            return {"scratch": self.scratch, "by_table": True}
        return {"scratch": f"understudy_scratch_{self.id.hex[:12]}_{self.openings}"}

    def next_instructions(self) -> tuple[Wanted, ...]:
        """Open, close, or remove from each side; besides, what the primary is owed."""
        wanted: list[Wanted] = []
        data_sets = {"data_sets": [d.to_wire() for d in self.made.data_sets]}
        if self.state == OPENING:
            payload = {**data_sets, "snapshot": self.made.snapshot, **self._opening()}
            wanted.append(self._wanted_at("secondary", f"open-{self.openings}", "OpenCopies", payload))
        elif self.state == CLOSING and self.to_abort:
            wanted.append(self._abort("secondary", f"abort-{self.openings}"))
        elif self.state == CLOSING:
            payload = {**data_sets, **self._opening()}
            wanted.append(self._wanted_at("secondary", f"close-{self.openings}", "CloseCopies", payload))
        elif self.state == EXPIRING:
            wanted += [self._remove(role, data_sets) for role in self.sides_left]
        if self.owes_primary:
            wanted.append(self._seal_primary())
        return tuple(wanted)

    def _remove(self, role: str, data_sets: dict[str, Any]) -> Wanted:
        """Remove one side; on the primary first end what may still be writing there."""
        if role == "primary" and self.to_abort:
            return self._abort(role, "abort-seal")
        removed = {"snapshot": self.made.snapshot, "staging": None, "recovery_point": self.id.hex}
        return self._wanted_at(role, f"expire-{role}", "RemoveSnapshots", {**data_sets, **removed})

    def _abort(self, role: str, step: str) -> Wanted:
        return self.wish(step, "Abort", role, {"instructions": list(self.to_abort)})

    def _seal_primary(self) -> Wanted:
        sealed = {"manifest": self.made.evidence, "anchor": self.made.anchor, "staging": None}
        return self._wanted_at("primary", "seal", "SealRecoveryPoint", {"recovery_point": self.id.hex, **sealed})

    def cluster_of(self, role: str) -> str:
        """The name of the cluster that had a role when it was made."""
        return self.made.primary if role == "primary" else self.made.secondary

    def _wanted_at(self, role: str, step: str, kind: str, payload: dict[str, Any]) -> Wanted:
        """A wish about the one cluster that has a role."""
        cluster = self.cluster_of(role)
        sites = {"sites": {role: self.endpoints[cluster].to_site(cluster)}}
        return self.wish(step, kind, role, {**sites, **payload})

    def open(self, context: Context, endpoints: dict[str, Endpoints], kept: Iterable[UUID]) -> None:
        """Begin to make it readable; ``kept`` are the recovery points of its service, whose names are others."""
        scratch = scratch_name(self.made.evidence["service"], self.id, kept)
        self.fire("open", context, endpoints=endpoints, scratch=scratch)

    def close(self, context: Context, endpoints: dict[str, Endpoints]) -> None:
        """Begin to remove what an opening made."""
        self._begin_closing(context, endpoints, failure=None)

    def _begin_closing(self, context: Context, endpoints: dict[str, Endpoints], failure: dict[str, Any] | None) -> None:
        """Remove what an opening made; one that has not answered may be going on, and is ended first."""
        is_going_on = self.state == OPENING and failure is None
        to_abort = self.sent_to(self.made.secondary) if is_going_on else self.to_abort
        self.fire("close", context, endpoints=endpoints, failure=failure, to_abort=to_abort)

    def expire(self, context: Context, reason: str, endpoints: dict[str, Endpoints]) -> None:
        """Begin to remove it; raises ``Refused`` while it is open."""
        to_abort = self.sent_to(self.made.primary) if self.primary_manifest == OWED else ()
        sides = ("primary", "secondary")
        self.fire("expire", context, reason=reason, endpoints=endpoints, sides=sides, to_abort=to_abort)

    def conclude(self, context: Context, instruction: str, outcome: dict[str, Any]) -> None:
        """Take the outcome of an instruction; one that no longer stands decides nothing."""
        wanted = self.wants(instruction)
        if wanted is None:
            return
        failure = outcome["failure"] or answers.failure_of(wanted, outcome["result"])
        if failure is not None:
            self._failed(context, wanted, dict(failure))
        else:
            self._succeeded(context, wanted, outcome["result"])

    def _failed(self, context: Context, wanted: Wanted, failure: dict[str, Any]) -> None:
        if wanted.kind == "OpenCopies":
            if failure["code"] == "SNAPSHOT_MISSING":
                self.find_damage(context, failure)
            self._begin_closing(context, self.endpoints, failure)
        elif wanted.kind == "SealRecoveryPoint" and failure["code"] in NOT_OWED_ANY_MORE:
            self.note(self.PrimaryGivenUp, context, failure=failure)
        else:
            self.fail_attempt(context, wanted, failure)

    def _succeeded(self, context: Context, wanted: Wanted, result: dict[str, Any]) -> None:
        if wanted.kind == "OpenCopies":
            self.fire("opened", context, readable=result["data_sets"])
        elif wanted.kind == "CloseCopies":
            self.fire("closed", context)
            if self.damage is not None:
                self.fire("damage", context, failure=self.damage)
        elif wanted.kind == "Abort":
            self.note(self.Aborted, context)
        elif wanted.kind == "SealRecoveryPoint":
            self.note(self.PrimarySealed, context)
        else:
            self.note(self.SideExpired, context, role=wanted.role)
            if not self.sides_left:
                self.fire("expired", context)

    def find_damage(self, context: Context, failure: dict[str, Any]) -> None:
        """Record that something of it cannot be read any more; once it is known, more of it changes nothing."""
        if self.state == AVAILABLE:
            self.fire("damage", context, failure=failure)
        elif self.state in (OPENING, OPEN, CLOSING) and self.damage is None:
            self.note(self.DamageNoted, context, failure=failure)

    def refuse_if_gone(self) -> None:
        """Raise ``Refused`` unless it can still be used."""
        if self.state in (EXPIRING, EXPIRED, DAMAGED):
            raise Refused(
                "NOT_AVAILABLE", f"recovery point {self.id} is {self.state}.", remedy="Choose one that is AVAILABLE."
            )
