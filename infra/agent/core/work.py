"""What a component's procedures are given: the instruction, and a journal that belongs to one data set.

The journal of an instruction is one file for all its data sets; each record says which data set it is about. A
procedure reads what an earlier agent wrote (``records``) and writes further records, which are on the disk before the
procedure goes on. A journal is read whole into memory, so it holds few and small records; long lists belong into work
files of the spool.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from infra.agent.core.machine import Procedure
from infra.agent.core.operations import OperationFailed, SpoolAppend
from infra.agent.payloads import PRIMARY as PRIMARY
from infra.agent.payloads import ROOT as ROOT
from infra.agent.payloads import SECONDARY as SECONDARY
from infra.agent.protocol import Instruction, canonical

SCRATCH = f"{ROOT}/scratch"
RECOVERY_POINTS = f"{ROOT}/recovery-points"


@dataclass(frozen=True)
class Journal:
    """The journal's records about one data set, oldest first, each a dict without the data set's id."""

    data_set_id: str
    records: list[dict[str, Any]]

    def write(self, record: dict[str, Any]) -> Procedure:
        """Append a record durably, and keep it among ``records``."""
        yield SpoolAppend("journal", canonical({"data_set": self.data_set_id, **record}) + b"\n", durable=True)
        self.records.append(record)

    def newest(self, key: str) -> Any:
        """The value of ``key`` in the newest record that has it, or None."""
        return next((record[key] for record in reversed(self.records) if key in record), None)


def read_journal(journal: bytes, data_set_id: str) -> Journal:
    """Parse the records of one data set; a torn last line is dropped."""
    records = []
    for line in journal[: journal.rfind(b"\n") + 1].splitlines():
        record = json.loads(line.decode("utf-8"))
        if record.pop("data_set") == data_set_id:
            records.append(record)
    return Journal(data_set_id, records)


@dataclass(frozen=True)
class Work:
    """One instruction's work on one data set."""

    instruction: Instruction
    journal: Journal

    @property
    def payload(self) -> dict[str, Any]:
        """The instruction's payload."""
        return self.instruction.payload

    @property
    def epoch(self) -> int:
        """The pair's epoch at which the instruction was given."""
        return self.instruction.epoch

    @property
    def snapshot(self) -> str:
        """The name of the run's snapshots; the same on both sides."""
        name: str = self.payload["snapshot"]
        return name

    def staging(self, data_set: dict[str, Any]) -> str:
        """The staging directory of one data set on the secondary."""
        return f"{self.payload['staging']}/{data_set['id']}"

    def work_file(self, data_set: dict[str, Any], name: str) -> str:
        """The name of a work file in the spool that belongs to one data set."""
        return f"{data_set['id']}.{name}"

    def only_site(self) -> str:
        """The one site that the instruction names, "primary" or "secondary"."""
        sites = list(self.payload["sites"])
        if len(sites) != 1:
            raise OperationFailed("MALFORMED", f"the instruction shall name one site, it names {sites}")
        site: str = sites[0]
        return site


def offered_bases(payload: dict[str, Any]) -> list[dict[str, Any]]:
    """The recovery points from which a copy may start, the one that the secondary shows first.

    Each is ``{"snapshot", "recovery_point"}``.
    """
    if payload["base"] is None:
        return []
    newest = {"snapshot": payload["base"], "recovery_point": payload["recovery_point"]}
    return [newest, *payload.get("older_bases", ())]


def manifest_path(recovery_point: str, data_set: dict[str, Any]) -> str:
    """Where the source manifest of a data set is kept on the secondary with its recovery point."""
    return f"{RECOVERY_POINTS}/{recovery_point}/{data_set['id']}.manifest"
