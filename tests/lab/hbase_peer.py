"""A lab cluster's HBase for tests: its administration process through the gateway, and a console for its application.

The administration process is started as an agent starts it: in the shell of the gateway's user, by the sudo rule that
the administrator's script has made. The console is Ruby with HBase's client, because Thrift cannot split, compact or
make tables of several regions.
"""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infra.agent.shell.hbase_process import HBaseProcess
from infra.agent.shell.reports import Log
from scripts.labkit.cluster import Cluster
from scripts.labkit.gateway import client_command

MOB_FROM_100_BYTES = {"IS_MOB": "true", "MOB_THRESHOLD": "100"}
_CONSOLE = Path(__file__).with_name("hbase_console.rb")
_CHANGES = Path(__file__).with_name("hbase_changes.rb")

Families = dict[str, dict[str, str]]


class Console:
    """Runs Ruby in a process that stays; see ``hbase_console.rb`` for what is defined there."""

    def __init__(self, cluster: Cluster) -> None:
        self._process = subprocess.Popen(
            [
                "runuser",
                "-u",
                "hbase",
                "--",
                str(cluster.layout.bin / "hbase"),
                "org.jruby.Main",
                "-e",
                _CONSOLE.read_text(),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )
        self._answer()
        self.run(_CHANGES.read_text())

    def run(self, source: str) -> Any:
        """Run Ruby and return its value; a failure is an AssertionError with its text."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"run": source}).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._answer()
        assert "error" not in answer, answer["error"]
        return answer.get("value")

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=30)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the console has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer


class HBasePeer:
    """What the contract asks for, on a real cluster; ``close`` removes everything that was made under ``name``."""

    def __init__(self, cluster: Cluster, log: Path) -> None:
        self.cluster = cluster
        self.console = Console(cluster)
        command = [*client_command(cluster.layout, cluster.lab), f"sudo -n -u hbase {cluster.layout.hbase_admin}"]
        self.process = HBaseProcess(str(log.parent), command, Log(str(log)), idle_seconds=0)
        self.mark = f"hb{secrets.token_hex(4)}"
        self._count = 0

    def call(self, request: dict[str, Any], timeout_seconds: float = 120.0) -> dict[str, Any]:
        """Ask the administration process."""
        return self.process.call(request, timeout_seconds)

    def create_table(self, name: str, families: Sequence[str], splits: Sequence[str]) -> None:
        """Make a table."""
        self.create_table_with(name, {family: {} for family in families}, splits)

    def create_table_with(
        self, name: str, families: Families, splits: Sequence[str], attributes: dict[str, str] | None = None
    ) -> None:
        """Make a table whose families have options, named and written as HBase's shell does."""
        arguments = json.dumps([name, families, list(splits), attributes or {}])
        self.console.run(f"create_table(*JSON.parse({arguments!r}))")

    def alter(self, name: str, families: Families, attributes: dict[str, str] | None = None) -> None:
        """Change a table's attributes and families; families that are not there are made."""
        self.console.run(f"alter(*JSON.parse({json.dumps([name, families, attributes or {}])!r}))")

    def put(self, table: str, row: str, value: str) -> None:
        """Store a row in family "f"."""
        source = f"put = Put.new(bytes({row!r})).addColumn(bytes('f'), bytes('q'), bytes({value!r}))"
        self.console.run(f"{source}; $connection.getTable(TableName.valueOf({table!r})).put(put)")

    def disable(self, table: str) -> None:
        """Take a table out of service."""
        self.console.run(f"disable({table!r})")

    def name(self, prefix: str) -> str:
        """A name that nobody else uses."""
        self._count += 1
        return f"{self.mark}_{prefix}_{self._count}"

    def close(self) -> None:
        """Remove what was made, and end both processes."""
        for snapshot in self.call({"do": "list_snapshots", "pattern": f"us-*{self.mark}*"})["snapshots"]:
            self.call({"do": "delete_snapshot", "name": snapshot["name"]})
        for table in self.call({"do": "tables", "pattern": f"*:*{self.mark}*"})["tables"]:
            self.console.run(f"drop({table['table']!r})")
        self.console.run(f"drop_namespaces({self.mark!r})")
        self.process.close()
        self.console.close()
