"""Several runs of one service, with answers of every kind in any order: what must hold after each step, does."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from domain.errors import Refused
from domain.instruction import Wanted
from domain.protection import replica as replica_states
from domain.protection.backup_run import conclude, states
from domain.protection.recovery_point import RecoveryPoint
from tests.domain import tables
from tests.domain.builders import failed, succeeded
from tests.domain.honest import shown
from tests.domain.voyage import Voyage

OWNING = (states.APPLYING, states.FREEZING, states.VERIFYING, states.SEALING)
WAITING = (states.PLANNED, states.HELD)
CODES = st.sampled_from(["HDFS"] * 8 + ["NO_RIGHT", "SOURCE_DAMAGED", "OLD_EPOCH", "TOO_LATE", "HEAD_CHANGED"])
NUMBERS = st.integers(0, 100)


class Runs(RuleBasedStateMachine):
    """Up to four runs on one replica."""

    @initialize()
    def begin(self) -> None:
        """The first run is planned."""
        self.runs = [Voyage(max_skew_ms=100)]
        self.replica = self.runs[0].replica
        self.points: dict[UUID, RecoveryPoint] = {}
        self.seen: dict[str, Wanted] = {}

    @rule()
    def plan_another(self) -> None:
        """Another run begins while the others are wherever they are."""
        if len(self.runs) < 4:
            self.runs.append(self.runs[0].next(max_skew_ms=100))

    @rule(which=NUMBERS)
    def go_on_alone(self, which: int) -> None:
        """What needs no cluster is done."""
        voyage = self._run(which)
        if voyage.run.state == states.PLANNED:
            voyage.run.start_checking(voyage.contexts())
        elif voyage.run.is_ready_to_apply:
            conclude.begin_applying(voyage.contexts(), voyage.run, voyage.around)

    @rule(which=NUMBERS, wish=NUMBERS, deleted=st.sampled_from([0] * 9 + [9]), times=st.sampled_from([1, 2, 5, 12]))
    def succeed(self, which: int, wish: int, deleted: int, times: int) -> None:
        """A few of the wanted instructions succeed, one after the other; the last one with news, perhaps."""
        voyage = self._run(which)
        for left in range(times, 0, -1):
            self.go_on_alone(which)
            wanted = self._wish(voyage, wish)
            if wanted is None:
                return
            voyage.run.instruct(voyage.contexts(), wanted, "digest", 1, 1)
            answer = self._answer(voyage, wanted, deleted if left == 1 else 0)
            point = conclude.conclude(voyage.contexts(), voyage.run, voyage.around, wanted.id, answer)
            if point is not None:
                self.points[point.id] = point

    @rule(which=NUMBERS, wish=NUMBERS, code=CODES, untouched=st.booleans())
    def fail(self, which: int, wish: int, code: str, untouched: bool) -> None:
        """One of them fails."""
        voyage = self._run(which)
        wanted = self._wish(voyage, wish)
        if wanted is not None:
            outcome = failed(code, detail={"changed": False} if untouched else {})
            conclude.conclude(voyage.contexts(), voyage.run, voyage.around, wanted.id, outcome)

    @rule(which=NUMBERS)
    def repeat_something_old(self, which: int) -> None:
        """An outcome arrives once more, or long after it was wanted."""
        stale = [w for w in self.seen.values() if all(v.run.wants(w.id) is None for v in self.runs)]
        if stale:
            wanted = stale[which % len(stale)]
            for voyage in self.runs:
                version = voyage.run.version
                conclude.conclude(voyage.contexts(), voyage.run, voyage.around, wanted.id, succeeded(shown(wanted)))
                assert voyage.run.version == version

    @rule(which=NUMBERS, what=st.sampled_from(["confirm"] * 8 + ["cancel", "give up"]))
    def somebody_decides(self, which: int, what: str) -> None:
        """A person, or a deadline; a refusal changes nothing."""
        voyage = self._run(which)
        before = (voyage.run.version, self.replica.version)
        try:
            if what == "cancel":
                conclude.cancel(voyage.contexts(), voyage.run, voyage.around, "no")
            elif what == "confirm":
                voyage.run.confirm(voyage.contexts())
            elif voyage.run.deadline_ms() is not None and voyage.run.state != states.PLANNED:
                failure = {"code": "MOMENT_MISSED", "message": "m", "remedy": ""}
                conclude.give_up(voyage.contexts(), voyage.run, voyage.around, failure)
        except Refused:
            assert (voyage.run.version, self.replica.version) == before

    @invariant()
    def the_head_has_one_owner_and_it_is_the_run_that_changes_it(self) -> None:
        owning = [voyage.run.id for voyage in self.runs if voyage.run.state in OWNING]
        assert owning == ([self.replica.owner] if self.replica.owner is not None else [])
        assert (self.replica.state == replica_states.APPLYING) == bool(owning)

    @invariant()
    def recovery_points_come_from_completed_runs_alone(self) -> None:
        completed = {voyage.run.recovery_point for voyage in self.runs if voyage.run.state == states.COMPLETED}
        assert completed == set(self.points) == set(self.replica.kept)
        assert self.replica.head is None or self.replica.head in self.replica.kept
        for voyage in self.runs:
            if voyage.run.state == states.COMPLETED:
                run = voyage.run
                assert run.snapshots
                assert set(run.staged) == {one.id for one in run.data_sets}
                assert run.applied
                assert run.verification
                assert run.anchor

    @invariant()
    def whatever_runs_wants_something_and_whatever_has_ended_wants_nothing(self) -> None:
        ids = [wanted.id for voyage in self.runs for wanted in voyage.run.next_instructions()]
        assert len(set(ids)) == len(ids)
        for voyage in self.runs:
            wanted = voyage.run.next_instructions()
            if voyage.run.state in states.ENDED:
                assert not wanted
                assert voyage.run.is_at_rest
            else:
                assert wanted or voyage.run.state in WAITING or voyage.run.is_ready_to_apply

    @invariant()
    def only_runs_that_may_still_need_them_hold_recovery_points(self) -> None:
        holders = {holder for holders in self.replica.holds.values() for holder in holders}
        may_hold = {
            f"run {voyage.run.id}" for voyage in self.runs if voyage.run.copies and voyage.run.state != states.CLEANING
        }
        assert holders <= may_hold
        assert set(self.replica.holds) <= set(self.replica.kept)

    @invariant()
    def the_events_alone_make_the_state(self) -> None:
        for aggregate in (self.replica, *(voyage.run for voyage in self.runs)):
            assert tables.same_state(aggregate, tables.rebuilt(aggregate))

    def _run(self, which: int) -> Voyage:
        return self.runs[which % len(self.runs)]

    def _wish(self, voyage: Voyage, which: int) -> Wanted | None:
        wishes = voyage.run.next_instructions()
        if not wishes:
            return None
        wanted = wishes[which % len(wishes)]
        self.seen[wanted.id] = wanted
        return wanted

    def _answer(self, voyage: Voyage, wanted: Wanted, deleted: int) -> dict[str, Any]:
        answers: dict[str, Any] = {
            "CheckCluster": lambda: voyage.facts(wanted.role),
            "TakeSnapshots": lambda: voyage.snapshots(spread_ms=deleted * 20.0),
            "SendSnapshots": lambda: voyage.totals(bytes=100 - deleted * 10, deleted=deleted, entries_in_base=10),
            "DigestSnapshots": lambda: voyage.digests("DIFFERENT" if deleted else "EQUAL"),
        }
        return succeeded(answers.get(wanted.kind, lambda: shown(wanted))())


TestRuns = Runs.TestCase
TestRuns.settings = settings(max_examples=25, stateful_step_count=60, deadline=None)
