"""What a gateway's agent answers, held to size and shape before anything is decided or recorded by it.

The agent is ours, but its host is not: whoever has it can answer what he likes. Twenty megabytes of padding in a result
would be recorded several times over, and a value of another type would end the command that takes it, again and again.
So each answer is bounded here, and one that is not what it should be is the failure ANSWER_INVALID of its instruction,
which no other try makes better. Progress and milestones, on which nothing depends, are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from infra.agent.protocol import Instruction, canonical, failure_of
from infra.ports.gateway import invalid_answer

LONGEST_TEXT = 4_000
DEEPEST = 32
LARGEST_NUMBER = 1 << 63
MILESTONE_BYTES = 256 << 10
DETAIL_BYTES = 64 << 10
RESULT_BYTES = 1 << 20
BYTES_PER_DATA_SET = 16 << 10
MOST_BYTES = 32 << 20
MOST_MILESTONES = 16
_LARGE = ("TakeSnapshots", "CheckCluster", "ListLosses")
"""Their results name files, tables or directories without number."""

_COUNTED = ("bytes", "files")
_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,79}")
_STATUSES = ("succeeded", "failed", "aborted")
Check = Callable[[Any], bool]


def _number(value: Any) -> bool:
    return type(value) is int and -LARGEST_NUMBER <= value < LARGEST_NUMBER


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_TEXT


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _or_null(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _each(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(check(item) for item in value)


def _of_each(check: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(check(item) for item in value.values())


_objects = _of_each(_object)
_SENT = {
    **dict.fromkeys(
        (
            *("files", "directories", "bytes", "fuzzy", "bytes_moved", "files_moved", "deleted", "replaced", "renamed"),
            *("changed_attributes", "entries_in_base"),
        ),
        _number,
    ),
    **dict.fromkeys(("content_digest", "metadata_digest", "manifest_sha256"), _text),
    "lost": _each(_object),
    "adopted": _or_null(_object),
}
RESULTS: dict[str, dict[str, Check]] = {
    "CheckCluster": {
        "data_sets": _each(_object),
        "findings": _each(_object),
        "gateway": _object,
        "clocks": _object,
        "marker": _or_null(_object),
        "hbase": _or_null(_object),
        "space": _or_null(_object),
    },
    "TakeSnapshots": {"data_sets": _objects, "clocks": _object, "barrier": _or_null(_object)},
    "SendSnapshots": _SENT,
    "ReplicateSnapshots": _SENT,
    "ApplyStaged": {"data_sets": _objects},
    "FreezeCopies": {"data_sets": _objects},
    "DigestSnapshots": {"data_sets": _objects, "trial_clone": _or_null(_object)},
    "SealRecoveryPoint": {"manifest_sha256": _text, "anchor_sha256": _text},
    "RemoveSnapshots": {"removed": _each(_text), "absent": _each(_text)},
    "OpenCopies": {"data_sets": _objects},
    "CloseCopies": {"removed": _each(_text)},
    "ShowOwner": {"sites": _of_each(_object)},
    "WriteMarker": {"serial": _number, "marker": _object},
    "Abort": {name: _each(_text) for name in ("aborted", "ended_before", "rolled_forward")},
}
"""What a field is, where it is there; what has to be there is found out by whoever takes the result."""


def checked_outcome(outcome: Any, instruction: Instruction) -> dict[str, Any]:
    """The outcome of an instruction, or the failure that it is none."""
    wrong = _wrong_with(outcome, instruction)
    if wrong:
        return invalid_answer(wrong)
    failure = outcome["failure"]
    return {**outcome, "failure": failure if failure is None else _bounded_failure(failure)}


def bounded_progress(progress: Any) -> dict[str, Any] | None:
    """What is told of progress, as far as it can be taken: a few short texts and numbers."""
    if not isinstance(progress, dict) or len(progress) > 40:
        return None
    return {
        name: value
        for name, value in progress.items()
        if len(name) <= 40
        and (value is None or _is_plain(value))
        and not (name in ("bytes", "files") and not _number(value))
    }


def bounded_milestones(milestones: Any) -> dict[str, dict[str, Any]]:
    """The milestones that can be taken."""
    if not isinstance(milestones, dict) or len(milestones) > MOST_MILESTONES:
        return {}
    return {
        name: facts
        for name, facts in milestones.items()
        if len(name) <= 80 and _object(facts) and _is_bounded(facts, MILESTONE_BYTES)
    }


def _is_plain(value: Any) -> bool:
    return _number(value) or isinstance(value, bool | float) or (isinstance(value, str) and len(value) <= 300)


def _wrong_with(outcome: Any, instruction: Instruction) -> str:
    if not _object(outcome) or outcome.get("status") not in _STATUSES or not {"result", "failure"} <= set(outcome):
        return "it is not an outcome"
    named = outcome.get("id", instruction.id)
    if named != instruction.id:
        return f"it is the outcome of {str(named)[:80]!r}"
    result, failure = outcome["result"], outcome["failure"]
    if (failure is None) != (outcome["status"] == "succeeded"):
        return "its status and its failure disagree"
    if failure is not None:
        is_one = _object(failure) and isinstance(failure.get("code"), str) and _CODE.fullmatch(failure["code"])
        return "" if is_one and isinstance(failure.get("message"), str) else "its failure has no code or no message"
    if not _object(result):
        return "its result is no object"
    limit = MOST_BYTES if instruction.kind in _LARGE else min(RESULT_BYTES + _data_sets(instruction), MOST_BYTES)
    if not _is_bounded(result, limit):
        return f"its result has more than {limit} bytes, or is nested too deep"
    for name, check in RESULTS.get(instruction.kind, {}).items():
        if name in result and not check(result[name]):
            return f"result.{name} is {repr(result[name])[:80]}"
    return ""


def _data_sets(instruction: Instruction) -> int:
    told = instruction.payload.get("data_sets")
    return len(told) * BYTES_PER_DATA_SET if isinstance(told, list) else 0


def _bounded_failure(failure: Mapping[str, Any]) -> dict[str, Any]:
    detail = failure.get("detail")
    data_set = failure.get("data_set")
    return failure_of(
        failure["code"],
        failure["message"][:LONGEST_TEXT],
        str(failure.get("remedy") or "")[:LONGEST_TEXT],
        data_set=data_set if _text(data_set) else None,
        unknown=failure.get("unknown") is True,
        detail=detail if _object(detail) and _is_bounded(detail, DETAIL_BYTES) else {},
    )


def _is_bounded(value: Any, most_bytes: int) -> bool:
    """Whether a value is not nested too deep, and its JSON has no more bytes than these."""
    level = [value]
    for _ in range(DEEPEST):
        inner = [
            list(item.values()) if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)
        ]
        level = [item for items in inner for item in items]
        if not level:
            break
    else:
        return False
    try:
        return len(canonical(value)) <= most_bytes
    except (ValueError, TypeError):
        return False
