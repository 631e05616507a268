"""Look at instructions from outside, and forget those that are over; nothing that is looked at is held up.

A look may say how much each of them may take from now on: its agent reads that from the spool. It may also wait a
little for news, so that whoever looks hears of an end at once and need not look all the time.
"""

from __future__ import annotations

import os
import time
from typing import Any, Callable, Sequence

from infra.agent.protocol import WireError, check_allowance
from infra.agent.shell.ending import must_roll_forward
from infra.agent.shell.reports import read_milestones, read_progress
from infra.agent.shell.spool import Entry, Spool, is_identifier
from infra.agent.shell.strict_json import decode

REQUEST_MAXIMUM_BYTES = 1 << 20
LONGEST_WAIT_MS = 1000
WAIT_STEP_SECONDS = 0.005
LOOKED_AT_IN_A_STEP = 10  # of more a step takes longer, so that waiting costs little


def look(data: bytes, spool: Spool) -> list[dict[str, Any]]:
    """What is known of each id that the request names; raises ``WireError`` MALFORMED, and then nothing was said.

    The outcome is read after the lock was tested: "not alive and no outcome" then means that the agent is gone, never
    that it ended between two looks.
    """
    request = decode(data, REQUEST_MAXIMUM_BYTES)
    ids = ids_of(request)
    after = request.get("after", {})
    if not isinstance(after, dict) or not all(type(value) is int and value >= 0 for value in after.values()):
        raise WireError("MALFORMED", "after is an object of offsets")
    allow = request.get("allow", {})
    if not isinstance(allow, dict) or not set(allow) <= set(ids):
        raise WireError("MALFORMED", "allow is an object of allowances of these ids")
    for item, allowance in allow.items():
        check_allowance(f"allow.{item}", allowance)
    wait_ms = request.get("wait_ms", 0)
    if type(wait_ms) is not int or not 0 <= wait_ms <= LONGEST_WAIT_MS:
        raise WireError("MALFORMED", f"wait_ms is a number from 0 to {LONGEST_WAIT_MS}")
    for item, allowance in allow.items():
        spool.entry(item).allow(allowance)
    entries = [spool.entry(item) for item in ids]
    _wait_for_news(entries, wait_ms / 1000)
    return [_look_at(entry, after.get(entry.id, 0)) for entry in entries]


def _wait_for_news(entries: Sequence[Entry], seconds: float) -> None:
    """Wait until one of them ends or reaches a milestone; not at all where one has ended already."""
    give_up_at = time.monotonic() + seconds
    step_seconds = WAIT_STEP_SECONDS * max(1.0, len(entries) / LOOKED_AT_IN_A_STEP)
    before = [_reached(entry) for entry in entries]
    while not any(ended for ended, _ in before) and time.monotonic() < give_up_at:
        time.sleep(step_seconds)
        if [_reached(entry) for entry in entries] != before:
            return


def _reached(entry: Entry) -> tuple[bool, int]:
    """Whether it has ended, and how much is told about milestones."""
    try:
        told = os.stat(entry.path("milestones.ndjson")).st_size
    except OSError:
        told = 0
    return os.path.exists(entry.path("outcome.json")), told


def ids_of(request: Any) -> list[str]:
    """The ids that a request names."""
    ids = request.get("ids") if isinstance(request, dict) else None
    if not isinstance(ids, list) or not all(is_identifier(item) for item in ids):
        raise WireError("MALFORMED", "ids is a list of ids")
    return ids


def _look_at(entry: Entry, after: int) -> dict[str, Any]:
    alive = entry.is_alive()
    progress, offset = read_progress(entry, after)
    return {
        "id": entry.id,
        "known": entry.exists(),
        "alive": alive,
        "milestones": read_milestones(entry),
        "progress": progress,
        "progress_offset": offset,
        "outcome": entry.outcome(),
    }


def forget(data: bytes, spool: Spool, now_ms: Callable[[], float]) -> dict[str, Any]:
    """Remove the entries that are over: ``{"forgotten": [ids], "kept": {id: reason}}``; raises ``WireError``.

    An entry is over when its ``not_after`` has passed and no agent works on it. Before that it is kept even if it has
    an outcome, because a copy of its submission that comes late would otherwise be carried out again.
    """
    ids = ids_of(decode(data, REQUEST_MAXIMUM_BYTES))
    forgotten: list[str] = []
    kept: dict[str, str] = {}
    for item in ids:
        doomed: list[str] = []
        with spool.lock():  # for each: submissions come in between
            reason = _forget(spool, spool.entry(item), now_ms(), doomed)
        for path in doomed:
            spool.erase(path)
        if reason is None:
            forgotten.append(item)
        else:
            kept[item] = reason
    return {"forgotten": forgotten, "kept": kept}


def _forget(spool: Spool, entry: Entry, now_ms: float, doomed: list[str]) -> str | None:
    """Remove the entry, or tell why not; what is ``doomed`` then can be erased without the lock."""
    if not entry.exists():
        return None
    instruction = entry.acceptable_instruction()
    if instruction is not None and now_ms <= instruction.not_after_ms:
        return "its not_after has not passed"
    if entry.outcome() is None and must_roll_forward(spool, entry):
        return "it has begun and must be brought to its end"
    lock = entry.acquire(0.0)
    if lock is None:
        return "an agent works on it"
    with lock:
        doomed.append(spool.remove(entry))
    return None
