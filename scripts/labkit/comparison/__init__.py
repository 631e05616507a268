"""Is what was recovered what the application had been told was stored? Compared record by record.

Every operation acknowledged before the earliest instant that a snapshot can stand for must be in it; none sent after
the latest may be; one in between may be either, and is counted. ``compare_data_set`` decides, ``recovered_files`` and
``recovered_rows`` read, ``comparison_table`` shows.
"""

from __future__ import annotations

from scripts.labkit.comparison.matching import DataSetComparison, Window, compare_data_set
from scripts.labkit.comparison.readers import Recovered, recovered_files, recovered_rows
from scripts.labkit.comparison.table import comparison_table

__all__ = [
    "DataSetComparison",
    "Recovered",
    "Window",
    "compare_data_set",
    "comparison_table",
    "recovered_files",
    "recovered_rows",
]
