"""Snapshots of a simulated HBase: their two files, clones made of links, and the cleaner that spares what they name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from infra.agent.core.hbase_layout import wanted_files
from infra.agent.core.hbase_manifest import parse_data_manifest, parse_snapshot_info
from infra.agent.core.operations import OperationFailed
from infra.agent.core.protobuf import Message
from tests.fakes.hbase_tables import OWNER, Region, StoreFiles, Table
from tests.fakes.hbase_wire import SimulatedRegion, data_manifest, snapshot_info
from tests.fakes.hdfs_namespace import Inode

KINDS = {"DISABLED": 0, "FLUSH": 1, "SKIPFLUSH": 2}
DIRECTORY = ".hbase-snapshot"


class Snapshots:
    """The directory ``.hbase-snapshot``."""

    def __init__(self, files: StoreFiles) -> None:
        self._files = files
        self._hdfs = files.hdfs
        self._root = f"{files.root}/{DIRECTORY}"

    def take(self, name: str, table: Table, kind: str) -> None:
        """Write a snapshot: made in ``.tmp``, then renamed."""
        working = f"{self._root}/.tmp/{name}"
        self._hdfs.call("PUT", "MKDIRS", working, {"permission": "755"}, OWNER)
        info = snapshot_info(name, table.name, self._hdfs.now_ms(), KINDS[kind])
        regions = [self._described(table, region) for region in [*table.regions, *table.parents]]
        for file, data in (
            (".snapshotinfo", info),
            ("data.manifest", data_manifest(table.name, regions, table.attributes)),
        ):
            self._hdfs.write(f"{working}/{file}", data, "644", user=OWNER)
        final = {"destination": f"{self._root}/{name}", "renameoptions": "NONE"}
        self._hdfs.call("PUT", "RENAME", working, final, OWNER)

    def _described(self, table: Table, region: Region) -> SimulatedRegion:
        files = {
            family: [
                (name, self._files.length(region, family, name), "." in name)
                for name in self._files.names(region, family)
            ]
            for family in table.families
        }
        return SimulatedRegion(table.name, region.start.encode(), region.end.encode(), region.region_id, files)

    def listed(self) -> list[dict[str, Any]]:
        """What the master tells of the finished snapshots: it reads their directories."""
        found = []
        for name in sorted(self._directory(self._root)):
            data = self._content(f"{self._root}/{name}/.snapshotinfo")
            if name == ".tmp" or data is None:
                continue
            info = parse_snapshot_info(data)
            found.append(
                {
                    "name": info.name,
                    "table": str(info.table),
                    "type": info.type,
                    "owner": "",
                    "creation_ms": info.creation_ms,
                    "ttl_seconds": info.ttl_seconds,
                }
            )
        return found

    def delete(self, name: str) -> bool:
        """Remove a finished snapshot; returns whether it was there."""
        if name not in self._directory(self._root):
            return False
        self._hdfs.call("DELETE", "DELETE", f"{self._root}/{name}", {"recursive": "true"}, OWNER)
        return True

    def clone(self, name: str, table: str, next_number: Callable[[], int]) -> Table:
        """A table whose store files are links to, and references by links to, those of a snapshot."""
        data = self._content(f"{self._root}/{name}/data.manifest")
        assert data is not None
        described = parse_data_manifest(data)
        bounds, families = _shape(data)
        parents = {file.name.rpartition(".")[2] for region in described for file in region.files if "." in file.name}
        made = {region.encoded: Region(table, *bounds[region.encoded], next_number()) for region in described}
        for region in described:
            for file in region.files:
                stem, dot, parent = file.name.rpartition(".")
                hfile = stem if dot else file.name
                origin = parent if dot else region.encoded
                link = hfile if "=" in hfile else _link(str(region.table), origin, hfile)
                target = f"{link}.{made[parent].encoded}" if dot and parent in made else link
                self._files.write(made[region.encoded], file.family, target, b"")
        living = [made[region.encoded] for region in described if region.encoded not in parents]
        lending = [made[region.encoded] for region in described if region.encoded in parents]
        living.sort(key=lambda region: region.start)
        return Table(table, families, living, parents=lending, attributes=_attributes(data))

    def clean(self, ttl_ms: int) -> list[str]:
        """The cleaner: names of final snapshots and of those in ``.tmp`` are spared, a damaged one names nothing."""
        named: set[str] = set()
        for directory in (self._root, f"{self._root}/.tmp"):
            for name in self._directory(directory):
                named |= self._named(f"{directory}/{name}/data.manifest")
        deleted: list[str] = []
        archive = self._hdfs.find(f"{self._files.root}/archive/data")
        assert archive is not None
        self._clean(f"{self._files.root}/archive/data", archive, named, self._hdfs.now_ms() - ttl_ms, deleted)
        return deleted

    def _clean(self, path: str, directory: Inode, named: set[str], before_ms: int, deleted: list[str]) -> None:
        for name, inode in list((directory.children or {}).items()):
            below = f"{path}/{name}"
            if inode.is_directory:
                self._clean(below, inode, named, before_ms, deleted)
                is_old = not inode.children and below.count("/") > 4
            else:
                is_old = inode.modified_ms < before_ms and name not in named
            if is_old:
                self._hdfs.call("DELETE", "DELETE", below, {"recursive": "true"}, OWNER)
                deleted.append(below)

    def _named(self, path: str) -> set[str]:
        data = self._content(path)
        try:
            return {wanted.file.name for wanted in wanted_files(parse_data_manifest(data or b""))}
        except OperationFailed:
            return set()

    def _directory(self, path: str) -> list[str]:
        inode = self._hdfs.find(path)
        return list(inode.children or ()) if inode is not None else []

    def _content(self, path: str) -> bytes | None:
        return self._hdfs.read(path) if self._hdfs.find(path) is not None else None


def _link(table: str, encoded: str, hfile: str) -> str:
    namespace, _, name = table.partition(":")
    prefix = "" if namespace == "default" else f"{namespace}="
    return f"{prefix}{name}={encoded}-{hfile}"


def _attributes(data: bytes) -> dict[str, str]:
    """The attributes of the table's schema."""
    schema = Message(Message(memoryview(data), "SnapshotDataManifest").data(1), "TableSchema")
    pairs = [Message(part, "BytesBytesPair") for part in schema.repeated(2)]
    return {pair.text(1): pair.text(2) for pair in pairs}


def _shape(data: bytes) -> tuple[dict[str, tuple[str, str]], tuple[str, ...]]:
    """The first and last key of each region by its encoded name, and the families: the copier needs neither."""
    bounds = {}
    families: dict[str, None] = {}
    parts = Message(memoryview(data), "SnapshotDataManifest").repeated(2)
    for part, region in zip(parts, parse_data_manifest(data), strict=True):
        message = Message(part, "SnapshotRegionManifest")
        info = Message(message.data(2), "RegionInfo")
        bounds[region.encoded] = (info.text(3), info.text(4))
        families.update(dict.fromkeys(Message(family, "FamilyFiles").text(1) for family in message.repeated(3)))
    return bounds, tuple(families)
