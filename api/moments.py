"""What a request may say for a moment: an instant with its zone, ``now``, or ``soonest``.

A time without a zone means different instants on different machines, and twice a year two of them on the same one:
it is refused. A distance such as "in 90 s" is no moment either: a command that is sent again would mean another one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from domain.errors import InvalidInput

SOONEST = "soonest"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment_ms(text: str) -> int | None:
    """Return the moment in milliseconds since the epoch, None for ``now`` and ``soonest``; raise ``InvalidInput``.

    ``now`` leaves the moment to the policy, which says how far ahead it has to be; ``soonest`` to what the newest runs
    have needed. A moment is a whole millisecond.
    """
    if text in ("now", SOONEST):
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            "at",
            f"{text[:80]!r} is no moment.",
            remedy="Give one such as 2026-05-04T03:00:00Z, 2026-05-04T05:00:00+02:00, now or (in the CLI) +90s.",
        ) from None
    if instant.tzinfo is None:
        raise InvalidInput(
            "at",
            f"{text[:80]!r} has no time zone, so it is not one instant.",
            remedy="Add Z for UTC or an offset such as +02:00.",
        )
    return (instant - _EPOCH) // timedelta(milliseconds=1)
