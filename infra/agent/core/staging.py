"""Staging: the only place of the secondary where a sender writes, and the fence that keeps late senders out.

``incoming/<epoch>`` exists exactly while the epoch may be written. It is never made here: a directory is prepared in
``scratch`` and renamed to ``incoming/<epoch>/<run>/…``, and files are created without making parents. Both fail in the
NameNode once ``incoming/<epoch>`` has been renamed away, however late the request arrives. That failure is told as
EVICTED.

Every procedure here may be repeated: what is there already is found by a probe.

Staging is also APPLY's memory. It outlives an attempt, its gateway and its spool, so how far APPLY has come is told by
*signs* in it, empty directories; ``begun`` says that from now on the data set's copy is changed.
"""

from __future__ import annotations

from typing import Any

from infra.agent.core import hdfs
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import OperationFailed
from infra.agent.core.work import RECOVERY_POINTS, SCRATCH, SECONDARY, Work
from infra.agent.payloads import INCOMING as INCOMING
from infra.agent.protocol import Instruction

PRIVATE = "700"
BEGUN = "begun"
PREPARED = "-seal"
# What a NameNode says when a directory on the way is not there (any more).
_NOT_THERE = ("FileNotFoundException", "ParentNotDirectoryException")


def prepare_run(instruction: Instruction) -> Procedure:
    """Make the run's directory in ``incoming/<epoch>``; fails with EVICTED when the epoch is over."""
    run = instruction.payload["staging"]
    if (yield from hdfs.status(SECONDARY, run)) is None:
        prepared = scratch(instruction, "run")
        yield from make_plain(prepared)
        yield from place(instruction, prepared, run)


def make_plain(path: str) -> Procedure:
    """Make a directory from which nothing is inherited: a default ACL of those above must not get into copies."""
    yield from hdfs.make_directory(SECONDARY, path, PRIVATE)
    found = yield from hdfs.status(SECONDARY, path)
    if found is not None and found.get("aclBit"):
        yield from hdfs.remove_acl(SECONDARY, path)
        yield from hdfs.set_permission(SECONDARY, path, PRIVATE)


def scratch(instruction: Instruction, name: str) -> str:
    """A path in scratch that belongs to this instruction alone; it goes when the run is removed."""
    return f"{SCRATCH}/{instruction.run}/{instruction.id}-{name}"


def place(instruction: Instruction, prepared: str, target: str) -> Procedure:
    """Rename a prepared directory into staging; one that is there already is left as it is and False is returned."""
    try:
        yield from guarded(instruction, hdfs.rename(SECONDARY, prepared, target))
    except OperationFailed as failure:
        if failure.detail.get("exception") != "FileAlreadyExistsException":
            raise
        yield from hdfs.delete(SECONDARY, prepared)
        return False
    return True


def guarded(instruction: Instruction, procedure: Procedure) -> Procedure:
    """Run a procedure that writes into staging, and tell EVICTED from everything else that may be missing."""
    try:
        return (yield from procedure)
    except OperationFailed as failure:
        if failure.detail.get("exception") not in _NOT_THERE:
            raise
        yield from check_not_evicted(instruction)
        raise


def check_not_evicted(instruction: Instruction) -> Procedure:
    """Raise EVICTED unless the epoch's directory is there."""
    directory = epoch_directory(instruction)
    if (yield from hdfs.status(SECONDARY, directory)) is None:
        raise OperationFailed(
            "EVICTED",
            f"{directory} is gone: that epoch may not be written any more",
            remedy="Nothing to repair: the pair has changed its roles. The run starts again in the new epoch.",
        )


def epoch_directory(instruction: Instruction) -> str:
    """The directory whose presence lets the run write; what has begun is brought to its end in later epochs, too."""
    return str(instruction.payload["staging"].rpartition("/")[0])


def begin(work: Work, data_set: dict[str, Any]) -> Procedure:
    """Say that the copy is changed from now on: to this spool, which must then roll it forward, and to any attempt."""
    if work.journal.newest(BEGUN) is None:
        yield from work.journal.write({BEGUN: True})
    yield from leave_sign(work, data_set, BEGUN)


def has_begun(work: Work, data_set: dict[str, Any]) -> Procedure:
    """Tell whether an attempt of the run has begun to change the copy; raises where staging cannot tell."""
    if (yield from has_sign(work, data_set, BEGUN)):
        return True
    staging = work.staging(data_set)
    if (yield from hdfs.status(SECONDARY, staging)) is None:
        yield from check_not_evicted(work.instruction)
        raise OperationFailed(
            "STAGING_MISSING",
            f"{staging}, which holds what is to be applied, is not there",
            remedy="Give the run up: the next one heals what this one may have changed.",
            detail={"path": staging},
        )
    return False


def has_sign(work: Work, data_set: dict[str, Any], name: str) -> Procedure:
    """Tell whether an attempt of the run has left a sign in the data set's staging."""
    return (yield from hdfs.status(SECONDARY, f"{work.staging(data_set)}/{name}")) is not None


def leave_sign(work: Work, data_set: dict[str, Any], name: str) -> Procedure:
    """Leave a sign; by rename, because making it in its place would make the directory of an evicted epoch again."""
    if not (yield from has_sign(work, data_set, name)):
        prepared = scratch(work.instruction, f"{data_set['id']}-{name}")
        yield from hdfs.make_directory(SECONDARY, prepared, PRIVATE)
        yield from place(work.instruction, prepared, f"{work.staging(data_set)}/{name}")


def remove_run(instruction: Instruction) -> Procedure:
    """Remove the staging of a run, if the instruction names it, and what was prepared; returns [(path, was there)]."""
    staging = instruction.payload.get("staging")
    if staging is None:
        return []
    site = _site(instruction)
    removed: list[tuple[str, bool]] = [(staging, (yield from hdfs.delete(site, staging)))]
    yield from hdfs.delete(site, f"{SCRATCH}/{instruction.run}")
    return removed


def remove_recovery_point(instruction: Instruction) -> Procedure:
    """Remove the manifests kept with a recovery point, if the instruction names it; returns [(path, was there)]."""
    recovery_point = instruction.payload.get("recovery_point")
    if recovery_point is None:
        return []
    path, site = f"{RECOVERY_POINTS}/{recovery_point}", _site(instruction)
    yield from hdfs.delete(site, prepared_seal(recovery_point))
    removed: list[tuple[str, bool]] = [(path, (yield from hdfs.delete(site, path)))]
    return removed


def prepared_seal(recovery_point: str) -> str:
    """Where the directory of a recovery point is prepared; an aborted sealing may leave it there."""
    return f"{SCRATCH}/{recovery_point}{PREPARED}"


def _site(instruction: Instruction) -> str:
    (site,) = instruction.payload["sites"]
    return str(site)
