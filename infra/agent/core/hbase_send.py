"""Send: fill the staging of one table on the secondary from its snapshot on the primary.

A snapshot is two small files and the store files that they name. Store files never change and their names are unique,
so what the secondary has is not sent again. A file counts as there only when the manifest of the base (the snapshot on
the secondary that this run holds) names it and it is found: what no held snapshot names may be cleaned away before it
is used.

Order: the manifest and the snapshot's own files first, then the store files, each proved where it lies. The ordinals of
the manifest depend on the snapshot alone, so every attempt of a run finds what an earlier one has staged.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from infra.agent.core import hdfs, kept_manifests
from infra.agent.core.hbase_copy import Staging, stage_file
from infra.agent.core.hbase_entries import Manifest, file_entry, own_entries
from infra.agent.core.hbase_files import Found, follow, locate
from infra.agent.core.hbase_layout import MOB, Wanted, snapshot_directory
from infra.agent.core.hbase_manifest import SnapshotDamaged, parse_table
from infra.agent.core.hbase_snapshot import FILES, Snapshot, name_of, read_snapshot, root_of
from infra.agent.core.known_damage import known_damage
from infra.agent.core.lines import LineWriter
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.meter import Meter
from infra.agent.core.operations import Download, OperationFailed, SpoolRead, Upload, WriteFile
from infra.agent.core.staging import PRIVATE, guarded, place, prepare_run, scratch
from infra.agent.core.work import PRIMARY, SECONDARY, Work, offered_bases
from infra.agent.protocol import hbase_snapshot_name

WORKERS_LIMIT = 64
CHECKSUMS_AT_ONCE = 32
BASE_LIMIT_BYTES = 256 << 20


def send(work: Work, data_set: dict[str, Any], piece_bytes: int) -> Procedure:
    """Carry out SendSnapshots or ReplicateSnapshots for one table; returns the totals of docs/agent.md."""
    snapshot = yield from _source(work, data_set)
    root = root_of(work, PRIMARY)
    found = yield from _find(root, snapshot.wanted)
    yield from _refuse_mob_links(root, snapshot)
    start = yield from _choose_base(work, data_set)
    base = start.snapshot
    there = yield from _there(work, data_set, start, found)
    manifest = yield from _manifest(root, snapshot, found, there)
    sent = yield from guarded(work.instruction, _fill(work, data_set, snapshot, manifest, found, base, piece_bytes))
    compared_with = "nothing" if base is None else "base"
    return {**sent, "base": start.recovery_point, "compared_with": compared_with, "lost": start.lost}


def _source(work: Work, data_set: dict[str, Any]) -> Procedure:
    """The primary's snapshot; raises when it is not what the run has ordered."""
    name = name_of(work, data_set)
    directory = snapshot_directory(root_of(work, PRIMARY), name)
    snapshot = yield from read_snapshot(PRIMARY, directory)
    if snapshot is None:
        raise OperationFailed("SNAPSHOT_MISSING", f"{directory} is not there", detail={"path": directory})
    if (snapshot.info.name, snapshot.info.table) != (name, parse_table(data_set["table"])):
        raise SnapshotDamaged(f"{directory} is the snapshot {snapshot.info.name} of {snapshot.info.table}")
    if snapshot.info.ttl_seconds:
        raise OperationFailed(
            "SNAPSHOT_EXPIRES",
            f"{name} would be deleted by HBase itself after {snapshot.info.ttl_seconds} s, on the secondary too",
            remedy="Set hbase.master.snapshot.ttl to 0 (its default) on the primary.",
        )
    return snapshot


def _find(root: str, wanted: list[Wanted]) -> Procedure:
    """Where each store file is on the primary; raises when one is missing or has another length."""
    found = yield from locate(PRIMARY, root, [item.file for item in wanted])
    for item in wanted:
        there = found.get(item.file.relative)
        length = None if there is None else there.length
        if there is None or item.length not in (None, length):
            what = "is missing" if there is None else f"has {length} bytes instead of {item.length}"
            raise OperationFailed(
                "SOURCE_DAMAGED",
                f"{item.file.relative} {what} on the primary",
                remedy="Check the snapshot with `hbase snapshot info -files`.",
                detail={"path": item.file.relative},
            )
    return found


