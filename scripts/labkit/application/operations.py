"""What the application does to a data set, and the contents that follow.

A data set's contents are a mapping from a key (a file's path below the directory, or a row) to its records. One writer
does one operation after the other, each only when the one before it is acknowledged, so the contents at any instant are
those after some number of operations.
"""

from __future__ import annotations

from dataclasses import dataclass

from scripts.labkit.application.records import Record

Contents = dict[str, tuple[Record, ...]]


@dataclass(frozen=True)
class Operation:
    """One operation on one data set (a directory's path or a table's name).

    ``kind`` is "write" (the key then holds this record alone, whether it existed or not), "append", "rename" (to
    ``target``, which does not exist) or "delete". ``sequence`` counts the operations of the data set from 1.
    """

    data_set: str
    sequence: int
    kind: str
    key: str
    size: int = 0
    target: str = ""

    @property
    def record(self) -> Record:
        return Record(self.sequence, self.size)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys whose content it changes."""
        return (self.key, self.target) if self.kind == "rename" else (self.key,)


def apply_to(contents: Contents, operation: Operation) -> None:
    """Change ``contents`` as the operation does."""
    if operation.kind == "write":
        contents[operation.key] = (operation.record,)
    elif operation.kind == "append":
        contents[operation.key] = (*contents[operation.key], operation.record)
    elif operation.kind == "rename":
        contents[operation.target] = contents.pop(operation.key)
    elif operation.kind == "delete":
        del contents[operation.key]
    else:
        raise AssertionError(f"no such kind of operation: {operation.kind}")
