"""Digest: compare the secondary's own snapshot of a table with the source manifest, on the secondary alone.

*Content* is the store files: present, of the right length, and by the level their stored checksums or their bytes.
*Metadata* is the snapshot's own two files, byte by byte: the table's schema and its regions. Every store file must
belong to HBase's user, because HBase does not say so otherwise: it lets a clone hang.

What each level proves is the same as for directories (``levels``).
"""

from __future__ import annotations

from typing import Any

from infra.agent.core import hdfs
from infra.agent.core.hbase_clones import try_clone
from infra.agent.core.hbase_entries import Entry, Manifest, digest, file_of, own_entries
from infra.agent.core.hbase_files import Found, follow, locate
from infra.agent.core.hbase_layout import snapshot_directory
from infra.agent.core.hbase_send import fetch_manifest
from infra.agent.core.hbase_snapshot import name_of, read_files, root_of
from infra.agent.core.hdfs_asking import BY_BYTES, checksum_by_bytes
from infra.agent.core.hdfs_digest import AT_ONCE, DIFFERENCES_TOLD, UNREADABLE
from infra.agent.core.known_damage import Judgement, known_damage
from infra.agent.core.levels import EQUAL, LISTED, Level, content_verdict
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.meter import Meter
from infra.agent.core.operations import DigestFile, OperationFailed
from infra.agent.core.readings import Readings
from infra.agent.core.work import SECONDARY, Work


def digest_table(work: Work, data_set: dict[str, Any]) -> Procedure:
    """Carry out DigestSnapshots for one table; the result is described in docs/agent.md."""
    manifest = yield from fetch_manifest(work, data_set, f"{work.staging(data_set)}/manifest")
    digesting = _Digesting(work, data_set, manifest)
    result = yield from digesting.run()
    is_sound = result["content"]["verdict"] in (EQUAL, LISTED) and result["metadata"]["verdict"] == EQUAL
    if is_sound and work.payload["trial_clone"] == data_set["table"]:
        result["trial_clone"] = yield from try_clone(work, data_set)
    return result


