"""What ``cluster check`` tries beside what every run checks: the rights of docs/rights.md, on things made for it.

A run would find each of them missing by itself, but late; an operator wants to know beforehand. Everything lies in
``/.understudy``, in HBase's archive and ``.tmp`` under names of this instruction, or is a snapshot and a clone of the
canary, and is removed again whatever happens; what could not be removed is told. One right is not tried, because a try
could not be taken back: putting a marker in place. It takes the rename that is tried in scratch.
"""

from __future__ import annotations

from typing import Any

from infra.agent.core import hbase_calls, hdfs, hdfs_snapshots
from infra.agent.core.clocks import CANARY
from infra.agent.core.clone_names import clone_of_snapshot
from infra.agent.core.findings import Findings
from infra.agent.core.hbase_layout import ARCHIVE, WORKING
from infra.agent.core.machine import Procedure
from infra.agent.core.markers import write_file
from infra.agent.core.operations import OperationFailed
from infra.agent.core.staging import INCOMING, PRIVATE
from infra.agent.core.work import RECOVERY_POINTS, SCRATCH, SECONDARY
from infra.agent.protocol import Instruction

NOBODY = "understudy-check"
SNAPSHOT = "us-check"
HBASE_SECONDS = 60.0
SUPERUSERS = "The credential must be the superuser's: run the administrator's set-up script."


def check_rights(instruction: Instruction, site: str, with_hbase: bool, findings: Findings) -> Procedure:
    """Findings "superuser", "staging", "hbase directories" and "hbase snapshots": tried from here, and taken back."""
    sites = instruction.payload["sites"]
    cluster: str = sites[site]["cluster"]
    directory = f"{SCRATCH}/{instruction.id}-rights"
    sealed = f"{RECOVERY_POINTS}/check-{instruction.id}"
    good = "owner, mode, ACL, times, attributes, renames, snapshots, recovery points (no marker was put in place)"
    trial = _superuser(site, directory, sealed)
    undo: tuple[Procedure, ...] = (
        _remove_snapshot(site, directory),
        hdfs.delete(site, directory),
        hdfs.delete(site, sealed),
    )
    yield from _try(findings, ("superuser", cluster, good), trial, undo, SUPERUSERS)
    if SECONDARY in sites:
        yield from _try_staging(instruction, findings)
    if not with_hbase:
        return
    if site == SECONDARY:
        yield from _try_hbase_directories(instruction, findings)
    snapshot = f"{SNAPSHOT}-{instruction.id}"
    clone = clone_of_snapshot("check", snapshot)
    good = f"{CANARY} was snapshotted, cloned and read; snapshot and clone were removed"
    undo = (hbase_calls.drop(site, clone), hbase_calls.delete_snapshot(site, snapshot))
    remedy = "Run the administrator's set-up script on this gateway: it makes the canary and the sudo rule."
    yield from _try(
        findings, ("hbase snapshots", cluster, good), _snapshot_and_clone(site, snapshot, clone), undo, remedy
    )


def _try(
    findings: Findings, told: tuple[str, str, str], trial: Procedure, undo: tuple[Procedure, ...], remedy: str
) -> Procedure:
    """Try something and take it back; ``told`` is the check, its subject, and what is said when all of it worked."""
    check, subject, good = told
    try:
        yield from trial
    except OperationFailed as failure:
        findings.failed(check, subject, "what a run does was tried and failed", failure, remedy)
    else:
        findings.good(check, subject, good)
    for step in undo:
        try:
            yield from step
        except OperationFailed as failure:
            findings.failed(check, subject, "what was made for a try could not be removed", failure, remedy)


