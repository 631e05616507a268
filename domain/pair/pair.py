"""The pair of clusters, which holds both identities, the epoch and the claims on data sets.

Invariant: there are never two PRIMARY in one epoch; the epoch only grows; the claimed data sets are disjoint, and no
directory lies inside another; no more runs are under way than there may be.

Ordering rule for markers: intent event → losing side's marker → gaining side's marker → result event. When a pair is
formed nobody loses, so the secondary's marker (the harmless one) comes first: every prefix leaves at most one PRIMARY.
When it is taken over from another store the roles stay as they are, so each cluster that can be reached is taken over
by itself: every prefix leaves the other store with less than both, which is less than a backup needs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

from domain import answers
from domain.errors import Conflict, InvalidInput, Refused
from domain.instructing import Instructing
from domain.instruction import Wanted
from domain.pair.identity import PRIMARY, SECONDARY, UNASSIGNED, Member
from domain.stateful import Context, Part, Rule, Stateful
from domain.values.data_set import DataSet, overlapping
from domain.values.endpoints import Endpoints
from domain.values.names import check_name

LONGEST_WORDS = 500
FORMING = "FORMING"
STEADY = "STEADY"


class RunLimits(NamedTuple):
    """How many runs may be planned and not over: of one service, and of all, which share the pair's gateways."""

    per_service: int
    per_gateway: int


