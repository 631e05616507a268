"""Records can be told apart from anything else."""

from __future__ import annotations

import pytest

from scripts.labkit.application.records import OVERHEAD_BYTES, DamagedRecord, Record, parse, render


@pytest.mark.parametrize("size", [OVERHEAD_BYTES, OVERHEAD_BYTES + 1, 64, 100_000])
def test_a_record_has_its_size_and_is_read_back(size: int) -> None:
    record = Record(7, size)
    assert len(render(record)) == size
    assert parse(render(record)) == (record,)


def test_a_file_is_its_records_in_order() -> None:
    records = (Record(3, 60), Record(1, 80), Record(12, 70))
    assert parse(b"".join(map(render, records))) == records
    assert parse(b"") == ()


def test_one_changed_byte_is_damage() -> None:
    content = bytearray(render(Record(1, 60)) + render(Record(2, 60)))
    content[100] ^= 1
    with pytest.raises(DamagedRecord, match="after 1 records, at byte 60"):
        parse(bytes(content))


@pytest.mark.parametrize("cut", [1, 15, 19, 40, 59])
def test_a_torn_last_record_is_damage_unless_the_file_was_open(cut: int) -> None:
    content = render(Record(1, 60)) + render(Record(2, 60))[:cut]
    with pytest.raises(DamagedRecord):
        parse(content)
    assert parse(content, may_be_torn=True) == (Record(1, 60),)


def test_foreign_bytes_are_damage_even_at_the_end_of_an_open_file() -> None:
    with pytest.raises(DamagedRecord):
        parse(render(Record(1, 60)) + b"something quite different from a record", may_be_torn=True)
