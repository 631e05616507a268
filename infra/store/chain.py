"""The chain that makes the event log tamper-evident.

    link(n) = sha256(link(n-1) ‖ n as 8 bytes big endian ‖ sha256(record(n)))
    record  = id, originator, version, topic, state, each behind its length as 8 bytes big endian

``id`` is the recorder's notification id and ``version`` the event's version in its aggregate, both as 8 bytes big
endian; ``originator`` is the UUID's 16 bytes; ``topic`` is UTF-8; ``state`` is the stored bytes. Positions are the
store's own dense numbers 1, 2, 3 …; link(0) is 32 zero bytes.

Invariant of the verdict: only an anchor from outside the store proves anything. Whoever can write the store can
compute a new chain, so events after the newest anchor are *not yet anchored*, never intact.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol
from uuid import UUID

from eventsourcing.persistence import Notification

GENESIS = bytes(32)
_CHUNK = 1_000


class Anchor(NamedTuple):
    """The link at a position; kept outside the store, it proves all events up to there."""

    position: int
    link: bytes


class ChainedEvent(NamedTuple):
    """A stored event with its place in the chain and the link that the store holds for it.

    ``event`` is None where what is stored is no event at all (a damaged id, a value of another type).
    """

    position: int
    event: Notification | None
    link: bytes


class ChainReader(Protocol):
    """Whoever can hand over the chain in order of position."""

    def chained_events(self, after: int, limit: int) -> Sequence[ChainedEvent]:
        """Return at most ``limit`` events whose position is greater than ``after``, in order."""


class ChainStatus(StrEnum):
    """What is proved about the log."""

    PROVED = "PROVED"
    NOT_YET_ANCHORED = "NOT_YET_ANCHORED"
    BROKEN = "BROKEN"


class ChainFault(StrEnum):
    """How the chain is broken, at the first position where it is."""

    MISSING = "MISSING"
    ALTERED = "ALTERED"
    TRUNCATED = "TRUNCATED"
    REWRITTEN = "REWRITTEN"


@dataclass(frozen=True)
class ChainVerdict:
    """What was found: events 1 to ``proved_through`` are as they were anchored.

    ``last_position`` is the last one that was read. ``broken_at`` is the first position that is wrong, with ``fault``
    and ``detail``; in a whole chain it is None. REWRITTEN names the anchor that disagrees: the change lies after
    ``proved_through``, at or before it.
    """

    status: ChainStatus
    proved_through: int
    last_position: int
    broken_at: int | None = None
    fault: ChainFault | None = None
    detail: str = ""

    @property
    def not_yet_anchored(self) -> int:
        """The number of events after the last proved one; nothing is claimed about them."""
        return max(0, self.last_position - self.proved_through)


def record_digest(event: Notification) -> bytes:
    """Return sha256 over the length-prefixed fields of one stored event."""
    assert isinstance(event.originator_id, UUID)
    digest = hashlib.sha256()
    for field in (
        event.id.to_bytes(8, "big"),
        event.originator_id.bytes,
        event.originator_version.to_bytes(8, "big"),
        event.topic.encode(),
        event.state,
    ):
        digest.update(len(field).to_bytes(8, "big"))
        digest.update(field)
    return digest.digest()


def next_link(previous: bytes, position: int, event: Notification) -> bytes:
    """Return the link of the event at ``position``, given the link before it."""
    return hashlib.sha256(previous + position.to_bytes(8, "big") + record_digest(event)).digest()


def verify(reader: ChainReader, anchors: Iterable[Anchor]) -> ChainVerdict:
    """Compute the chain anew and compare it with the stored links and with ``anchors`` from outside.

    Reads the whole log in chunks. Stops at the first fault.
    """
    expected: dict[int, set[bytes]] = {}
    for anchor in anchors:
        expected.setdefault(anchor.position, set()).add(anchor.link)
    newest_anchor = max(expected, default=0)
    if expected.pop(0, {GENESIS}) != {GENESIS}:
        return _broken(0, 0, 0, ChainFault.REWRITTEN, "an anchor of the empty chain has another link")
    proved, position, link = 0, 0, GENESIS
    while chunk := reader.chained_events(position, _CHUNK):
        for item in chunk:
            if item.position != position + 1:
                detail = f"position {position + 1} is not there; the next one is {item.position}"
                return _broken(proved, position, position + 1, ChainFault.MISSING, detail)
            position = item.position
            if item.event is None or (link := next_link(link, position, item.event)) != item.link:
                detail = "the event, or its link, is not what was recorded"
                return _broken(proved, position, position, ChainFault.ALTERED, detail)
            if position in expected:
                if expected[position] != {link}:
                    detail = f"the anchor of position {position} has another link; the change is after {proved}"
                    return _broken(proved, position, position, ChainFault.REWRITTEN, detail)
                proved = position
    if newest_anchor > position:
        detail = f"an anchor knows position {newest_anchor}; the log ends at {position}"
        return _broken(proved, position, position + 1, ChainFault.TRUNCATED, detail)
    status = ChainStatus.PROVED if proved == position > 0 else ChainStatus.NOT_YET_ANCHORED
    return ChainVerdict(status, proved, position)


def _broken(proved: int, last: int, broken_at: int, fault: ChainFault, detail: str) -> ChainVerdict:
    return ChainVerdict(ChainStatus.BROKEN, proved, last, broken_at, fault, detail)
