"""What a running instruction tells about itself: progress, milestones, and a log; each bounded.

Progress is volatile: it is limited in rate and size, and a reader takes the newest line. A milestone is durable and is
written once per name: after a restart the first facts stand, because the control device may have acted on them.
"""

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any, Callable

from infra.agent.protocol import canonical
from infra.agent.shell.disk import Appender, Disk, read_file
from infra.agent.shell.spool import Entry

PROGRESS_INTERVAL_SECONDS = 0.5
PROGRESS_MAXIMUM_BYTES = 256 << 10
LOG_MAXIMUM_BYTES = 1 << 20
LINE_MAXIMUM_BYTES = 8 << 10


class ProgressFile:
    """Tells how far it is, at most every half second per data set and step."""

    def __init__(self, entry: Entry, now_ms: Callable[[], float], seconds: Callable[[], float]) -> None:
        self._path = entry.path("progress.ndjson")
        self._disk = Disk()
        self._now_ms = now_ms
        self._seconds = seconds
        self._lock = threading.Lock()
        self._last: dict[Any, float] = {}

    def tell(self, facts: dict[str, Any]) -> None:
        """Write the facts, unless the same step of the same data set told some just before."""
        with self._lock:
            key = (facts.get("data_set"), facts.get("step"))
            now = self._seconds()
            if (
                not _is_last_word(facts)
                and now - self._last.get(key, -PROGRESS_INTERVAL_SECONDS) < PROGRESS_INTERVAL_SECONDS
            ):
                return
            self._last[key] = now
            line = canonical({**facts, "at_ms": int(self._now_ms())}) + b"\n"
            if len(line) > LINE_MAXIMUM_BYTES:
                return
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                if os.fstat(descriptor).st_size + len(line) > PROGRESS_MAXIMUM_BYTES:
                    os.ftruncate(descriptor, 0)
                self._disk.write(descriptor, line, self._path)
            finally:
                os.close(descriptor)


def _is_last_word(facts: dict[str, Any]) -> bool:
    """The last word of a step is never dropped: nothing would come after it."""
    totals = [name for name in ("bytes", "files") if f"{name}_total" in facts]
    return bool(totals) and all(facts.get(name) == facts[f"{name}_total"] for name in totals)


def read_progress(entry: Entry, after: int) -> tuple[dict[str, Any] | None, int]:
    """The newest facts told after the byte ``after`` (or None), and the offset to ask from the next time.

    Only what came after is read. A file that was begun anew meanwhile is shorter, or ``after`` is in the middle of one
    of its lines: then all of it is read.
    """
    try:
        with open(entry.path("progress.ndjson"), "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            start = max(after - 1, 0) if after <= size else 0
            stream.seek(start)
            data = stream.read()
            if start > 0 and not data.startswith(b"\n"):
                start = 0
                stream.seek(0)
                data = stream.read()
    except FileNotFoundError:
        return None, 0
    end = data.rfind(b"\n") + 1
    lines = data[:end].splitlines()
    newest = lines[-1] if lines else b""
    return (json.loads(newest) if newest else None), start + end


class MilestoneFile:
    """The named points that were reached."""

    def __init__(self, entry: Entry, appender: Appender, now_ms: Callable[[], float]) -> None:
        self._appender = appender
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._reached = set(read_milestones(entry))

    def reach(self, name: str, facts: dict[str, Any]) -> None:
        """Record durably that ``name`` was reached; the first facts stand."""
        with self._lock:
            if name in self._reached:
                return
            line = {"name": name, "facts": facts, "at_ms": int(self._now_ms())}
            self._appender.append("milestones.ndjson", canonical(line) + b"\n", durable=True)
            self._reached.add(name)


def read_milestones(entry: Entry) -> dict[str, Any]:
    """The facts of every milestone by its name; a torn last line is not one."""
    data = read_file(entry.path("milestones.ndjson")) or b""
    lines = [json.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines()]
    return {line["name"]: line["facts"] for line in lines}


class Log:
    """Lines for the operator; when the file is full it becomes ``log.old`` and a new one begins."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()

    def write(self, text: str) -> None:
        """Write one line with the time."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = f"{stamp} {text}".encode("utf-8", "replace")[:LINE_MAXIMUM_BYTES].replace(b"\n", b"\n    ") + b"\n"
        with self._lock:
            with open(self.path, "ab") as stream:
                stream.write(line)
                is_full = stream.tell() > LOG_MAXIMUM_BYTES
            if is_full:
                os.replace(self.path, f"{self.path}.old")
