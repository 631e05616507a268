"""Proofs that are carried over: files that need not be looked at again, because an earlier recovery point proves them.

At level ``checksum`` the stored checksum of every file is asked of the DataNodes that have its blocks. Of a file that
has not changed since a recovery point which was verified like that the answer is known, and this module tells which
files these are. Everything that it goes by is the secondary's own:

- the sealed manifest of that recovery point says that the contents were equal by stored checksums, or by bytes;
- its source manifest is the very one that was sealed, and gives the file the checksum that is expected now;
- the file is the same inode in the two frozen trees, with the same length, modification time and blocks, under the same
  path, and the snapshot difference does not call it modified. What this run has moved is never carried over.

Invariant: no proof grows older than ``recheck_days``. Each inode has an instant of its own within every such period; in
the first run after that instant the file is looked at. So all are within the time, spread over the runs, and nothing
has to be remembered for single files. Instants are those of the frozen snapshots, on the secondary's own clock: where
it has gone backwards, or the period has changed, everything is looked at.

What is left out: where the secondary tells no blocks, because it is reached over WebHDFS alone, who may set times there
can truncate a file, write it to its old length and set its time back, between two runs; only the recheck finds that,
and ``by_listing`` says of how many files that is so. Damage of blocks is found by reading alone, as at any time.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from typing import Any

from infra.agent.core import hdfs
from infra.agent.core.hdfs_asking import BY_BYTES
from infra.agent.core.hdfs_compare import modified_ids
from infra.agent.core.hdfs_entries import FILE, Entry, path_key, same_contents_listed
from infra.agent.core.hdfs_manifest import sealed_facts
from infra.agent.core.hdfs_snapshots import snapshot_path
from infra.agent.core.hdfs_trees import EntryReader
from infra.agent.core.hdfs_unseen import unqualified
from infra.agent.core.hdfs_walk import Walk
from infra.agent.core.kept_manifests import fetch_manifest
from infra.agent.core.machine import Procedure
from infra.agent.core.work import SECONDARY, Work

DAY_MS = 86_400_000
_PROOFS = ("stored checksums", "bytes")


class Proofs:
    """What one recovery point proves of the files of a later frozen snapshot; asked in the order of the tree."""

    def __init__(self, work: Work, data_set: dict[str, Any]) -> None:
        self._work = work
        self._data_set = data_set
        self._base: dict[str, Any] | None = data_set.get("proved_by")
        self._recheck_days: int = work.payload.get("recheck_days", 0)
        self._period_ms = self._recheck_days * DAY_MS
        self._is_known = False
        self._now_ms: int = 0
        self._then_ms: int = 0
        self._since_ms: int = 0
        self._oldest_ms: int = 0
        self._modified = array("Q")
        self._files = 0
        self._files_by_listing = 0
        self._frozen: Entry | None = None
        self._walk: Walk
        self._proved: EntryReader

    def begin(self, frozen: Entry) -> Procedure:
        """Find out whether anything is proved; ``frozen`` is the root of the new snapshot."""
        if self._base is None or not self._period_ms or self._work.payload["level"] != "checksum":
            return
        path, base = self._data_set["path"], self._base["snapshot"]
        sealed = yield from self._sealed()
        if sealed is None or (yield from hdfs.status(SECONDARY, snapshot_path(path, base))) is None:
            return
        self._walk = Walk(SECONDARY, snapshot_path(path, base), identifies=True)
        self._frozen = yield from self._walk.next()
        assert self._frozen is not None
        self._now_ms = self._oldest_ms = frozen["m"]
        self._then_ms = self._frozen["m"]
        if not self._take_ages(sealed) or not (yield from self._fetch_manifest(sealed)):
            return
        self._modified = yield from modified_ids(SECONDARY, path, base, self._work.snapshot)
        self._is_known = True

    def _sealed(self) -> Procedure:
        """What the recovery point's sealed manifest says of the data set; None unless it proves its contents."""
        assert self._base is not None
        found = yield from sealed_facts(self._base["recovery_point"], self._data_set)
        if found is None or found["sealed_snapshot"] != self._base["snapshot"]:
            return None
        verified = found.get("verified")
        verdict = verified.get("content") if isinstance(verified, dict) else None
        if not isinstance(verdict, dict) or verdict.get("verdict") != "EQUAL":
            return None
        if verdict.get("found") is None or verdict.get("found") != verdict.get("expected"):
            return None
        return found if unqualified(str(verdict.get("proved"))) in _PROOFS else None

    def _take_ages(self, sealed: dict[str, Any]) -> bool:
        """Since when what is proved was computed; False where that cannot be told, or the period was another one."""
        carried = sealed["verified"].get("carried")
        self._since_ms = self._then_ms if carried is None else carried["computed_since_ms"]
        is_period = carried is None or carried["recheck_days"] == self._recheck_days
        return is_period and self._then_ms <= self._now_ms

    def _fetch_manifest(self, sealed: dict[str, Any]) -> Procedure:
        """Fetch the recovery point's source manifest; False unless it is the one that was sealed."""
        assert self._base is not None
        name = self._work.work_file(self._data_set, "proved")
        fetched = yield from fetch_manifest(self._base["recovery_point"], self._data_set, name)
        if fetched is None:
            return False
        self._proved = EntryReader(name)
        yield from self._proved.advance()
        return bool(fetched.sha256 == sealed.get("copied", {}).get("manifest_sha256"))

    def carry(self, expected: Entry, found: Entry) -> Procedure:
        """Whether the proof of a file is carried over; ``expected`` is its line of the new source manifest."""
        if not self._is_known or found["t"] != FILE:
            return False
        key = path_key(found["p"])
        while self._frozen is not None and path_key(self._frozen["p"]) < key:
            self._frozen = yield from self._walk.next()
        while self._proved.entry is not None and self._proved.key < key:
            yield from self._proved.advance()
        if not self._is_same(expected, found, key):
            return False
        turn_ms = self._newest_turn_ms(found["i"])
        if turn_ms > self._then_ms:
            return False
        self._oldest_ms = min(self._oldest_ms, max(self._since_ms, turn_ms))
        self._files += 1
        self._files_by_listing += bool(found["l"] and "B" not in found)
        return True

    def _is_same(self, expected: Entry, found: Entry, key: bytes) -> bool:
        then, proved = self._frozen, self._proved.entry
        return (
            then is not None
            and then["p"] == found["p"]
            and then["i"] == found["i"]
            and same_contents_listed(then, found)
            and then.get("B") == found.get("B")
            and not self._is_modified(found["i"])
            and proved is not None
            and self._proved.key == key
            and same_contents_listed(proved, found)
            and not (proved.get("f") or expected.get("f") or expected.get("w"))
            and expected.get("c") is not None
            and expected["c"] == proved.get("c")
            and not expected["c"].startswith(BY_BYTES)
        )

    def _is_modified(self, inode: int) -> bool:
        position = bisect_left(self._modified, inode)
        return position < len(self._modified) and self._modified[position] == inode

    def _newest_turn_ms(self, inode: int) -> int:
        """The newest instant, up to the new snapshot, at which it was the file's turn to be looked at."""
        drawn = hashlib.sha256(str(inode).encode("ascii")).digest()
        own_ms = int.from_bytes(drawn[:8], "big") % self._period_ms
        since_ms: int = (self._now_ms - own_ms) % self._period_ms
        return self._now_ms - since_ms

    def told(self) -> dict[str, Any] | None:
        """What the result says: how many files, from which recovery point, and since when they were computed."""
        if not self._files or self._base is None:
            return None
        return {
            "files": self._files,
            "by_listing": self._files_by_listing,
            "recovery_point": self._base["recovery_point"],
            "computed_since_ms": self._oldest_ms,
            "recheck_days": self._recheck_days,
        }
