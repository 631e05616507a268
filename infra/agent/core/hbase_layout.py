"""Where HBase keeps store files, and which real files a snapshot's names lead to.

A real file is found under one of three directories of HBase's root, in the same place below each: ``data`` (live
tables), ``archive`` (what no live table needs any more) and ``mobdir`` (medium-sized objects). Beside real files a
snapshot names *links* (``[namespace=]table=region-hfile``: a file of another region, made by a clone or restore) and
*references* (``hfile.region`` or ``link.region``: a half of a file of the region that was split or merged). Where each
of them leads is told by its name alone (HBase's HFileLink and StoreFileInfo).
"""

from __future__ import annotations

import re
from typing import Iterable, NamedTuple

from infra.agent.core.hbase_manifest import (
    DEFAULT_NAMESPACE,
    Region,
    SnapshotDamaged,
    StoreFile,
    Table,
    checked_region,
    checked_table,
)

DATA, ARCHIVE, MOB = "data", "archive/data", "mobdir/data"
SNAPSHOTS = ".hbase-snapshot"
WORKING = f"{SNAPSHOTS}/.tmp"
_LINK = re.compile(r"(?:(?P<namespace>[^=]+)=)?(?P<table>[^=]+)=(?P<region>[0-9a-f]+)-(?P<file>[^=]+)\Z")
_REFERENCE = re.compile(r"(?P<file>.+)\.(?P<region>[0-9a-f]{32})\Z")
_REAL_FILE = re.compile(r"[A-Za-z0-9_]{1,250}\Z")


class HFile(NamedTuple):
    """A real file's place below ``data``, ``archive`` or ``mobdir``."""

    table: Table
    region: str
    family: str
    name: str

    @property
    def directory(self) -> str:
        """The directory, relative to one of the three."""
        return f"{self.table.namespace}/{self.table.name}/{self.region}/{self.family}"

    @property
    def relative(self) -> str:
        """The path, relative to one of the three."""
        return f"{self.directory}/{self.name}"


class Wanted(NamedTuple):
    """A real file that a snapshot needs; ``length`` is None when the manifest does not tell it."""

    file: HFile
    length: int | None


def snapshot_directory(root: str, snapshot: str) -> str:
    """Where a finished snapshot lies."""
    return f"{root}/{SNAPSHOTS}/{snapshot}"


def working_directory(root: str, snapshot: str) -> str:
    """Where a snapshot lies while it is made: its files are safe from the cleaner from here on."""
    return f"{root}/{WORKING}/{snapshot}"


def wanted_files(regions: Iterable[Region]) -> list[Wanted]:
    """The real files that a snapshot needs, each once, ordered by their paths; raises ``SnapshotDamaged``."""
    found: dict[str, Wanted] = {}
    for region in regions:
        for store_file in region.files:
            for wanted in _real_files(region, store_file):
                known = found.get(wanted.file.relative)
                if known is None or known.length is None:
                    found[wanted.file.relative] = wanted
                elif wanted.length not in (None, known.length):
                    raise SnapshotDamaged(f"{wanted.file.relative} has two lengths, {known.length} and {wanted.length}")
    return [found[relative] for relative in sorted(found)]


def _real_files(region: Region, store_file: StoreFile) -> list[Wanted]:
    """Usually one; a reference that is not in the manifest itself is a file of its own besides."""
    reference = _REFERENCE.match(store_file.name)
    if reference is None:
        file = _link_or_file(region.table, region.encoded, store_file.family, store_file.name)
        return [Wanted(file, store_file.length)]
    parent = checked_region(reference["region"])
    files = [Wanted(_link_or_file(region.table, parent, store_file.family, reference["file"]), store_file.length)]
    if not store_file.is_whole_reference:
        files.append(Wanted(HFile(region.table, region.encoded, store_file.family, store_file.name), None))
    return files


def _link_or_file(table: Table, region: str, family: str, name: str) -> HFile:
    link = _LINK.match(name)
    if link is not None:
        table = checked_table(link["namespace"] or DEFAULT_NAMESPACE, link["table"])
        region, name = checked_region(link["region"]), link["file"]
    if not _REAL_FILE.match(name):
        raise SnapshotDamaged(f"{name[:80]!r} is not the name of an HFile")
    return HFile(table, region, family, name)
