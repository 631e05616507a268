"""The components whose data is copied, and the instructions that run over several data sets.

A component is an object with eight procedures, each for one data set. An instruction that names several data sets runs
them concurrently and merges their results; the first failure is the instruction's, and it names its data set.
Another kind of component is one module with such an object and one line in ``COMPONENTS``.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Protocol

from infra.agent.core.hbase_component import HBASE
from infra.agent.core.hdfs_component import HDFS
from infra.agent.core.kept_manifests import sweep_layers
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.markers import check_marker
from infra.agent.core.operations import OperationFailed
from infra.agent.core.staging import BEGUN, has_begun, remove_recovery_point, remove_run
from infra.agent.core.work import SECONDARY, Work, read_journal
from infra.agent.protocol import Instruction

DATA_SETS_AT_ONCE = 8


class Component(Protocol):
    """What a component has to offer; the results are those of docs/agent.md, for one data set.

    ``digest`` may put "trial_clone" into its result when the instruction asks for a trial clone of this data set;
    ``remove`` returns ``{"removed": [names], "absent": [names]}``; ``close_copy`` returns ``{"removed": [names]}``.
    """

    def send(self, work: Work, data_set: dict[str, Any]) -> Procedure:
        """Fill the data set's staging on the secondary from its snapshot on the primary."""

    def check_apply(self, work: Work, data_set: dict[str, Any]) -> Procedure:
        """Raise what forbids to apply, changing nothing; whatever an earlier attempt may have done already."""

    def apply(self, work: Work, data_set: dict[str, Any]) -> Procedure:
        """Bring the secondary's copy to the state that is staged; rolled forward only.

        Whatever an attempt has done is found again by its looks, without a journal: the next one has another, or none.
        ``staging.begin`` comes before the first change.
        """

    def freeze(self, work: Work, data_set: dict[str, Any]) -> Procedure:
        """Take the run's snapshot of the secondary's copy."""

    def digest(self, work: Work, data_set: dict[str, Any]) -> Procedure:
        """Compare the secondary's snapshot with the source manifest."""

    def remove(self, work: Work, data_set: dict[str, Any]) -> Procedure:
        """Remove the run's snapshot on the instruction's one site."""

    def open_copy(self, work: Work, data_set: dict[str, Any]) -> Procedure:
        """Make a snapshot readable."""

    def close_copy(self, work: Work, data_set: dict[str, Any]) -> Procedure:
        """Undo ``open_copy``."""


COMPONENTS: dict[str, Component] = {"hbase": HBASE, "hdfs": HDFS}

Step = Callable[[Component, Work, Dict[str, Any]], Procedure]


def send_snapshots(instruction: Instruction, journal: bytes) -> Procedure:
    """Carry out SendSnapshots and ReplicateSnapshots: only the gateway that does it differs."""
    data_set = instruction.payload["data_set"]
    return (yield from _one(_work(instruction, journal, data_set), data_set, lambda c, w, d: c.send(w, d)))


def apply_staged(instruction: Instruction, journal: bytes) -> Procedure:
    """Carry out ApplyStaged: no copy is changed before nothing forbids to change any of them.

    What has begun is brought to its end whatever the cluster's marker says by now: a half-changed head would have to be
    rebuilt byte by byte. A failure's detail says ``changed`` False where nothing has begun, by no attempt of the run.
    """
    works = _works(instruction, journal)
    begun = yield from _each_of(works, lambda c, w, d: has_begun(w, d))
    for work, data_set in works:
        if begun[data_set["id"]] and work.journal.newest(BEGUN) is None:
            yield from work.journal.write({BEGUN: True})
    try:
        if not _have_begun(works):
            yield from check_marker(instruction, SECONDARY, "SECONDARY")
        yield from _each_of(works, lambda c, w, d: c.check_apply(w, d))
        return {"data_sets": (yield from _each_of(works, lambda c, w, d: c.apply(w, d)))}
    except OperationFailed as failure:
        if not _have_begun(works):
            failure.detail["changed"] = False
        raise


def freeze_copies(instruction: Instruction, journal: bytes) -> Procedure:
    """Carry out FreezeCopies."""
    return {"data_sets": (yield from _each(instruction, journal, lambda c, w, d: c.freeze(w, d)))}


def digest_snapshots(instruction: Instruction, journal: bytes) -> Procedure:
    """Carry out DigestSnapshots; a trial clone is told beside the data sets."""
    results = yield from _each(instruction, journal, lambda c, w, d: c.digest(w, d))
    trials = [result.pop("trial_clone", None) for result in results.values()]
    return {"data_sets": results, "trial_clone": next((trial for trial in trials if trial is not None), None)}


def remove_snapshots(instruction: Instruction, journal: bytes) -> Procedure:
    """Carry out RemoveSnapshots: snapshots first, then staging, then the recovery point's manifests, layers last."""
    results = yield from _each(instruction, journal, lambda c, w, d: c.remove(w, d))
    removed = [name for result in results.values() for name in result["removed"]]
    absent = [name for result in results.values() for name in result["absent"]]
    for remove in (remove_run, remove_recovery_point):
        for name, was_there in (yield from remove(instruction)):
            (removed if was_there else absent).append(name)
    if instruction.payload.get("recovery_point") is not None:
        (site,) = instruction.payload["sites"]
        yield from sweep_layers(site, [data_set["id"] for data_set in instruction.payload["data_sets"]])
    return {"removed": removed, "absent": absent}


def open_copies(instruction: Instruction, journal: bytes) -> Procedure:
    """Carry out OpenCopies."""
    return {"data_sets": (yield from _each(instruction, journal, lambda c, w, d: c.open_copy(w, d)))}


def close_copies(instruction: Instruction, journal: bytes) -> Procedure:
    """Carry out CloseCopies."""
    results = yield from _each(instruction, journal, lambda c, w, d: c.close_copy(w, d))
    return {"removed": [name for result in results.values() for name in result["removed"]]}


def _each(instruction: Instruction, journal: bytes, step: Step) -> Procedure:
    """Run a step for every data set and return the results by the data sets' ids."""
    return (yield from _each_of(_works(instruction, journal), step))


def _have_begun(works: list[tuple[Work, dict[str, Any]]]) -> bool:
    return any(work.journal.newest(BEGUN) is not None for work, _ in works)


def _works(instruction: Instruction, journal: bytes) -> list[tuple[Work, dict[str, Any]]]:
    return [(_work(instruction, journal, data_set), data_set) for data_set in instruction.payload["data_sets"]]


def _work(instruction: Instruction, journal: bytes, data_set: dict[str, Any]) -> Work:
    return Work(instruction, read_journal(journal, data_set["id"]))


def _each_of(works: list[tuple[Work, dict[str, Any]]], step: Step) -> Procedure:
    results = yield Together((_one(work, data_set, step) for work, data_set in works), limit=DATA_SETS_AT_ONCE)
    return {data_set["id"]: result for (_, data_set), result in zip(works, results)}


def _one(work: Work, data_set: dict[str, Any], step: Step) -> Procedure:
    try:
        return (yield from step(COMPONENTS[data_set["component"]], work, data_set))
    except OperationFailed as failure:
        failure.detail.setdefault("data_set", data_set["id"])
        raise
