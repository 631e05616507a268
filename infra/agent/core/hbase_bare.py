"""A snapshot without what its table's schema loads into a RegionServer: what clones on the secondary are made of.

A clone has the schema of its snapshot. A coprocessor that cannot be loaded ends the RegionServer that opens a region of
it (``hbase.coprocessor.abortonerror``), again at every start; a split policy or a store engine of another's making, a
region server group or an erasure coding policy keeps regions from opening. None of it is needed to read rows. So where
a schema holds more than HBase itself brings in every version, a second snapshot is made for the clone: the very same
regions and files, and of the schema what says how rows are kept and read. It lives as long as the cloning; the recovery
point's own snapshot, with the true schema, is never changed.

Attributes are kept by name, because an unknown one may do anything. Messages of HBase.proto (TableSchema,
ColumnFamilySchema, BytesBytesPair) and Snapshot.proto are written again field by field, in the order that they had.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

from infra.agent.core import hbase_calls, hdfs
from infra.agent.core.hbase_layout import snapshot_directory
from infra.agent.core.hbase_manifest import MANIFEST_FILE, SnapshotDamaged
from infra.agent.core.hbase_send import write
from infra.agent.core.hbase_snapshot import FILES, read_files
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import OperationFailed, Progress
from infra.agent.core.protobuf import Message, ProtobufError, Value, data_field, fields, integer_field
from infra.agent.core.staging import scratch
from infra.agent.core.work import SECONDARY, Work

DIRECTORY_MODE = "755"
_ANY: tuple[str, ...] | None = None
_BOTH = ("true", "false")
_OF_TABLES: dict[str, tuple[str, ...] | None] = {
    "COMPACTION_ENABLED": _BOTH,
    "DURABILITY": _ANY,
    "IS_META": _BOTH,
    "MERGE_ENABLED": _BOTH,
    "NORMALIZATION_ENABLED": _BOTH,
    "READONLY": _BOTH,
    "SPLIT_ENABLED": _BOTH,
    "hbase.store.file-tracker.impl": ("DEFAULT", "FILE"),
}
_OF_FAMILIES: dict[str, tuple[str, ...] | None] = {
    "BLOCKCACHE": _BOTH,
    "BLOCKSIZE": _ANY,
    "BLOOMFILTER": ("NONE", "ROW", "ROWCOL"),
    "CACHE_BLOOMS_ON_WRITE": _BOTH,
    "CACHE_DATA_ON_WRITE": _BOTH,
    "CACHE_INDEX_ON_WRITE": _BOTH,
    "COMPRESSION": _ANY,
    "COMPRESS_TAGS": _BOTH,
    "DATA_BLOCK_ENCODING": _ANY,
    "DFS_REPLICATION": _ANY,
    "ENCRYPTION": _ANY,
    "ENCRYPTION_KEY": _ANY,
    "EVICT_BLOCKS_ON_CLOSE": _BOTH,
    "INDEX_BLOCK_ENCODING": _ANY,
    "IN_MEMORY": _BOTH,
    "IN_MEMORY_COMPACTION": ("NONE", "BASIC", "EAGER", "ADAPTIVE"),
    "IS_MOB": _BOTH,
    "KEEP_DELETED_CELLS": _ANY,
    "MIN_VERSIONS": _ANY,
    "MOB_COMPACT_PARTITION_POLICY": _ANY,
    "MOB_THRESHOLD": _ANY,
    "NEW_VERSION_BEHAVIOR": _BOTH,
    "PREFETCH_BLOCKS_ON_OPEN": _BOTH,
    "REPLICATION_SCOPE": ("0",),
    "TTL": _ANY,
    "VERSIONS": _ANY,
}


class Bare(NamedTuple):
    """The two files of a snapshot of this name, and what of the schema is left out of them."""

    name: str
    contents: tuple[bytes, bytes]
    left_out: list[str]


def bare_name(snapshot: str) -> str:
    """The name of the snapshot that clones of this one are made of: always the same, so that none can be left over."""
    return f"us-bare-{hashlib.sha256(snapshot.encode()).hexdigest()[:32]}"


def bare_of(contents: tuple[bytes, bytes], name: str) -> Bare:
    """The files of a snapshot again, under this name and without the rest of the schema; raises ``SnapshotDamaged``."""
    try:
        info = b"".join(_field(number, name.encode() if number == 1 else value) for number, value in _of(contents[0]))
        schema, left_out = _bare_schema(Message(memoryview(contents[1]), "SnapshotDataManifest").data(1))
        manifest = b"".join(_field(number, schema if number == 1 else value) for number, value in _of(contents[1]))
    except ProtobufError as error:
        raise SnapshotDamaged(f"{MANIFEST_FILE}: {error}") from error
    return Bare(name, (info, manifest), sorted(left_out))


def _of(data: bytes) -> Any:
    return fields(memoryview(data))


def _field(number: int, value: Value | bytes) -> bytes:
    return integer_field(number, value) if isinstance(value, int) else data_field(number, value)


def _bare_schema(schema: memoryview) -> tuple[bytes, list[str]]:
    """A TableSchema: its name, attributes that are kept, families; no configuration."""
    parts: list[bytes] = []
    left_out: list[str] = []
    for number, value in fields(schema):
        if number == 3 and not isinstance(value, int):
            family, of_family = _bare_family(value)
            parts.append(data_field(number, family))
            left_out += of_family
        else:
            _keep(number, value, (2, 4), _OF_TABLES, "", parts, left_out)
    return b"".join(parts), left_out


def _bare_family(schema: memoryview) -> tuple[bytes, list[str]]:
    """A ColumnFamilySchema likewise."""
    parts: list[bytes] = []
    left_out: list[str] = []
    name = Message(schema, "ColumnFamilySchema").text(1)
    for number, value in fields(schema):
        _keep(number, value, (2, 3), _OF_FAMILIES, f"{name}: ", parts, left_out)
    return b"".join(parts), left_out


def _keep(
    number: int,
    value: Value,
    numbers: tuple[int, int],
    kept: dict[str, tuple[str, ...] | None],
    prefix: str,
    parts: list[bytes],
    left_out: list[str],
) -> None:
    """Take a field over, or name it; ``numbers`` are those of the attributes and of the configuration's values."""
    if number not in numbers or isinstance(value, int):
        parts.append(_field(number, value))
        return
    pair = Message(value, "BytesBytesPair")
    key, text = _text(pair.data(1)), _text(pair.data(2))
    allowed = kept.get(key, ()) if number == numbers[0] else ()
    if allowed is None or text in allowed:
        parts.append(_field(number, value))
    else:
        left_out.append(f"{prefix}{key} {text}"[:200])


