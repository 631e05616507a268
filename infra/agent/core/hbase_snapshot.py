"""A snapshot as it lies in HDFS: its two files, read whole and understood."""

from __future__ import annotations

from typing import NamedTuple

from infra.agent.core import hdfs
from infra.agent.core.hbase_layout import Wanted, wanted_files
from infra.agent.core.hbase_manifest import (
    INFO_FILE,
    MANIFEST_FILE,
    Region,
    SnapshotDamaged,
    SnapshotInfo,
    parse_data_manifest,
    parse_snapshot_info,
)
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import OperationFailed, ReadFile
from infra.agent.core.work import Work
from infra.agent.protocol import hbase_snapshot_name

# HBase itself refuses to read a manifest of more bytes (snapshot.manifest.size.limit).
MANIFEST_LIMIT_BYTES = 64 << 20
FILES = (INFO_FILE, MANIFEST_FILE)


class Snapshot(NamedTuple):
    """``contents`` are the bytes of ``FILES``, in that order."""

    contents: tuple[bytes, bytes]
    info: SnapshotInfo
    regions: list[Region]
    wanted: list[Wanted]


def root_of(work: Work, site: str) -> str:
    """HBase's directory in the HDFS of a site."""
    hbase = work.payload["sites"].get(site, {}).get("hbase")
    if not isinstance(hbase, dict) or not str(hbase.get("root", "")).startswith("/"):
        raise OperationFailed(
            "NO_HBASE",
            f"the {site} cluster has no HBase",
            remedy="Give the cluster's hbase.root, or leave tables out of the service.",
        )
    return str(hbase["root"]).rstrip("/")


def name_of(work: Work, data_set: dict[str, str]) -> str:
    """The name of the table's snapshot in the instruction's run."""
    return hbase_snapshot_name(work.snapshot, data_set["table"])


def read_files(site: str, directory: str) -> Procedure:
    """The bytes of a snapshot's two files, or None when one of them is not there."""
    contents = []
    for name in FILES:
        path = f"{directory}/{name}"
        status = yield from hdfs.status(site, path)
        if status is None:
            return None
        if status["length"] > MANIFEST_LIMIT_BYTES:
            raise SnapshotDamaged(f"{path} has {status['length']} bytes, HBase reads {MANIFEST_LIMIT_BYTES} at most")
        try:
            contents.append((yield from read(site, path)))
        except OperationFailed as failure:
            if hdfs.exception_of(failure) != "FileNotFoundException":
                raise
            return None  # gone since: what is being made vanishes when the master restarts
    return tuple(contents)


def read_info(site: str, directory: str) -> Procedure:
    """What a snapshot says of itself, or None when it is not there."""
    path = f"{directory}/{INFO_FILE}"
    try:
        return parse_snapshot_info((yield from read(site, path)))
    except OperationFailed as failure:
        if hdfs.exception_of(failure) != "FileNotFoundException":
            raise
        return None


def read(site: str, path: str) -> Procedure:
    """The bytes of a small file."""
    operation = ReadFile(site, path)

    def once() -> Procedure:
        return (yield operation)

    return (yield from hdfs.persist(once))


def read_snapshot(site: str, directory: str) -> Procedure:
    """Read and understand a snapshot, or None when it is not there; raises ``SnapshotDamaged``."""
    contents = yield from read_files(site, directory)
    return None if contents is None else understand(contents)


def understand(contents: tuple[bytes, bytes]) -> Snapshot:
    """A snapshot from the bytes of its files; raises ``SnapshotDamaged``."""
    regions = parse_data_manifest(contents[1])
    return Snapshot(contents, parse_snapshot_info(contents[0]), regions, wanted_files(regions))