def _refuse_mob_links(root: str, snapshot: Snapshot) -> Procedure:
    """HBase leaves links to medium-sized objects out of a snapshot, so a copy of it would lack them: refuse it."""
    for region in snapshot.regions:
        if not region.holds_mobs:
            continue
        directory = f"{root}/{MOB}/{region.table.namespace}/{region.table.name}/{region.encoded}"
        for family in (yield from hdfs.list_directory(PRIMARY, directory)) or ():
            files = yield from hdfs.list_directory(PRIMARY, f"{directory}/{family['pathSuffix']}")
            links = [file["pathSuffix"] for file in files or () if "=" in file["pathSuffix"]]
            if links:
                raise OperationFailed(
                    "MOB_LINKS",
                    f"{region.table} is a clone that shares medium-sized objects with another table, and HBase's"
                    f" snapshots of it do not name them ({links[0]})",
                    remedy=f"Rewrite them once: major_compact '{region.table}', '{family['pathSuffix']}', 'MOB'.",
                )


class Base(NamedTuple):
    """The newest offered recovery point whose snapshot the secondary can read, and those that have lost theirs."""

    snapshot: Snapshot | None
    recovery_point: str | None
    lost: list[dict[str, str]]


def _choose_base(work: Work, data_set: dict[str, Any]) -> Procedure:
    """A ``Base``; whatever is left out here is only sent again, for what counts as there is looked at."""
    lost: list[dict[str, str]] = []
    for offered in offered_bases(work.payload):
        name = hbase_snapshot_name(offered["snapshot"], data_set["table"])
        directory = snapshot_directory(root_of(work, SECONDARY), name)
        try:
            snapshot = yield from read_snapshot(SECONDARY, directory)
        except OperationFailed as failure:
            if not failure.is_final:
                raise
            snapshot = None  # damaged is as good as lost
        if snapshot is not None:
            return Base(snapshot, offered["recovery_point"], lost)
        lost.append({**offered, "snapshot": name, "cluster": SECONDARY})
    return Base(None, None, lost)


def _there(work: Work, data_set: dict[str, Any], base: Base, found: dict[str, Found]) -> Procedure:
    """What need not be sent: a dict from relative path to the checksum that the base's manifest tells, or None."""
    if base.snapshot is None:
        return (yield from _adopted(work, found)) if work.payload.get("adopts") else {}
    files = [item.file for item in base.snapshot.wanted if item.file.relative in found]
    copies = yield from locate(SECONDARY, root_of(work, SECONDARY), files)
    checksums = yield from _known_checksums(work, data_set, base.recovery_point)
    damaged = yield from known_damage(data_set)
    return {
        relative: checksums.get(relative)
        for relative, copy in copies.items()
        if copy.length == found[relative].length and relative not in damaged
    }


def _adopted(work: Work, found: dict[str, Found]) -> Procedure:
    """What somebody else has put there (ExportSnapshot), if its stored checksum is that of the source's file.

    No snapshot of ours holds it: when HBase cleans it away meanwhile, applying finds that out before anything changes.
    """
    copies = yield from locate(SECONDARY, root_of(work, SECONDARY), [one.file for one in found.values()])

    def checksum_if_equal(relative: str, copy: Found) -> Procedure:
        if copy.length != found[relative].length:
            return relative, None
        sums = []
        for site, at in ((PRIMARY, found[relative]), (SECONDARY, copy)):
            ask = partial(hdfs.checksum, site)
            sums.append((yield from follow(site, root_of(work, site), at, ask)) if at.length else "")
        return relative, sums[0] if sums[0] == sums[1] else None

    compared = yield Together((checksum_if_equal(*item) for item in sorted(copies.items())), CHECKSUMS_AT_ONCE)
    return {relative: checksum or None for relative, checksum in compared if checksum is not None}


def _known_checksums(work: Work, data_set: dict[str, Any], recovery_point: str | None) -> Procedure:
    """The checksums of the base's manifest, by relative path; empty where it is not kept, or cannot be read."""
    if recovery_point is None:
        return {}
    fetched = yield from kept_manifests.fetch_manifest(recovery_point, data_set, work.work_file(data_set, "fetched"))
    if fetched is None:
        return {}
    try:
        manifest = yield from _parse(fetched.name, fetched.bytes, f"the manifest of {recovery_point}")
    except OperationFailed as failure:
        if not failure.is_final:
            raise
        return {}
    return {entry["p"]: entry.get("c") for entry in manifest.files}


def fetch_manifest(work: Work, data_set: dict[str, Any], path: str) -> Procedure:
    """A staged manifest from the secondary, through a work file, so that it may be larger than one read."""
    name = work.work_file(data_set, "fetched")
    fetched = yield Download(SECONDARY, path, name)
    return (yield from _parse(name, fetched["bytes"], path))


