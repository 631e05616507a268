"""What is known to be damaged of the copies on the secondary, so that the next run copies it again.

A damaged block shows in no listing and in no stored checksum, so nothing but the verification that read it knows of it,
and the run that could repair it is another one. Between them stands one small file for each data set on the secondary:
the paths whose bytes were found wrong or unreadable. A sender takes them for changed; the verification that sees them
moved, or reads them sound, crosses them off.

Losing the file loses no truth: the next verification that reads finds the same again.
"""

from __future__ import annotations

import json
from typing import Any

from infra.agent.core import hdfs
from infra.agent.core.machine import Procedure
from infra.agent.core.markers import write_file
from infra.agent.core.operations import ReadFile
from infra.agent.core.staging import PRIVATE
from infra.agent.core.work import ROOT, SECONDARY
from infra.agent.protocol import canonical

DAMAGED = f"{ROOT}/damaged"
SHARED_TOLD = 20
PATHS_LIMIT = 100_000  # what is beyond it is found, and repaired, by later runs


def known_damage(data_set: dict[str, Any]) -> Procedure:
    """The paths, as the data set's manifests name them, that must be copied again; a frozenset."""
    path = _file(data_set)
    if (yield from hdfs.status(SECONDARY, path)) is None:
        return frozenset()
    content: bytes = yield ReadFile(SECONDARY, path)
    try:
        return frozenset(json.loads(content.decode("utf-8")))
    except (ValueError, TypeError, RecursionError):
        return frozenset()  # torn by the death of the agent that wrote it, which writes it again


class Judgement:
    """What one verification says about the damage that was known before, and about new one."""

    def __init__(self, known: frozenset[str]) -> None:
        self._known = known
        self._standing: set[str] = set()  # known, and neither copied anew nor read
        self._damaged: set[str] = set()
        self.in_base: list[str] = []

    def knows(self, path: str) -> bool:
        """Whether it was known to be damaged before."""
        return path in self._known

    def saw(self, path: str, is_new: bool) -> None:
        """It is there; ``is_new`` when this run has copied it, or when all of it was read and was sound."""
        if path in self._known and not is_new:
            self._standing.add(path)

    def is_damaged(self, path: str) -> None:
        """Its bytes are wrong, or cannot be read."""
        if len(self._damaged) < PATHS_LIMIT:
            self._damaged.add(path)

    def cannot_be_read(self, path: str, is_moved: bool) -> None:
        """Its blocks are damaged; what this run has not moved, the recovery point that it started from shares."""
        self.is_damaged(path)
        if not is_moved and len(self.in_base) < SHARED_TOLD:
            self.in_base.append(path)

    def record(self, data_set: dict[str, Any]) -> Procedure:
        """Keep what is damaged from now on."""
        damaged = self._damaged | self._standing
        if damaged == self._known:
            return
        if damaged:
            yield from hdfs.make_directory(SECONDARY, DAMAGED, PRIVATE)
            yield from write_file(SECONDARY, _file(data_set), canonical(sorted(damaged)))
        else:
            yield from hdfs.delete(SECONDARY, _file(data_set))


def _file(data_set: dict[str, Any]) -> str:
    return f"{DAMAGED}/{data_set['id']}"
