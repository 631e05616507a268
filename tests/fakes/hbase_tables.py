"""Tables of a simulated HBase: regions whose store files are real files of a simulated HDFS.

What is in a table is what its files say: a live file, a link to a file of another region, or a reference to a half of a
parent's file, all found by their names alone, as HBase finds them. A file's content is JSON, ``{row: [value, stamp]}``
of one family. A region opens only when HBase's user owns every file that it leads to.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from tests.fakes.hbase_wire import SimulatedRegion
from tests.fakes.hdfs import FakeHdfs

OWNER = "hbase"
PLACES = ("data", "mobdir/data", "archive/data")
_LINK = re.compile(r"(?:(\w+)=)?([\w.-]+)=([0-9a-f]{32})-(\w+)")
_REFERENCE = re.compile(r"(.+)\.([0-9a-f]{32})")

Rows = dict[str, tuple[str, int]]


class CannotOpen(Exception):
    """A store file that a region needs is not there, or is another user's."""


@dataclass
class Region:
    """One region: rows from ``start`` up to ``end`` ("" is no limit); ``memstore`` is by family."""

    table: str
    start: str
    end: str
    region_id: int
    memstore: dict[str, Rows] = field(default_factory=dict)
    writes: int = 0
    open_sequence_id: int = 2

    @property
    def encoded(self) -> str:
        """The name of its directory."""
        return SimulatedRegion(self.table, self.start.encode(), self.end.encode(), self.region_id).encoded

    def holds(self, row: str) -> bool:
        """Whether a row belongs here."""
        return row >= self.start and (not self.end or row < self.end)


@dataclass
class Table:
    """A table; ``parents`` are regions that were split and still lend their files."""

    name: str
    families: tuple[str, ...]
    regions: list[Region]
    state: str = "ENABLED"
    state_since_ms: int = 0
    attributes: dict[str, str] = field(default_factory=dict)
    parents: list[Region] = field(default_factory=list)

    def region_of(self, row: str) -> Region:
        """The region that a row belongs to."""
        return next(region for region in self.regions if region.holds(row))


class StoreFiles:
    """The store files below HBase's root."""

    def __init__(self, hdfs: FakeHdfs, root: str) -> None:
        self.hdfs = hdfs
        self.root = root

    def directory(self, region: Region, family: str, place: str = "data") -> str:
        """Where the files of a region's family stand."""
        return f"{self.root}/{place}/{region.table.replace(':', '/')}/{region.encoded}/{family}"

    def names(self, region: Region, family: str) -> list[str]:
        """The live store files' names."""
        inode = self.hdfs.find(self.directory(region, family))
        return sorted(inode.children or ()) if inode is not None else []

    def write(self, region: Region, family: str, name: str, data: bytes) -> None:
        """Make a file in a region, as HBase's own user."""
        directory = self.directory(region, family)
        self.hdfs.call("PUT", "MKDIRS", directory, {"permission": "755"}, OWNER)
        self.hdfs.write(f"{directory}/{name}", data, "644", 1024, 1, OWNER)

    def archive(self, region: Region, family: str, name: str) -> None:
        """Move a live file to the archive."""
        directory = self.directory(region, family, "archive/data")
        self.hdfs.call("PUT", "MKDIRS", directory, {"permission": "755"}, OWNER)
        source = f"{self.directory(region, family)}/{name}"
        target = f"{directory}/{name}"
        if self.hdfs.find(target) is not None:
            self.hdfs.call("DELETE", "DELETE", target, {"recursive": "true"}, OWNER)
        self.hdfs.call("PUT", "RENAME", source, {"destination": target, "renameoptions": "NONE"}, OWNER)
        # HBase archives by rename, and gives the file the present time, which is what the cleaner counts from.
        self.hdfs.call("PUT", "SETTIMES", target, {"modificationtime": str(self.hdfs.now_ms()), "accesstime": "-1"})

    def resolve(self, region: Region, family: str, name: str) -> str:
        """The path of the real file that a store file's name leads to; raises ``CannotOpen``."""
        table, encoded = region.table, region.encoded
        reference = _REFERENCE.fullmatch(name)
        if reference:
            name, encoded = reference[1], reference[2]
        link = _LINK.fullmatch(name)
        if link:
            table, encoded, name = f"{link[1] or 'default'}:{link[2]}", link[3], link[4]
        for place in PLACES:
            path = f"{self.root}/{place}/{table.replace(':', '/')}/{encoded}/{family}/{name}"
            inode = self.hdfs.find(path)
            if inode is not None and inode.owner == OWNER:
                return path
            if inode is not None:
                raise CannotOpen(f"Permission denied: {path} belongs to {inode.owner}")
        raise CannotOpen(f"FileNotFoundException: {table} {encoded}/{family}/{name}")

    def read(self, region: Region, family: str) -> Rows:
        """The rows of a region's family, the newest stamp counting; raises ``CannotOpen``."""
        rows: Rows = {}
        found = [json.loads(self.hdfs.read(self.resolve(region, family, name))) for name in self.names(region, family)]
        for part in [*found, region.memstore.get(family, {})]:
            for row, (value, stamp) in part.items():
                if region.holds(row) and (row not in rows or rows[row][1] <= stamp):
                    rows[row] = (value, stamp)
        return rows

    def length(self, region: Region, family: str, name: str) -> int:
        """The bytes of the real file that a name leads to."""
        inode = self.hdfs.find(self.resolve(region, family, name))
        assert inode is not None
        return inode.length
