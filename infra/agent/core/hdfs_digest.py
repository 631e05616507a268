"""Digest: compare the secondary's frozen snapshot with the source manifest, on the secondary alone.

The frozen tree is walked beside the manifest. Two verdicts: *content* (paths, types, lengths, checksums) and *metadata*
(owners, groups, modes, ACLs, extended attributes, times of files; not those of the root, which the protection owns, nor
times of directories, which no snapshot freezes). What is proved about contents depends on the level (``levels``); there
is no digest of contents that were not all looked at, now or by an earlier verification that stands for them
(``hdfs_proofs``). Metadata is always compared in full.

Extended attributes are asked for where the manifest names some and for what this run moved.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from infra.agent.core import hdfs
from infra.agent.core.block_identity import TreeIdentity
from infra.agent.core.hdfs_asking import BY_BYTES, ask_acl, ask_extended_attributes, checksum_by_bytes, locate_ahead
from infra.agent.core.hdfs_compare import Side
from infra.agent.core.hdfs_entries import FILE, Entry, TreeDigest, below, path_key
from infra.agent.core.hdfs_proofs import Proofs
from infra.agent.core.hdfs_snapshots import snapshot_path
from infra.agent.core.hdfs_trees import EntryReader, count_files
from infra.agent.core.hdfs_unseen import Unseen
from infra.agent.core.hdfs_walk import Walk
from infra.agent.core.known_damage import Judgement, known_damage
from infra.agent.core.levels import Level, content_verdict
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.meter import Meter
from infra.agent.core.operations import DigestFile, Download, OperationFailed
from infra.agent.core.readings import Readings
from infra.agent.core.work import SECONDARY, Work

DIFFERENCES_TOLD = 20
UNREADABLE = "unreadable"
ASSUMED = "assumed"  # of an entry that is found: its checksum is the expected one, and nobody has looked
WINDOW = 1000
AT_ONCE = 32
_METADATA = {"o": "owner", "g": "group", "x": "mode", "m": "time", "a": "ACL", "e": "extended attributes"}


def digest(work: Work, data_set: dict[str, Any]) -> Procedure:
    """Carry out DigestSnapshots for one directory; the result is described in docs/agent.md."""
    digesting = _Digesting(work, data_set)
    return (yield from digesting.run())


class Pair(NamedTuple):
    """An entry as it is expected and as it is found; whether an earlier verification stands for its contents.

    ``to_read``: the offset and number of bytes that it is this run's turn to read.
    """

    expected: Entry
    found: Entry
    is_proved: bool
    to_read: tuple[int, int] | None


class _Digesting:
    def __init__(self, work: Work, data_set: dict[str, Any]) -> None:
        self._work = work
        self._data_set = data_set
        self._level = Level(work)
        self._root = snapshot_path(data_set["path"], work.snapshot)
        self._expected = TreeDigest()
        self._found = TreeDigest()
        self._listed = (TreeDigest(), TreeDigest())
        self._manifest_sha256 = ""
        self._differences: list[str] = []
        self._is_content_equal = True
        self._is_metadata_equal = True
        self._is_partial = False
        self._files_read = 0
        self._bytes_read = 0
        self._meter = Meter("digest", data_set["id"], 0, 0)
        self._files_computed = 0
        self._damage = Judgement(frozenset())
        self._proofs = Proofs(work, data_set)
        self._blocks = TreeIdentity()
        self._unseen = Unseen()
        self._readings = Readings(work, data_set)

    def run(self) -> Procedure:
        """Walk both and return the result."""
        self._damage = Judgement((yield from known_damage(self._data_set)))
        manifest = yield from self._fetch_manifest()
        yield from self._count(manifest)
        expected = EntryReader(manifest)
        walk = Walk(SECONDARY, self._root, identifies=True)
        found = yield from walk.next()
        yield from self._proofs.begin(found)
        yield from expected.advance()
        window: list[Pair] = []
        while expected.entry is not None or found is not None:
            key = path_key(found["p"]) if found is not None else b""
            if found is None or (expected.entry is not None and expected.key < key):
                assert expected.entry is not None
                yield from self._check(window)
                self._take(expected.entry, None)
                self._differs(expected.entry["p"], "is missing", content=True)
                yield from expected.advance()
            elif expected.entry is None or key < expected.key:
                yield from self._check(window)
                self._take(None, found)
                self._differs(found["p"], "should not be there", content=True)
                found = yield from walk.next()
            else:
                to_read = self._turn(found)
                is_proved = to_read is None and (yield from self._is_proved(expected.entry, found))
                window.append(Pair(expected.entry, found, is_proved, to_read))
                yield from expected.advance()
                found = yield from walk.next()
            if len(window) >= WINDOW:
                yield from self._check(window)
        yield from self._check(window)
        yield from self._damage.record(self._data_set)
        yield from self._readings.record()
        return self._result()

    def _turn(self, found: Entry) -> tuple[int, int] | None:
        """What of a file it is this run's turn to read, besides what its level reads."""
        if found["t"] != FILE:
            return None
        is_read_anyway = self._level.reads(found["p"])
        return self._readings.turn(path_key(found["p"]), found["i"], found["l"], is_read_anyway)

    def _is_proved(self, expected: Entry, found: Entry) -> Procedure:
        """Whether an earlier verification stands for the contents of a file."""
        if not self._level.accepts_proofs(found["p"]) or self._damage.knows(found["p"]):
            return False
        return (yield from self._proofs.carry(expected, found))

    def _fetch_manifest(self) -> Procedure:
        """The source manifest, from staging."""
        name = self._work.work_file(self._data_set, "expected")
        got = yield Download(SECONDARY, f"{self._work.staging(self._data_set)}/manifest", name)
        self._manifest_sha256 = got["sha256"]
        return name

    def _count(self, manifest: str) -> Procedure:
        """Count what there is to do, for the progress."""
        total_bytes, total_files = yield from count_files(manifest)
        self._meter = Meter("digest", self._data_set["id"], total_bytes, total_files)
        yield from self._meter.tell()
        yield from self._readings.begin(total_bytes)

    def _check(self, window: list[Pair]) -> Procedure:
        """Ask for what the listing does not show of these pairs, concurrently, and take them in their order."""
        asked = [found for expected, found, _, _ in window if found["p"] and ("e" in expected or expected.get("w"))]
        yield from ask_extended_attributes(Side(SECONDARY, self._root), asked)
        proved = [pair.found["l"] for pair in window if self._is_settled(pair)]
        yield from self._meter.add(sum(proved), len(proved))
        looked_at = [pair for pair in window if not self._is_settled(pair)]
        to_compute = [one.found for one in looked_at if one.found["t"] == FILE and self._is_computed(one.expected)]
        yield from locate_ahead(Side(SECONDARY, self._root), to_compute)
        complaints = yield Together((self._look(*pair) for pair in looked_at), AT_ONCE)
        told = {pair.found["p"]: complaint for pair, complaint in zip(looked_at, complaints) if complaint}
        for expected, found, is_proved, _ in window:
            if is_proved:
                found["c"] = expected["c"]
            complaint = told.get(found["p"], "")
            self._take(expected, found)
            self._unseen.add(expected)
            if found["t"] == FILE:
                self._blocks.add(found["l"], found.get("B"))
            if complaint:
                self._is_partial = True
                self._differs(found["p"], complaint, content=True)
                self._damage.cannot_be_read(found["p"], is_moved=bool(expected.get("w")))
            self._compare(expected, found)
        window.clear()

    def _take(self, expected: Entry | None, found: Entry | None) -> None:
        """Add entries to the digests; what was not looked at is in the digest of what is listed without checksum."""
        is_assumed = found is not None and ASSUMED in found
        for whole, listed, entry in zip((self._expected, self._found), self._listed, (expected, found)):
            if entry is not None:
                whole.add(entry)
                if not self._level.sees_all:
                    listed.add({**entry, "c": None} if is_assumed else entry)

    def _is_settled(self, pair: Pair) -> bool:
        """Whether nothing has to be asked about a file, by far the most of most trees."""
        return pair.is_proved and pair.expected["t"] == FILE and not pair.found.get("A")

    def _look(self, expected: Entry, found: Entry, is_proved: bool, to_read: tuple[int, int] | None) -> Procedure:
        """Complete ``found`` with what is asked for; returns what is wrong with the contents, "" if nothing is."""
        path = below(self._root, found["p"])
        if found["p"]:
            yield from ask_acl(Side(SECONDARY, self._root), found)
        if found["t"] != FILE or found["t"] != expected["t"]:
            return ""
        complaint = ""
        if is_proved:
            yield from self._meter.add(found["l"], 1)
            return complaint
        try:
            yield from self._look_at_contents(expected, found, path)
            if to_read is not None:
                offset, count = to_read
                yield DigestFile(SECONDARY, path, count, offset)
                self._readings.done(found["i"], found["l"], offset, count)
                self._files_read += 1
                self._bytes_read += count
        except OperationFailed as failure:
            if not failure.is_final:
                raise
            found["c"] = UNREADABLE
            self._readings.failed(found["i"])
            complaint = f"cannot be read: {failure.message[:200]}"
        yield from self._meter.add(found["l"], 1)
        return complaint

    def _is_computed(self, expected: Entry) -> bool:
        """Whether the stored checksum of a file is asked for."""
        wanted: str = expected.get("c", BY_BYTES)
        return not wanted.startswith(BY_BYTES) and self._level.checks(expected["p"], expected)

    def _look_at_contents(self, expected: Entry, found: Entry, path: str) -> Procedure:
        wanted: str | None = expected.get("c")
        is_read = self._level.reads(found["p"])
        self._damage.saw(found["p"], is_new=is_read or bool(expected.get("w")))
        if found["l"] == 0 == expected["l"]:
            found["c"] = wanted  # of no bytes there is nothing to look at
            return
        if wanted is None or not self._level.checks(found["p"], expected):
            found.update({"c": wanted, ASSUMED: True})  # no difference, and no digest of what was found either
            self._is_partial = True
            return
        self._files_computed += 1
        if wanted.startswith(BY_BYTES):
            if found["l"] == expected["l"]:
                found["c"] = yield from checksum_by_bytes(SECONDARY, path, found["l"])
                self._count_read(found)
            return
        found["c"] = yield from hdfs.checksum(SECONDARY, path)
        if is_read:
            yield DigestFile(SECONDARY, path, found["l"])
            self._count_read(found)

    def _count_read(self, found: Entry) -> None:
        self._files_read += 1
        self._bytes_read += found["l"]
        self._readings.done(found["i"], found["l"])

    def _compare(self, expected: Entry, found: Entry) -> None:
        if expected["t"] != found["t"]:
            self._differs(found["p"], "is a file in one tree and a directory in the other", content=True)
            return
        if expected.get("l") != found.get("l"):
            self._differs(found["p"], f"has {found.get('l')} bytes instead of {expected.get('l')}", content=True)
            self._damage.is_damaged(found["p"])
        elif expected.get("c") != found.get("c") and found.get("c") != UNREADABLE:
            self._differs(found["p"], "has other bytes", content=True)
            self._damage.is_damaged(found["p"])
        if found["p"] == "":
            return
        different = [
            what
            for name, what in _METADATA.items()
            if (expected.get(name) or None) != (found.get(name) or None) and (name != "m" or found["t"] == FILE)
        ]
        if different:
            self._differs(found["p"], f"differs in {', '.join(different)}", content=False)

    def _differs(self, path: str, what: str, content: bool) -> None:
        if content:
            self._is_content_equal = False
        else:
            self._is_metadata_equal = False
        if len(self._differences) < DIFFERENCES_TOLD:
            self._differences.append(f"{path or '.'}: {what}")

    def _result(self) -> dict[str, Any]:
        expected, found = self._expected, self._found
        whole = None if self._is_partial else found.content()
        content = content_verdict(
            self._is_content_equal, expected.content(), whole, self._unseen.qualify(self._level.proved)
        )
        if not self._level.sees_all:
            content["listed"] = {"expected": self._listed[0].content(), "found": self._listed[1].content()}
        return {
            "content": content,
            "metadata": {
                "verdict": "EQUAL" if self._is_metadata_equal else "DIFFERENT",
                "expected": expected.metadata(),
                "found": found.metadata(),
                "proved": "owners, groups, modes, ACLs, times of files; extended attributes of what has some or was"
                " moved",
            },
            "manifest_sha256": self._manifest_sha256,
            "differences": self._differences,
            "damaged_in_base": self._damage.in_base,
            "files_computed": self._files_computed,
            "carried": self._proofs.told(),
            "unseen": self._unseen.told(),
            "blocks": self._blocks.told(),
            "read": self._readings.told(),
            "files_read": self._files_read,
            "bytes_read": self._bytes_read,
        }