def _superuser(site: str, directory: str, sealed: str) -> Procedure:
    """What is done to heads, snapshots and recovery points."""
    file = f"{directory}/file"
    yield from hdfs.make_directory(site, directory, PRIVATE)
    yield from write_file(site, file, b"tried")
    yield from hdfs.set_owner(site, file, NOBODY, NOBODY)
    yield from hdfs.set_permission(site, file, "640")
    yield from hdfs.set_modification_time(site, file, 1)
    yield from hdfs.set_extended_attribute(site, file, "user.understudy.check", "0x00")
    yield from hdfs.extended_attributes(site, file)
    try:
        yield from hdfs.set_acl(site, file, hdfs.full_acl([f"user:{NOBODY}:r--", "group::r--"], "640"))
        yield from hdfs.acl_entries(site, file)
    except OperationFailed as failure:
        if hdfs.exception_of(failure) != "AclException":  # ACLs are switched off: there are none to be kept
            raise
    yield from hdfs.rename(site, file, f"{directory}/renamed")
    yield from hdfs_snapshots.allow_snapshots(site, directory)
    yield from hdfs_snapshots.create_snapshot(site, directory, SNAPSHOT)
    yield from hdfs.list_page(site, hdfs_snapshots.snapshot_path(directory, SNAPSHOT))
    yield from hdfs_snapshots.delete_snapshot(site, directory, SNAPSHOT)
    yield from hdfs.make_directory(site, sealed, PRIVATE)


def _remove_snapshot(site: str, directory: str) -> Procedure:
    if (yield from hdfs.status(site, directory)) is not None:
        yield from hdfs_snapshots.delete_snapshot(site, directory, SNAPSHOT)


def _try_staging(instruction: Instruction, findings: Findings) -> Procedure:
    """What a sender does on the secondary; where no epoch is open yet, nobody may stage anything."""
    cluster: str = instruction.payload["sites"][SECONDARY]["cluster"]
    incoming = f"{INCOMING}/{instruction.epoch}"
    try:
        is_open = (yield from hdfs.status(SECONDARY, incoming)) is not None
    except OperationFailed as failure:
        findings.failed("staging", cluster, f"{incoming} could not be looked at", failure, SUPERUSERS)
        return
    if not is_open:
        return
    prepared, staged = f"{SCRATCH}/{instruction.id}-staged", f"{incoming}/check-{instruction.id}"
    undo = (hdfs.delete(SECONDARY, prepared), hdfs.delete(SECONDARY, staged))
    good = "a directory was staged for the present epoch, and removed"
    yield from _try(findings, ("staging", cluster, good), _stage(prepared, staged), undo, SUPERUSERS)


def _stage(prepared: str, staged: str) -> Procedure:
    yield from hdfs.make_directory(SECONDARY, prepared, PRIVATE)
    yield from hdfs.rename(SECONDARY, prepared, staged)
    yield from write_file(SECONDARY, f"{staged}/file", b"tried")


def _try_hbase_directories(instruction: Instruction, findings: Findings) -> Procedure:
    """What APPLY does of a table's files: HBase's user makes directories, the superuser renames into them."""
    site: dict[str, Any] = instruction.payload["sites"][SECONDARY]
    root = site["hbase"]["root"]
    for place in (ARCHIVE, WORKING):
        made, prepared = f"{root}/{place}/understudy-{instruction.id}", f"{SCRATCH}/{instruction.id}-of-hbase"
        undo = (hdfs.delete(SECONDARY, prepared), hdfs.delete(SECONDARY, made))
        good = f"a directory was renamed into {root}/{place}, and removed"
        remedy = f"The user whom the set-up names must own {root}, and the credential must be the superuser's."
        yield from _try(
            findings, ("hbase directories", site["cluster"], good), _rename_into(made, prepared), undo, remedy
        )


def _rename_into(made: str, prepared: str) -> Procedure:
    yield from hdfs.make_directory(SECONDARY, made, "755", "hbase")
    yield from hdfs.make_directory(SECONDARY, prepared, PRIVATE)
    yield from hdfs.rename(SECONDARY, prepared, f"{made}/renamed")


def _snapshot_and_clone(site: str, snapshot: str, clone: str) -> Procedure:
    timeout_ms = int(HBASE_SECONDS * 1000)
    yield from hbase_calls.ask(site, "flush", HBASE_SECONDS, table=CANARY)
    yield from hbase_calls.ask(site, "snapshot", HBASE_SECONDS, table=CANARY, name=snapshot, timeout_ms=timeout_ms)
    yield from hbase_calls.clone(site, snapshot, clone, HBASE_SECONDS)
    yield from hbase_calls.ask(site, "count", HBASE_SECONDS, table=clone, limit=1)