class ClusterPair(Instructing):
    """Two clusters that stand in for one another. Policies name roles; this aggregate says who has which."""

    INITIAL_STATE = FORMING
    STATES = (FORMING, STEADY)
    RULES = (
        Rule("settle", (FORMING,), STEADY, "Settled"),
        Rule("take_over", (FORMING, STEADY), FORMING, "TakenOver"),
    )
    ALLOWED_IN = {
        "Instructed": (FORMING, STEADY),
        "AttemptFailed": (FORMING, STEADY),
        "Stalled": (FORMING,),
        "DataSetsClaimed": (FORMING, STEADY),
        "RunPlanned": (FORMING, STEADY),
        "EndpointsTaken": (FORMING,),
        "SpoolsForgotten": (STEADY,),
    }

    class Formed(Stateful.Created):
        """Two clusters were joined; their markers are not written yet."""

        name: str
        primary: str
        secondary: str
        endpoints: dict[str, Endpoints]
        store: UUID | None = None
        host: str = ""

        def evolve(self, aggregate: ClusterPair) -> None:
            """Take the members, both without identity, in epoch 1; pairs from before stores had ids name none."""
            aggregate.name = self.name
            aggregate.store = self.store
            aggregate.host = self.host
            aggregate.members = {name: Member(name) for name in (self.primary, self.secondary)}
            aggregate.intended = {self.primary: PRIMARY, self.secondary: SECONDARY}
            aggregate.endpoints = dict(self.endpoints)
            aggregate.epoch = 1

    class EndpointsTaken(Stateful.Event):
        """The clusters are reached in another way than when the pair was begun; markers are written anew under it."""

        endpoints: dict[str, Endpoints]

        def evolve(self, aggregate: ClusterPair) -> None:
            """Take them; what was sent with the older ones is another instruction."""
            aggregate.endpoints = dict(self.endpoints)
            aggregate.endpoints_revision += 1

    class TakenOver(Stateful.Moved):
        """A person has said that another store's control device is lost, and that this one takes the clusters over.

        ``serials`` are the newest markers of the clusters that could be reached; the epoch is later than theirs.
        """

        from_store: str
        reason: str
        store: UUID
        host: str
        epoch: int
        serials: dict[str, int]
        endpoints: dict[str, Endpoints]

        def evolve(self, aggregate: ClusterPair) -> None:
            """Begin anew: no member has its identity until the marker of this take-over stands."""
            aggregate.members = {name: Member(name) for name in aggregate.members}
            for name, serial in self.serials.items():
                aggregate.member(name).serial = serial
            aggregate.store = self.store
            aggregate.host = self.host
            aggregate.epoch = self.epoch
            aggregate.endpoints = dict(self.endpoints)
            aggregate.reached = tuple(self.serials)
            aggregate.taken_over = {
                "from_store": self.from_store,
                "by": self.actor,
                "reason": self.reason,
                "at_ms": int(self.timestamp.timestamp() * 1000),
            }

    class IdentityAssigned(Stateful.PartMoved):
        """A cluster has its identity: the marker that says so was read back from the cluster."""

        epoch: int
        serial: int

        def evolve(self, aggregate: ClusterPair) -> None:
            """Remember the marker's serial."""
            aggregate.member(self.key).serial = self.serial

    class Settled(Stateful.Moved):
        """Both clusters have their identities and no change is running."""

    class DataSetsClaimed(Stateful.Event):
        """A service claims data sets; replaces what it claimed before."""

        service: UUID
        data_sets: tuple[DataSet, ...]

        GETS_SOMEWHERE = False

        def evolve(self, aggregate: ClusterPair) -> None:
            """Keep the service's claims, and that they are the newest."""
            aggregate.claims[self.service] = self.data_sets
            aggregate.claims_revision += 1
            aggregate.claimed_in[self.service] = aggregate.claims_revision

    class RunPlanned(Stateful.Event):
        """A service is to be backed up; ``over`` are runs that were found to have ended meanwhile."""

        run: UUID
        service: UUID
        over: tuple[UUID, ...]

        def evolve(self, aggregate: ClusterPair) -> None:
            """Count it, and those no more."""
            for run in self.over:
                aggregate.runs.pop(run, None)
            aggregate.runs[self.run] = self.service

    class Instructed(Instructing.Instructed):
        """A marker is about to be written."""

    class AttemptFailed(Instructing.AttemptFailed):
        """A marker could not be written; it is tried again."""

    class Stalled(Instructing.Stalled):
        """A marker has not been written for a long time."""

    class SpoolsForgotten(Instructing.SpoolsForgotten):
        """The gateways have forgotten how the markers were written."""

    def __init__(self) -> None:
        super().__init__()
        self.name = ""
        self.epoch = 0
        self.members: dict[str, Member] = {}
        self.intended: dict[str, str] = {}
        self.endpoints: dict[str, Endpoints] = {}
        self.endpoints_revision = 1
        self.store: UUID | None = None
        self.host = ""
        self.taken_over: dict[str, Any] | None = None
        self.reached: tuple[str, ...] = ()
        self.claims: dict[UUID, tuple[DataSet, ...]] = {}
        self.claims_revision = 0
        self.claimed_in: dict[UUID, int] = {}
        self.runs: dict[UUID, UUID] = {}

    @staticmethod
    def identity(name: str) -> UUID:
        """The id of the pair with this name."""
        return uuid5(NAMESPACE_URL, f"understudy:pair:{name}")

    @classmethod
    def form(
        cls,
        context: Context,
        name: str,
        primary: str,
        secondary: str,
        endpoints: dict[str, Endpoints],
        store: UUID | None = None,
        host: str = "",
    ) -> ClusterPair:
        """Join two clusters for a store, on a host; raise ``Refused`` for a cluster joined with itself."""
        check_name("pair.name", name)
        if primary == secondary:
            raise Refused("SAME_CLUSTER", "primary and secondary are the same cluster.", remedy="Name two clusters.")
        return cls.begin(
            cls.Formed,
            cls.identity(name),
            context,
            name=name,
            primary=primary,
            secondary=secondary,
            endpoints=endpoints,
            store=store,
            host=host,
        )

    def take_over(
        self,
        context: Context,
        *,
        from_store: str,
        reason: str,
        store: UUID,
        host: str,
        found: Mapping[str, tuple[int, int]],
        endpoints: dict[str, Endpoints],
    ) -> None:
        """Take the clusters over from another store; ``found`` has serial and epoch of the newest markers there.

        What could not be reached is taken over by doing this again. Raises ``InvalidInput`` for words that cannot be
        accepted.
        """
        for field, words in (("from_store", from_store), ("reason", reason)):
            if not words.strip() or len(words) > LONGEST_WORDS or "\0" in words:
                raise InvalidInput(field, "has no words, or too many.", remedy=f"Use 1 to {LONGEST_WORDS} characters.")
        self.fire(
            "take_over",
            context,
            from_store=from_store,
            reason=reason,
            store=store,
            host=host,
            epoch=max([self.epoch, *(epoch for _, epoch in found.values())]) + 1,
            serials={name: serial for name, (serial, _) in found.items()},
            endpoints=endpoints,
        )

    def take_endpoints(self, context: Context, endpoints: dict[str, Endpoints]) -> None:
        """Reach the clusters in another way, unless it is the same; raise ``Refused`` once the pair is formed."""
        if endpoints != self.endpoints:
            self.note(self.EndpointsTaken, context, endpoints=endpoints)

    @property
    def pair_id(self) -> UUID:
        """This pair."""
        return self.id

    def part(self, key: str) -> Part:
        """The member with this cluster name."""
        return self.member(key)

    def member(self, name: str) -> Member:
        """The member with this cluster name; one that only history knows has no identity yet."""
        return self.members.setdefault(name, Member(name))

    def cluster_of(self, role: str) -> str:
        """The name of the cluster that is to have a role."""
        return next(name for name, identity in self.intended.items() if identity == role.upper())

    def cluster_with(self, identity: str) -> str:
        """The name of the cluster that has an identity; raise ``Refused`` if none has it."""
        for name, member in self.members.items():
            if member.state == identity:
                return name
        raise Refused(
            "NO_SUCH_IDENTITY",
            f"no cluster of pair {self.name} is {identity} (the pair is {self.state}).",
            remedy="Look at 'understudy pair show': markers that cannot be written are told there.",
        )

    def claim(
        self,
        context: Context,
        service: UUID,
        data_sets: tuple[DataSet, ...],
        name_of: Callable[[UUID], str] = str,
        compared_with: int = 0,
    ) -> None:
        """Claim data sets for a service; raise ``Conflict`` naming the first overlap with a claim or within itself.

        ``name_of`` tells the name of another service: a pair knows services by their ids alone. Comparing takes time
        where there are many: whoever has shown before, by ``first_meeting``, that nothing meets the claims up to a
        revision tells which one, and only newer claims are compared.
        """
        newer = {owner: claimed for owner, claimed in self.claims.items() if self.claimed_in[owner] > compared_with}
        if newer or not compared_with:
            met = first_meeting(service, data_sets, newer)
            if met is not None:
                raise met.refusal(name_of)
        self.note(self.DataSetsClaimed, context, service=service, data_sets=data_sets)

    def plan_run(
        self, context: Context, run: UUID, service: UUID, limits: RunLimits, is_over: Callable[[UUID], bool]
    ) -> None:
        """Count a run; raise ``Refused`` TOO_MANY_RUNS while as many as may be of its service, or of all, are not over.

        Whether a run is over is asked only when there seem to be too many.
        """
        over: set[UUID] = set()
        for most, counted, what, setting in (
            (limits.per_service, [r for r, s in self.runs.items() if s == service], "the service", "runs_per_service"),
            (limits.per_gateway, list(self.runs), f"pair {self.name}", "runs_per_gateway"),
        ):
            if len(set(counted) - over) >= most:
                over |= {one for one in counted if is_over(one)}
            left = len(set(counted) - over)
            if left >= most:
                raise Refused(
                    "TOO_MANY_RUNS",
                    f"{left} runs of {what} are not over, and there may be {most}: each has an agent on a gateway.",
                    remedy=f"Wait until one is over, cancel one, or let [workers] {setting} be more.",
                )
        ended = tuple(one for one in self.runs if one in over)
        self.note(self.RunPlanned, context, run=run, service=service, over=ended)

    def next_instructions(self) -> tuple[Wanted, ...]:
        """The next marker to write, one at a time, the secondary's before the primary's; all in a take-over."""
        if self.state != FORMING:
            return ()
        ordered = sorted(self.intended, key=lambda name: self.intended[name] == PRIMARY)
        left = [name for name in ordered if self.members[name].state == UNASSIGNED]
        if self.taken_over is None:
            return tuple(self._marker(name) for name in left[:1])
        return tuple(self._marker(name) for name in left if name in self.reached)

    @property
    def not_reached(self) -> tuple[str, ...]:
        """The clusters that are still to be taken over, by another take-over: they could not be reached."""
        if self.state != FORMING or self.taken_over is None:
            return ()
        return tuple(name for name in self.members if name not in self.reached)

    @property
    def way_on(self) -> str:
        """What could not be reached is not taken over by itself."""
        if not self.not_reached:
            return super().way_on
        return f"Let {', '.join(self.not_reached)} be reached; then 'understudy pair take-over {self.name}' once more."

    def _marker(self, name: str) -> Wanted:
        role = "primary" if self.intended[name] == PRIMARY else "secondary"
        step = f"marker-{role}-{self.endpoints_revision}"
        serial = self.members[name].serial + 1
        marker: dict[str, Any] = {
            "pair": self.id.hex,
            "pair_name": self.name,
            "cluster": name,
            "identity": self.intended[name],
            "epoch": self.epoch,
            "serial": serial,
        }
        if self.store is not None:
            marker |= {"store": self.store.hex, "host": self.host}
        if self.taken_over is not None:
            marker["taken_over"] = self.taken_over
            step = f"{step}-{self.epoch}"
        sites = {role: self.endpoints[name].to_site(name)}
        return self.wish(step, "WriteMarker", role, {"sites": sites, "serial": serial, "marker": marker})

    def conclude(self, context: Context, instruction: str, outcome: dict[str, object]) -> None:
        """Take the outcome of a marker: assign the identity, or try again; settle once both have theirs."""
        wanted = self.wants(instruction)
        if wanted is None:
            return
        failure = outcome["failure"] or answers.failure_of(wanted, outcome["result"])
        if isinstance(failure, dict):
            self.fail_attempt(context, wanted, failure)
            return
        member = self.members[wanted.cluster]
        trigger = "assign_primary" if self.intended[member.key] == PRIMARY else "assign_secondary"
        self.fire_part(member, trigger, context, epoch=self.epoch, serial=wanted.payload["serial"])
        if all(m.state != UNASSIGNED for m in self.members.values()):
            self.fire("settle", context)


