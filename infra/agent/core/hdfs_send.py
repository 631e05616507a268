"""Send: fill the staging of one HDFS directory on the secondary from its snapshot on the primary.

The order: list and compare, so that the plan is known; prepare staging with it and all new directories aside; rename it
into place; copy and check the files; finish the directories; add the manifest. The record "planned" in the journal says
that the work files are whole; "placed" that staging is there. A later agent goes on from there, and finds by looking at
the staged files which of them are finished.

What the source is compared with is chosen by ``hdfs_base``, and told in the result.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from infra.agent.core import hdfs
from infra.agent.core.hdfs_adopt import LOSSES, take_stock
from infra.agent.core.hdfs_base import BASE, Start, choose_start
from infra.agent.core.hdfs_compare import Comparison, Side, compare, modified_ids
from infra.agent.core.hdfs_details import add_details
from infra.agent.core.hdfs_entries import TreeDigest
from infra.agent.core.hdfs_manifest import is_sealed, write_manifest
from infra.agent.core.hdfs_plan import make_plan, plan_first_copy
from infra.agent.core.hdfs_skeleton import place_skeleton
from infra.agent.core.hdfs_snapshots import snapshot_path
from infra.agent.core.hdfs_stage import Staging, fill
from infra.agent.core.hdfs_trial import Trial, try_plan
from infra.agent.core.kept_manifests import fetch_manifest
from infra.agent.core.known_damage import known_damage
from infra.agent.core.machine import Procedure
from infra.agent.core.meter import Meter
from infra.agent.core.operations import Now, SpoolTruncate, Upload
from infra.agent.core.staging import guarded, prepare_run, scratch
from infra.agent.core.unreadable import TOLD, Unreadable, find_unreadable, told
from infra.agent.core.work import PRIMARY, SECONDARY, Work, offered_bases

WORKERS_LIMIT = 64
LONGEST_READING_MS = 86_400_000  # of a listing, and the most that the gateway's clock may be behind the NameNode's
PLAN_FORM = 3
"""Of the work files that belong to a plan. 2: ``same`` has lines of the manifest; 3: they tell contents by blocks."""


def send(work: Work, data_set: dict[str, Any], piece_bytes: int) -> Procedure:
    """Carry out SendSnapshots or ReplicateSnapshots for one directory; returns the totals of docs/agent.md."""
    while True:
        try:
            return (yield from _send(work, data_set, piece_bytes))
        except Unreadable as failure:
            if not work.payload.get("leaves_out_unreadable"):
                raise
            yield from _leave_out(work, failure)


def _leave_out(work: Work, found: Unreadable) -> Procedure:
    """Treat these files as if they were not there from now on, and forget the plan that has them."""
    known = work.journal.newest("left_out") or {"ids": [], "paths": []}
    left_out = {"ids": sorted({*known["ids"], *found.ids}), "paths": [*known["paths"], *found.paths][:TOLD]}
    yield from work.journal.write({"left_out": left_out, "planned": None, "placed": None})


def _send(work: Work, data_set: dict[str, Any], piece_bytes: int) -> Procedure:
    planned = work.journal.newest("planned")
    if planned is not None and planned.get("form") != PLAN_FORM:
        planned = None  # an older agent's work files are others
    is_continued = planned is not None
    if planned is None:
        planned = yield from plan_copy(work, data_set)
        yield from work.journal.write({"planned": planned})
    sent = yield from guarded(work.instruction, _fill(work, data_set, planned, piece_bytes, is_continued))
    return {**sent, **planned["start"], **told(work.journal.newest("left_out"))}


def plan_copy(work: Work, data_set: dict[str, Any]) -> Procedure:
    """Write the work files; returns what the journal has to keep."""
    adopts = work.payload.get("adopts", False)
    bases, on_source = offered_bases(work.payload), work.payload["base_is_on_source"]
    start = yield from choose_start(bases, data_set, on_source, adopts)
    wanted = _comparison(work, data_set)
    wanted = replace(wanted, latest_close_ms=(yield from _latest_close_ms(work, wanted.want)))
    comparison = yield from _with_start(wanted, work, data_set, start)
    planned = yield from _plan(replace(comparison, keeps_listing=adopts), data_set, adopts)
    if work.payload.get("leaves_out_unreadable"):
        yield from find_unreadable(comparison)
    return {**planned, "form": PLAN_FORM, "start": start.told()}


def _latest_close_ms(work: Work, want: Side) -> Procedure:
    """Until when a file that was open at the cut may have been closed without being known as open, NameNode's clock.

    Where open files could not be listed after the cut, that is as long as the snapshot is being read.
    """
    listed_ms: float | None = work.payload.get("open_listed_ms")
    if listed_ms is not None:
        return listed_ms
    found = yield from hdfs.status(want.site, want.root)
    now_ms = yield Now()
    return max(now_ms, 0 if found is None else found["modificationTime"]) + LONGEST_READING_MS


def _comparison(work: Work, data_set: dict[str, Any]) -> Comparison:
    """What is wanted; what it is compared with is needed for the plan alone."""
    want = Side(PRIMARY, snapshot_path(data_set["path"], work.snapshot))
    open_files = frozenset(work.payload["open_files"])
    left_out = frozenset((work.journal.newest("left_out") or {"ids": ()})["ids"])
    return Comparison(work.work_file(data_set, ""), want, None, False, True, open_files=open_files, left_out=left_out)


def _with_start(comparison: Comparison, work: Work, data_set: dict[str, Any], start: Start) -> Procedure:
    """The comparison with everything that it rests on fetched."""
    if start.have is None:
        return comparison
    fetched = yield from fetch_manifest(start.recovery_point, data_set, comparison.file("base"))
    damaged = yield from known_damage(data_set)
    manifest = None if fetched is None else fetched.name
    comparison = replace(comparison, have=start.have, manifest=manifest, distrusted_in_have=damaged)
    if start.compared_with != BASE:
        return comparison
    modified = yield from modified_ids(PRIMARY, data_set["path"], start.snapshot, work.snapshot)
    sealed = fetched is not None and (yield from is_sealed(start.recovery_point, data_set, fetched.sha256))
    return replace(comparison, comparable=True, modified=modified, manifest_is_sealed=sealed)


MANY_ENTRIES = 50_000
# Work files that nothing needs once the plan and the manifest are written; each is as long as a listing may be.
DISPENSABLE = (
    "have",
    "base",
    "have.rest",
    "want.rest",
    "have.rest.sorted",
    "want.rest.sorted",
    "have.left",
    "want.left",
    "have.left.sorted",
    "want.left.sorted",
    "moved",
    "unsorted",
    "changes",
    "gone",
    "new",
    "same.directories",
    "touched",
    "touched.sorted",
    "standing",
    "standing.sorted",
    "plan.unsorted",
    "plan.sorted",
)


def _plan(comparison: Comparison, data_set: dict[str, Any], adopts: bool) -> Procedure:
    """Write all work files; returns what the journal has to keep."""
    if comparison.have is None:
        plan, entries = yield from plan_first_copy(comparison)
        entries_in_base = 0
    else:
        entries, entries_in_base = yield from compare(comparison)
        yield from add_details(comparison)
        plan = yield from make_plan(comparison)
    quotas = yield from hdfs.quotas(PRIMARY, data_set["path"])
    adopted = (yield from take_stock(comparison)) if adopts and comparison.have is not None else None
    if entries + entries_in_base > MANY_ENTRIES:
        for name in DISPENSABLE:
            yield SpoolTruncate(comparison.file(name))
    return {
        "plan": asdict(plan),
        "entries_in_base": entries_in_base,
        "full": comparison.have is None,
        "quotas": quotas,
        "adopted": adopted,
    }


def _totals(digest: TreeDigest) -> dict[str, Any]:
    return {
        "files": digest.files,
        "directories": digest.directories,
        "bytes": digest.bytes,
        "fuzzy": digest.fuzzy,
        "content_digest": digest.content(),
        "metadata_digest": digest.metadata(),
    }


def _fill(work: Work, data_set: dict[str, Any], planned: dict[str, Any], piece_bytes: int, again: bool) -> Procedure:
    """Prepare staging, copy, check and finish, and write the manifest of what is there then."""
    comparison = _comparison(work, data_set)
    policies = yield from hdfs.storage_policies(SECONDARY)
    yield from try_plan(comparison.file("plan"), Trial(scratch(work.instruction, f"{data_set['id']}-trial"), policies))
    placed = work.journal.newest("placed")
    if placed is None:
        yield from prepare_run(work.instruction)
        prepared = scratch(work.instruction, data_set["id"])
        is_reused = yield from place_skeleton(
            work.instruction, prepared, work.staging(data_set), comparison.prefix, planned["plan"], policies
        )
        placed = {"reused": is_reused}
        yield from work.journal.write({"placed": placed})
    plan = planned["plan"]
    staging = Staging(
        target=SECONDARY,
        root=work.staging(data_set),
        source=comparison.want,
        prefix=comparison.prefix,
        workers=max(1, min(work.payload["workers"], WORKERS_LIMIT)),
        policies=policies,
        meter=Meter("copy", data_set["id"], plan["bytes_moved"], plan["files_moved"]),
        resumed=again or placed["reused"],
        piece_bytes=piece_bytes,
    )
    yield from staging.meter.tell()
    yield from fill(staging)
    tree = _totals((yield from write_manifest(comparison, planned["quotas"])))
    uploaded = yield Upload(comparison.file("manifest"), SECONDARY, staging.path("manifest"))
    counts = {name: plan[name] for name in _COUNTS}
    adopted = planned.get("adopted")
    if adopted is not None:
        yield Upload(comparison.file(LOSSES), SECONDARY, staging.path(LOSSES))
    return {
        **tree,
        **counts,
        "entries_in_base": planned["entries_in_base"],
        "full": planned["full"],
        "manifest_sha256": uploaded["sha256"],
        **({} if adopted is None else {"adopted": adopted}),
    }


_COUNTS = ("bytes_moved", "files_moved", "deleted", "replaced", "renamed", "changed_attributes")
