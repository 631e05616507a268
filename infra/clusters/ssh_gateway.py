"""The gateway of a real cluster, over SSH: an adapter of ``infra.ports.gateway.GatewayHost``.

The agent is installed at the first use and found again after every new connection. Forgetting and the facts are
commands of their own; submitting, looking and the clock, which are asked often, go through three commands that stay
(together three of the connection's sessions): the agent's program is loaded once, not for each instruction. The clock
is taken from the sample with the shortest round trip: its uncertainty is half of that, because nobody knows how the
time was divided between the two ways.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from domain.errors import Unavailable
from domain.values.endpoints import Gateway
from infra.agent.archive import Archive
from infra.agent.protocol import WireError, canonical
from infra.agent.shapes import Unfit, flag, mapping, optional, record, text, whole
from infra.agent.shell.strict_json import decode
from infra.clusters.agent_upload import InstalledAgent, install
from infra.clusters.keys import KeyDirectory
from infra.clusters.ssh_connection import SshConnection, SshLimits
from infra.clusters.ssh_lines import LINE_MAXIMUM_BYTES, LineChannel, TooLong
from infra.ports.gateway import ClockOffset, Seen, Submission, SubmissionRefused, Submitted, invalid_answer

CLOCK_SAMPLES = 8
LOOK_BATCH = 100

T = TypeVar("T")


class SshGateway:
    """Reaches one gateway; close it when it is no longer needed."""

    def __init__(
        self,
        gateway: Gateway,
        archive: Archive,
        keys: KeyDirectory,
        limits: SshLimits | None = None,
    ) -> None:
        """Log in with a key of ``keys`` alone, whatever the gateway's settings name."""
        self._connection = SshConnection(gateway, keys, limits)
        self._archive = archive
        self._agent: InstalledAgent | None = None
        self._installed_over: object = None
        self._installing = asyncio.Lock()
        self._submitting = LineChannel(self._connection, lambda: self._command("submit"))
        self._looking = LineChannel(self._connection, lambda: self._command("look"))
        self._clock = LineChannel(self._connection, lambda: self._command("clock"))

    async def submit(self, submission: Submission) -> Submitted | SubmissionRefused:
        """Hand over an instruction."""

        def read(line: bytes) -> Submitted | SubmissionRefused:
            answer = _decoded(line)
            if "refused" in answer:
                return SubmissionRefused(str(answer["refused"]), str(answer["message"]))
            if answer["accepted"] != submission.instruction.id:
                raise ValueError("it accepted another instruction")
            return Submitted(answer["accepted"], bool(answer["attached"]))

        (submitted,) = await self._ask_staying(self._submitting, canonical(submission.to_wire()) + b"\n", 1, read)
        return submitted

    async def look(
        self,
        ids: Sequence[str],
        after: Mapping[str, int] | None = None,
        allow: Mapping[str, Mapping[str, Any]] | None = None,
        wait_seconds: float = 0.0,
    ) -> dict[str, Seen]:
        """See what became of instructions, and say what they may take; very many are not waited for."""
        seen: dict[str, Seen] = {}
        wait_ms = int(wait_seconds * 1000) if len(ids) <= LOOK_BATCH else 0
        for start in range(0, len(ids), LOOK_BATCH):
            batch = list(ids[start : start + LOOK_BATCH])
            offsets = {item: offset for item, offset in (after or {}).items() if item in batch}
            allowed = {item: dict(allowance) for item, allowance in (allow or {}).items() if item in batch}
            asked = {"ids": batch, "after": offsets, "allow": allowed, "wait_ms": wait_ms}
            question = canonical(asked) + b"\n"
            read = _in_order(batch)
            for found in await self._ask_staying(self._looking, question, len(batch), read):
                seen[found.id] = found
        return seen

    async def forget(self, ids: Sequence[str]) -> dict[str, str]:
        """Let the gateway remove what is over."""
        answer = await self._ask("forget", canonical({"ids": list(ids)}))
        if "refused" in answer:
            raise _failed(self._connection.where, f"{answer['refused']}: {answer['message']}")
        kept: dict[str, str] = answer["kept"]
        return kept

    async def clock_offset(self) -> ClockOffset:
        """Measure the gateway's clock."""
        samples: list[tuple[float, float]] = []
        for _ in range(CLOCK_SAMPLES):
            before = time.time()
            (theirs_ms,) = await self._ask_staying(self._clock, b"\n", 1, _finite)
            after = time.time()
            samples.append(((after - before) * 1000, theirs_ms - (before + after) / 2 * 1000))
        round_trip_ms, offset_ms = min(samples)
        return ClockOffset(offset_ms, round_trip_ms / 2)

    async def facts(self) -> dict[str, Any]:
        """Facts about the gateway."""
        answer = await self._ask("facts", b"")
        if "refused" in answer:
            raise _failed(self._connection.where, f"{answer['refused']}: {answer['message']}")
        return answer

    async def close(self) -> None:
        """Let go of the connection; agents go on."""
        await self._submitting.close()
        await self._looking.close()
        await self._clock.close()
        await self._connection.close()

    async def _ask_staying(
        self, channel: LineChannel, question: bytes, answers: int, read: Callable[[bytes], T]
    ) -> list[T]:
        try:
            lines = await channel.ask(question, answers, self._connection.limits.command_seconds)
            try:
                return [read(line) for line in lines]
            except (ValueError, LookupError, TypeError) as error:
                await channel.close()
                raise _failed(self._connection.where, f"{error!r} in {lines[0][:200]!r}") from error
        except Unavailable as error:
            if error.code == "AGENT_FAILED":
                self._agent = None  # perhaps the archive was removed from the gateway: look at it anew
            raise

    async def _ask(self, name: str, data: bytes) -> dict[str, Any]:
        command = await self._command(name, self._connection.limits.command_seconds)
        completed = await self._connection.run(command, data)
        try:
            answer = _decoded(completed.stdout)
            if not isinstance(answer, dict):
                raise ValueError("it is no object")
        except ValueError as error:
            self._agent = None  # as above
            complaint = completed.stderr.decode("utf-8", "replace").strip()[-500:]
            raise _failed(self._connection.where, f"exit {completed.exit_status}, {complaint}") from error
        return answer

    async def _command(self, name: str, limit_seconds: float | None = None) -> str:
        async with self._installing:
            connection = await self._connection.connect()
            if self._agent is None or self._installed_over is not connection:
                self._agent = await install(self._connection, self._archive)
                self._installed_over = connection
            return self._agent.command(name, limit_seconds)


