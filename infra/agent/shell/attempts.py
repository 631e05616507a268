"""An index of the spool: which instructions are attempts at the same purpose, without opening any other.

``attempts/<xx>`` has a line ``<digest of the purpose> <id>`` for each whose digest begins with xx. A line is there
before its entry can be seen, and goes after its entry: so the index may name too much, which whoever asks sees at the
entry, and never too little.

It is believed only as long as nobody but its own code has changed the set of entries since it was built: it carries the
state of their directory as the last change left it. Another state (an agent of another version was here, somebody
restored a copy, a change was cut off half-way) or another boot (what was not flushed may be lost; nothing of the index
is ever flushed) makes it worth nothing, and it is built anew from the entries by the next one who holds the spool's
lock. Whoever does not hold it looks through the entries instead.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from typing import Any, Callable, Iterable, Iterator, Tuple

from infra.agent.protocol import canonical
from infra.agent.shell.disk import read_file
from infra.agent.shell.locks import boot_id

FORMAT = 1
CHANGING = "changing"

Purpose = Tuple[str, str, str, str]


def purpose_in(data: bytes) -> Purpose | None:
    """The purpose that the text of an instruction names: pair, run, step, data set; None where it names none.

    Nothing is checked here: whether the instruction can be accepted is asked of those alone that are found.
    """
    try:
        value: Any = json.loads(data)
        data_set = value["payload"].get("data_set")
        identity = data_set["id"] if isinstance(data_set, dict) else ""
        found = (value["pair"], value["run"], value["step"], identity)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return found if all(isinstance(part, str) for part in found) else None


class Attempts:
    """The index of one spool. ``entries`` tells all ids with the text of their instructions."""

    def __init__(
        self, root: str, instructions: str, entries: Callable[[], Iterable[tuple[str, bytes]]], boot: str | None = None
    ) -> None:
        self._directory = os.path.join(root, "attempts")
        self._stamp = os.path.join(root, "attempts.json")
        self._instructions = instructions
        self._entries = entries
        self._boot = boot_id() if boot is None else boot

    def is_believable(self, is_locked: bool) -> bool:
        """Tell whether it names all; without the spool's lock also while who holds it is changing it, in its order."""
        if not self._boot:
            return False
        try:
            stamp = json.loads(read_file(self._stamp) or b"null")
        except ValueError:
            return False
        return stamp == self._stamp_of(self._state()) or (not is_locked and stamp == self._stamp_of(CHANGING))

    def ids(self, purpose: Purpose) -> list[str]:
        """The ids that it names for a purpose, in order."""
        digest = _digest(purpose)
        lines = (line.split() for line in self._lines(digest) if line.endswith(b"\n"))
        return sorted({words[1].decode("ascii") for words in lines if words[0] == digest})

    def build(self) -> None:
        """Make it anew, unless nobody could believe it; the caller holds the spool's lock."""
        if not self._boot:
            return
        self._unstamp()
        shutil.rmtree(self._directory, ignore_errors=True)
        state = self._state()
        shards: dict[bytes, list[bytes]] = {}
        for instruction_id, data in self._entries():
            purpose = purpose_in(data)
            if purpose is not None:
                shards.setdefault(_digest(purpose)[:2], []).append(_line(purpose, instruction_id))
        os.makedirs(self._directory, mode=0o700)
        for shard, lines in shards.items():
            self._replace(self._path(shard), b"".join(lines))
        self._write_stamp(state)  # from before: who changes entries without the lock is seen

    @contextlib.contextmanager
    def adding(self, instruction_id: str, data: bytes | None) -> Iterator[None]:
        """Name an id, then let its entry be made; the caller holds the spool's lock."""
        purpose = None if data is None else purpose_in(data)
        with self._changing() as is_kept:
            if is_kept and purpose is not None:
                with open(self._path(_digest(purpose)), "ab") as stream:
                    stream.write(_line(purpose, instruction_id))
            yield

    @contextlib.contextmanager
    def removing(self, instruction_id: str, data: bytes | None) -> Iterator[None]:
        """Let an entry be removed, then forget its id; the caller holds the spool's lock."""
        purpose = None if data is None else purpose_in(data)
        with self._changing() as is_kept:
            yield
            if is_kept and purpose is not None:
                digest, gone = _digest(purpose), _line(purpose, instruction_id)
                self._replace(self._path(digest), b"".join(line for line in self._lines(digest) if line != gone))

    @contextlib.contextmanager
    def _changing(self) -> Iterator[bool]:
        """Say that a change is going on; what fails or dies half-way leaves it said, and so worth nothing."""
        is_kept = self.is_believable(is_locked=True)
        if is_kept:
            self._write_stamp(CHANGING)
        yield is_kept
        if is_kept:
            self._write_stamp(self._state())

    def _lines(self, digest: bytes) -> list[bytes]:
        return (read_file(self._path(digest)) or b"").splitlines(keepends=True)

    def _path(self, digest: bytes) -> str:
        return os.path.join(self._directory, digest[:2].decode("ascii"))

    def _state(self) -> list[int]:
        status = os.stat(self._instructions)
        return [status.st_dev, status.st_ino, status.st_nlink, status.st_mtime_ns]

    def _stamp_of(self, state: object) -> object:
        return {"format": FORMAT, "boot": self._boot, "state": state}

    def _write_stamp(self, state: object) -> None:
        self._replace(self._stamp, canonical(self._stamp_of(state)))

    def _replace(self, path: str, data: bytes) -> None:
        temporary = f"{path}.new"
        with open(temporary, "wb") as stream:
            stream.write(data)
        os.replace(temporary, path)

    def _unstamp(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._stamp)


def _digest(purpose: Purpose) -> bytes:
    return hashlib.sha256(canonical(list(purpose))).hexdigest().encode("ascii")


def _line(purpose: Purpose, instruction_id: str) -> bytes:
    return b"%s %s\n" % (_digest(purpose), instruction_id.encode("ascii"))
