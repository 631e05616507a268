"""The recorder keeps the promises of the library's interface, with positions of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import IntegrityError, StoredEvent

from infra.store.chain import ChainStatus, verify
from infra.store.database import ReadingDatastore, WritingDatastore
from infra.store.recorder import ChainedRecorder


@pytest.fixture
def recorder(tmp_path: Path) -> ChainedRecorder:
    recorder = ChainedRecorder(WritingDatastore(tmp_path / "store.db"))
    recorder.create_table()
    return recorder


def stack(originator: UUID, first: int, number: int) -> list[StoredEvent]:
    return [StoredEvent(originator, v, f"topic{v % 2}", b"state") for v in range(first, first + number)]


def test_events_of_one_originator_are_selected_in_order_and_range(recorder: ChainedRecorder) -> None:
    one, other = uuid4(), uuid4()
    assert recorder.max_notification_id() is None
    assert recorder.insert_events([]) == []
    assert recorder.insert_events(stack(one, 1, 4)) == [1, 2, 3, 4]
    assert recorder.insert_events([*stack(other, 1, 1), *stack(one, 5, 1)]) == [5, 6]
    assert recorder.select_events(one) == stack(one, 1, 5)
    assert recorder.select_events(one, gt=1, lte=3) == stack(one, 2, 2)
    assert recorder.select_events(one, desc=True, limit=1) == stack(one, 5, 1)
    assert recorder.select_events(uuid4()) == []
    assert recorder.max_notification_id() == 6


def test_notifications_carry_positions(recorder: ChainedRecorder) -> None:
    one = uuid4()
    recorder.insert_events(stack(one, 1, 5))
    assert [n.id for n in recorder.select_notifications(start=None, limit=9)] == [1, 2, 3, 4, 5]
    assert [n.id for n in recorder.select_notifications(start=2, limit=2)] == [2, 3]
    assert [n.id for n in recorder.select_notifications(start=2, stop=4, limit=9, inclusive_of_start=False)] == [3, 4]
    assert [n.originator_version for n in recorder.select_notifications(1, 9, topics=["topic0"])] == [2, 4]


def test_a_version_that_exists_is_refused_with_all_that_came_with_it(recorder: ChainedRecorder) -> None:
    one, other = uuid4(), uuid4()
    recorder.insert_events(stack(one, 1, 2))
    with pytest.raises(IntegrityError):
        recorder.insert_events([*stack(other, 1, 3), *stack(one, 2, 1)])
    assert recorder.select_events(other) == []
    assert recorder.insert_events(stack(other, 1, 1)) == [3]


def test_what_is_written_alongside_lives_and_dies_with_the_events(recorder: ChainedRecorder) -> None:
    with recorder.datastore.transaction(commit=True) as cursor:
        cursor.execute("CREATE TABLE beside (position INTEGER)")

    def write(cursor: object, first_position: int) -> None:
        cursor.execute("INSERT INTO beside VALUES (?)", (first_position,))  # type: ignore[attr-defined]

    def write_and_fail(cursor: object, first_position: int) -> None:
        write(cursor, first_position)
        raise KeyError("a projection's own fault")

    one = uuid4()
    recorder.insert_events(stack(one, 1, 2), alongside=write)
    with pytest.raises(KeyError):
        recorder.insert_events(stack(one, 3, 2), alongside=write_and_fail)
    with recorder.datastore.transaction(commit=False) as cursor:
        cursor.execute("SELECT position FROM beside")
        assert [row[0] for row in cursor.fetchall()] == [1]
    assert recorder.max_notification_id() == 2


def test_positions_stay_dense_and_the_chain_whole_under_many_threads(recorder: ChainedRecorder) -> None:
    with ThreadPoolExecutor(8) as threads:
        inserted = list(threads.map(recorder.insert_events, [stack(uuid4(), 1, 5) for _ in range(40)]))
    assert sorted(position for positions in inserted for position in positions or ()) == list(range(1, 201))
    assert all(list(p or ()) == list(range((p or [0])[0], (p or [0])[0] + 5)) for p in inserted)
    assert verify(recorder, [recorder.head()]).status is ChainStatus.PROVED


def test_a_reader_cannot_write_and_sees_commits_at_once(recorder: ChainedRecorder, tmp_path: Path) -> None:
    reader = ChainedRecorder(ReadingDatastore(tmp_path / "store.db"))
    assert reader.max_notification_id() is None
    recorder.insert_events(stack(uuid4(), 1, 3))
    assert reader.max_notification_id() == 3
    assert reader.head() == recorder.head()
    with pytest.raises(Exception, match="readonly"):
        reader.insert_events(stack(uuid4(), 1, 1))
