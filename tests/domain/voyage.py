"""A backup run on its way: brings it to any state with the answers that agents would give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid5

from domain.instruction import Wanted
from domain.protection.backup_run import conclude, states
from domain.protection.backup_run.conclude import Around
from domain.protection.backup_run.run import BackupRun
from domain.protection.recovery_point import RecoveryPoint
from domain.protection.replica import Replica
from domain.stateful import Context
from domain.values.data_set import DataSet
from tests.domain.builders import (
    DATA_SETS,
    ENDPOINTS,
    NOW,
    SPACE,
    Contexts,
    new_policy,
    new_service,
    succeeded,
)
from tests.domain.honest import looks, named, shown

MOMENT_MS = int(NOW.timestamp() * 1000) + 60_000
OFFSET = {"offset_ms": 0.0, "uncertainty_ms": 0.5}
CLOCKS = {"namenode": OFFSET, "hbase": OFFSET}
ANCHOR = {"position": 7, "link": "00", "term": 1}
CONTENT, METADATA, MANIFEST = "c" * 64, "e" * 64, "f" * 64
"""Digests that a sender tells."""

Result = dict[str, Any]


class Voyage:
    """A run with its replica; every method hands in one kind of answer."""

    def __init__(self, contexts: Contexts | None = None, replica: Replica | None = None, **settings: Any) -> None:
        self.points: dict[UUID, RecoveryPoint] = {}
        self.contexts = contexts or Contexts()
        self.service = new_service(self.contexts)
        self.policy = new_policy(self.contexts, self.service, **settings)
        self.replica = replica or Replica.start(self.contexts(), self.service.id, "south")
        identity = uuid5(SPACE, f"run {self.contexts().command_id}")
        self.run = self.plan(identity)

    def plan(
        self, identity: Any, moment_ms: int = MOMENT_MS, direction: str | None = None, moment_is_free: bool = False
    ) -> BackupRun:
        """A new run of the policy."""
        return BackupRun.plan_for(
            self.contexts(),
            identity,
            service=self.service,
            policy=self.policy,
            epoch=1,
            primary="north",
            secondary="south",
            endpoints=ENDPOINTS,
            moment_ms=moment_ms,
            direction=direction,
            moment_is_free=moment_is_free,
        )

    @property
    def around(self) -> Around:
        return Around(self.replica, lambda: ANCHOR, lambda point: self.points[point])

    def wanted(self, step: str) -> Wanted:
        """The wish whose step begins so."""
        return next(w for w in self.run.next_instructions() if w.wire_step.startswith(step))

    def send(self, step: str) -> Wanted:
        """Record that the instruction was sent."""
        wanted = self.wanted(step)
        self.run.instruct(self.contexts(), wanted, f"digest of {step}", 1, MOMENT_MS)
        return wanted

    def answer(self, step: str, outcome: dict[str, Any], context: Context | None = None) -> RecoveryPoint | None:
        """Hand in the outcome of a step."""
        return conclude.conclude(context or self.contexts(), self.run, self.around, self.wanted(step).id, outcome)

    def show(self, step: str) -> RecoveryPoint | None:
        """A step was done, and its answer shows it."""
        return self.answer(step, succeeded(shown(self.wanted(step))))

    def check(self, findings: tuple[dict[str, Any], ...] = (), data_sets: tuple[DataSet, ...] = DATA_SETS) -> None:
        """Both clusters answer."""
        if self.run.state == states.PLANNED:
            self.run.start_checking(self.contexts())
        for role in ("primary", "secondary"):
            self.answer(f"check-{role}", succeeded(self.facts(role, findings, data_sets)))

    def facts(
        self, role: str, findings: tuple[dict[str, Any], ...] = (), data_sets: tuple[DataSet, ...] = DATA_SETS
    ) -> Result:
        """What CheckCluster answers."""
        marker = {
            "pair": self.run.pair_id.hex,
            "cluster": self.run.cluster_of(role),
            "identity": role.upper(),
            "epoch": 1,
        }
        return {
            "gateway": {"hooks": ["hold", "release"]},
            "marker": marker,
            "clocks": CLOCKS,
            "safe_mode": False,
            "data_sets": [one.to_wire() for one in data_sets],
            "findings": list(findings),
        }

    def pass_checks(self) -> None:
        """Both clusters answer, and the primary's agent holds the snapshot instruction."""
        self.check()
        self.arm()

    def arm(self) -> None:
        """The primary's agent holds the snapshot instruction."""
        wanted = self.send("snapshots")
        conclude.milestone(self.contexts(), self.run, wanted.id, "armed", {"clocks": CLOCKS})

    def snapshots(self, spread_ms: float = 1.0, **more: Any) -> Result:
        """What TakeSnapshots answers."""
        moment_ms = self.wanted("snapshots").payload["moment_ms"]
        taken = {
            "asked_cluster_ms": float(moment_ms),
            "done_cluster_ms": moment_ms + spread_ms,
            "asked_ms": float(moment_ms),
            "done_ms": moment_ms + spread_ms,
            "open_files": [],
            **more,
        }
        return {
            "data_sets": {
                one.id: {
                    "snapshot": named(one.to_wire(), self.run.snapshot),
                    "evidence": {
                        "grade": "EXACT",
                        "reason": "it is",
                        "looks": looks(one.component, moment_ms + spread_ms),
                    },
                    **taken,
                }
                for one in self.run.data_sets
            },
            "clocks": {"before": CLOCKS, "after": CLOCKS},
        }

    def snap(self) -> None:
        """The snapshots exist."""
        self.answer("snapshots", succeeded(self.snapshots()))

    def copy(self, **totals: Any) -> None:
        """Every copy is staged."""
        for data_set in self.run.data_sets:
            self.answer(f"copy-{data_set.id}", succeeded(self.totals(**totals)))

    def totals(self, **more: Any) -> Result:
        """What SendSnapshots answers."""
        counts = {"bytes": 1, "entries_in_base": 0, "deleted": 0, "replaced": 0}
        digests = {"content_digest": CONTENT, "metadata_digest": METADATA, "manifest_sha256": MANIFEST}
        return {**counts, **digests, **more}

    def digests(self, content: str = "EQUAL", metadata: str = "EQUAL") -> Result:
        """What DigestSnapshots answers."""
        verdicts = {
            "content": {"verdict": content, "expected": CONTENT, "found": CONTENT if content == "EQUAL" else "0" * 64},
            "metadata": {"verdict": metadata, "expected": METADATA, "found": METADATA},
            "manifest_sha256": MANIFEST,
            "differences": ["a", "b"],
        }
        return {"data_sets": {one.id: dict(verdicts) for one in self.run.data_sets}, "trial_clone": None}

    def apply(self) -> None:
        """The heads show the snapshots."""
        self.show("apply")

    def freeze(self) -> None:
        """They are frozen."""
        self.show("freeze")

    def verify(self) -> None:
        """They are equal."""
        self.answer("verify", succeeded(self.digests()))

    def seal(self) -> RecoveryPoint:
        """The recovery point is sealed."""
        point = self.show("seal")
        assert point is not None
        self.points[point.id] = point
        return point

    def to(self, state: str) -> Voyage:
        """Sail until the run is in this state of the usual way."""
        steps: tuple[tuple[str, Callable[[], object]], ...] = (
            (states.PLANNED, lambda: self.run.start_checking(self.contexts())),
            (states.CHECKING, self.pass_checks),
            (states.ARMED, self.snap),
            (states.STAGING, self.copy),
            (states.APPLYING, self.apply),
            (states.FREEZING, self.freeze),
            (states.VERIFYING, self.verify),
            (states.SEALING, self.seal),
        )
        for at, step in steps:
            if self.run.state == at != state:
                step()
        assert self.run.state == state, f"{self.run.state} is not {state}"
        return self

    def next(self, **settings: Any) -> Voyage:
        """The next run on the same replica."""
        voyage = Voyage(self.contexts, self.replica, **settings)
        voyage.points = self.points
        return voyage
