"""Checks a recorded history against today's code: would it ask for the very same instructions?

An aggregate is built from its events, one after another. Before each ``Instructed`` it is asked what it wants; the
recorded instruction must be among that, with the recorded digest. So a change of the code that would make a running
controller forget, rename or alter what it has sent is found with any history, offline.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from domain.instructing import Instructing
from domain.stateful import Stateful
from infra.store.folding import fold
from infra.workers.outgoing import digest_of


@dataclass(frozen=True)
class Difference:
    """An instruction that today's code would not send as it was sent.

    ``wanted`` lists what it would send instead: identifiers with their digests.
    """

    aggregate: str
    version: int
    step: str
    instruction: str
    digest: str
    wanted: tuple[tuple[str, str, str], ...]

    def __str__(self) -> str:
        asked = ", ".join(f"{step} {identity} {digest[:12]}…" for step, identity, digest in self.wanted) or "nothing"
        return (
            f"{self.aggregate}, event {self.version}: {self.step} {self.instruction} {self.digest[:12]}… was sent; "
            f"today's code asks for {asked}"
        )


def check_history(events: Iterable[Stateful.Event]) -> Sequence[Difference]:
    """Replay the events of one aggregate, in order, and return every difference; raises what applying them raises."""
    differences: list[Difference] = []
    aggregate: Stateful | None = None
    for event in events:
        if isinstance(event, Instructing.Instructed):
            difference = _difference(cast("Instructing", aggregate), event)
            if difference is not None:
                differences.append(difference)
        aggregate = fold(aggregate, [event])
    return differences


def _difference(aggregate: Instructing, event: Instructing.Instructed) -> Difference | None:
    wishes = {
        wanted.id: (wanted.wire_step, wanted.id, digest_of(aggregate, wanted, event.epoch, event.not_after_ms))
        for wanted in aggregate.next_instructions()
    }
    found = wishes.get(event.instruction)
    if found is not None and found[2] == event.digest:
        return None
    return Difference(
        aggregate=f"{type(aggregate).__name__} {aggregate.id}",
        version=event.originator_version,
        step=event.step,
        instruction=event.instruction,
        digest=event.digest,
        wanted=tuple(wishes.values()),
    )
