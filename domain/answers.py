"""What an agent's answer must say before anything is concluded from it: compared with what was asked, field by field.

An agent's "done" is worth what it shows. Everything that the control device can compare is compared here, by the kind
of the instruction and its payload alone: names of snapshots, digests of what it had sealed, instants, which data sets
an answer is about. Digests of copies are compared in ``verification``, grades in ``consistency``; counts are told to
people and are no proof of anything, but those that a decision rests on must be numbers.

An answer that does not show what it should is a failure of the attempt (ANSWER_UNPROVED): what was asked is asked again
like after any other failure, and what was concluded stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from domain.components.registry import component
from domain.instruction import Wanted
from domain.values.canonical import is_digest, sha256_of

ANSWER_UNPROVED = "ANSWER_UNPROVED"
RECOVERY_POINTS = "/.understudy/recovery-points"
COMPARED_WITH = ("base", "frozen", "head", "nothing")
COUNTS = ("bytes", "deleted", "replaced", "entries_in_base")
"""What the brake before a mass change rests on."""
STAMP_MS = 1
AT_FAULT = "If it stays so, the agent on the gateway is at fault: keep its spool, report it."


def failure_of(wanted: Wanted, result: Any) -> dict[str, Any] | None:
    """The failure that an answer stands for although it says it is none; None when it shows what it should."""
    if not isinstance(result, Mapping):
        return _failure(wanted, "it is no object")
    check = _CHECKS.get(wanted.kind)
    wrong = check(wanted.payload, result) if check else ""
    return _failure(wanted, wrong) if wrong else None


def _failure(wanted: Wanted, wrong: str) -> dict[str, Any]:
    once = wanted.kind == "TakeSnapshots"  # the moment is over
    again = "Start another run: a moment cannot be had again." if once else "It is asked again."
    return {
        "code": ANSWER_UNPROVED,
        "message": f"the answer to {wanted.kind} on {wanted.cluster} does not show that it was done: {wrong}.",
        "remedy": f"{again} {AT_FAULT}",
        "data_set": wanted.data_set or None,
        "detail": {},
    }


def _part(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, Mapping) else None


def _of_each(
    payload: Mapping[str, Any], result: Mapping[str, Any], field: str, fits: Callable[[Any, Any], bool]
) -> str:
    """Compare one field of each data set's answer."""
    for data_set in payload["data_sets"]:
        told = _part(_part(result.get("data_sets"), data_set["id"]), field)
        if not fits(data_set, told):
            return f"{field} of {_name(data_set)} is {told!r:.200}"
    return ""


def _name(data_set: Mapping[str, Any]) -> str:
    kind = component(data_set["component"])
    return f"{kind.NAME}:{data_set[kind.FIELD]}"


def _snapshot_named(data_set: Mapping[str, Any], snapshot: str) -> str:
    kind = component(data_set["component"])
    name: str = kind.snapshot_name(snapshot, data_set[kind.FIELD])
    return name


def _snapshots(payload: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """Every data set has the snapshot that was asked for."""
    snapshot = payload["snapshot"]
    return _of_each(payload, result, "snapshot", lambda data_set, told: told == _snapshot_named(data_set, snapshot))


def _taken(payload: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """Besides, none was asked for before the moment, as far as the clocks are known.

    A table's snapshot whose answer was lost has HBase's own stamp, and stamps are whole milliseconds: the agent allows
    for the clock that is known worse, and for one millisecond more.
    """
    after = _part(result.get("clocks"), "after")
    told = (_part(_part(after, server), "uncertainty_ms") for server in ("namenode", "hbase"))
    unsure_ms = max((one for one in told if _is_number(one)), default=0) + STAMP_MS
    earliest_ms = payload["moment_ms"] - payload["fire_tolerance_ms"] - unsure_ms
    return _snapshots(payload, result) or _of_each(
        payload, result, "asked_cluster_ms", lambda _, told: _is_number(told) and told >= earliest_ms
    )


def _copied(payload: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """Digests of what was sent, a base that was offered, and numbers where the brake needs them."""
    for field in ("content_digest", "metadata_digest", "manifest_sha256"):
        if not is_digest(result.get(field)):
            return f"{field} is {result.get(field)!r:.200}"
    offered = {None, payload["recovery_point"], *(one["recovery_point"] for one in payload.get("older_bases", ()))}
    base, compared_with = result.get("base"), result.get("compared_with", "nothing")
    if not isinstance(base, (str, type(None))) or base not in offered:
        return f"base is {base!r:.200}, which was not offered"
    if compared_with not in COMPARED_WITH:
        return f"compared_with is {compared_with!r:.200}"
    for field in COUNTS:
        count = result.get(field)
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            return f"{field} is {count!r:.200}"
    return ""


def _applied(payload: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    return _of_each(payload, result, "steps", lambda _, told: isinstance(told, int))


def _sealed(payload: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """What was read back is what was to be sealed."""
    for name in ("manifest", "anchor"):
        told, expected = result.get(f"{name}_sha256"), sha256_of(payload[name])
        if told != expected:
            return f"{name}_sha256 as read back is {told!r:.200}, and that of what was to be sealed {expected}"
    return ""


def _removed(payload: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """Every snapshot, and what belongs to it, was removed, or was not there."""
    lists = [result.get(key) for key in ("removed", "absent")]
    told = [one for each in lists if isinstance(each, list) for one in each]
    names = [payload["staging"]] if payload["staging"] else []
    names += [f"{RECOVERY_POINTS}/{payload['recovery_point']}"] if payload["recovery_point"] else []
    for data_set in payload["data_sets"]:
        kind = component(data_set["component"])
        names.append(kind.snapshot_place(payload["snapshot"], data_set[kind.FIELD]))
    missing = [name for name in names if name not in told]
    return f"nothing is said of {', '.join(missing[:5])}" if missing else ""


def _ended(payload: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """Every instruction has ended, in one way or another."""
    lists = [result.get(key) for key in ("aborted", "ended_before", "rolled_forward")]
    told = [one for each in lists if isinstance(each, list) for one in each]
    missing = [one for one in payload["instructions"] if one not in told]
    return f"nothing is said of {', '.join(missing[:5])}" if missing else ""


def _opened(payload: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    return _of_each(payload, result, "readable", lambda _, told: isinstance(told, str) and bool(told))


def _marked(payload: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """The marker that was read back says what was to be written, and by whom."""
    told = result.get("marker")
    is_it = isinstance(told, Mapping) and {**told, **payload["marker"]} == told
    if not is_it or result.get("serial") != payload["serial"]:
        return f"the marker that was read back is {told!r:.300}"
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_CHECKS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], str]] = {
    "Abort": _ended,
    "ApplyStaged": _applied,
    "FreezeCopies": _snapshots,
    "OpenCopies": _opened,
    "RemoveSnapshots": _removed,
    "ReplicateSnapshots": _copied,
    "SealRecoveryPoint": _sealed,
    "SendSnapshots": _copied,
    "TakeSnapshots": _taken,
    "WriteMarker": _marked,
}
