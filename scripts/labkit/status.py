"""What runs: one line a part."""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Table

from scripts.labkit import proc, processes
from scripts.labkit.layout import ClusterLayout, LabLayout
from scripts.labkit.parts import PARTS, Part


@dataclass(frozen=True)
class PartStatus:
    """``state`` is "running", "paused" or "down"; what is down has no pid, memory and uptime."""

    part: str
    state: str
    port: int
    pid: int | None
    resident_bytes: int | None
    uptime_seconds: float | None


def status_of(lab: LabLayout) -> list[PartStatus]:
    return [_status(cluster, part) for cluster in lab.clusters for part in PARTS]


def status_table(statuses: list[PartStatus]) -> Table:
    table = Table("part", "state", "port", "pid", "memory", "uptime", box=None, pad_edge=False)
    colours = {"running": "green", "paused": "yellow", "down": "red"}
    for line in statuses:
        memory = "" if line.resident_bytes is None else f"{line.resident_bytes / 1e6:.0f} MB"
        uptime = "" if line.uptime_seconds is None else f"{line.uptime_seconds:.0f} s"
        state = f"[{colours[line.state]}]{line.state}"
        table.add_row(line.part, state, str(line.port), str(line.pid or ""), memory, uptime)
    return table


def _status(cluster: ClusterLayout, part: Part) -> PartStatus:
    name = f"{cluster.name}.{part.name}"
    port = part.ports(cluster)[0]
    facts = processes.living(cluster, part.name)
    if facts is None:
        return PartStatus(name, "down", port, None, None, None)
    state = "paused" if facts.paused else "running"
    return PartStatus(name, state, port, facts.pid, proc.resident_bytes(facts.pid), round(facts.uptime_seconds, 1))
