"""The lab's HDFS behind the agent's own executor, and an application that writes to it over WebHDFS."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from infra.agent.core.machine import Machine, Outcome, Procedure
from infra.agent.core.operations import Operation
from infra.agent.protocol import Instruction, canonical
from infra.agent.shell.assembly import make_executor
from infra.agent.shell.checksums import only_ascii
from infra.agent.shell.reports import Log
from infra.agent.shell.spool import Spool
from scripts.labkit.cluster import Cluster
from tests.contracts.hdfs_contract import BLOCK

CREDENTIALS = {"hdfs": {"kind": "simple", "user": "hdfs"}}
Disturb = Callable[[int, Operation], object]


def site_of(cluster: Cluster) -> dict[str, Any]:
    """A cluster as a site of an instruction's payload."""
    return {"cluster": cluster.name, "namenodes": [cluster.webhdfs_url]}


class AgentDied(Exception):
    """The agent ended in the middle, as a killed process does."""


class Gateway:
    """Runs procedures as an agent on a gateway does, within this process."""

    def __init__(self, directory: Path, clusters: dict[str, Cluster]) -> None:
        self.sites = {site: site_of(cluster) for site, cluster in clusters.items()}
        self._spool = Spool(str(directory / "spool"))
        self._spool.open()
        self.operations = 0
        self.disturb: Disturb | None = None

    def run(self, instruction: Instruction, make: Any, die_at: int | None = None) -> Any:
        """Run ``make(journal)`` on the instruction's spool entry to its end, or until its ``die_at``-th operation.

        ``disturb`` is called before each operation; nothing else begins before it returns.
        """
        entry = self._spool.entry(instruction.id)
        if not entry.exists():
            files = {
                "instruction.json": canonical(instruction.to_wire()),
                "credentials.json": canonical(dict.fromkeys(self.sites, CREDENTIALS)),
            }
            self._spool.create(instruction.id, files)
        executor = make_executor(self._spool, lambda other: None, instruction, entry, Log(entry.path("log")))
        journal = entry.path("journal")
        machine = Machine(make(Path(journal).read_bytes() if Path(journal).exists() else b""))
        outcomes: list[Outcome] = []
        try:
            while not machine.done:
                for number, operation in machine.step(outcomes):
                    if die_at is not None and number >= die_at:
                        raise AgentDied
                    if self.disturb is not None:
                        self.disturb(number, operation)
                    executor.start(number, operation)
                    self.operations = number
                outcomes = [] if machine.done else list(executor.wait(1.0))
        finally:
            executor.stop()
        if machine.failure is not None:
            raise machine.failure
        return machine.result


SENT_ON_BYTES = 9 * 512  # HDFS's client keeps fewer bytes to itself


class RealWriter:
    """An application; acts as the superuser so that it may write anywhere."""

    def __init__(self, cluster: Cluster) -> None:
        url = urlsplit(cluster.webhdfs_url)
        self._namenode = (url.hostname or "", url.port)
        self._open: dict[str, http.client.HTTPConnection] = {}

    def put(self, path: str, data: bytes, block_size: int = BLOCK) -> None:
        """Write a whole file."""
        connection, target = self._locate("PUT", path, f"op=CREATE&overwrite=true&blocksize={block_size}")
        connection.request("PUT", target, body=data)
        self._expect(connection, 201)

    def append(self, path: str, data: bytes) -> None:
        """Append; a file whose truncation is not settled yet is tried again until it is."""
        give_up_at = time.monotonic() + 60
        while True:
            connection, target = self._locate("POST", path, "op=APPEND")
            connection.request("POST", target, body=data)
            status = connection.getresponse().status
            connection.close()
            if status == 200:
                return
            assert time.monotonic() < give_up_at, status
            time.sleep(0.2)  # HDFS tells of a truncation's end in no other way

    def truncate(self, path: str, length: int) -> None:
        """Cut a file."""
        self._ask("POST", path, f"op=TRUNCATE&newlength={length}")

    def concat(self, path: str, source: str) -> None:
        """Move the blocks of another file to the end of a file."""
        self._ask("POST", path, f"op=CONCAT&sources={quote(source)}")

    def start(self, path: str, data: bytes, *, known_as: str = "") -> None:
        """Create a file and keep it open; waits until the NameNode knows of its first block, if so much is sent on.

        ``known_as`` names it for ``grow`` and ``close`` in place of its path, which a rename changes.
        """
        connection, target = self._locate("PUT", path, f"op=CREATE&overwrite=true&blocksize={BLOCK}")
        connection.putrequest("PUT", target)
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        self._open[known_as or path] = connection
        self.grow(known_as or path, data)
        give_up_at = time.monotonic() + 30
        while len(data) > SENT_ON_BYTES and self._length(path) == 0:
            assert time.monotonic() < give_up_at
            time.sleep(0.05)  # the DataNode writes on in its own time

    def grow(self, path: str, data: bytes) -> None:
        """Write into a file that is open."""
        self._open[path].send(b"%x\r\n%s\r\n" % (len(data), data))

    def close(self, path: str) -> None:
        """Close a file that is open."""
        connection = self._open.pop(path)
        connection.send(b"0\r\n\r\n")
        self._expect(connection, 201)

    def close_all(self) -> None:
        """Let go of what a failed test left open."""
        for connection in self._open.values():
            connection.close()
        self._open.clear()

    def _length(self, path: str) -> int:
        status = self._ask("GET", path, "op=GETFILESTATUS")
        length: int = status["FileStatus"]["length"] if status else 0
        return length

    def _ask(self, method: str, path: str, query: str) -> dict[str, Any]:
        connection = http.client.HTTPConnection(*self._namenode, timeout=30)
        connection.request(method, f"/webhdfs/v1{quote(path)}?{query}&user.name=hdfs")
        answer: dict[str, Any] = json.loads(connection.getresponse().read() or b"{}")
        connection.close()
        assert "RemoteException" not in answer or "FileNotFound" in str(answer), answer
        return {} if "RemoteException" in answer else answer

    def _locate(self, method: str, path: str, query: str) -> tuple[http.client.HTTPConnection, str]:
        location = urlsplit(self._ask(method, path, f"{query}&noredirect=true")["Location"])
        connection = http.client.HTTPConnection(location.hostname or "", location.port, timeout=60)
        return connection, only_ascii(f"{location.path}?{location.query}")

    def _expect(self, connection: http.client.HTTPConnection, status: int) -> None:
        answer = connection.getresponse()
        assert answer.status == status, answer.read()
        connection.close()


def instruction(gateway: Gateway, identity: str, kind: str = "CheckCluster", **payload: Any) -> Instruction:
    """An instruction that names the gateway's sites."""
    return Instruction(
        identity, kind, "lab", "lab", 1, 1, "run", "step", 0, 1 << 60, {"sites": gateway.sites, **payload}
    )


class RealPeer:
    """The lab's cluster as the contract's peer."""

    def __init__(self, cluster: Cluster, directory: str, work: Path) -> None:
        self.directory = directory
        self.captures_open_files = False  # Hadoop's default, and the lab's
        self.app = RealWriter(cluster)
        self._gateway = Gateway(work, {"primary": cluster})
        self._count = 0

    def run(self, procedure: Procedure) -> Any:
        """Run a procedure with threads over HTTP."""
        self._count += 1
        return self._gateway.run(instruction(self._gateway, f"c{self._count}"), lambda journal: procedure)
