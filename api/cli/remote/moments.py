"""``--at``: what the API accepts, and distances such as ``+90s``, which are made instants here.

The instant is fixed before the command is sent, so that a command that is sent again means the same moment.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_AHEAD = re.compile(r"\+(\d{1,6})(ms|s|m|h)")
_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours"}


def moment(text: str, now: datetime) -> str:
    """Return what the API takes for ``text``; ``now`` is this machine's time, with its zone."""
    ahead = _AHEAD.fullmatch(text)
    if ahead is None:
        return text
    at = now + timedelta(**{_UNITS[ahead[2]]: int(ahead[1])})
    return at.astimezone(UTC).isoformat(timespec="milliseconds")
