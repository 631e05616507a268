"""The wire format between the control device and the agents: one definition, used by both.

An *instruction* is data, not code: canonical JSON with a version. A *submission* is what travels over SSH: the
instruction, the credentials (kept apart, because they are renewed while the instruction stays the same) and nothing
else. An *outcome* is what the agent leaves in the spool when an instruction has ended. Golden files under
``tests/agent/wire`` keep the format still.

Refusal codes (permanent): MALFORMED, UNKNOWN_VERSION, UNKNOWN_KIND, TOO_LARGE, WRONG_CLUSTER, OLD_EPOCH, OLD_TERM,
TOO_LATE, SUPERSEDED, NOT_THE_SAME (an id that is known with another content).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Callable, Mapping

VERSION = 1
MAXIMUM_BYTES = 4 << 20

Check = Callable[[Any], bool]


class WireError(Exception):
    """A message that cannot be accepted; ``code`` is one of the refusal codes, ``message`` names the field."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def canonical(value: Any) -> bytes:
    """Encode JSON in exactly one way (sorted keys, no spaces, UTF-8), so that digests can be compared."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


@dataclass(frozen=True)
class Instruction:
    """What the control device tells a cluster to do.

    ``id`` is derived from run, step, data set and attempt. ``cluster`` is the name of the cluster whose agent shall
    act. ``not_after_ms`` is absolute on that cluster's clock. ``payload`` fits the kind's shape in ``PAYLOADS``.
    """

    id: str
    kind: str
    pair: str
    cluster: str
    epoch: int
    term: int
    run: str
    step: str
    attempt: int
    not_after_ms: int
    payload: dict[str, Any]

    def to_wire(self) -> dict[str, Any]:
        """The JSON object of this instruction."""
        return {"version": VERSION, **{name: getattr(self, name) for name in _FIELDS}}

    def digest(self) -> str:
        """SHA-256 of the canonical form without ``term``: the same wish from a later controller is the same."""
        return hashlib.sha256(canonical({k: v for k, v in self.to_wire().items() if k != "term"})).hexdigest()


_FIELDS: dict[str, Check] = {}


def _text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 4096


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _identifier(value: Any) -> bool:
    """Names that become directory names: letters, digits, dash and underscore alone."""
    return _text(value) and len(value) <= 200 and all((c.isalnum() and c.isascii()) or c in "-_" for c in value)


def _mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _list(value: Any) -> bool:
    return isinstance(value, list)


def _data_set(value: Any) -> bool:
    if not isinstance(value, dict) or not _identifier(value.get("id")):
        return False
    if value.get("component") == "hdfs":
        path = value.get("path")
        parts = path.split("/") if isinstance(path, str) and _text(path) else []
        return len(parts) > 1 and parts[0] == "" and all(p not in ("", ".", "..", ".snapshot") for p in parts[1:])
    if value.get("component") == "hbase":
        return _text(value.get("table")) and "/" not in value["table"]
    return False


def _data_sets(value: Any) -> bool:
    return isinstance(value, list) and all(_data_set(v) for v in value)


def _optional(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _sites(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and set(value) <= {"primary", "secondary"}
        and all(
            isinstance(site, dict)
            and _text(site.get("cluster"))
            and isinstance(site.get("namenodes"), list)
            and bool(site["namenodes"])
            and all(_text(url) and url.startswith(("http://", "https://")) for url in site["namenodes"])
            for site in value.values()
        )
    )


_FIELDS.update(
    id=_identifier,
    kind=_text,
    pair=_identifier,
    cluster=_text,
    epoch=_count,
    term=_count,
    run=_identifier,
    step=_identifier,
    attempt=_count,
    not_after_ms=_count,
    payload=_mapping,
)

_COPY: dict[str, Check] = {
    "sites": _sites,
    "data_set": _data_set,
    "snapshot": _identifier,
    "base": _optional(_identifier),
    "base_is_on_source": _flag,
    "recovery_point": _optional(_identifier),
    "open_files": _list,
    "staging": _text,
    "level": _text,
    "workers": _count,
}

PAYLOADS: dict[str, dict[str, Check]] = {
    # Look, change nothing: facts for preflight and for `cluster check`. patterns: data sets with wildcards.
    "CheckCluster": {"sites": _sites, "role": _text, "patterns": _list, "copies_here": _flag, "snapshot": _text},
    # Write a write-once identity marker with the given serial; succeed also when the very same one is there.
    "WriteMarker": {"sites": _sites, "serial": _count, "marker": _mapping},
    "TakeSnapshots": {
        "sites": _sites,
        "moment_ms": _count,
        "fire_tolerance_ms": _count,
        "warm_up_ms": _count,
        "snapshot": _identifier,
        "data_sets": _data_sets,
        "barrier": _optional(_mapping),
    },
    "SendSnapshots": _COPY,
    "ReplicateSnapshots": _COPY,
    # data_sets: each with "base" (snapshot that the head shows) or null, and "recovery_point" of that base.
    "ApplyStaged": {
        "sites": _sites,
        "data_sets": _data_sets,
        "snapshot": _identifier,
        "staging": _text,
        "head_mode": _text,
    },
    "FreezeCopies": {"sites": _sites, "data_sets": _data_sets, "snapshot": _identifier, "staging": _text},
    "DigestSnapshots": {
        "sites": _sites,
        "data_sets": _data_sets,
        "snapshot": _identifier,
        "staging": _text,
        "level": _text,
        "trial_clone": _optional(_text),
        "sample": _mapping,
    },
    # Write the recovery point's manifest and the audit anchor, read both back, keep the source manifests beside them.
    "SealRecoveryPoint": {
        "sites": _sites,
        "recovery_point": _identifier,
        "manifest": _mapping,
        "anchor": _mapping,
        "staging": _optional(_text),
    },
    # staging may be null; recovery_points: manifests to remove besides.
    "RemoveSnapshots": {
        "sites": _sites,
        "data_sets": _data_sets,
        "snapshot": _identifier,
        "staging": _optional(_text),
        "recovery_point": _optional(_identifier),
    },
    "Abort": {"instructions": _list},
    # Make a recovery point readable under scratch names: tables are cloned, snapshot paths are told.
    "OpenCopies": {"sites": _sites, "data_sets": _data_sets, "snapshot": _identifier, "scratch": _identifier},
    "CloseCopies": {"sites": _sites, "data_sets": _data_sets, "scratch": _identifier},
}


def hbase_snapshot_name(snapshot: str, table: str) -> str:
    """The HBase snapshot of ``table`` in a run: snapshot names are global in HBase, so the table is part of it.

    The namespace has no dot, so the first dot separates it from the table and no two tables share a name.
    """
    namespace, _, name = table.rpartition(":")
    return f"{snapshot}-{namespace or 'default'}.{name}"


def parse_instruction(value: Any) -> Instruction:
    """Check a decoded JSON object strictly and return the instruction; raise ``WireError`` naming the field.

    Unknown fields are refused: what a newer control device means by them cannot be known.
    """
    if not isinstance(value, dict):
        raise WireError("MALFORMED", "an instruction is a JSON object")
    if value.get("version") != VERSION:
        raise WireError("UNKNOWN_VERSION", f"this agent speaks version {VERSION}, got {value.get('version')!r}")
    _check_fields(value, {"version": _count, **_FIELDS}, "instruction")
    if value["kind"] not in PAYLOADS:
        raise WireError("UNKNOWN_KIND", f"this agent does not know {value['kind']!r}")
    _check_fields(value["payload"], PAYLOADS[value["kind"]], "payload")
    return Instruction(**{name: value[name] for name in _FIELDS})


def _check_fields(value: Mapping[str, Any], checks: Mapping[str, Check], where: str) -> None:
    missing = sorted(set(checks) - set(value))
    unknown = sorted(set(value) - set(checks))
    if missing or unknown:
        raise WireError("MALFORMED", f"{where}: missing {missing}, unknown {unknown}")
    for name, check in checks.items():
        if not check(value[name]):
            raise WireError("MALFORMED", f"{where}.{name} has a value that cannot be accepted")


def outcome(instruction: Instruction, result: Any, failure: Mapping[str, Any] | None, at_ms: int) -> dict[str, Any]:
    """The JSON object that ends an instruction: ``status`` is succeeded, failed or aborted.

    ``failure`` holds ``code, message, remedy, data_set (or null), unknown, detail``; code ABORTED gives "aborted".
    """
    status = "succeeded" if failure is None else "aborted" if failure["code"] == "ABORTED" else "failed"
    return {
        "version": VERSION,
        "id": instruction.id,
        "kind": instruction.kind,
        "status": status,
        "result": result,
        "failure": failure,
        "at_ms": at_ms,
    }
