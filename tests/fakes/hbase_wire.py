"""Write the two files of an HBase snapshot, as HBase would: the counterpart of what the agent reads."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SimulatedRegion:
    """A region: its start key and id make its encoded name; ``files`` are (name, length, reference) by family."""

    table: str
    start_key: bytes = b""
    end_key: bytes = b""
    region_id: int = 1700000000000
    files: Mapping[str, Sequence[tuple[str, int, bool]]] = field(default_factory=dict)

    @property
    def encoded(self) -> str:
        """The name of the region's directory."""
        table = self.table.removeprefix("default:")
        name = b",".join([table.encode(), self.start_key, str(self.region_id).encode()])
        return hashlib.md5(name).hexdigest()


def snapshot_info(
    name: str, table: str, creation_ms: int, kind: int = 1, ttl_seconds: int = 0, version: int = 2
) -> bytes:
    """The content of ``.snapshotinfo``; ``kind`` is 0 DISABLED, 1 FLUSH, 2 SKIPFLUSH."""
    return b"".join(
        [
            _data(1, name.encode()),
            _data(2, table.removeprefix("default:").encode()),
            _integer(3, creation_ms),
            _integer(4, kind),
            _integer(5, version),
            _data(6, b""),
            _integer(8, ttl_seconds),
        ]
    )


def data_manifest(
    table: str,
    regions: Sequence[SimulatedRegion],
    attributes: Mapping[str, str] | None = None,
    families: Mapping[str, Mapping[str, str]] | None = None,
    configuration: Mapping[str, str] | None = None,
) -> bytes:
    """The content of ``data.manifest``; the rest is of the table's schema."""
    schema = _data(1, _table_name(table)) + _pairs(2, attributes or {})
    for family, values in (families or {}).items():
        schema += _data(3, _data(1, family.encode()) + _pairs(2, values))
    schema += _pairs(4, configuration or {})
    return _data(1, schema) + b"".join(_data(2, _region(region)) for region in regions)


def _pairs(number: int, values: Mapping[str, str]) -> bytes:
    return b"".join(_data(number, _data(1, key.encode()) + _data(2, text.encode())) for key, text in values.items())


def _region(region: SimulatedRegion) -> bytes:
    info = b"".join(
        [
            _integer(1, region.region_id),
            _data(2, _table_name(region.table)),
            _data(3, region.start_key),
            _data(4, region.end_key),
            _integer(5, 0),
            _integer(6, 0),
        ]
    )
    return _data(2, info) + b"".join(_data(3, _family(name, files)) for name, files in region.files.items())


def _family(name: str, files: Sequence[tuple[str, int, bool]]) -> bytes:
    return _data(1, name.encode()) + b"".join(_data(2, _store_file(*item)) for item in files)


def _store_file(name: str, length: int, is_reference: bool) -> bytes:
    reference = _data(2, _data(1, b"split key") + _integer(2, 0)) if is_reference else b""
    return _data(1, name.encode()) + reference + _integer(3, length)


def _table_name(table: str) -> bytes:
    namespace, _, name = table.rpartition(":")
    return _data(1, (namespace or "default").encode()) + _data(2, name.encode())


def _data(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def _integer(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value & (1 << 64) - 1)


def varint(value: int) -> bytes:
    """An unsigned integer in groups of seven bits, the lowest first."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)
