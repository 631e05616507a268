"""Heal: bring the head to its base before anything is built upon it.

A head that is changed must equal its base. Where that is not plain to see (``hdfs_at_base``) it is compared with its
own frozen snapshot by inode id; differences are planned, staged (what was deleted or damaged is copied out of the
snapshot, within the secondary) and applied exactly as a run's own changes are. Times of directories come from the
base's manifest, because a snapshot does not freeze them. A file of the head that somebody holds open is put back, too;
where the cluster's own command cannot list those, that is left out: nobody but a superuser could have opened one.

How far it has come is told by the name that its directory has in staging: ``heal`` while it is filled (nothing has
changed yet), ``healing`` while its plan is carried out, ``healed`` when that is over. A healing that is found under way
is brought to its end; then the head is compared again, because nobody knows what has happened to it meanwhile. All that
is brought back comes out of the snapshot, so planning anew is always right: it is what helps when somebody changes the
head under a healing's hands.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from infra.agent.core import hdfs
from infra.agent.core.hdfs_apply import HEAD_CHANGED, Applying
from infra.agent.core.hdfs_at_base import is_at_base, open_files
from infra.agent.core.hdfs_compare import Comparison, Side, compare, modified_ids
from infra.agent.core.hdfs_details import add_details
from infra.agent.core.hdfs_plan import Plan, make_plan
from infra.agent.core.hdfs_skeleton import PLAN, place_skeleton
from infra.agent.core.hdfs_snapshots import snapshot_path
from infra.agent.core.hdfs_stage import Staging, fill
from infra.agent.core.hdfs_trash import remove_trash_root
from infra.agent.core.kept_manifests import fetch_manifest
from infra.agent.core.machine import Procedure
from infra.agent.core.meter import Meter
from infra.agent.core.operations import Download, OperationFailed
from infra.agent.core.staging import begin, has_sign, scratch
from infra.agent.core.work import SECONDARY, Work

HEAL, HEALING, HEALED = "heal", "healing", "healed"
WORKERS = 16


def check_base(data_set: dict[str, Any]) -> Procedure:
    """Raise BASE_MISSING unless the recovery point that the head shows is there; returns its frozen tree."""
    frozen = Side(SECONDARY, snapshot_path(data_set["path"], data_set["base"]))
    if (yield from hdfs.status(SECONDARY, frozen.root)) is None:
        raise OperationFailed(
            "BASE_MISSING",
            f"{frozen.root}, which the copy is to be built upon, is not there any more",
            remedy="Start the run again: it looks anew for what it can start from.",
        )
    return frozen


def refuse_changed(work: Work, data_set: dict[str, Any], frozen: Side) -> Procedure:
    """Raise HEAD_CHANGED if the head is not at its base; nothing of anybody's is changed, and nothing is staged."""
    yield from remove_trash_root(data_set["path"], frozen.root)
    planned = yield from _plan(data_set, work.work_file(data_set, "changed."), frozen)
    if planned["steps"]:
        raise OperationFailed(
            HEAD_CHANGED,
            f"{data_set['path']} on the secondary is not what the last run has left: {planned['deleted']} entries are"
            f" there that should not be, {planned['files_moved']} files are missing or other ones,"
            f" {planned['renamed']} were moved, {planned['changed_attributes']} have other attributes; to bring it back"
            f" takes {planned['steps']} steps",
            remedy="Find out who writes there and keep what is wanted of it elsewhere; then let the next run bring the"
            " copy back: understudy policy add … --changed-head heal.",
            detail={"path": data_set["path"]},
        )


def heal(work: Work, data_set: dict[str, Any], piece_bytes: int) -> Procedure:
    """Bring the head to its base if it is not there."""
    frozen = yield from check_base(data_set)
    if (yield from has_sign(work, data_set, HEALING)):
        yield from _carry_out(work, data_set)
    yield from remove_trash_root(data_set["path"], frozen.root)
    prefix = work.work_file(data_set, "heal.")
    planned = yield from _plan(data_set, prefix, frozen)
    if planned["steps"] == 0:
        return
    yield from _stage(work, data_set, prefix, frozen, planned, piece_bytes)
    yield from begin(work, data_set)
    staging = work.staging(data_set)
    yield from hdfs.rename(SECONDARY, f"{staging}/{HEAL}", f"{staging}/{HEALING}")
    yield from _carry_out(work, data_set)


def _plan(data_set: dict[str, Any], prefix: str, frozen: Side) -> Procedure:
    head = data_set["path"]
    fetched = yield from fetch_manifest(data_set["recovery_point"], data_set, f"{prefix}base")
    times = None if fetched is None else fetched.name
    if times is not None and (yield from is_at_base(data_set, times)):
        return asdict(Plan())
    comparison = Comparison(
        prefix,
        want=frozen,
        have=Side(SECONDARY, head),
        comparable=True,
        for_manifest=False,
        times=times,
        modified=(yield from modified_ids(SECONDARY, head, data_set["base"], "")),
        distrusted_in_have=(yield from open_files(head)),
    )
    yield from compare(comparison)
    yield from add_details(comparison)
    return asdict((yield from make_plan(comparison)))


def _stage(
    work: Work, data_set: dict[str, Any], prefix: str, frozen: Side, planned: dict[str, Any], piece_bytes: int
) -> Procedure:
    """Stage what has to be brought back, out of the head's own frozen snapshot."""
    policies = yield from hdfs.storage_policies(SECONDARY)
    root = f"{work.staging(data_set)}/{HEAL}"
    prepared = scratch(work.instruction, f"{data_set['id']}-{HEAL}")
    is_reused = yield from place_skeleton(work.instruction, prepared, root, prefix, planned, policies)
    staging = Staging(
        target=SECONDARY,
        root=root,
        source=frozen,
        prefix=prefix,
        workers=WORKERS,
        policies=policies,
        meter=Meter("heal", data_set["id"], planned["bytes_moved"], planned["files_moved"]),
        resumed=is_reused,
        piece_bytes=piece_bytes,
    )
    yield from fill(staging)


def _carry_out(work: Work, data_set: dict[str, Any]) -> Procedure:
    """Go through the plan that lies in ``healing``, by whomever it was made."""
    staging = work.staging(data_set)
    plan = work.work_file(data_set, "healing-plan")
    yield Download(SECONDARY, f"{staging}/{HEALING}/{PLAN}", plan)
    try:
        yield from Applying(plan, data_set["path"], f"{staging}/{HEALING}").run()
    except OperationFailed as failure:
        if failure.code == HEAD_CHANGED:
            yield from _put_away(staging)  # the next attempt plans anew
        raise
    yield from _put_away(staging)


def _put_away(staging: str) -> Procedure:
    yield from hdfs.delete(SECONDARY, f"{staging}/{HEALED}")
    yield from hdfs.rename(SECONDARY, f"{staging}/{HEALING}", f"{staging}/{HEALED}")
