"""What an aggregate wants done on a cluster, before it is sent.

``next_instructions`` of an aggregate depends on its state alone, so replaying its events gives the same wishes; their
ids are derived, so a wish that was sent already is recognised wherever it is asked for again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5


@dataclass(frozen=True)
class Wanted:
    """One instruction that should be carried out.

    ``role`` says on which cluster ("primary" or "secondary" as frozen into the owner). ``data_set`` is the id of the
    one data set it is about, or empty. ``attempt`` grows only by an event that records a known failure.
    ``lifetime_seconds`` bounds how late it may arrive; ``not_before`` delays another attempt, and ``is_stopped`` holds
    it back until a person says that it is to be tried again. ``cluster`` is the cluster's name.
    """

    owner: UUID
    step: str
    kind: str
    role: str
    cluster: str
    attempt: int
    payload: dict[str, Any]
    data_set: str = ""
    lifetime_seconds: int = 6 * 3600
    not_before: datetime | None = None
    is_stopped: bool = False

    @property
    def wire_step(self) -> str:
        """The step with its data set: attempts of the same ``wire_step`` supersede one another."""
        return f"{self.step}-{self.data_set}" if self.data_set else self.step

    @property
    def id(self) -> str:
        """uuid5 of owner, step, data set and attempt."""
        return uuid5(self.owner, f"{self.wire_step}/{self.attempt}").hex
