"""Records refused commands, at most a few per actor and minute: whoever is refused must not be able to fill the store.

What is left out is counted, and the next refusal of the actor that is recorded says how many there were; every refusal
is in the log anyway.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from domain.errors import Refused, UnderstudyError
from domain.refusal import Refusal
from domain.stateful import Context
from infra.control_plane.caller import Caller
from infra.store.session import Session
from infra.store.writer import Writer

P = ParamSpec("P")
T = TypeVar("T")

PER_MINUTE = 20

_log = logging.getLogger(__name__)


@dataclass
class _Window:
    """What was recorded of one actor in one minute (of the time since the epoch), and what was left out."""

    minute: int = 0
    recorded: int = 0
    left_out: int = 0


class Refusals:
    """Records them through the store's writer."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._windows: dict[str, _Window] = {}

    async def record(self, context: Context, command: str, about: str, refused: Refused) -> None:
        """Record a refusal, unless its actor has had enough of them recorded in this minute.

        A store that cannot record it is told to the log: the caller must hear of the refusal all the same.
        """
        window = self._windows.setdefault(context.actor, _Window())
        minute = int(context.at.timestamp() // 60)
        if minute != window.minute:
            window.minute, window.recorded = minute, 0
        if window.recorded >= PER_MINUTE:
            window.left_out += 1
            return
        window.recorded += 1
        left_out, window.left_out = window.left_out, 0
        identity = Refusal.identity(context.command_id)

        def decide(session: Session) -> None:
            if session.find(Refusal, identity) is None:
                session.add(Refusal.record(context, command, about, refused, left_out))

        try:
            await self._writer.execute(context, identity, decide)
        except UnderstudyError as error:
            window.left_out += left_out + 1
            _log.warning("the refusal %s of %s could not be recorded: %s", refused.code, command, error)


class Recording(Protocol):
    """What has commands whose refusals are recorded."""

    refusals: Refusals

    def context_of(self, caller: Caller) -> Context:
        """The context of a command of this caller."""


R = TypeVar("R", bound=Recording)


def recorded(
    command: Callable[Concatenate[R, Caller, P], Awaitable[T]],
) -> Callable[Concatenate[R, Caller, P], Coroutine[Any, Any, T]]:
    """Have the refusals of a command recorded before its caller hears of them; its first argument says what of."""

    @wraps(command)
    async def run(self: R, caller: Caller, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await command(self, caller, *args, **kwargs)
        except Refused as refused:
            context = replace(self.context_of(caller), digest="")  # nothing was done, so the id stands for nothing
            await self.refusals.record(context, command.__name__, str(args[0]), refused)
            raise

    return run
