"""Unseen contents: those of which nothing but a listing said that they are as they were.

Where a cluster tells no blocks (WebHDFS alone), a file that was changed in place, with its length and time as before,
shows in no listing. What is compared with the manifest then proves the copy to be what was copied at an earlier moment,
and not what the source holds at this one. So that is said wherever something is said to be proved.
"""

from __future__ import annotations

from typing import Any

from infra.agent.core.hdfs_entries import FILE, Entry, known_since

AS_OF_EARLIER = ", some of it as of an earlier moment"


class Unseen:
    """Counts the entries of a source manifest whose contents were not looked at as of its own cut."""

    def __init__(self) -> None:
        self._cut_ms = 0
        self._files = 0
        self._bytes = 0
        self._since_ms = 0

    def add(self, entry: Entry) -> None:
        """Take the next entry; the root, whose time is the cut, comes first."""
        if not entry["p"]:
            self._cut_ms = self._since_ms = entry["m"]
        if entry["t"] != FILE or not entry["l"] or entry.get("f"):
            return
        since_ms = known_since(entry, self._cut_ms)
        if since_ms == self._cut_ms:
            return
        self._files += 1
        self._bytes += entry["l"]
        self._since_ms = min(self._since_ms, since_ms)

    def told(self) -> dict[str, Any] | None:
        """How much it is, and since when the oldest of it was not looked at (0: that was never recorded)."""
        if not self._files:
            return None
        return {"files": self._files, "bytes": self._bytes, "since_ms": self._since_ms}

    def qualify(self, proved: str) -> str:
        """What is proved, said so that it claims nothing about these."""
        return proved + AS_OF_EARLIER if self._files else proved


def unqualified(proved: str) -> str:
    """What ``qualify`` was given: how the copy was compared with what was expected."""
    return proved.partition(AS_OF_EARLIER)[0]
