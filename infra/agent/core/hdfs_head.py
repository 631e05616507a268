"""The head: the directory on the secondary that shows the newest recovery point, and what must hold before it changes.

Its root belongs to the replication user (the owner of ``/.understudy``), has the protected mode, and carries the
extended attribute ``trusted.understudy.copy`` with the data set's id: so a head is known from a foreign tree.

Before a first copy there must be room at its path, before any other the head must equal its base (``hdfs_heal``); where
no snapshot of it is left, the plan was made for the head as it stands; a tree that is adopted must still be as it was
found then, and is closed to all others before that is looked at for the last time. Then the sign ``ready`` is left in
staging: from there on nothing is compared any more, the head is what the staged plan has made of it so far, and any
attempt goes on with that plan.
"""

from __future__ import annotations

from typing import Any

from infra.agent.core import hdfs
from infra.agent.core.checked_records import checked_step
from infra.agent.core.hdfs_adopt import check_as_found
from infra.agent.core.hdfs_apply import Applying, head_changed
from infra.agent.core.hdfs_heal import HEALED, check_base, heal, refuse_changed
from infra.agent.core.hdfs_ownership import OWNERSHIP, is_signed, signature
from infra.agent.core.hdfs_plan import IN
from infra.agent.core.hdfs_skeleton import PLAN
from infra.agent.core.lines import LineReader, damaged
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import Download, OperationFailed
from infra.agent.core.staging import begin, has_sign, leave_sign
from infra.agent.core.work import ROOT, SECONDARY, Work

PARENT_MODE = "755"
READY = "ready"
DISPLACED = "displaced"


def check_apply(work: Work, data_set: dict[str, Any]) -> Procedure:
    """Raise, changing nothing, what forbids to apply: a foreign tree at the path, or a base that is not there."""
    user = yield from replication_user()
    if (yield from has_sign(work, data_set, READY)):
        yield from _refuse_other_tree(data_set)
    elif _is_first(data_set):
        yield from _is_ours(data_set, user)
        yield from _missing_parents(data_set["path"])
    elif data_set["base"] is not None:
        frozen = yield from check_base(data_set)
        if work.payload.get("refuses_changed_head"):
            yield from refuse_changed(work, data_set, frozen)
    elif "as_found" in data_set:
        yield from check_as_found(work, data_set)
    elif not (yield from is_signed(data_set)):
        raise head_changed(data_set["path"], "is no copy of ours any more")


def apply(work: Work, data_set: dict[str, Any], piece_bytes: int) -> Procedure:
    """Carry out ApplyStaged for one directory; returns ``{"steps", "healed"}``."""
    head, staging = data_set["path"], work.staging(data_set)
    user = yield from replication_user()
    if not (yield from has_sign(work, data_set, READY)):
        if _is_first(data_set):
            yield from _make_room(work, data_set, user)
        elif data_set["base"] is not None:
            yield from heal(work, data_set, piece_bytes)
        elif "as_found" in data_set:
            yield from _take_over(work, data_set, user)
        yield from begin(work, data_set)
        yield from leave_sign(work, data_set, READY)
    plan = work.work_file(data_set, "staged-plan")
    yield Download(SECONDARY, f"{staging}/{PLAN}", plan)
    if _is_first(data_set):
        # Signed before it is put into place, so that even an unfinished first copy is known as ours.
        step = checked_step((yield from LineReader(plan).record()) or {}, plan)
        if step["do"] != IN:
            raise damaged(plan, "the plan of a first copy does not begin with putting it into place")
        yield from _protect(f"{staging}/{step['from']}", user, work.payload["head_mode"], data_set["id"])
    applying = Applying(plan, head, staging)
    yield from applying.run()
    yield from _refuse_other_tree(data_set)
    if not (yield from _protect(head, user, work.payload["head_mode"], data_set["id"])):
        raise head_changed(head, "is not there, though it was a moment ago")
    return {"steps": applying.steps, "healed": (yield from has_sign(work, data_set, HEALED))}


