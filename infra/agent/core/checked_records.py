"""Records that were fetched from a cluster: lines of manifests, and steps of plans, checked before they are used.

What is in a recovery point or in staging was written by an agent, but whoever can write below ``/.understudy`` can
change it, and an agent that was led by a hostile NameNode may have written it. A path in it says what is renamed or
deleted on the secondary; so none may lead out of the head, and no step out of staging. Failure: LINES_DAMAGED.
"""

from __future__ import annotations

import re
from typing import Any

from infra.agent.core.lines import damaged
from infra.agent.names import is_path
from infra.agent.quick_json import decode

_ENTRY = {
    **dict.fromkeys(("p", "t", "o", "g", "x", "c", "B"), str),
    **dict.fromkeys(("l", "m", "b", "r", "s", "i", "u", "n", "I", "K"), int),
    **dict.fromkeys(("f", "w", "F", "A", "D"), bool),
    **dict.fromkeys(("a", "q"), list),
    "e": dict,
}
_STEP = {**_ENTRY, **dict.fromkeys(("do", "to", "from"), str), "d": int}
# What is None says that there is none: a checksum that is not known, a policy that is to be unset.
_MAY_BE_NONE = frozenset(("c", "s"))
_STAGED = {
    "out": ("to", re.compile(r"out/\d{1,12}/\d{1,12}")),
    "in": ("from", re.compile(r"(new|out)/\d{1,12}/\d{1,12}")),
}
_NEEDED = {"out": (), "in": (), "set": (), "time": ("m",)}


def entry_in(line: bytes, name: str) -> dict[str, Any]:
    """The entry in a line of the manifest ``name``; raises LINES_DAMAGED."""
    try:
        entry = decode(line)
    except (ValueError, RecursionError) as error:
        raise damaged(name, f"{line[:80]!r} is not a record") from error
    if not _fits(entry, _ENTRY) or entry.get("t") not in ("d", "f") or (entry["t"] == "f" and "l" not in entry):
        raise damaged(name, f"{line[:200]!r} is not an entry of a manifest")
    return entry  # type: ignore[no-any-return]


def checked_step(step: dict[str, Any], name: str) -> dict[str, Any]:
    """The step, if it can be one of a plan; raises LINES_DAMAGED."""
    what = step.get("do")
    is_sound = _fits(step, _STEP) and what in _NEEDED and "d" in step and all(one in step for one in _NEEDED[what])
    if is_sound and what in _STAGED:
        field, staged = _STAGED[what]
        is_sound = staged.fullmatch(step.get(field, "")) is not None
    if not is_sound or ("o" in step) != ("g" in step) or ("a" in step and "x" not in step):
        raise damaged(name, f"{step!r:.200} is not a step of a plan")
    return step


def _fits(record: Any, types: dict[str, type]) -> bool:
    """Whether every field that is known has its type, numbers are not below zero, and the path is one."""
    if not isinstance(record, dict) or not is_path(record.get("p")):
        return False
    for name, value in record.items():
        expected = types.get(name)
        if expected is not None and type(value) is not expected and not (value is None and name in _MAY_BE_NONE):
            return False
    if record.get("l", 0) < 0:
        return False
    texts = [*record.get("a", ()), *record.get("e", {}).values()]
    return all(isinstance(text, str) for text in texts)
