"""What people write for a moment: an instant with its zone, ``+90s``, or ``now``.

A time without a zone means different instants on different machines, and twice a year two of them on the same one:
it is refused.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from domain.errors import InvalidInput

_AHEAD = re.compile(r"\+(\d{1,6})(ms|s|m|h)")
_MILLISECONDS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXAMPLES = "such as 2026-05-04T03:00:00Z, 2026-05-04T05:00:00+02:00, +90s or now"


def moment_ms(text: str, now_ms: int) -> int | None:
    """Return the moment in milliseconds since the epoch, None for ``now``; raise ``InvalidInput`` naming ``at``.

    ``now`` leaves the moment to the policy, which says how far ahead it has to be. A moment is a whole millisecond.
    """
    if text == "now":
        return None
    ahead = _AHEAD.fullmatch(text)
    if ahead:
        return now_ms + int(ahead[1]) * _MILLISECONDS[ahead[2]]
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput("at", f"{text[:80]!r} is no moment.", remedy=f"Give one {_EXAMPLES}.") from None
    if instant.tzinfo is None:
        raise InvalidInput(
            "at",
            f"{text[:80]!r} has no time zone, so it is not one instant.",
            remedy="Add Z for UTC or an offset such as +02:00.",
        )
    return (instant - _EPOCH) // timedelta(milliseconds=1)
