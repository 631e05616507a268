"""The rows of the table, in its order."""

from __future__ import annotations

from scripts.benchkit.measuring import Row
from scripts.benchkit.rows.copies import LargeFile, SmallFiles, Table
from scripts.benchkit.rows.increments import Increment, Rename
from scripts.benchkit.rows.moment import Moment
from scripts.benchkit.rows.planning import Difference, Planning
from scripts.benchkit.rows.store import Commands, Replay
from scripts.benchkit.rows.verification import AllBytes, AllChecksums

ROWS: tuple[type[Row], ...] = (
    Moment,
    Increment,
    SmallFiles,
    LargeFile,
    Table,
    Planning,
    Difference,
    AllChecksums,
    AllBytes,
    Rename,
    Commands,
    Replay,
)
