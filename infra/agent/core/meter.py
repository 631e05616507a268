"""Tell how far a piece of work is: often enough to be seen moving, seldom enough to cost nothing."""

from __future__ import annotations

from infra.agent.core.machine import Procedure
from infra.agent.core.operations import Progress

STEPS = 50
MAXIMUM_STEP_BYTES = 64 << 20
MAXIMUM_STEP_FILES = 100


class Meter:
    """Counts bytes and files of one step of one data set and tells them now and then, and at the end."""

    def __init__(self, step: str, data_set: str, bytes_total: int, files_total: int) -> None:
        self._step = step
        self._data_set = data_set
        self._bytes_total = bytes_total
        self._files_total = files_total
        self._bytes = 0
        self._files = 0
        self._told_bytes = 0
        self._told_files = 0
        self._step_bytes = max(1, min(bytes_total // STEPS, MAXIMUM_STEP_BYTES))
        self._step_files = max(1, min(files_total // STEPS, MAXIMUM_STEP_FILES))

    def add(self, bytes_done: int, files_done: int) -> Procedure:
        """Count what was done."""
        self._bytes += bytes_done
        self._files += files_done
        is_due = (
            self._bytes - self._told_bytes >= self._step_bytes
            or self._files - self._told_files >= self._step_files
            or (self._bytes == self._bytes_total and self._files == self._files_total)
        )
        if is_due:
            yield from self.tell()

    def tell(self) -> Procedure:
        """Tell the present numbers."""
        self._told_bytes, self._told_files = self._bytes, self._files
        yield Progress(
            {
                "step": self._step,
                "data_set": self._data_set,
                "bytes": self._bytes,
                "bytes_total": self._bytes_total,
                "files": self._files,
                "files_total": self._files_total,
            }
        )
