"""The chain's bytes are fixed, and each kind of tampering is found and named."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

import pytest
from eventsourcing.persistence import Notification, StoredEvent

from infra.store.chain import GENESIS, Anchor, ChainedEvent, ChainFault, ChainStatus, next_link, verify
from infra.store.database import ReadingDatastore, WritingDatastore
from infra.store.recorder import ChainedRecorder

EVENTS = [StoredEvent(UUID(int=n % 3 + 1), n // 3 + 1, "Counter.Counted", b'{"amount":%d}' % n) for n in range(9)]


class Listed:
    """A chain in memory that hands out two events at a time."""

    def __init__(self, events: Sequence[StoredEvent]) -> None:
        self.items: list[ChainedEvent] = []
        link = GENESIS
        for position, e in enumerate(events, start=1):
            event = Notification(e.originator_id, e.originator_version, e.topic, e.state, id=position)
            link = next_link(link, position, event)
            self.items.append(ChainedEvent(position, event, link))

    def chained_events(self, after: int, limit: int) -> Sequence[ChainedEvent]:
        return [item for item in self.items if item.position > after][: min(limit, 2)]

    def anchor(self, position: int) -> Anchor:
        return Anchor(position, self.items[position - 1].link)


def test_the_link_is_computed_as_documented() -> None:
    def field(data: bytes) -> bytes:
        return len(data).to_bytes(8, "big") + data

    event = Notification(UUID(int=5), 3, "Å.B", b"{}", id=9)
    record = field((9).to_bytes(8, "big")) + field(UUID(int=5).bytes) + field((3).to_bytes(8, "big"))
    record += field("Å.B".encode()) + field(b"{}")
    previous = hashlib.sha256(b"before").digest()
    expected = hashlib.sha256(previous + (9).to_bytes(8, "big") + hashlib.sha256(record).digest()).digest()
    assert next_link(previous, 9, event) == expected
    assert expected.hex() == "1534b4c0b2cc73f5fca6bbe040748f4531da942894fdfbf8a2dfb6032bbab923"


def test_fields_cannot_be_shifted_into_one_another() -> None:
    one = Notification(UUID(int=5), 3, "A.B", b"C{}", id=9)
    other = Notification(UUID(int=5), 3, "A.BC", b"{}", id=9)
    assert next_link(GENESIS, 9, one) != next_link(GENESIS, 9, other)


def test_a_whole_chain_is_proved_up_to_its_newest_anchor_only() -> None:
    chain = Listed(EVENTS)
    verdict = verify(chain, [chain.anchor(2), chain.anchor(7), Anchor(0, GENESIS)])
    assert (verdict.status, verdict.proved_through, verdict.last_position) == (ChainStatus.NOT_YET_ANCHORED, 7, 9)
    assert verdict.not_yet_anchored == 2
    assert verify(chain, [chain.anchor(9)]).status is ChainStatus.PROVED


def test_without_anchors_nothing_is_proved() -> None:
    assert verify(Listed(EVENTS), []).status is ChainStatus.NOT_YET_ANCHORED
    assert verify(Listed([]), []).status is ChainStatus.NOT_YET_ANCHORED


def test_a_history_that_was_rewritten_as_a_whole_is_found_by_the_anchor() -> None:
    honest = Listed(EVENTS)
    forged = Listed([*EVENTS[:4], StoredEvent(UUID(int=9), 1, "Counter.Counted", b"{}"), *EVENTS[5:]])
    verdict = verify(forged, [honest.anchor(3), honest.anchor(8)])
    assert (verdict.status, verdict.fault, verdict.proved_through, verdict.broken_at) == (
        ChainStatus.BROKEN,
        ChainFault.REWRITTEN,
        3,
        8,
    )
    assert verify(forged, []).status is ChainStatus.NOT_YET_ANCHORED


def test_anchors_that_contradict_each_other_prove_nothing() -> None:
    chain = Listed(EVENTS)
    assert verify(chain, [chain.anchor(4), Anchor(4, bytes(32))]).fault is ChainFault.REWRITTEN
    assert verify(chain, [Anchor(0, b"x" * 32)]).fault is ChainFault.REWRITTEN


@pytest.fixture
def tampered(tmp_path: Path) -> Callable[..., ChainedRecorder]:
    def tampered(*statements: str) -> ChainedRecorder:
        datastore = WritingDatastore(tmp_path / "store.db")
        recorder = ChainedRecorder(datastore)
        recorder.create_table()
        recorder.insert_events(EVENTS)
        datastore.close()
        with sqlite3.connect(tmp_path / "store.db") as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()
        return ChainedRecorder(ReadingDatastore(tmp_path / "store.db"))

    return tampered


@pytest.mark.parametrize(
    ("statement", "fault", "broken_at"),
    [
        ("UPDATE stored_events SET state = x'7b7d' WHERE rowid = 5", ChainFault.ALTERED, 5),
        ("UPDATE stored_events SET topic = 'Counter.Closed' WHERE rowid = 1", ChainFault.ALTERED, 1),
        ("UPDATE stored_events SET originator_version = 77 WHERE rowid = 9", ChainFault.ALTERED, 9),
        ("UPDATE stored_events SET originator_id = 'nobody' WHERE rowid = 3", ChainFault.ALTERED, 3),
        ("UPDATE stored_events SET link = zeroblob(32) WHERE rowid = 4", ChainFault.ALTERED, 4),
        ("DELETE FROM stored_events WHERE rowid = 6", ChainFault.MISSING, 6),
        ("DELETE FROM stored_events WHERE rowid = 1", ChainFault.MISSING, 1),
        ("DELETE FROM stored_events WHERE rowid > 6", ChainFault.TRUNCATED, 7),
        ("DELETE FROM stored_events", ChainFault.TRUNCATED, 1),
        ("UPDATE stored_events SET rowid = 12 WHERE rowid = 9", ChainFault.MISSING, 9),
    ],
)
def test_tampering_with_the_file_is_found_and_named(
    tampered: Callable[..., ChainedRecorder], statement: str, fault: ChainFault, broken_at: int
) -> None:
    anchors = [Listed(EVENTS).anchor(n) for n in (2, 9)]
    verdict = verify(tampered(statement), anchors)
    assert (verdict.status, verdict.fault, verdict.broken_at) == (ChainStatus.BROKEN, fault, broken_at)
    assert verdict.proved_through < broken_at


def test_an_untouched_file_is_proved(tampered: Callable[..., ChainedRecorder]) -> None:
    recorder = tampered()
    assert recorder.head() == Listed(EVENTS).anchor(9)
    assert verify(recorder, [recorder.head()]).status is ChainStatus.PROVED


def test_vacuum_keeps_positions(tampered: Callable[..., ChainedRecorder]) -> None:
    recorder = tampered("DELETE FROM stored_events WHERE rowid = 2")
    with sqlite3.connect(recorder.datastore.pool.db_name, uri=True) as connection:
        before = connection.execute("SELECT rowid FROM stored_events").fetchall()
    connection.close()
    path = recorder.datastore.pool.db_name.removeprefix("file://").partition("?")[0]
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute("VACUUM")
        assert connection.execute("SELECT rowid FROM stored_events").fetchall() == before
    connection.close()
