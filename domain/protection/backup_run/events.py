"""The events of a backup run: what each states, and how it changes the run.

Times that end in ``_ms`` are milliseconds since the epoch. Facts that agents report are kept as the agents' JSON
(documented in docs/agent.md); facts about single files never come here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.instructing import Instructing
from domain.protection.backup_run.cleaning import Cleaning
from domain.protection.backup_run.history import corrected_by_copy_v1
from domain.protection.backup_run.states import Copy
from domain.protection.consistency import Consistency
from domain.protection.policy import Settings
from domain.protection.replica import Kept
from domain.protection.sizing import Rates
from domain.stateful import Stateful
from domain.values.data_set import DataSet
from domain.values.endpoints import Endpoints

if TYPE_CHECKING:
    from domain.protection.backup_run.run import BackupRun


class RunEvents(Instructing):
    """Holds the event classes; ``BackupRun`` adds the behaviour."""

    class Planned(Stateful.Created):
        """A run of a policy for one moment, with everything frozen that it will need.

        ``rates``: what copies of the pair had reached; ``limit_bytes_per_second``: what its copies may move then.
        ``moment_is_free``: nobody named an instant, so another moment may be chosen as long as nothing is cut.
        """

        service: UUID
        service_name: str
        policy: UUID
        policy_name: str
        policy_revision: int
        settings: Settings
        pair: UUID
        pair_name: str
        epoch: int
        primary: str
        secondary: str
        endpoints: dict[str, Endpoints]
        patterns: tuple[DataSet, ...]
        moment_ms: int
        slot_attempt: int
        adopts: bool = False
        rates: Rates | None = None
        limit_bytes_per_second: int | None = None
        moment_is_free: bool = False
        class_version = 3

        @staticmethod
        def upcast_v2_v3(state: dict[str, Any]) -> None:
            """A run from before there was a turn for reading reads what it would have read."""
            state["settings"] = {"read_days": 0} | state["settings"]

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            """A run from before these settings did everything in every run, and goes on like that."""
            state["settings"] = {"recheck_days": 0, "trial_clone_hours": 0} | state["settings"]

        def evolve(self, aggregate: BackupRun) -> None:
            """Take the plan."""
            aggregate.plan = self
            aggregate.moment_ms = self.moment_ms

    class CheckingStarted(Stateful.Moved):
        """Both clusters are being looked at; ``relied_on`` are the snapshots of the recovery points that there are."""

        relied_on: tuple[str, ...] = ()

        def evolve(self, aggregate: BackupRun) -> None:
            """Keep what the secondary is asked for."""
            aggregate.relied_on = self.relied_on
            aggregate.checking_since = self.timestamp

    class ClusterChecked(Stateful.Event):
        """The facts of one cluster, as its own gateway sees them."""

        role: str
        facts: dict[str, Any]

        def evolve(self, aggregate: BackupRun) -> None:
            """Keep the facts until they are judged."""
            aggregate.facts[self.role] = self.facts

    class ChecksPassed(Stateful.Event):
        """Nothing speaks against the run; wildcards are resolved."""

        data_sets: tuple[DataSet, ...]
        warnings: list[dict[str, Any]]

        def evolve(self, aggregate: BackupRun) -> None:
            """Fix the data sets."""
            aggregate.ordering_since = self.timestamp
            aggregate.data_sets = self.data_sets
            aggregate.warnings = self.warnings

    class ChecksFailed(Stateful.Moved):
        """The run was refused before anything was done anywhere."""

        findings: list[dict[str, Any]]

        def evolve(self, aggregate: BackupRun) -> None:
            """Keep what speaks against it; the first finding is told as the failure."""
            aggregate.failure = next(iter(self.findings), None)
            aggregate.findings = self.findings

    class MomentMoved(Stateful.Moved):
        """Another moment was chosen before anything was cut: the old one came too soon for the checks, or was missed.

        ``code`` is CHECKS_TOOK_LONG or MOMENT_MISSED. Snapshots are named by the moment, so those to come have another
        name than any that the old one may have had.
        """

        code: str
        before_ms: int
        moment_ms: int

        def evolve(self, aggregate: BackupRun) -> None:
            """Take the moment; nobody holds an instruction for it yet."""
            aggregate.moment_ms = self.moment_ms
            aggregate.moment_moves.append({"code": self.code, "from_ms": self.before_ms, "to_ms": self.moment_ms})
            aggregate.ordering_since = self.timestamp
            aggregate.armed_at = None

    class Armed(Stateful.Moved):
        """The primary's agent holds the snapshot instruction; the control device may be off from now on."""

        facts: dict[str, Any]

        def evolve(self, aggregate: BackupRun) -> None:
            """Remember when."""
            aggregate.armed_at = self.timestamp

    class BarrierStuck(Stateful.Event):
        """The hook that lets the writers go on failed; ``facts`` say with which code and message."""

        facts: dict[str, Any]

        GETS_SOMEWHERE = False

        def evolve(self, aggregate: BackupRun) -> None:
            """Nobody has proved the release until the snapshots' result says so."""
            aggregate.barrier = {**self.facts, "released": False}

    class SnapshotsTaken(Stateful.Moved):
        """Every snapshot exists: when it was asked for and done, and how consistent they are together."""

        snapshots: dict[str, Any]
        clocks: dict[str, Any]
        consistency: Consistency
        barrier: dict[str, Any] | None = None

        def evolve(self, aggregate: BackupRun) -> None:
            """Keep the evidence."""
            if self.barrier is not None:
                aggregate.barrier = {**aggregate.barrier, **self.barrier}
            aggregate.snapshots = self.snapshots
            aggregate.clocks = self.clocks
            aggregate.consistency = self.consistency

    class StagingStarted(Stateful.Moved):
        """The copies begin: ``base`` is what the replica's head shows, ``older`` is what they may start from, too.

        ``disturbances`` is how often the head had been taken or left dirty: a copy may look at it as it stands.
        """

        base: Kept | None
        older: tuple[Kept, ...] = ()
        disturbances: int = 0

        def evolve(self, aggregate: BackupRun) -> None:
            """Make one copy per data set."""
            aggregate.base = self.base
            aggregate.older = self.older
            aggregate.disturbances = self.disturbances
            aggregate.copies = {data_set.id: Copy(data_set.id) for data_set in aggregate.data_sets}

    class CopyStaged(Stateful.PartMoved):
        """One data set is in staging as a whole, checked there.

        ``consistency`` is that of the run from now on, where the copy has found files that were open at the cut.
        """

        result: dict[str, Any]
        consistency: Consistency | None = None
        fuzzy_in_v1: int = 0
        class_version = 2

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            """Version 1 corrected the grade when it was applied."""
            fuzzy = state["result"].get("fuzzy")
            state["fuzzy_in_v1"] = fuzzy if isinstance(fuzzy, int) else 0

        def evolve(self, aggregate: BackupRun) -> None:
            """Keep totals and digests, and what was decided about the grade."""
            aggregate.staged[self.key] = self.result
            if self.consistency is not None:
                aggregate.take_grades(self.consistency)
            elif self.fuzzy_in_v1 and aggregate.consistency is not None:
                aggregate.take_grades(corrected_by_copy_v1(aggregate.consistency, self.key, self.fuzzy_in_v1))

    class CopyStalled(Stateful.Event):
        """A copy has not moved a byte for a while."""

        key: str
        instruction: str
        last_bytes: int
        since_ms: int

        GETS_SOMEWHERE = False

        def evolve(self, aggregate: BackupRun) -> None:
            """Remember it, so that it is told once for each instruction."""
            aggregate.stalled[self.key] = self.instruction

    class MassChangeFound(Stateful.Moved):
        """More would be deleted or replaced than the policy allows: ``changed`` of ``entries``, counted in ``unit``.

        Where the unit is "data sets", all of them are gone, and ``data_set`` names the first few. Of what is taken
        over nothing at all may be deleted or replaced without asking, and ``data_set`` names the first few, too.
        """

        data_set: str
        changed: int
        entries: int
        unit: str
        percent: int
        limit_percent: int

        def evolve(self, aggregate: BackupRun) -> None:
            """Keep the numbers for the person who is asked."""
            aggregate.mass_change = {
                "data_set": self.data_set,
                "changed": self.changed,
                "entries": self.entries,
                "unit": self.unit,
                "percent": self.percent,
                "limit_percent": self.limit_percent,
            }

    class ChangesConfirmed(Stateful.Event):
        """A person has seen what would be deleted or replaced, and wants it so."""

        def evolve(self, aggregate: BackupRun) -> None:
            """The heads may be changed as soon as it is the run's turn."""
            aggregate.confirmed = True

    class ApplyingStarted(Stateful.Moved):
        """The replica was taken; from here on the head is rolled forward, whatever happens.

        ``was_dirty``: a run that did not come to its end may have changed the head before.
        """

        was_dirty: bool = False

        def evolve(self, aggregate: BackupRun) -> None:
            """Remember whether the head may differ from its recovery point by our own doing."""
            aggregate.head_was_dirty = self.was_dirty

    class Applied(Stateful.Moved):
        """The heads show the snapshots' contents."""

        result: dict[str, Any]

        def evolve(self, aggregate: BackupRun) -> None:
            """Keep what was done."""
            aggregate.applied = self.result

    class Frozen(Stateful.Moved):
        """The secondary has snapshots of the same name."""

        result: dict[str, Any]

    class Verified(Stateful.Moved):
        """The secondary's own digests equal the source manifests; ``anchor`` is the audit log's head to be sealed."""

        result: dict[str, Any]
        anchor: dict[str, Any]

        def evolve(self, aggregate: BackupRun) -> None:
            """Keep the verdicts and the anchor."""
            aggregate.verification = self.result
            aggregate.anchor = self.anchor

    class Completed(Stateful.Moved):
        """The recovery point exists, verified and sealed."""

        recovery_point: UUID
        result: dict[str, Any]

        def evolve(self, aggregate: BackupRun) -> None:
            """Name the recovery point."""
            aggregate.recovery_point = self.recovery_point

    class FailureFound(Stateful.Moved):
        """The run cannot become a recovery point; both sides are cleaned up first."""

        code: str
        message: str
        remedy: str
        data_set: str
        cleaning: Cleaning | None = None

        def evolve(self, aggregate: BackupRun) -> None:
            """Keep why, and which instructions may still be running."""
            aggregate.failure = {
                "code": self.code,
                "message": self.message,
                "remedy": self.remedy,
                "data_set": self.data_set,
            }
            aggregate.begin_cleaning(self.cleaning)

    class CancelRequested(Stateful.Moved):
        """A person does not want the run any more."""

        reason: str
        cleaning: Cleaning | None = None

        def evolve(self, aggregate: BackupRun) -> None:
            """Clean up as after a failure."""
            aggregate.cancelled = True
            aggregate.begin_cleaning(self.cleaning)

    class SideCleaned(Stateful.Event):
        """One step of the cleaning is done."""

        step: str
        result: dict[str, Any]

        def evolve(self, aggregate: BackupRun) -> None:
            """Cross it off, if it is there."""
            aggregate.to_clean = [step for step in aggregate.to_clean if step != self.step]

    class Failed(Stateful.Moved):
        """Cleaned up; the last recovery point is untouched."""

    class Cancelled(Stateful.Moved):
        """Cleaned up; the last recovery point is untouched."""

    class RetryRequested(Stateful.Event):
        """A person has done something about what was refused for good: it is to be tried again, at once."""

        def evolve(self, aggregate: BackupRun) -> None:
            """Go on."""
            for step in aggregate.stopped:
                aggregate.not_before.pop(step, None)
            aggregate.stopped = {}

    class Instructed(Instructing.Instructed):
        """An instruction of the run is about to be sent."""

    class AttemptFailed(Instructing.AttemptFailed):
        """An instruction of the run failed and is tried again."""

    class Stalled(Instructing.Stalled):
        """The run has got nowhere for longer than its policy's patience."""

    class SpoolsForgotten(Instructing.SpoolsForgotten):
        """The gateways have forgotten the run."""