@dataclass(frozen=True)
class Meeting:
    """A data set of a service with one that it overlaps, which ``owner`` has claimed; None: the same service."""

    mine: DataSet
    other: DataSet
    owner: UUID | None

    def refusal(self, name_of: Callable[[UUID], str]) -> Conflict:
        """The error that tells it."""
        if self.owner is None:
            message = f"{self.mine} and {self.other} of the same service overlap."
            return Conflict("OVERLAP", message, remedy="Name each data once.")
        return Conflict(
            "OVERLAP",
            f"{self.mine} overlaps {self.other}, which service {name_of(self.owner)} protects.",
            remedy="Data sets of all services of a pair are disjoint: take it out of one of them.",
        )


def first_meeting(
    service: UUID, data_sets: tuple[DataSet, ...], claims: Mapping[UUID, tuple[DataSet, ...]]
) -> Meeting | None:
    """The first overlap of a service's data sets with the claims of others, or among themselves."""
    others = {theirs: owner for owner, claimed in claims.items() if owner != service for theirs in claimed}
    return next((Meeting(mine, other, others.get(other)) for mine, other in _meeting(data_sets, others)), None)


def _meeting(mine: Sequence[DataSet], others: Collection[DataSet]) -> Iterator[tuple[DataSet, DataSet]]:
    """Each of ``mine`` with what it overlaps, of ``others`` or of its own; those do not overlap among themselves."""
    yield from ((one, one) for one in mine if one in others)
    yield from ((one, one) for one, count in Counter(mine).items() if count > 1)
    own = set(mine)
    plain = [one for one in (*own, *others) if not one.is_pattern]
    for outer, inner in overlapping(plain):
        yield (inner, outer) if inner in own else (outer, inner)
    for pattern in (one for one in (*mine, *others) if one.is_pattern):
        for one in (*mine, *others) if pattern in own else mine:
            if one is not pattern and one.overlaps(pattern):
                yield (one, pattern) if one in own else (pattern, one)
