"""Reading back what was recovered: a directory over WebHDFS, a table over Thrift."""

from __future__ import annotations

from dataclasses import dataclass, field

import happybase
import hdfs

from scripts.labkit.application.operations import Contents
from scripts.labkit.application.records import DamagedRecord, parse
from scripts.labkit.application.rows import COLUMN


@dataclass(frozen=True)
class Recovered:
    """The contents as they were read. ``damaged`` says for each key whose bytes no operation wrote what is wrong.

    A damaged key is in ``contents`` too, without records, because it exists.
    """

    contents: Contents = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)

    def add(self, key: str, content: bytes, *, may_be_torn: bool = False) -> None:
        try:
            self.contents[key] = parse(content, may_be_torn=may_be_torn)
        except DamagedRecord as damage:
            self.contents[key] = ()
            self.damaged[key] = str(damage)


def recovered_files(client: hdfs.InsecureClient, path: str, fuzzy: frozenset[str] = frozenset()) -> Recovered:
    """Every file below ``path``, by its path relative to it.

    ``fuzzy`` are those that were open when the snapshot was taken: their last record may be torn.
    """
    found = Recovered()
    root = path.rstrip("/")
    for directory, _directories, names in client.walk(root):
        for name in names:
            full = f"{directory.rstrip('/')}/{name}"
            key = full.removeprefix(f"{root}/")
            with client.read(full) as reader:
                found.add(key, reader.read(), may_be_torn=key in fuzzy)
    return found


def recovered_rows(connection: happybase.Connection, table: str) -> Recovered:
    """Every row of the table; a cell that the application does not write counts as damage."""
    found = Recovered()
    for row, cells in connection.table(table).scan():
        key = row.decode(errors="replace")
        found.add(key, cells.get(COLUMN, b""))
        if set(cells) != {COLUMN}:
            found.damaged[key] = f"cells {sorted(cells)}"
    return found
