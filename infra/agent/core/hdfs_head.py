"""The head: the directory on the secondary that shows the newest recovery point, and what must hold before it changes.

Its root belongs to the replication user (the owner of ``/.understudy``), has the protected mode, and carries the
extended attribute ``trusted.understudy.copy`` with the data set's id: so a head is known from a foreign tree.

A head that is changed must equal its base. It is compared with its own frozen snapshot by inode id; differences are
*healed*: planned, staged (what was deleted or damaged is copied out of the snapshot, within the secondary) and applied
exactly as a run's own changes are. So is a file of the head that somebody holds open; where the cluster's own command
cannot list those, that is left out: nobody but a superuser could have opened one.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from infra.agent.core import hdfs
from infra.agent.core.hdfs_apply import Applying
from infra.agent.core.hdfs_compare import Comparison, Side, compare, modified_ids
from infra.agent.core.hdfs_details import add_details
from infra.agent.core.hdfs_plan import make_plan
from infra.agent.core.hdfs_send import skeleton
from infra.agent.core.hdfs_snapshots import snapshot_path
from infra.agent.core.hdfs_stage import Staging, finish_directories, stage_files
from infra.agent.core.machine import Procedure
from infra.agent.core.meter import Meter
from infra.agent.core.operations import Download, OpenFiles, OperationFailed
from infra.agent.core.staging import place, scratch
from infra.agent.core.work import ROOT, SECONDARY, Work

OWNERSHIP = "trusted.understudy.copy"
PARENT_MODE = "755"
HEAL_WORKERS = 16


def apply(work: Work, data_set: dict[str, Any], piece_bytes: int) -> Procedure:
    """Carry out ApplyStaged for one directory; returns ``{"steps", "healed"}``."""
    head, staging = data_set["path"], work.staging(data_set)
    plan = work.work_file(data_set, "staged-plan")
    user = yield from replication_user()
    if data_set["base"] is None:
        yield from _make_room(work, data_set, user)
        healed = False
    else:
        healed = yield from _heal(work, data_set, piece_bytes)
    yield Download(SECONDARY, f"{staging}/plan", plan)
    applying = Applying(work.journal, "apply", plan, head, staging)
    yield from applying.run()
    yield from _protect(head, user, work.payload["head_mode"], data_set["id"])
    steps = sum(work.journal.newest(f"apply-{phase}") for phase in ("out", "in", "set", "time"))
    return {"steps": steps, "healed": healed}


def replication_user() -> Procedure:
    """The user to whom the heads belong: the owner of ``/.understudy``."""
    found = yield from hdfs.status(SECONDARY, ROOT)
    if found is None:
        raise OperationFailed(
            "NOT_SET_UP",
            f"{ROOT} is not there",
            remedy="Run the administrator's set-up script on the secondary cluster.",
        )
    return found["owner"]


def _make_room(work: Work, data_set: dict[str, Any], user: str) -> Procedure:
    """Before a first copy nothing foreign may stand at the path; an empty directory of ours is moved out of the way."""
    if work.journal.newest("room") is None:
        must_move = yield from _is_ours(data_set, user)
        yield from _make_parents(data_set["path"])
        yield from work.journal.write({"room": {"must_move": must_move}})
    if work.journal.newest("apply-out") is None and work.journal.newest("room")["must_move"]:
        target = f"{work.staging(data_set)}/displaced"
        if (yield from hdfs.status(SECONDARY, target)) is None:
            yield from hdfs.rename(SECONDARY, data_set["path"], target)


def _is_ours(data_set: dict[str, Any], user: str) -> Procedure:
    """True when an empty directory of ours or an unfinished first copy is there, False when nothing is."""
    head = data_set["path"]
    found = yield from hdfs.status(SECONDARY, head)
    if found is None:
        return False
    if found["type"] == "DIRECTORY":
        snapshots = yield from hdfs.list_directory(SECONDARY, f"{head}/.snapshot")
        owners = yield from hdfs.extended_attributes(SECONDARY, head, OWNERSHIP)
        page = yield from hdfs.list_page(SECONDARY, head)
        is_ours = owners.get(OWNERSHIP) == _mark(data_set["id"]) or (not page.entries and found["owner"] == user)
        if is_ours and not snapshots:
            return True
    raise OperationFailed(
        "FOREIGN_TREE",
        f"{head} is there on the secondary and is not a copy that this pair made; it is left untouched",
        remedy="Move it away, or choose another data set.",
        detail={"path": head, "owner": found["owner"]},
    )


def _make_parents(head: str) -> Procedure:
    """Make the directories above the head that are missing: they belong to the replication user and have mode 755."""
    names = head.split("/")
    for count in range(2, len(names)):
        above = "/".join(names[:count])
        found = yield from hdfs.status(SECONDARY, above)
        if found is None:
            yield from hdfs.make_directory(SECONDARY, above, PARENT_MODE)
        elif found.get("encBit"):
            raise OperationFailed(
                "ENCRYPTED",
                f"{above} on the secondary is in an encryption zone; nothing can be renamed into it from staging",
                remedy="Let the data set's directory on the secondary be outside of encryption zones.",
            )


def _protect(head: str, user: str, mode: str, data_set_id: str) -> Procedure:
    """Give the head's root to the replication user alone, and sign it."""
    found = yield from hdfs.status(SECONDARY, head)
    if found["owner"] != user:
        yield from hdfs.set_owner(SECONDARY, head, user, found["group"])
    if found["permission"] != mode:
        yield from hdfs.set_permission(SECONDARY, head, mode)
    yield from hdfs.set_extended_attribute(SECONDARY, head, OWNERSHIP, _mark(data_set_id))


