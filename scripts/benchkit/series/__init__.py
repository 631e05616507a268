"""The series, in the order of the document."""

from __future__ import annotations

from scripts.benchkit.growing import Series
from scripts.benchkit.series.copies import ByBytes, ByFiles
from scripts.benchkit.series.histories import ByRuns
from scripts.benchkit.series.moments import ByTables
from scripts.benchkit.series.plans import AgentMemory
from scripts.benchkit.series.services import ByServices
from scripts.benchkit.series.spools import ByEntries

SERIES: tuple[type[Series], ...] = (ByFiles, ByBytes, ByTables, AgentMemory, ByServices, ByRuns, ByEntries)
