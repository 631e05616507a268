"""Admit a submission into the spool, or refuse it without a trace.

Everything that can be refused is refused before anything is written. The decision is made under the spool's lock, so
two submissions at the same time see one another; what must be there before the agent starts is durable before
``admit`` returns.

A known id *attaches*: the instruction is not written again, its credentials are renewed. A known attempt n is
superseded by n+1 of the same purpose: n is refused from then on, and the agent of n+1 ends n before its first step.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, Callable

from infra.agent.protocol import (
    MAXIMUM_BYTES,
    Instruction,
    WireError,
    canonical,
    check_allowance,
    check_controller,
    parse_instruction,
)
from infra.agent.shell.credentials import check_credentials
from infra.agent.shell.spool import Entry, Spool, unusable
from infra.agent.shell.strict_json import decode
from infra.agent.shell.terms import Terms


@dataclass(frozen=True)
class Admitted:
    """An instruction that the spool holds; ``known`` tells whether it was there before."""

    entry: Entry
    known: bool


def admit(data: bytes, spool: Spool, now_ms: Callable[[], float]) -> Admitted:
    """Put the submission into the spool; raise ``WireError`` with a refusal code, or ``SpoolUnusable``."""
    submission = _parse(data)
    instruction = submission.instruction
    spool.open()
    try:
        return _admit(submission, spool, now_ms)
    except OSError as error:
        if spool.entry(instruction.id).exists():
            raise  # a refusal would say that nothing is kept of it
        raise unusable(spool.root, error) from error


def _admit(submission: _Submission, spool: Spool, now_ms: Callable[[], float]) -> Admitted:
    instruction = submission.instruction
    with spool.lock():
        terms = Terms(spool)
        terms.check(instruction, submission.controller)
        entry = spool.entry(instruction.id)
        _check_not_superseded(spool, entry, instruction)
        known = entry.exists()
        if known:
            _check_same(entry, instruction)
        elif now_ms() > instruction.not_after_ms:
            raise WireError("TOO_LATE", f"not after {instruction.not_after_ms}, it is {now_ms():.0f}")
        terms.raise_to(instruction, submission.controller)
        if not known:
            spool.create(instruction.id, submission.files())
        # What is known is not refused for want of room: it goes on with what it has.
        with contextlib.suppress(OSError) if known else contextlib.nullcontext():
            if known and entry.outcome() is None:
                entry.renew(submission.credentials, submission.controller)
            if submission.allowance is not None:
                entry.allow(submission.allowance)
    return Admitted(entry, known)


@dataclass(frozen=True)
class _Submission:
    instruction: Instruction
    credentials: dict[str, Any]
    allowance: dict[str, Any] | None
    controller: dict[str, Any] | None

    def files(self) -> dict[str, bytes]:
        """What a new entry holds."""
        files = {"instruction.json": self.instruction.to_wire(), "credentials.json": self.credentials}
        if self.controller is not None:
            files["controller.json"] = self.controller
        return {name: canonical(value) for name, value in files.items()}


def _parse(data: bytes) -> _Submission:
    submission = decode(data, MAXIMUM_BYTES)
    if not isinstance(submission, dict) or set(submission) - {"allow", "controller"} != {"instruction", "credentials"}:
        raise WireError(
            "MALFORMED", "a submission is an object of instruction and credentials, and perhaps allow and controller"
        )
    instruction = parse_instruction(submission["instruction"])
    check_credentials(submission["credentials"])
    allowance, controller = submission.get("allow"), submission.get("controller")
    if allowance is not None:
        check_allowance("allow", allowance)
    if controller is not None:
        check_controller("controller", controller)
    return _Submission(instruction, submission["credentials"], allowance, controller)


def _check_not_superseded(spool: Spool, entry: Entry, instruction: Instruction) -> None:
    newer = [other for other in spool.attempts_of(instruction, is_locked=True) if other.attempt > instruction.attempt]
    if newer:
        raise WireError("SUPERSEDED", f"attempt {max(other.attempt for other in newer)} has taken over")
    if entry.exists() and not entry.has_instruction():
        raise WireError("SUPERSEDED", "it was aborted before it arrived")


def _check_same(entry: Entry, instruction: Instruction) -> None:
    known = entry.acceptable_instruction()
    if known is None or known.digest() != instruction.digest():
        raise WireError("NOT_THE_SAME", f"{instruction.id} is known with another content")