def _parse(name: str, size: int, path: str) -> Procedure:
    if size > BASE_LIMIT_BYTES:
        raise OperationFailed("STAGING_DAMAGED", f"{path} has {size} bytes, too many for a table's manifest")
    parts = []
    offset = 0
    while offset < size:
        part = yield SpoolRead(name, offset)
        parts.append(part)
        offset += len(part)
    return Manifest.parse(b"".join(parts))


def _manifest(root: str, snapshot: Snapshot, found: dict[str, Found], there: dict[str, str | None]) -> Procedure:
    """The source manifest, with the stored checksum of every store file."""

    def entry_of(item: Wanted) -> Procedure:
        relative = item.file.relative
        at = found[relative]
        checksum = there.get(relative)
        if checksum is None and at.length:
            checksum = yield from follow(PRIMARY, root, at, lambda path: hdfs.checksum(PRIMARY, path))
        return file_entry(at, checksum, moved=relative not in there)

    entries = yield Together((entry_of(item) for item in snapshot.wanted), CHECKSUMS_AT_ONCE)
    return Manifest([*own_entries(snapshot.contents), *entries])


def _fill(
    work: Work,
    data_set: dict[str, Any],
    snapshot: Snapshot,
    manifest: Manifest,
    found: dict[str, Found],
    base: Snapshot | None,
    piece_bytes: int,
) -> Procedure:
    """Put everything into staging."""
    moved = manifest.moved()
    bytes_moved = sum(entry["l"] for _, entry in moved)
    staging = Staging(
        root=work.staging(data_set),
        source_root=root_of(work, PRIMARY),
        workers=max(1, min(work.payload["workers"], WORKERS_LIMIT)),
        piece_bytes=piece_bytes,
        meter=Meter("copy", data_set["id"], bytes_moved, len(moved)),
    )
    yield from staging.meter.tell()
    yield from _prepare(work, data_set, snapshot, staging.root)
    sha256 = yield from _put_manifest(work, data_set, manifest)

    def stage(number: int, entry: dict[str, Any]) -> Procedure:
        correction = yield from stage_file(staging, number, entry, found[entry["p"]])
        if correction is not None:
            entry["c"] = correction
        return correction is not None

    corrected = yield Together((stage(*item) for item in moved), staging.workers)
    if any(corrected):
        sha256 = yield from _put_manifest(work, data_set, manifest)
    return {
        "files": len(manifest.files),
        "directories": len({entry["p"].rpartition("/")[0] for entry in manifest.files}),
        "bytes": manifest.bytes,
        "fuzzy": 0,
        "bytes_moved": bytes_moved,
        "files_moved": len(moved),
        "deleted": len({item.file.relative for item in base.wanted} - set(found)) if base is not None else 0,
        "replaced": 0,  # store files never change
        "renamed": 0,
        "changed_attributes": 0,
        "entries_in_base": len(base.wanted) if base is not None else 0,
        "full": base is None,
        "content_digest": manifest.content_digest(),
        "metadata_digest": manifest.metadata_digest(),
        "manifest_sha256": sha256,
    }


def _prepare(work: Work, data_set: dict[str, Any], snapshot: Snapshot, root: str) -> Procedure:
    """Make the staging directory unless it is there, and put the snapshot's own files into it."""
    yield from prepare_run(work.instruction)
    if (yield from hdfs.status(SECONDARY, root)) is None:
        prepared = scratch(work.instruction, data_set["id"])
        for name in ("files", "pieces", "out", "snapshot"):
            yield from hdfs.make_directory(SECONDARY, f"{prepared}/{name}", PRIVATE)
        yield from place(work.instruction, prepared, root)
    for name, data in zip(FILES, snapshot.contents):
        yield from write(f"{root}/snapshot/{name}", data, "600")


def write(path: str, data: bytes, permission: str) -> Procedure:
    """Write a small file on the secondary; an old one is replaced."""
    operation = WriteFile(SECONDARY, path, data, permission)

    def once() -> Procedure:
        yield operation

    yield from hdfs.persist(once)


def _put_manifest(work: Work, data_set: dict[str, Any], manifest: Manifest) -> Procedure:
    """Put the manifest into staging; returns its SHA-256."""
    name = work.work_file(data_set, "manifest")
    writer = LineWriter(name)
    yield from writer.begin()
    for line in manifest.encode().splitlines():
        yield from writer.write(line)
    yield from writer.end()
    uploaded = yield Upload(name, SECONDARY, f"{work.staging(data_set)}/manifest")
    return uploaded["sha256"]
