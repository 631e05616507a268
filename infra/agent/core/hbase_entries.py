"""The source manifest of a table: the snapshot's own two files, then every real store file, in the order of paths.

It is small enough to be held in memory, because HBase holds its own manifest so. The *content* digest is over the store
files, the *metadata* digest over the snapshot's two files: they are the table's schema and its regions.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Dict, Iterable

from infra.agent.core.hbase_files import Found
from infra.agent.core.hbase_layout import SNAPSHOTS, HFile
from infra.agent.core.hbase_manifest import (
    SnapshotDamaged,
    checked_family,
    checked_region,
    checked_store_file,
    checked_table,
)
from infra.agent.core.hbase_snapshot import FILES
from infra.agent.core.operations import OperationFailed
from infra.agent.protocol import canonical

Entry = Dict[str, Any]
OWN_FILES = tuple(f"{SNAPSHOTS}/{name}" for name in FILES)


def own_entries(contents: Iterable[bytes]) -> list[Entry]:
    """The lines of the snapshot's own files."""
    return [
        {"p": path, "t": "f", "l": len(data), "c": f"SHA-256:{hashlib.sha256(data).hexdigest()}"}
        for path, data in zip(OWN_FILES, contents)
    ]


def file_entry(found: Found, checksum: str | None, moved: bool) -> Entry:
    """The line of a store file; ``moved`` says that this run copies it."""
    status = found.status
    entry: Entry = {
        "p": found.file.relative,
        "t": "f",
        "l": found.length,
        "b": status["blockSize"],
        "r": status["replication"],
        "x": status["permission"],
    }
    if checksum is not None:
        entry["c"] = checksum
    if moved:
        entry["w"] = True
    return entry


def is_own(entry: Entry) -> bool:
    """Tell whether a line is about one of the snapshot's own files."""
    return entry["p"] in OWN_FILES


def file_of(entry: Entry) -> HFile:
    """The store file of a line."""
    namespace, table, region, family, name = entry["p"].split("/")
    return HFile(
        checked_table(namespace, table), checked_region(region), checked_family(family), checked_store_file(name)
    )


class Manifest:
    """All lines of a source manifest; store files have ordinals, by which they are staged."""

    def __init__(self, entries: list[Entry]) -> None:
        self.own = [entry for entry in entries if is_own(entry)]
        self.files = [entry for entry in entries if not is_own(entry)]

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """Read a manifest that a sender wrote; raises ``OperationFailed`` when it cannot be one."""
        try:
            manifest = cls([json.loads(line) for line in data.splitlines()])
            paths = [entry["p"] for entry in (*manifest.own, *manifest.files)]
            sound = all(type(entry["l"]) is int and entry["l"] >= 0 and file_of(entry) for entry in manifest.files)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, SnapshotDamaged) as error:
            raise OperationFailed("STAGING_DAMAGED", f"this is not the manifest of a table: {error!r:.200}") from error
        if tuple(paths[: len(OWN_FILES)]) != OWN_FILES or not sound:
            raise OperationFailed("STAGING_DAMAGED", "this is not the manifest of a table: something is missing in it")
        return manifest

    def encode(self) -> bytes:
        """The manifest's bytes."""
        return b"".join(canonical(entry) + b"\n" for entry in (*self.own, *self.files))

    @property
    def sha256(self) -> str:
        """The digest of these bytes."""
        return hashlib.sha256(self.encode()).hexdigest()

    @property
    def bytes(self) -> int:
        """The bytes of all store files."""
        return sum(entry["l"] for entry in self.files)

    def moved(self) -> list[tuple[int, Entry]]:
        """The store files that this run copies, with their ordinals."""
        return [(number, entry) for number, entry in enumerate(self.files) if entry.get("w")]

    def content_digest(self) -> str:
        """SHA-256 over the lines (path, type, length, checksum) of the store files."""
        return digest(self.files)

    def metadata_digest(self) -> str:
        """SHA-256 over the same of the snapshot's own files."""
        return digest(self.own)


def digest(entries: Iterable[Entry]) -> str:
    """SHA-256 over the lines (path, type, length, checksum)."""
    whole = hashlib.sha256()
    for entry in entries:
        whole.update(canonical({name: entry[name] for name in ("p", "t", "l", "c") if name in entry}) + b"\n")
    return whole.hexdigest()
