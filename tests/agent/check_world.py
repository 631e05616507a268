"""Two simulated clusters for CheckCluster: a primary with a directory and a table, and an empty secondary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infra.agent.core.check_cluster import check_cluster
from infra.agent.core.check_directories import data_set_id
from infra.agent.core.hdfs import FileChecksum
from infra.agent.protocol import Instruction
from tests.fakes.executor import FakeExecutor, run_procedure
from tests.fakes.hbase import FakeHBase
from tests.fakes.hdfs_application import Application
from tests.fakes.hdfs_namespace import walk
from tests.fakes.virtual_time import VirtualClock
from tests.simulation.hadoop_pair import SimulatedHdfs

Findings = dict[tuple[str, str], dict[str, Any]]
DIRECTORY = {"id": data_set_id("hdfs", "/data/sales"), "component": "hdfs", "path": "/data/sales"}
TABLE = {"id": data_set_id("hbase", "orders"), "component": "hbase", "table": "orders"}


class CheckWorld:
    """A primary with a directory and a table, and an empty secondary."""

    def __init__(self, directory: Path) -> None:
        self.clock = VirtualClock()
        self.hdfs = {"primary": SimulatedHdfs(self.clock), "secondary": SimulatedHdfs(self.clock, shift_ms=-30)}
        self.hbase = {site: FakeHBase(hdfs, site) for site, hdfs in self.hdfs.items()}
        self.executor = FakeExecutor(self.clock, directory, hdfs=self.hdfs, hbase=self.hbase)
        self.executor.others[FileChecksum] = lambda o: self.hdfs[o.site].checksum(o.path)
        self.app = Application(self.hdfs["primary"])
        self.app.put("/data/sales/a", b"1")
        self.hdfs["primary"].call("PUT", "ALLOWSNAPSHOT", "/data/sales", {})
        self.hbase["primary"].create_table("orders", splits=("m",))

    def instruction(
        self, role: str, patterns: tuple[dict[str, Any], ...], copies_here: bool, **payload: Any
    ) -> Instruction:
        sites = {
            site: {"cluster": name, "namenodes": [f"http://{name}"], "hbase": {"root": "/hbase"}}
            for site, name in (("primary", "a"), ("secondary", "b"))
        }
        wanted = {
            "sites": sites,
            "role": role,
            "patterns": list(patterns),
            "copies_here": copies_here,
            "snapshot": "us-1",
            **payload,
        }
        return Instruction("i1", "CheckCluster", "pair", "a", 1, 1, "run1", f"check-{role}", 1, 1 << 60, wanted)

    def check(
        self,
        role: str = "primary",
        patterns: tuple[dict[str, Any], ...] = (DIRECTORY, TABLE),
        copies_here: bool = True,
        **payload: Any,
    ) -> tuple[dict[str, Any], Findings]:
        """The result, and the findings that are not good by check and subject."""
        instruction = self.instruction(role, patterns, copies_here, **payload)
        result = run_procedure(check_cluster(instruction, b""), self.executor)
        bad = {(f["check"], f["subject"]): f for f in result["findings"] if not f["ok"]}
        for found in bad.values():
            assert found["remedy"], found
            assert found["message"], found
        return result, bad

    def paths(self, site: str) -> set[str]:
        return {name for name, _ in walk(self.hdfs[site].root)}


def codes(bad: Findings) -> set[tuple[str, str]]:
    """The findings that are not good as (subject, code)."""
    return {(subject, found["code"]) for (_, subject), found in bad.items()}