def _finite(line: bytes) -> float:
    value = float(line)
    if not math.isfinite(value):
        raise ValueError("it is no time")
    return value


def _in_order(ids: Sequence[str]) -> Callable[[bytes], Seen]:
    """Reads the lines about instructions, one after the other."""
    left = iter(ids)
    return lambda line: _seen(line, next(left))


def _seen(line: bytes, instruction: str) -> Seen:
    """What a line says of an instruction; raises ``ValueError`` for one that says nothing of it.

    What cannot be right in it is seen as an outcome that is none, which ends the instruction: it would not be better
    the next time.
    """
    if isinstance(line, TooLong):
        return _unfit(instruction, f"it has more than {LINE_MAXIMUM_BYTES} bytes")
    answer = _decoded(line)
    if not isinstance(answer, dict) or "refused" in answer:
        raise ValueError(
            "it is no look" if not isinstance(answer, dict) else f"{answer['refused']}: {answer['message']}"
        )
    if answer.get("id") != instruction:
        raise ValueError(f"it is about another instruction than {instruction}")
    try:
        _look("look", answer)
    except Unfit as unfit:
        return _unfit(instruction, str(unfit))
    return Seen(**answer)


_look = record(
    id=text(r".{1,200}", "an id"),
    known=flag,
    alive=flag,
    milestones=mapping,
    progress=optional(mapping),
    progress_offset=whole(0, 1 << 53),
    outcome=optional(mapping),
)


def _unfit(instruction: str, what: str) -> Seen:
    return Seen(instruction, known=True, alive=False, outcome=invalid_answer(what))


def _decoded(line: bytes) -> Any:
    """The value in a line of JSON; raises ``ValueError`` also where it nests too deep."""
    try:
        return decode(line, LINE_MAXIMUM_BYTES)
    except WireError as error:
        raise ValueError(str(error)) from error


def _failed(where: str, reason: str) -> Unavailable:
    return Unavailable(
        "AGENT_FAILED",
        f"the agent on {where} gave no proper answer: {reason}",
        remedy="Look at the spool directory on the gateway: its owner, its mode 0700, its free space.",
    )
