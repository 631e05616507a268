"""The wire format between the control device and the agents: one definition, used by both.

An *instruction* is data, not code: canonical JSON with a version. A *submission* is what travels over SSH: the
instruction, the credentials (kept apart, because they are renewed while the instruction stays the same) and, for the
kinds that move or read data in bulk, how much of the clusters it may take at first (``allow``), and who the control
device is (``controller``: renewed, too, and see ``core/ownership``). An *outcome* is what
the agent leaves in the spool when an instruction has ended. Golden files under ``tests/agent/wire`` keep the format
still.

Refusal codes (permanent): MALFORMED, UNKNOWN_VERSION, UNKNOWN_KIND, INVALID_PAYLOAD, TOO_LARGE, WRONG_CLUSTER,
PAIR_OWNED, OLD_EPOCH, OLD_TERM, TOO_LATE, SUPERSEDED, NOT_THE_SAME (an id that is known with another content).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Callable, Mapping

from infra.agent.payloads import LATEST_MS, PAYLOADS, check_payload, identifier, plain_name
from infra.agent.quick_json import encoder
from infra.agent.shapes import Check, Omissible, Unfit, flag, mapping, optional, record, text, whole

VERSION = 1
BULK_KINDS = ("SendSnapshots", "ReplicateSnapshots", "DigestSnapshots")
"""What moves or reads data, and so takes turns and shares; all else is short, or bound to a time, and never waits."""

LOOKS_FOR_ANYBODY = ("ShowOwner",)
"""What is answered to any control device, whatever its term: it changes nothing and tells who may."""

MAXIMUM_BYTES = 4 << 20
LARGEST = 10**18 - 1


class WireError(Exception):
    """A message that cannot be accepted; ``code`` is one of the refusal codes, ``message`` names the field."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def canonical(value: Any) -> bytes:
    """Encode JSON in exactly one way (sorted keys, no spaces, UTF-8), so that digests can be compared."""
    return _encode(value).encode("utf-8")


_encode = encoder(sort_keys=True, allow_nan=False)


@dataclass(frozen=True)
class Instruction:
    """What the control device tells a cluster to do.

    ``id`` is derived from run, step, data set and attempt. ``cluster`` is the name of the cluster whose agent shall
    act. ``not_after_ms`` is absolute on that cluster's clock. What ``payload`` may hold is told by ``payloads``.
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


_FIELDS: dict[str, Check] = {
    "id": identifier,
    "kind": identifier,
    "pair": identifier,
    "cluster": plain_name,
    "epoch": whole(0, LARGEST),
    "term": whole(0, LARGEST),
    "run": identifier,
    "step": identifier,
    "attempt": whole(0, LARGEST),
    "not_after_ms": whole(0, LARGEST),
    "payload": mapping,
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
    _refuse_unfit("MALFORMED", lambda: record(version=whole(VERSION, VERSION), **_FIELDS)("instruction", value))
    if value["kind"] not in PAYLOADS:
        raise WireError("UNKNOWN_KIND", f"this agent does not know {value['kind']!r}")
    instruction = Instruction(**{name: value[name] for name in _FIELDS})
    _refuse_unfit("INVALID_PAYLOAD", lambda: check_payload(instruction))
    return instruction


_allowance = record(workers=whole(0, LARGEST), bytes_per_second=optional(whole(1, LARGEST)))


def check_allowance(where: str, value: Any) -> None:
    """Raise ``WireError`` MALFORMED unless it is ``{"workers": 0 or more, "bytes_per_second": 1 or more, or null}``.

    No workers: nothing is begun that moves or reads data in bulk until there are some again.
    """
    _refuse_unfit("MALFORMED", lambda: _allowance(where, value))


_lower_hexadecimal = text(r"[0-9a-f]{32}", "32 hexadecimal digits")
_controller = record(
    store=_lower_hexadecimal,
    incarnation=_lower_hexadecimal,
    host=text(r"[A-Za-z0-9.-]{1,63}", "the name of a host"),
    since=text(r"\d{8}T\d{6}Z", "a time such as 20260131T235959Z"),
    term=whole(0, LATEST_MS),
    position=whole(0, LATEST_MS),
    link=_lower_hexadecimal,
    follows=mapping,
    is_confirmed=Omissible(flag),
)


def check_controller(where: str, value: Any) -> None:
    """Raise ``WireError`` MALFORMED unless it says who the control device is.

    ``{"store", "incarnation", "host", "since" (its start, as 20260131T235959Z), "term", "position" and "link" (how far
    its chain of events has come), "follows": {cluster: the record that it has seen there and knows, null for none}}``,
    and perhaps ``"is_confirmed"``: it was refused for its term, and has read since that the records are its own.
    """

    def check() -> None:
        _controller(where, value)
        if len(value["follows"]) > 2:
            raise Unfit(f"{where}.follows", "at most two clusters", value["follows"])
        for cluster, record_name in value["follows"].items():
            plain_name(f"{where}.follows", cluster)
            optional(text(r"[ -~]{1,255}", "the name of a record"))(f"{where}.follows.{cluster}", record_name)

    _refuse_unfit("MALFORMED", check)


def _refuse_unfit(code: str, check: Callable[[], None]) -> None:
    try:
        check()
    except Unfit as unfit:
        raise WireError(code, str(unfit)) from unfit


def failure_of(code: str, message: str, remedy: str = "", **more: Any) -> dict[str, Any]:
    """The JSON object of a known failure: ``code, message, remedy, data_set (or null), unknown, detail``."""
    return {
        "code": code,
        "message": message,
        "remedy": remedy,
        "data_set": None,
        "unknown": False,
        "detail": {},
        **more,
    }


def outcome(
    instruction_id: str, kind: str | None, result: Any, failure: Mapping[str, Any] | None, at_ms: int
) -> dict[str, Any]:
    """The JSON object that ends an instruction: ``status`` is succeeded, failed or aborted (failure code ABORTED).

    ``kind`` is None for an id that was ended before anybody knew what it is.
    """
    status = "succeeded" if failure is None else "aborted" if failure["code"] == "ABORTED" else "failed"
    return {
        "version": VERSION,
        "id": instruction_id,
        "kind": kind,
        "status": status,
        "result": result,
        "failure": failure,
        "at_ms": at_ms,
    }
