"""TakeSnapshots: all data sets of a run, at one moment of the NameNode's clock, or not at all.

The order: accepted and checked (milestone ``armed``) → wait → a reading of the tables, early enough to prove that
nothing is being written → warm-up, unless that is fresh: marker, data sets, HBase's clock → barrier, flush, and beside
them, so that it delays nothing, a reading of disabled tables and what is open → marker and clock once more → journal
"firing" → fire everything at once → release the barrier → settle → clocks, tables and open files again.

Invariant: a snapshot of this name stands for this moment or does not exist. After a restart the journal tells what was
begun: until "firing", and after it as long as the moment has not come, the agent goes on as if nothing had been; once
the moment has passed, nothing is ever fired again. Snapshots that are all there are recognised by the servers' own
stamps; otherwise those that exist are removed and the run has missed its moment.

The gateway's clock is never trusted for longer than a wait: after each one it is measured against the NameNode's.
"""

from __future__ import annotations

from typing import Any

from infra.agent.core import clocks, hbase_calls, markers, ownership
from infra.agent.core.barrier import Barrier
from infra.agent.core.clocks import drift_ms
from infra.agent.core.evidence import counts, still_digest
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.moment_result import After, result_of
from infra.agent.core.moment_settling import PROBE_PATIENCE_MS, Moment, Taken, recognise, settle
from infra.agent.core.moment_targets import HBASE, HDFS, Target, target_of
from infra.agent.core.open_files import Listing, list_open
from infra.agent.core.operations import Fire, HBaseCall, Milestone, Now, OperationFailed, Progress, SleepUntil
from infra.agent.core.work import PRIMARY, read_journal
from infra.agent.protocol import Instruction

AT_ONCE = 32
BESIDE_THE_FIRING = 8  # readings, so that with the flushes and the listing there is always room to fire
QUIET_MARGIN_MS = 5_000.0  # for the reading itself to be over in time
FLUSH_BEFORE_MS = 5_000.0
FRESH_MS = 5_000.0  # what was looked at so shortly ago need not be looked at again to be warm
LONGEST_LATE_FLUSH_MS = 3_000.0
LATE_FLUSH_RESERVE = 1.25
LATE_FLUSH_RESERVE_MS = 100.0
AIM_BEFORE_MS = 2_000.0  # marker, clock and journal take a tenth of it
LISTING_NEEDS_MS = 8_000.0  # a listing of open files is over by the moment, or it would disturb it
EARLY_MS = 200.0  # a wait may end this much early without being waited for again
FLUSH_SECONDS = 60.0
GENERAL = ""  # the journal's records that are about no single data set


def take_snapshots(instruction: Instruction, journal: bytes) -> Procedure:
    """Carry out TakeSnapshots; see docs/agent.md for the result."""
    run = _Run(instruction, journal)
    yield from run.barrier.release()
    try:
        return (yield from run.carry_out())
    except OperationFailed:
        yield from run.barrier.release()
        raise