class _Digesting:
    def __init__(self, work: Work, data_set: dict[str, Any], manifest: Manifest) -> None:
        self._manifest = manifest
        self._level = Level(work)
        self._root = root_of(work, SECONDARY)
        self._directory = snapshot_directory(self._root, name_of(work, data_set))
        self._differences: list[str] = []
        self._wrong_owners: list[str] = []
        self._assumed: set[str] = set()  # paths whose checksum is the expected one, and nobody has looked
        self._files_read = 0
        self._bytes_read = 0
        self._files_computed = 0
        self._meter = Meter("digest", data_set["id"], manifest.bytes, len(manifest.files))
        self._data_set = data_set
        self._damage = Judgement(frozenset())
        self._readings = Readings(work, data_set)
        self._to_read: dict[str, tuple[int, int]] = {}

    def run(self) -> Procedure:
        """Look at everything and return the result."""
        self._damage = Judgement((yield from known_damage(self._data_set)))
        yield from self._meter.tell()
        owner = (yield from hdfs.status(SECONDARY, self._root))["owner"]
        contents = yield from read_files(SECONDARY, self._directory)
        own = [] if contents is None else own_entries(contents)
        if own != self._manifest.own:
            self._differs(self._directory, "is missing" if contents is None else "has other bytes")
        located = yield from locate(SECONDARY, self._root, [file_of(entry) for entry in self._manifest.files])
        yield from self._take_turns(located)
        found = yield Together((self._look(entry, located, owner) for entry in self._manifest.files), AT_ONCE)
        yield from self._damage.record(self._data_set)
        yield from self._readings.record()
        if self._wrong_owners:
            raise _wrong_owner(self._wrong_owners, owner)
        content = self._content([entry for entry in found if entry])
        return {
            "manifest_sha256": self._manifest.sha256,
            "content": content,
            "metadata": _verdict(self._manifest.own, own, "the table's schema and regions"),
            "differences": self._differences,
            "damaged_in_base": self._damage.in_base,
            "files_computed": self._files_computed,
            "carried": None,
            "read": self._readings.told(),
            "files_read": self._files_read,
            "bytes_read": self._bytes_read,
        }

    def _take_turns(self, located: dict[str, Found]) -> Procedure:
        """Find out what of the store files it is this run's turn to read."""
        yield from self._readings.begin(self._manifest.bytes)
        for path in sorted(located):
            at = located[path]
            is_read_anyway = self._level.reads(path)
            to_read = self._readings.turn(path.encode("utf-8"), at.status["fileId"], at.length, is_read_anyway)
            if to_read is not None:
                self._to_read[path] = to_read

    def _content(self, found: list[Entry]) -> dict[str, Any]:
        """The verdict on the store files."""
        expected, whole = digest(self._manifest.files), digest(found)
        is_partial = self._assumed or any(entry.get("c") == UNREADABLE for entry in found)
        content = content_verdict(expected == whole, expected, None if is_partial else whole, self._level.proved)
        if not self._level.sees_all:
            listed = digest(map(self._listed, self._manifest.files)), digest(map(self._listed, found))
            content["listed"] = {"expected": listed[0], "found": listed[1]}
        return content

    def _listed(self, entry: Entry) -> Entry:
        """An entry without the checksum that nobody has looked at."""
        return {name: entry[name] for name in entry if name != "c" or entry["p"] not in self._assumed}

    def _look(self, entry: Entry, located: dict[str, Found], owner: str) -> Procedure:
        """What is found of one store file, as an entry; None when it is missing."""
        at = located.get(entry["p"])
        if at is None:
            self._differs(entry["p"], "is missing")
            return None
        if at.status["owner"] != owner:
            self._wrong_owners.append(at.path)
        found: Entry = {"p": entry["p"], "t": "f", "l": at.length}
        if at.length != entry["l"]:
            self._differs(entry["p"], f"has {at.length} bytes instead of {entry['l']}")
            return found
        if at.length and "c" not in entry:
            self._assumed.add(entry["p"])  # nothing says what it should hold
        if "c" in entry:
            found["c"] = yield from self._checksum(entry, at)
            if found["c"] == UNREADABLE:
                self._damage.cannot_be_read(entry["p"], is_moved=bool(entry.get("w")))
            elif found["c"] != entry["c"]:
                self._damage.is_damaged(entry["p"])
            if found["c"] not in (entry["c"], UNREADABLE):
                self._differs(entry["p"], "has other bytes")
        yield from self._meter.add(at.length, 1)
        return found

    def _checksum(self, entry: Entry, at: Found) -> Procedure:
        """The checksum as far as the level asks for it; otherwise the expected one, and no digest is told as found."""
        is_checked = self._level.checks(entry["p"], entry)
        self._damage.saw(entry["p"], is_new=self._level.reads(entry["p"]) or bool(entry.get("w")))
        if not is_checked:
            self._assumed.add(entry["p"])
            if entry["p"] not in self._to_read:
                return entry["c"]
        self._files_computed += is_checked
        try:
            return (yield from follow(SECONDARY, self._root, at, lambda path: self._digest(entry, path, at)))
        except OperationFailed as failure:
            if not failure.is_final:
                raise
            self._readings.failed(at.status["fileId"])
            self._differs(entry["p"], f"cannot be read: {failure.message[:200]}")
            return UNREADABLE

    def _digest(self, entry: Entry, path: str, at: Found) -> Procedure:
        """The checksum, where the level asks for it; reading fails where a block does not fit its checksums."""
        checksum: str = entry["c"]
        is_read = self._level.reads(entry["p"])
        is_whole = is_read
        if self._level.checks(entry["p"], entry):
            is_whole = is_read or checksum.startswith(BY_BYTES)
            if checksum.startswith(BY_BYTES):
                checksum = yield from checksum_by_bytes(SECONDARY, path, entry["l"])
            else:
                checksum = yield from hdfs.checksum(SECONDARY, path)
                if is_read:
                    yield DigestFile(SECONDARY, path, entry["l"])
        offset, count = (0, entry["l"]) if is_whole else self._to_read.get(entry["p"], (0, 0))
        if not is_whole and count:
            yield DigestFile(SECONDARY, path, count, offset)
        if count:
            self._files_read += 1
            self._bytes_read += count
            self._readings.done(at.status["fileId"], at.length, offset, count)
        return checksum

    def _differs(self, path: str, what: str) -> None:
        if len(self._differences) < DIFFERENCES_TOLD:
            self._differences.append(f"{path}: {what}")


def _verdict(expected: list[Entry], found: list[Entry], proved: str) -> dict[str, Any]:
    digests = digest(expected), digest(found)
    return {
        "verdict": "EQUAL" if digests[0] == digests[1] else "DIFFERENT",
        "expected": digests[0],
        "found": digests[1],
        "proved": proved,
    }


def _wrong_owner(paths: list[str], owner: str) -> OperationFailed:
    return OperationFailed(
        "WRONG_OWNER",
        f"{len(paths)} store files do not belong to {owner}, as {paths[0]}: a clone of this snapshot would hang",
        remedy=f"As the superuser of the secondary: hdfs dfs -chown {owner} {' '.join(paths[:DIFFERENCES_TOLD])}",
        detail={"paths": paths[:DIFFERENCES_TOLD]},
    )
