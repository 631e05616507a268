"""Read the two files of an HBase snapshot: what it is of, and which store files it names.

``.snapshotinfo`` is a SnapshotDescription and ``data.manifest`` a SnapshotDataManifest of HBase's Snapshot.proto,
HBase.proto and FS.proto (format version 2, the only one since HBase 1.0). Names that become parts of paths are checked
character by character, so a manifest can never lead out of HBase's directories. Whatever does not fit raises
``SnapshotDamaged``.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from infra.agent.core.operations import OperationFailed
from infra.agent.core.protobuf import Message, ProtobufError

INFO_FILE = ".snapshotinfo"
MANIFEST_FILE = "data.manifest"
FORMAT_VERSION = 2
TYPES = {0: "DISABLED", 1: "FLUSH", 2: "SKIPFLUSH"}
DEFAULT_NAMESPACE = "default"
# Letters and digits are those of any script (TableName.isLegalTableQualifierName).
_NAMESPACE = re.compile(r"\w{1,250}\Z")
_TABLE = re.compile(r"\w[\w.-]{0,250}\Z")
_ENCODED_REGION = re.compile(r"[0-9a-f]{32}\Z")
_MOB_START_KEY = b".mob"
_STORE_FILE = re.compile(r"[\w.=-]{1,250}\Z")
_FAMILY_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f:/\\]")


class SnapshotDamaged(OperationFailed):
    """A snapshot's file cannot be what HBase wrote."""

    def __init__(self, what: str) -> None:
        super().__init__(
            "SNAPSHOT_DAMAGED",
            what,
            remedy="Check the snapshot with `hbase snapshot info -files`; take a new one.",
        )


class SnapshotInfo(NamedTuple):
    """What a snapshot is of; ``table`` is a ``Table``, ``ttl_seconds`` 0 means that it is kept for ever."""

    name: str
    table: Table
    creation_ms: int
    type: str
    ttl_seconds: int


class Table(NamedTuple):
    """A table's name in its two parts."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}:{self.name}"


class StoreFile(NamedTuple):
    """A store file as the manifest names it: an HFile, a link to one, or a reference to a part of one.

    ``length`` is that of the file it leads to, None when the manifest does not tell. ``is_whole_reference`` says that
    the manifest holds the reference itself, so that no file of this very name is needed.
    """

    family: str
    name: str
    length: int | None
    is_whole_reference: bool


class Region(NamedTuple):
    """A region with its store files; ``encoded`` is the name of its directory.

    ``holds_mobs`` marks the made-up region under which a table's medium-sized objects (MOB) stand.
    """

    table: Table
    encoded: str
    holds_mobs: bool
    files: list[StoreFile]


def parse_table(text: str) -> Table:
    """A table's name from "namespace:table" or "table"; raises ``SnapshotDamaged``."""
    namespace, _, name = text.rpartition(":")
    return checked_table(namespace or DEFAULT_NAMESPACE, name)


def checked_table(namespace: str, name: str) -> Table:
    """A table's name from its parts; raises ``SnapshotDamaged`` unless HBase itself would accept them."""
    if not _NAMESPACE.match(namespace) or not _TABLE.match(name):
        raise SnapshotDamaged(f"{namespace[:80]!r}:{name[:80]!r} is not the name of a table")
    return Table(namespace, name)


def checked_family(name: str) -> str:
    """A column family's name; raises ``SnapshotDamaged``."""
    if not name or name.startswith(".") or _FAMILY_FORBIDDEN.search(name) or len(name) > 250:
        raise SnapshotDamaged(f"{name[:80]!r} is not the name of a column family")
    return name


def checked_store_file(name: str) -> str:
    """A store file's name, a link's or a reference's; raises ``SnapshotDamaged``."""
    if not _STORE_FILE.match(name) or name.startswith("."):
        raise SnapshotDamaged(f"{name[:80]!r} is not the name of a store file")
    return name


def checked_region(encoded: str) -> str:
    """An encoded region name; raises ``SnapshotDamaged``."""
    if not _ENCODED_REGION.match(encoded):
        raise SnapshotDamaged(f"{encoded[:80]!r} is not the encoded name of a region")
    return encoded


def parse_snapshot_info(data: bytes) -> SnapshotInfo:
    """The content of ``.snapshotinfo``."""
    try:
        message = Message(memoryview(data), "SnapshotDescription")
        version = message.signed(5, 0)
        if version != FORMAT_VERSION:
            raise SnapshotDamaged(f"the snapshot has the format version {version}, only {FORMAT_VERSION} is known")
        return SnapshotInfo(
            name=message.text(1),
            table=parse_table(message.text(2)),
            creation_ms=message.signed(3, 0),
            type=TYPES.get(message.integer(4, 1), "UNKNOWN"),
            ttl_seconds=max(0, message.signed(8, 0)),
        )
    except ProtobufError as error:
        raise SnapshotDamaged(f"{INFO_FILE}: {error}") from error


def parse_data_manifest(data: bytes) -> list[Region]:
    """The regions that ``data.manifest`` names, in its order."""
    try:
        message = Message(memoryview(data), "SnapshotDataManifest")
        message.data(1)  # the table's schema, which HBase requires
        return [_region(Message(part, "SnapshotRegionManifest")) for part in message.repeated(2)]
    except ProtobufError as error:
        raise SnapshotDamaged(f"{MANIFEST_FILE}: {error}") from error


def _region(message: Message) -> Region:
    info = Message(message.data(2), "RegionInfo")
    table_name = Message(info.data(2), "TableName")
    table = checked_table(table_name.text(1), table_name.text(2))
    files = [
        store_file
        for part in message.repeated(3)
        for store_file in _family(Message(part, "SnapshotRegionManifest.FamilyFiles"))
    ]
    holds_mobs = info.data(3, b"") == _MOB_START_KEY and info.integer(1) == 0
    return Region(table, _encoded_name(info, table), holds_mobs, files)


def _encoded_name(info: Message, table: Table) -> str:
    """The region's encoded name: told by newer versions, else the MD5 of its name (``RegionInfo.createRegionName``)."""
    if info.has(8):
        return checked_region(info.text(8))
    table_text = table.name if table.namespace == DEFAULT_NAMESPACE else str(table)
    replica = info.signed(7, 0)
    suffix = f"_{replica:04X}" if replica > 0 else ""
    name = b",".join(
        [table_text.encode("utf-8"), bytes(info.data(3, b"")), f"{info.integer(1)}{suffix}".encode("ascii")]
    )
    return hashlib.md5(name).hexdigest()  # noqa: S324 - HBase's naming, no secret


def _family(message: Message) -> list[StoreFile]:
    family = checked_family(message.text(1))
    return [_store_file(family, Message(part, "SnapshotRegionManifest.StoreFile")) for part in message.repeated(2)]


def _store_file(family: str, message: Message) -> StoreFile:
    name = checked_store_file(message.text(1))
    length = message.integer(3) if message.has(3) else None
    return StoreFile(family, name, length, message.has(2))