def _text(data: memoryview) -> str:
    return bytes(data).decode("utf-8", "replace")


def clone_bare(work: Work, root: str, snapshot: str, table: str, seconds: float) -> Procedure:
    """Clone a snapshot of the secondary to a new table without what its schema would load; returns what is left out."""
    contents = yield from read_files(SECONDARY, snapshot_directory(root, snapshot))
    if contents is None:
        raise OperationFailed("SNAPSHOT_MISSING", f"{snapshot} is not in {root}", detail={"path": root})
    bare = bare_of(contents, bare_name(snapshot))
    if not bare.left_out:
        yield from hbase_calls.clone(SECONDARY, snapshot, table, seconds)
        return []
    yield from _put(work, root, bare)
    try:
        yield from hbase_calls.clone(SECONDARY, bare.name, table, seconds)
    except OperationFailed as failure:
        if failure.code != "ABORTED":
            yield from _remove(bare)
        raise
    yield from _remove(bare)
    return bare.left_out


def _remove(bare: Bare) -> Procedure:
    """Remove the snapshot; if that fails it goes with the next clone, or with the recovery point."""
    try:
        yield from hbase_calls.delete_snapshot(SECONDARY, bare.name)
    except OperationFailed as failure:
        if failure.code == "ABORTED":
            raise
        yield Progress({"step": "clone", "note": f"{bare.name} is left: {failure.message}"[:200]})


def _put(work: Work, root: str, bare: Bare) -> Procedure:
    """Put the snapshot among HBase's own, whole, by one rename; one that an agent left that died is replaced.

    The cleaner has no say: every file that it names the recovery point's own snapshot names, too.
    """
    final = snapshot_directory(root, bare.name)
    if (yield from read_files(SECONDARY, final)) == bare.contents:
        return
    prepared = scratch(work.instruction, bare.name)
    owner = yield from hdfs.status(SECONDARY, root)
    if owner is None:
        raise OperationFailed("NO_HBASE", f"{root} is not there")
    yield from hdfs.delete(SECONDARY, prepared)
    yield from hdfs.make_directory(SECONDARY, prepared, DIRECTORY_MODE)
    yield from hdfs.set_permission(SECONDARY, prepared, DIRECTORY_MODE)
    for name, data in zip(FILES, bare.contents):
        yield from write(f"{prepared}/{name}", data, "644")
    for path in (*(f"{prepared}/{name}" for name in FILES), prepared):
        yield from hdfs.set_owner(SECONDARY, path, owner["owner"], owner["group"])
    yield from hbase_calls.delete_snapshot(SECONDARY, bare.name)
    try:
        yield from hdfs.rename(SECONDARY, prepared, final)
    except OperationFailed:
        # A request whose answer was lost may have done it.
        if (yield from read_files(SECONDARY, final)) != bare.contents:
            raise