def _mark(data_set_id: str) -> str:
    return "0x" + data_set_id.encode("ascii").hex()


def _heal(work: Work, data_set: dict[str, Any], piece_bytes: int) -> Procedure:
    """Bring the head to its base if it is not there; returns whether anything had to be done."""
    planned = work.journal.newest("heal")
    is_continued = planned is not None
    prefix = work.work_file(data_set, "heal.")
    frozen = Side(SECONDARY, snapshot_path(data_set["path"], data_set["base"]))
    if planned is None:
        planned = yield from _plan_healing(data_set, prefix, frozen)
        yield from work.journal.write({"heal": planned})
    if planned["steps"] == 0 or work.journal.newest("heal-time") is not None:
        return bool(planned["steps"])
    policies = yield from hdfs.storage_policies(SECONDARY)
    root = f"{work.staging(data_set)}/heal"
    if work.journal.newest("heal-out") is None:
        yield from _stage_healing(work, data_set, prefix, frozen, planned, policies, root, is_continued, piece_bytes)
    yield from Applying(work.journal, "heal", prefix + "plan", data_set["path"], root).run()
    return True


def _plan_healing(data_set: dict[str, Any], prefix: str, frozen: Side) -> Procedure:
    head = data_set["path"]
    if (yield from hdfs.status(SECONDARY, frozen.root)) is None:
        raise OperationFailed(
            "BASE_MISSING",
            f"{frozen.root}, the recovery point that the head shows, is not there",
            remedy="Give up the base: move the directory away and start a full copy.",
        )
    modified = yield from modified_ids(SECONDARY, head, data_set["base"], "")
    comparison = Comparison(
        prefix,
        want=frozen,
        have=Side(SECONDARY, head),
        comparable=True,
        for_manifest=False,
        modified=modified,
        distrusted_in_have=(yield from _open_files(head)),
    )
    yield from compare(comparison)
    yield from add_details(comparison)
    return asdict((yield from make_plan(comparison)))


def _open_files(head: str) -> Procedure:
    try:
        paths = yield OpenFiles(SECONDARY, head)
    except OperationFailed as failure:
        if failure.code != "OPEN_FILES_UNKNOWN":
            raise
        paths = []
    return frozenset(path[len(head) + 1 :] for path in paths if path.startswith(f"{head}/"))


def _stage_healing(
    work: Work,
    data_set: dict[str, Any],
    prefix: str,
    frozen: Side,
    planned: dict[str, Any],
    policies: dict[int, str],
    root: str,
    is_continued: bool,
    piece_bytes: int,
) -> Procedure:
    """Stage what has to be brought back, out of the head's own frozen snapshot."""
    is_placed = (yield from hdfs.status(SECONDARY, root)) is not None
    if not is_placed:
        prepared = scratch(work.instruction, f"{data_set['id']}-heal")
        yield from skeleton(SECONDARY, prepared, prefix, planned, policies)
        yield from place(work.instruction, prepared, root)
    staging = Staging(
        target=SECONDARY,
        root=root,
        source=frozen,
        prefix=prefix,
        workers=HEAL_WORKERS,
        policies=policies,
        meter=Meter("heal", data_set["id"], planned["bytes_moved"], planned["files_moved"]),
        resumed=is_continued,
        piece_bytes=piece_bytes,
    )
    yield from stage_files(staging)
    yield from finish_directories(staging)
