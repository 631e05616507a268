"""The writer of rows: inserts, updates and deletes in one HBase table, over Thrift."""

from __future__ import annotations

import random

import happybase
from thriftpy2.thrift import TException

from scripts.labkit.application.log import AcknowledgementLog
from scripts.labkit.application.operations import Contents, Operation
from scripts.labkit.application.records import render
from scripts.labkit.application.settings import ApplicationSettings
from scripts.labkit.application.writer import Unacknowledged, Writer
from scripts.labkit.layout import HOST, ClusterLayout

COLUMN_FAMILY = "d"
COLUMN = b"d:record"
_WEIGHTS = {"insert": 60, "update": 30, "delete": 10}
_RECORD_BYTES = (60, 400)
# A put in the same millisecond as a delete of the row would be hidden by it, so a row rests between two operations.
_REST_OPERATIONS = 50
_TIMEOUT_MS = 20_000


class RowWriter(Writer):
    """Writes one column of one table; the rows are spread evenly over its regions."""

    def __init__(
        self, cluster: ClusterLayout, settings: ApplicationSettings, table: str, log: AcknowledgementLog
    ) -> None:
        super().__init__(table, settings.rows_per_second, log)
        self._random = random.Random(table)
        self._port = cluster.ports.thrift
        self._connection: happybase.Connection | None = None

    def choose(self, sequence: int) -> Operation:
        size = self._random.randint(*_RECORD_BYTES)
        kind = self._random.choices(tuple(_WEIGHTS), tuple(_WEIGHTS.values()))[0]
        row = _random_rested_row(self.contents, sequence, self._random)
        if kind == "insert" or row is None:
            return Operation(self.data_set, sequence, "write", _new_row(sequence), size)
        if kind == "update":
            return Operation(self.data_set, sequence, "write", row, size)
        return Operation(self.data_set, sequence, "delete", row)

    def carry_out(self, operation: Operation, *, again: bool) -> None:
        """Putting and deleting are the same the second time, so ``again`` makes no difference."""
        del again
        try:
            if self._connection is None:
                self._connection = happybase.Connection(HOST, self._port, timeout=_TIMEOUT_MS)
            table = self._connection.table(self.data_set)
            row = operation.key.encode()
            if operation.kind == "write":
                table.put(row, {COLUMN: render(operation.record)})
            else:
                table.delete(row)
        except (OSError, TException) as error:
            # After a time-out the answer to the old request may still come, so this connection is of no more use.
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            raise Unacknowledged(f"{type(error).__name__}: {str(error)[:200]}") from error


def _new_row(sequence: int) -> str:
    """Eight hexadecimal digits; multiplying by an odd number spreads them and gives no two numbers the same row."""
    return f"{sequence * 2654435761 % 2**32:08X}"


def _random_rested_row(contents: Contents, sequence: int, chance: random.Random) -> str | None:
    if not contents:
        return None
    rows = list(contents)
    for _ in range(5):
        row = chance.choice(rows)
        if contents[row][-1].sequence < sequence - _REST_OPERATIONS:
            return row
    return None