class _Run:
    """One run's snapshots. ``at_ms`` is the moment on the gateway's clock, as far as it is known by now."""

    def __init__(self, instruction: Instruction, journal: bytes) -> None:
        self.instruction = instruction
        payload = instruction.payload
        site = payload["sites"][PRIMARY]
        self.targets = [target_of(data_set, payload["snapshot"], site) for data_set in payload["data_sets"]]
        self.directories = [t.name for t in self.targets if t.component == HDFS]
        self.tables = [t for t in self.targets if t.component == HBASE]
        self.tolerance_ms = float(payload["fire_tolerance_ms"])
        self.journal = read_journal(journal, GENERAL)
        self.known = {target.id: read_journal(journal, target.id) for target in self.targets}
        self.barrier = Barrier(payload["barrier"], instruction.run, self.journal)
        self.clocks: dict[str, Any] = {"namenode": None, "hbase": None}
        self.at_ms = 0.0
        self.accepted_ms = 0.0
        self.look_ms = 0.0
        self.checked: markers.Checked | None = None
        self.opened: Listing | None = None
        self.rpc_timeout_ms = 0.0
        self.disabled: set[str] = set()

    def carry_out(self) -> Procedure:
        """From wherever an earlier agent has come to the result."""
        taken = {target.id: self.known[target.id].newest("taken") for target in self.targets}
        if self.targets and None not in taken.values():
            return (yield from self._conclude({key: Taken(*value) for key, value in taken.items()}, self._moment()))
        if (yield from self._may_have_fired()):
            return (yield from self._recognise_all())
        yield from self._accept()
        yield from self._read_quiet_tables()
        yield from self._approach(float(self.instruction.payload["warm_up_ms"]))
        yield from self._warm_up()
        disabled = [table for table in self.tables if table.id in self.disabled]
        evidence = [self._make_ready(), self._read_disabled(disabled)]
        *_, shots = yield Together([*evidence, self._aim_and_fire()], limit=len(evidence) + 1)
        return (yield from self._settle_all(shots))

    def _may_have_fired(self) -> Procedure:
        """Whether an earlier agent was about to fire and the moment has come since, by the NameNode's clock."""
        if self.journal.newest("firing") is None:
            return False
        yield from self._measure()
        return (yield Now()) >= self.at_ms

    # Before the moment

    def _accept(self) -> Procedure:
        """Check everything that can be checked now, and say that the moment is waited for."""
        began_ms = yield Now()
        yield from self._measure()
        if (yield Now()) > self.at_ms + self.tolerance_ms:
            # On a gateway that has lost its spool an earlier agent may have cut; nobody would look for that any more.
            yield from self._check_marker()
            yield from self._remove_all()
            raise _missed("the instruction came, or its agent was started again, after the moment")
        yield from self._check_marker()
        yield Together([self._check_targets(), self._measure_hbase()], limit=2)
        if self.tables:
            status = yield from hbase_calls.ask(PRIMARY, "status")
            self.rpc_timeout_ms = float(status["settings"]["rpc_timeout_ms"])
        self.look_ms = (yield Now()) - began_ms
        self.accepted_ms = yield Now()
        yield Milestone("armed", {"clocks": dict(self.clocks)})
        yield Progress({"step": "waiting for the moment"})

    def _check_marker(self) -> Procedure:
        """Be let through; who was so once goes on, also in an agent that is started again while control devices change.

        Whose the cluster was then is in the journal before the moment is waited for.
        """
        owner = self.journal.newest("owner")
        before = self.checked or (None if owner is None else markers.Checked({}, ownership.Owner(*owner)))
        self.checked = yield from markers.check_marker(self.instruction, PRIMARY, "PRIMARY", before)
        if owner is None and self.checked.owner is not None:
            yield from self.journal.write({"owner": list(self.checked.owner)})

    def _check_targets(self) -> Procedure:
        found = yield Together((target.check() for target in self.targets), AT_ONCE)
        self.disabled = {target.id for target, is_disabled in zip(self.targets, found) if is_disabled}

    def _measure(self) -> Procedure:
        """Measure the NameNode's clock, and with that where on this gateway's clock the moment is."""
        self.clocks["namenode"] = yield from clocks.namenode_offset(PRIMARY, self.instruction.id)
        self.at_ms = float(self.instruction.payload["moment_ms"]) - self.clocks["namenode"]["offset_ms"]

    def _measure_hbase(self) -> Procedure:
        """Measure HBase's clock, which may take long and is needed by nobody in a hurry."""
        if self.tables:
            self.clocks["hbase"] = yield from clocks.hbase_offset(PRIMARY)

    def _approach(self, before_ms: float) -> Procedure:
        """Wait until ``before_ms`` before the moment, by the NameNode's clock.

        A long wait is measured anew at its end, because the clocks may have drifted or been set, and then goes on.
        """
        while (yield Now()) < self.at_ms - before_ms - EARLY_MS:
            yield SleepUntil(self.at_ms - before_ms)
            yield from self._measure()

    def _read_quiet_tables(self) -> Procedure:
        """Read the tables' counters early enough to prove later that nothing was written; skipped when it is late."""
        before_ms = self.rpc_timeout_ms + QUIET_MARGIN_MS
        if not self.tables or (yield Now()) > self.at_ms - before_ms:
            return
        yield from self._approach(before_ms)
        yield Together((self._read_quiet(table) for table in self.tables), AT_ONCE, keep_results=False)

    def _read_quiet(self, table: Target) -> Procedure:
        """Flush a table and read its counters; one that is slow, or cannot be flushed, makes no other one late."""
        if table.id not in self.disabled:
            yield from _flush(table)
        reading = yield from read_metrics(table)
        if reading is not None:
            yield from self.known[table.id].write({"quiet": {**reading, "rpc_timeout_ms": self.rpc_timeout_ms}})

    def _read_disabled(self, tables: list[Target]) -> Procedure:
        """Read when tables were disabled: what proves later that they were so all the time.

        The moment does not wait for it; a reading that comes too late proves nothing.
        """
        readings = (self._read_if_disabled(table) for table in tables)
        yield Together(readings, BESIDE_THE_FIRING, keep_results=False)

    def _read_if_disabled(self, table: Target) -> Procedure:
        reading = yield from read_metrics(table)
        if reading is not None and reading["state"] == hbase_calls.DISABLED:
            yield from self.known[table.id].write({"disabled": reading})

    def _warm_up(self) -> Procedure:
        """Look once more, if the last look is not fresh: at the marker, at the data sets, at HBase's clock.

        Many tables take long. Where that would take longer than the moment is away, the last look has to do: the marker
        is looked at again anyhow, and a data set that has become unfit fails its snapshot.
        """
        now = yield Now()
        if now < self.accepted_ms + FRESH_MS or now + self.look_ms + AIM_BEFORE_MS > self.at_ms:
            return
        yield Progress({"step": "warm-up"})
        yield from self._check_marker()
        yield from self._check_targets()
        yield from self._measure_hbase()

    def _make_ready(self) -> Procedure:
        """What must not delay the firing, whatever it takes: list what is open, so that less is unknown afterwards."""
        is_late = (yield Now()) > self.at_ms - LISTING_NEEDS_MS
        self.opened = yield from list_open(self.directories, quick=is_late)

    # The moment

    def _aim_and_fire(self) -> Procedure:
        """Hold the writers, flush, look at marker and clock a last time, and fire; returns the shots."""
        if self.barrier.wanted:
            # Never earlier than half of what it may stand: it must still stand when the cut is over.
            early_ms = float(self.instruction.payload["warm_up_ms"]) / 2 + FLUSH_BEFORE_MS
            yield from self._approach(min(early_ms, self.barrier.hold_max_ms / 2))
            yield from self.barrier.hold()
            # A hook may hold writers by disabling tables.
            _, shots = yield Together([self._read_disabled(self.tables), self._flush_and_fire()], limit=2)
            return shots
        return (yield from self._flush_and_fire())

    def _flush_and_fire(self) -> Procedure:
        yield from self._approach(FLUSH_BEFORE_MS)
        _, shots = yield Together([self._flush_for_the_cut(), self._fire()], limit=2)
        return shots

    def _flush_for_the_cut(self) -> Procedure:
        """Flush now, which takes as long as it takes, and once more as late as that allows.

        A region that nobody has written to since then is not flushed in the cut: it is over sooner. The clock is not
        measured for this, because the firing does that at the same time.
        """
        began_ms = yield Now()
        yield from self._flush_tables()
        flushed_ms = yield Now()
        late_ms = (flushed_ms - began_ms) * LATE_FLUSH_RESERVE + LATE_FLUSH_RESERVE_MS
        if self.tables and late_ms <= LONGEST_LATE_FLUSH_MS and flushed_ms < self.at_ms - late_ms:
            yield SleepUntil(self.at_ms - late_ms)
            yield from self._flush_tables()

    def _flush_tables(self) -> Procedure:
        """Make the flush of the cut short; a table that cannot be flushed now is cut all the same."""
        enabled = (table for table in self.tables if table.id not in self.disabled)
        yield Together((_flush(table) for table in enabled), AT_ONCE, keep_results=False)

    def _fire(self) -> Procedure:
        yield from self._approach(AIM_BEFORE_MS)
        assert self.checked is not None, "it was accepted"
        yield from markers.check_unchanged(self.instruction, PRIMARY, self.checked)
        yield from self._measure()
        yield from self.journal.write({"firing": {"at_ms": self.at_ms, "clocks": dict(self.clocks)}})
        yield Progress({"step": "firing"})
        try:
            shots = yield Fire(self.at_ms, self.tolerance_ms, tuple(target.call() for target in self.targets))
        except OperationFailed as failure:
            yield from self.barrier.release()
            if failure.unknown:
                yield from self._remove_all()
            raise
        yield from self.barrier.release()
        return shots

    def _moment(self) -> Moment:
        """The moment as it was aimed at, from the journal."""
        firing = self.journal.newest("firing")
        namenode, hbase = firing["clocks"]["namenode"], firing["clocks"]["hbase"] or firing["clocks"]["namenode"]
        return Moment(
            at_ms=firing["at_ms"],
            tolerance_ms=self.tolerance_ms,
            offset_ms=namenode["offset_ms"],
            uncertainty_ms=max(namenode["uncertainty_ms"], hbase["uncertainty_ms"]),
            hbase_offset_ms=hbase["offset_ms"],
        )

    # After the moment

    def _settle_all(self, shots: list[dict[str, Any]]) -> Procedure:
        """Have every snapshot, or remove all of them and fail with the first reason."""
        moment = self._moment()
        yield Progress({"step": "settling"})
        try:
            settled = yield Together((settle(t, shot, moment) for t, shot in zip(self.targets, shots)), AT_ONCE)
        except OperationFailed:
            yield from self._remove_all()
            raise
        taken: dict[str, Taken] = {target.id: one for target, one in zip(self.targets, settled)}
        for target in self.targets:
            yield from self.known[target.id].write({"taken": list(taken[target.id])})
        return (yield from self._conclude(taken, moment))

    def _recognise_all(self) -> Procedure:
        """After a restart past the moment: take what is there by the servers' stamps, all of it or nothing."""
        moment = self._moment()
        give_up_at_ms = moment.at_ms + PROBE_PATIENCE_MS
        try:
            found = yield Together((recognise(t, moment, 1, give_up_at_ms) for t in self.targets), AT_ONCE)
            missing = [target for target, taken in zip(self.targets, found) if taken is None]
            if missing:
                raise _missed(
                    f"the agent was ended while it fired, and {missing[0].name} has no snapshot of that moment",
                    data_set=missing[0].id,
                )
        except OperationFailed:
            yield from self._remove_all()
            raise
        taken = {target.id: one for target, one in zip(self.targets, found)}
        return (yield from self._conclude(taken, moment))

    def _conclude(self, taken: dict[str, Taken], moment: Moment) -> Procedure:
        """Measure what is still to be measured, and put the evidence together."""
        measurements = [self._measure(), list_open(self.directories), self._read_tables(), self._measure_hbase()]
        _, opened, readings, _ = yield Together(measurements, limit=len(measurements))
        before, after = self.journal.newest("firing")["clocks"], dict(self.clocks)
        if all(one.by_stamps for one in taken.values()):
            before = after  # no time of this gateway's clock is used
        elif drift_ms(before["namenode"], after["namenode"]) > self.tolerance_ms:
            yield from self._remove_all()
            raise _missed("the gateway's clock was set while it waited, so nobody can say when it fired")
        seen = After(
            opened_before=self.opened,
            opened_after=opened,
            quiet={table.id: self.known[table.id].newest("quiet") for table in self.tables},
            disabled={table.id: self.known[table.id].newest("disabled") for table in self.tables},
            readings=readings,
            ahead_ms=max(one["namenode"]["offset_ms"] + one["namenode"]["uncertainty_ms"] for one in (before, after)),
        )
        data_sets = {}
        for target in self.targets:
            data_sets[target.id] = yield from result_of(target, taken[target.id], moment, seen)
        return {"data_sets": data_sets, "clocks": {"before": before, "after": after}, "barrier": self.barrier.told()}

    def _read_tables(self) -> Procedure:
        readings = yield Together((read_metrics(table) for table in self.tables), AT_ONCE)
        return {table.id: reading for table, reading in zip(self.tables, readings)}

    def _remove_all(self) -> Procedure:
        """Remove every snapshot of this name, so that none of another instant can be taken for the moment's."""
        for target in self.targets:
            yield from target.remove()


def read_metrics(table: Target) -> Procedure:
    """A reading of a table's live region metrics; None where it cannot be had (then nothing is claimed by it)."""
    try:
        metrics = yield HBaseCall(PRIMARY, {"do": "region_metrics", "table": table.name}, timeout_seconds=60.0)
    except OperationFailed:
        return None
    times = {"asked_ms": metrics["asked_ms"], "done_ms": metrics["done_ms"]}
    state = {"state": metrics.get("state"), "state_since_ms": metrics.get("state_since_ms")}
    return {"digest": still_digest(metrics), **times, **state, **counts(metrics)}


def _flush(table: Target) -> Procedure:
    try:
        yield HBaseCall(PRIMARY, {"do": "flush", "table": table.name}, timeout_seconds=FLUSH_SECONDS)
    except OperationFailed as failure:
        yield Progress({"step": "flush", "data_set": table.id, "note": failure.message[:200]})


def _missed(message: str, data_set: str | None = None) -> OperationFailed:
    return OperationFailed(
        "MOMENT_MISSED",
        message,
        remedy="Nothing was kept of this moment; choose another one.",
        detail={} if data_set is None else {"data_set": data_set},
    )
