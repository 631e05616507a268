"""The port of a cluster's gateway: hand instructions to its agent, and see what became of them.

Every method may raise ``domain.errors.Unavailable`` with a permanent code (``HOST_KEY_CHANGED``, ``GATEWAY_REFUSED``,
``GATEWAY_DENIED``, ``GATEWAY_UNREACHABLE``, ``GATEWAY_TIMEOUT``, ``GATEWAY_GREETS``,
``GATEWAY_SHELL``, ``SPOOL_FULL``, ``NO_FITTING_PYTHON``, ``AGENT_FAILED``, …). After
that nothing is known about a submission: it is submitted again as it was, which attaches if it had arrived.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from infra.agent.protocol import Instruction, failure_of


@dataclass(frozen=True)
class Submission:
    """An instruction with the credentials that it is carried out with; see ``infra.agent.protocol``.

    ``allowance`` is what its agent may take at first (``workers``, ``bytes_per_second``); None leaves it as it is.
    ``controller`` says who submits it; None for what anybody may ask.
    """

    instruction: Instruction
    credentials: Mapping[str, Any]
    allowance: Mapping[str, Any] | None = None
    controller: Mapping[str, Any] | None = None

    def to_wire(self) -> dict[str, Any]:
        """The JSON object of this submission."""
        message = {"instruction": self.instruction.to_wire(), "credentials": dict(self.credentials)}
        more = {"allow": self.allowance, "controller": self.controller}
        return {**message, **{name: dict(value) for name, value in more.items() if value is not None}}


@dataclass(frozen=True)
class Submitted:
    """The spool holds the instruction and an agent carries it out, or it has ended already.

    ``attached`` tells whether the spool knew it before.
    """

    id: str
    attached: bool


@dataclass(frozen=True)
class SubmissionRefused:
    """The agent refused it and kept nothing of it; ``code`` is one of the refusal codes of the protocol."""

    code: str
    message: str


@dataclass(frozen=True)
class Seen:
    """What a look at one instruction showed.

    ``alive``: an agent holds its lock. ``progress`` is the newest that was told after the offset that was asked from,
    and ``progress_offset`` is where to ask from the next time. ``outcome`` is as in ``infra.agent.protocol.outcome``.
    """

    id: str
    known: bool
    alive: bool
    milestones: Mapping[str, Any] = field(default_factory=dict)
    progress: Mapping[str, Any] | None = None
    progress_offset: int = 0
    outcome: Mapping[str, Any] | None = None


def invalid_answer(what: str) -> dict[str, Any]:
    """The outcome of an instruction whose answer cannot be taken: the failure ANSWER_INVALID.

    No other try makes it better, so it ends the instruction; nothing is decided by the answer itself.
    """
    remedy = "Look who has that gateway's user, and whether its agent is what was uploaded: understudy cluster check."
    failure = failure_of("ANSWER_INVALID", f"the agent's answer cannot be taken: {what}"[:4_000], remedy)
    return {"status": "failed", "result": None, "failure": failure}


@dataclass(frozen=True)
class ClockOffset:
    """The gateway's clock minus the control device's; the truth is within ``uncertainty_ms`` of it."""

    offset_ms: float
    uncertainty_ms: float


class GatewayHost(Protocol):
    """One cluster's gateway."""

    async def submit(self, submission: Submission) -> Submitted | SubmissionRefused:
        """Hand over an instruction; repeating it is harmless."""

    async def look(
        self,
        ids: Sequence[str],
        after: Mapping[str, int] | None = None,
        allow: Mapping[str, Mapping[str, Any]] | None = None,
        wait_seconds: float = 0.0,
    ) -> dict[str, Seen]:
        """See what became of instructions, by id; ``after`` holds progress offsets of earlier looks.

        ``allow`` says what some of them may take from now on. Unless one of them has ended already, the look may take
        ``wait_seconds``, and ends as soon as one of them ends or reaches a milestone.
        """

    async def forget(self, ids: Sequence[str]) -> dict[str, str]:
        """Let the gateway remove what is over: the ids that it keeps, each with the reason."""

    async def clock_offset(self) -> ClockOffset:
        """Measure the gateway's clock against the control device's."""

    async def facts(self) -> dict[str, Any]:
        """Facts about the gateway; see ``infra.agent.core.operations.GatewayFacts``."""

    async def close(self) -> None:
        """Let go of the connection; agents go on."""