def _take_over(work: Work, data_set: dict[str, Any], user: str) -> Procedure:
    """Close a tree that is adopted to all others, and look whether it still is as it was found; else give it back."""
    head = data_set["path"]
    before = yield from hdfs.status(SECONDARY, head)
    was_signed = yield from is_signed(data_set)
    yield from _protect(head, user, work.payload["head_mode"], data_set["id"])
    try:
        yield from check_as_found(work, data_set)
    except OperationFailed as failure:
        if failure.is_final and before is not None:
            yield from hdfs.set_owner(SECONDARY, head, before["owner"], before["group"])
            yield from hdfs.set_permission(SECONDARY, head, before["permission"])
            if not was_signed:
                yield from hdfs.remove_extended_attribute(SECONDARY, head, OWNERSHIP)
        raise


def _refuse_other_tree(data_set: dict[str, Any]) -> Procedure:
    """Raise when another tree has been put where our signed one stood, or was to come, since an attempt began."""
    head = data_set["path"]
    if (yield from hdfs.status(SECONDARY, head)) is not None and not (yield from is_signed(data_set)):
        raise head_changed(head, "is no copy of ours any more")


def _is_first(data_set: dict[str, Any]) -> bool:
    """Whether the staged plan makes the head; otherwise it starts from a base, or from the head as it stands."""
    return data_set["base"] is None and not data_set.get("from_head")


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
    """Before a first copy nothing foreign may stand at the path; what is ours is moved out of the way."""
    head, displaced = data_set["path"], f"{work.staging(data_set)}/{DISPLACED}"
    must_move = yield from _is_ours(data_set, user)
    for above in (yield from _missing_parents(head)):
        yield from hdfs.make_directory(SECONDARY, above, PARENT_MODE)
    if must_move:
        yield from begin(work, data_set)
        try:
            yield from hdfs.rename(SECONDARY, head, displaced)
        except OperationFailed as failure:
            # A request of an earlier attempt may have done it in the meantime.
            if hdfs.exception_of(failure) != "FileNotFoundException" or not (
                yield from has_sign(work, data_set, DISPLACED)
            ):
                raise


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
        is_ours = owners.get(OWNERSHIP) == signature(data_set["id"]) or (not page.entries and found["owner"] == user)
        if is_ours and not snapshots:
            return True
        if owners.get(OWNERSHIP) == signature(data_set["id"]):
            raise head_changed(head, "has snapshots by now, though this run was prepared for a first copy")
    raise OperationFailed(
        "FOREIGN_TREE",
        f"{head} is there on the secondary and is not a copy that this pair made; it is left untouched",
        remedy="Move it away, or choose another data set.",
        detail={"path": head, "owner": found["owner"]},
    )


def _missing_parents(head: str) -> Procedure:
    """The directories above the head that have to be made: they belong to the replication user and have mode 755."""
    names = head.split("/")
    missing = []
    for above in ("/".join(names[:count]) for count in range(2, len(names))):
        found = yield from hdfs.status(SECONDARY, above)
        if found is None:
            missing.append(above)
        elif found.get("encBit"):
            raise OperationFailed(
                "ENCRYPTED",
                f"{above} on the secondary is in an encryption zone; nothing can be renamed into it from staging",
                remedy="Let the data set's directory on the secondary be outside of encryption zones.",
            )
    return missing


def _protect(root: str, user: str, mode: str, data_set_id: str) -> Procedure:
    """Give a head's root to the replication user alone, and sign it; False when it is not there."""
    found = yield from hdfs.status(SECONDARY, root)
    if found is None:
        return False
    if found["owner"] != user:
        yield from hdfs.set_owner(SECONDARY, root, user, found["group"])
    if found["permission"] != mode:
        yield from hdfs.set_permission(SECONDARY, root, mode)
    yield from hdfs.set_extended_attribute(SECONDARY, root, OWNERSHIP, signature(data_set_id))
    return True
