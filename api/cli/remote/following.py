"""Follows something to its end over a stream that may break: it is resumed where it broke.

A control device that is away for a while is no failure of what is followed: runs go on without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from api.cli.exit_codes import ExitCode
from api.cli.remote.errors import CommandFailed, Unreachable
from api.cli.remote.transport import ApiClient, ServerEvent

PATIENCE_SECONDS = 120.0
PAUSE_SECONDS = 1.0


def follow(
    client: ApiClient,
    path: str,
    *,
    lost: Callable[[Unreachable], None] = lambda error: None,
    at_most_seconds: float | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Iterator[ServerEvent]:
    """Yield the events of the stream at ``path``, the one named ``end`` last.

    ``lost`` is told when the stream breaks. Raises ``Unreachable`` when it could not be resumed for
    ``patience_seconds``, and at once when it never began; ``ApiError`` for a problem document; ``CommandFailed``
    STILL_WAITING when the end has not come within ``at_most_seconds``.
    """
    started = time.monotonic()
    seen = 0
    has_begun = False
    broken_since: float | None = None
    while True:
        try:
            for event in client.stream(path, seen):
                has_begun, broken_since = True, None
                seen = event.version if event.version is not None else seen
                if event.name:
                    yield event
                if event.name == "end":
                    return
                if at_most_seconds is not None and time.monotonic() - started > at_most_seconds:
                    raise _still_waiting(at_most_seconds)
        except Unreachable as error:
            broken_since = broken_since if broken_since is not None else time.monotonic()
            if not has_begun or time.monotonic() - broken_since > patience_seconds:
                raise
            lost(error)
        # The server ends a stream when it stops, or after an hour; the next attempt tells which.
        time.sleep(PAUSE_SECONDS)


def _still_waiting(seconds: float) -> CommandFailed:
    return CommandFailed(
        ExitCode.UNAVAILABLE,
        "STILL_WAITING",
        f"it is not done after {seconds:.0f} s; the control device goes on with it.",
        remedy="Look at it again later ('show'); what stands in the way is told there.",
    )
