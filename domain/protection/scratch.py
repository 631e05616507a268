"""What the clones of an opened recovery point are called on the secondary: names for people, and for this one alone.

``<service>_<beginning of the recovery point's id>`` is made here, ``shop_ba92b7ca``; the agent adds the table
(``infra/agent/core/clone_names.py``), which may be any. So that no two recovery points can ever share a name, the first
``_`` with eight hexadecimal digits after it is where the service ends. A service whose own name has that, has a dot
(which separates a namespace from its table), is long, or looks shortened, is shortened and gets a digest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from uuid import NAMESPACE_URL, UUID, uuid5

DIGITS = 8
LONGEST_SERVICE = 47
"""Bytes; with the longest id, the ``scratch`` of an instruction has 80 at most."""

_DIGEST = 12
_PLAIN = re.compile(rf"(?!.*_[0-9a-f]{{{DIGITS}}})(?!.*-[0-9a-f]{{{_DIGEST}}}\Z)[A-Za-z0-9_-]{{1,{LONGEST_SERVICE}}}")


def scratch_name(service: str, recovery_point: UUID, kept: Iterable[UUID]) -> str:
    """What the names begin with; ``kept`` are the service's recovery points, so that no other one has the same."""
    shared = [_shared(recovery_point.hex, other.hex) for other in kept if other != recovery_point]
    return f"{_label(service)}_{recovery_point.hex[: max([DIGITS, *(digits + 1 for digits in shared)])]}"


def _shared(first: str, second: str) -> int:
    """How many digits two ids have in common at their beginning."""
    return next(number for number, (one, other) in enumerate(zip(first, second, strict=True)) if one != other)


def _label(service: str) -> str:
    if _PLAIN.fullmatch(service):
        return service
    digest = uuid5(NAMESPACE_URL, f"understudy:scratch:{service}").hex[:_DIGEST]
    return f"{re.sub('[._]', '-', service)[: LONGEST_SERVICE - _DIGEST - 1]}-{digest}"
