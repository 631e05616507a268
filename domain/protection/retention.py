"""Which recovery points may go: a pure decision that explains itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from domain.protection.replica import Kept


@dataclass(frozen=True)
class Decision:
    """What becomes of one recovery point, and why."""

    recovery_point: UUID
    keep: bool
    reason: str


def decide(
    kept: Iterable[Kept], keep_last: int, shown: Collection[UUID], holds: Mapping[UUID, set[str]]
) -> tuple[Decision, ...]:
    """Keep the newest ``keep_last``, those that copies show, and every held one; explain each. Newest first."""
    decisions = []
    for rank, point in enumerate(sorted(kept, key=lambda k: (k.moment_ms, k.recovery_point.hex), reverse=True), 1):
        identity = point.recovery_point
        if rank <= keep_last:
            decisions.append(Decision(identity, True, f"number {rank} of the newest {keep_last}"))
        elif identity in shown:
            decisions.append(Decision(identity, True, "a copy shows it: the next increment of it starts there"))
        elif holds.get(identity):
            decisions.append(Decision(identity, True, f"held by {', '.join(sorted(holds[identity]))}"))
        else:
            decisions.append(Decision(identity, False, f"older than the newest {keep_last} and nothing holds it"))
    return tuple(decisions)
