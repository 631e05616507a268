"""The replica of a service on a cluster: who may change its head, which recovery points exist, and what holds them.

Invariant: the head belongs to at most one owner at a time; while nobody owns it, it shows the recovery point ``head``
(or nothing yet), or it is DIRTY and is healed to that recovery point before anything else. The copy of a data set that
``head`` does not have shows the newest recovery point that has it. A held recovery point is never let go. The set of
recovery points is guarded here, so that retention and runs cannot miss one another.

Ordering rule: taking and releasing are saved together with the owner's own event.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID, uuid5

from domain.errors import Conflict
from domain.stateful import Context, Rule, Stateful

CLEAN = "CLEAN"
APPLYING = "APPLYING"
DIRTY = "DIRTY"

BASES_OFFERED = 3
"""From how many recovery points a copy may start: where the newest has lost its snapshot, an older one is good too."""


@dataclass(frozen=True)
class Kept:
    """A recovery point as the replica knows it: whose policy made it, its snapshot's name, moment and data sets.

    ``data_sets`` maps the id of each to the bytes that it has there.
    """

    recovery_point: UUID
    policy: UUID
    snapshot: str
    moment_ms: int
    data_sets: dict[str, int]


class Replica(Stateful):
    """One service's copies on one cluster."""

    INITIAL_STATE = CLEAN
    STATES = (CLEAN, APPLYING, DIRTY)
    RULES = (
        Rule("take", (CLEAN, DIRTY), APPLYING, "Taken"),
        Rule("release", (APPLYING,), CLEAN, "Released"),
        Rule("leave_dirty", (APPLYING,), DIRTY, "LeftDirty"),
    )
    ALLOWED_IN = {
        "HoldPlaced": (CLEAN, APPLYING, DIRTY),
        "HoldLifted": (CLEAN, APPLYING, DIRTY),
        "RecoveryPointLost": (CLEAN, APPLYING, DIRTY),
        "RecoveryPointGone": (CLEAN, APPLYING, DIRTY),
    }

    class Started(Stateful.Created):
        """A service has a replica on a cluster; nothing is in it yet."""

        service: UUID
        cluster: str

        def evolve(self, aggregate: Replica) -> None:
            """Take service and cluster."""
            aggregate.service = self.service
            aggregate.cluster = self.cluster

    class Taken(Stateful.Moved):
        """An owner may change the head, starting from the recovery point ``base``."""

        owner: UUID
        base: UUID | None

        def evolve(self, aggregate: Replica) -> None:
            """Remember the owner, and what the head was like before."""
            aggregate.owner = self.owner
            aggregate.was_dirty = self.from_state == DIRTY
            aggregate.disturbances += 1

    class Released(Stateful.Moved):
        """The owner is done: the head shows ``kept`` now, or what it showed before if that is None."""

        kept: Kept | None

        def evolve(self, aggregate: Replica) -> None:
            """Add the recovery point and move the head to it."""
            aggregate.owner = None
            if self.kept is not None:
                aggregate.kept[self.kept.recovery_point] = self.kept
                aggregate.head = self.kept.recovery_point

    class LeftDirty(Stateful.Moved):
        """The owner went away and the head may differ from its recovery point."""

        reason: str

        def evolve(self, aggregate: Replica) -> None:
            """Nobody owns it; the head's recovery point is what it will be healed to."""
            aggregate.owner = None
            aggregate.disturbances += 1

    class HoldPlaced(Stateful.Event):
        """Something needs a recovery point: a running copy its base, a person a pin, a living clone its snapshot."""

        recovery_point: UUID
        holder: str

        def evolve(self, aggregate: Replica) -> None:
            """Add the holder."""
            aggregate.holds.setdefault(self.recovery_point, set()).add(self.holder)

    class HoldLifted(Stateful.Event):
        """The holder does not need it any more."""

        recovery_point: UUID
        holder: str

        def evolve(self, aggregate: Replica) -> None:
            """Remove the holder."""
            aggregate.holds.get(self.recovery_point, set()).discard(self.holder)
            if not aggregate.holds.get(self.recovery_point):
                aggregate.holds.pop(self.recovery_point, None)

    class RecoveryPointLost(Stateful.Event):
        """A recovery point is about to expire and can be no base from now on."""

        recovery_point: UUID

        def evolve(self, aggregate: Replica) -> None:
            """It is on its way out."""
            aggregate.kept.pop(self.recovery_point, None)
            aggregate.leaving.add(self.recovery_point)

    class RecoveryPointGone(Stateful.Event):
        """Nothing of an expired recovery point is left on either cluster."""

        recovery_point: UUID

        def evolve(self, aggregate: Replica) -> None:
            """Forget it."""
            aggregate.leaving.discard(self.recovery_point)

    def __init__(self) -> None:
        super().__init__()
        self.service: UUID
        self.cluster = ""
        self.owner: UUID | None = None
        self.was_dirty = False
        self.head: UUID | None = None
        self.kept: dict[UUID, Kept] = {}
        self.leaving: set[UUID] = set()
        self.holds: dict[UUID, set[str]] = {}
        self.disturbances = 0

    @staticmethod
    def identity(service: UUID, cluster: str) -> UUID:
        """The id of a service's replica on a cluster."""
        return uuid5(service, f"replica:{cluster}")

    @classmethod
    def start(cls, context: Context, service: UUID, cluster: str) -> Replica:
        """Begin with nothing."""
        return cls.begin(cls.Started, cls.identity(service, cluster), context, service=service, cluster=cluster)

    @property
    def base(self) -> Kept | None:
        """The recovery point that the head shows, or None when there is none."""
        return self.kept.get(self.head) if self.head is not None else None

    @property
    def shown(self) -> frozenset[UUID]:
        """The recovery points that the copies of the data sets show: ``head``, and others for what it does not have."""
        newest = {data_set: point.recovery_point for point in self.kept.values() for data_set in point.data_sets}
        return frozenset(newest.values())

    def bases_for(self, data_sets: Iterable[str]) -> tuple[Kept, ...]:
        """The recovery points from which copies of these data sets may start, the newest made first: a few for each.

        Of those that have a data set, the first is what its copy shows; a copy can be healed to any other, too.
        """
        left = dict.fromkeys(data_sets, BASES_OFFERED)
        found = []
        for point in reversed(self.kept.values()):
            fitting = [data_set for data_set in point.data_sets if left.get(data_set)]
            for data_set in fitting:
                left[data_set] -= 1
            if fitting:
                found.append(point)
        return tuple(found)

    def take(self, context: Context, owner: UUID, base: UUID | None, disturbances: int | None = None) -> None:
        """Give the head to ``owner``; raise ``Conflict`` if another has it or the head is not at ``base`` any more.

        Who has looked at the head as it stands gives the number of ``disturbances`` from before: it must be the same.
        """
        if self.state == APPLYING:
            if self.owner == owner:
                return
            raise Conflict("REPLICA_BUSY", f"run {self.owner} is changing the head.", remedy="It is taken in turn.")
        if self.head != base or disturbances not in (None, self.disturbances):
            raise Conflict(
                "SUPERSEDED",
                "another run changed the head since this one was prepared.",
                remedy="Run it again: it will start from the newest recovery point.",
            )
        self.fire("take", context, owner=owner, base=base)

    def release(self, context: Context, kept: Kept | None) -> None:
        """Take the head back; it shows ``kept`` now (None: it shows what it showed before)."""
        self.fire("release", context, kept=kept)

    def give_back(self, context: Context, reason: str) -> None:
        """Take the head back from an owner who has changed nothing: it is as it was, CLEAN or DIRTY."""
        if self.was_dirty:
            self.leave_dirty(context, reason)
        else:
            self.release(context, None)

    def leave_dirty(self, context: Context, reason: str) -> None:
        """Take the head back although it may differ from its recovery point."""
        self.fire("leave_dirty", context, reason=reason)

    def hold(self, context: Context, recovery_point: UUID, holder: str) -> None:
        """Keep a recovery point from expiring; holding twice is holding once."""
        if holder not in self.holds.get(recovery_point, set()):
            self.note(self.HoldPlaced, context, recovery_point=recovery_point, holder=holder)

    def lift(self, context: Context, holder: str) -> None:
        """Lift every hold of a holder."""
        for recovery_point in [r for r, holders in self.holds.items() if holder in holders]:
            self.note(self.HoldLifted, context, recovery_point=recovery_point, holder=holder)

    def let_go(self, context: Context, recovery_point: UUID) -> None:
        """Take a recovery point out, so that it can expire; raise ``Conflict`` if it is held or the head shows it."""
        if self.holds.get(recovery_point):
            raise Conflict(
                "HELD",
                f"recovery point {recovery_point} is held by {', '.join(sorted(self.holds[recovery_point]))}.",
                remedy="Close what uses it, or lift the pin.",
            )
        if recovery_point == self.head:
            raise Conflict("IS_BASE", f"recovery point {recovery_point} is the head.", remedy="Keep the newest one.")
        if recovery_point in self.kept:
            self.note(self.RecoveryPointLost, context, recovery_point=recovery_point)

    def gone(self, context: Context, recovery_point: UUID) -> None:
        """Record that a recovery point that was let go has expired."""
        if recovery_point in self.leaving:
            self.note(self.RecoveryPointGone, context, recovery_point=recovery_point)
