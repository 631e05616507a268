"""One instruction after the other, handed to an agent on a lab cluster's gateway, on a spool of its own."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from domain.values.endpoints import Gateway
from infra.agent.archive import build
from infra.agent.core.ownership import CONTROLLER
from infra.agent.protocol import Instruction
from infra.clusters.ssh_gateway import SshGateway
from infra.ports.gateway import Seen, Submission, Submitted
from scripts.labkit.cluster import Cluster
from scripts.labkit.description import describe_cluster
from tests.agent.counting_agent import holder
from tests.clusters.ssh_server import keys_of

HDFS_USERS = {"hdfs": {"kind": "simple", "user": "hdfs"}, "hbase": {"kind": "simple", "user": "hbase"}}
PATIENCE_SECONDS = 240.0


class GatewayAgent:
    """Submits instructions for the cluster's own site in a role, and waits for what becomes of them."""

    def __init__(self, cluster: Cluster, role: str = "primary") -> None:
        described = describe_cluster(cluster.layout, cluster.lab)
        self.cluster = cluster
        self.role = role
        self.spool = Path(described["gateway"]["spool"]).parent / "home" / f"spool-{secrets.token_hex(4)}"
        self.gateway: Gateway = replace(Gateway(**described["gateway"]), spool=str(self.spool))
        hbase = {name: described["hbase"][name] for name in ("root", "admin_command")}
        self.site = {"cluster": described["name"], "namenodes": described["namenodes"], "hbase": hbase}
        self.marker = self.newest_marker() or {"pair": "moment", "epoch": 1, "cluster": described["name"]}
        self.site["cluster"] = self.marker["cluster"]

    def newest_marker(self) -> dict[str, Any] | None:
        """The marker that others have left on the cluster, or None."""
        client = self.cluster.webhdfs("hdfs")
        names = client.list("/.understudy/identity") if client.status("/.understudy/identity", strict=False) else []
        if not names:
            return None
        newest = max(names, key=lambda name: int(name.partition(".")[0]))
        with client.read(f"/.understudy/identity/{newest}") as reader:
            found: dict[str, Any] = json.loads(reader.read())
        return found

    def _controller(self) -> dict[str, Any]:
        """In place of the control device whose marker it is: it goes on from whatever record there is."""
        client = self.cluster.webhdfs("hdfs")
        names = client.list(CONTROLLER) if client.status(CONTROLLER, strict=False) else []
        store = self.marker.get("store", names[0].partition("_")[0] if names else "0" * 32)
        told = {"store": store, "incarnation": secrets.token_hex(16), "host": "test", "since": "20260101T000000Z"}
        follows = {self.marker["cluster"]: names[0] if names else None}
        return {**told, "term": 1, "position": 1, "link": "0" * 32, "follows": follows}

    def now_ms(self) -> float:
        """The lab's only clock."""
        return time.time() * 1000

    def instruction(self, kind: str, step: str = "step", **payload: Any) -> Instruction:
        """An instruction that the cluster's marker lets through."""
        return Instruction(
            id=f"i-{secrets.token_hex(6)}",
            kind=kind,
            pair=self.marker["pair"],
            cluster=self.marker["cluster"],
            epoch=self.marker["epoch"],
            term=1,
            run=f"run-{secrets.token_hex(4)}",
            step=step,
            attempt=1,
            not_after_ms=int(self.now_ms()) + 3_600_000,
            payload={"sites": {self.role: self.site}, **payload},
        )

    def carry_out(self, instruction: Instruction, meanwhile: Callable[[Seen], None] | None = None) -> dict[str, Any]:
        """Its outcome; ``meanwhile`` is called with every look before. An agent that is gone is started again."""
        return asyncio.run(self._carry_out(instruction, meanwhile))

    async def _carry_out(self, instruction: Instruction, meanwhile: Callable[[Seen], None] | None) -> dict[str, Any]:
        link = SshGateway(self.gateway, build(), keys_of(self.gateway))
        sites = instruction.payload["sites"]
        submission = Submission(instruction, dict.fromkeys(sites, HDFS_USERS), controller=self._controller())
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                answer = await link.submit(submission)
                assert isinstance(answer, Submitted), answer
                missing = 0
                while True:
                    seen = (await link.look([instruction.id]))[instruction.id]
                    if seen.outcome is not None:
                        return dict(seen.outcome)
                    if meanwhile is not None:
                        meanwhile(seen)
                    missing = 0 if seen.alive else missing + 1
                    if missing == 2:
                        await link.submit(submission)
                    await asyncio.sleep(0.1)
        finally:
            await link.close()

    def kill(self, instruction: Instruction) -> None:
        """The agent dies."""
        os.kill(holder(self.spool / "instructions" / instruction.id), signal.SIGKILL)

    def log(self, instruction: Instruction) -> str:
        """What the agent wrote for people."""
        return (self.spool / "instructions" / instruction.id / "log").read_text()

    def clean_up(self) -> None:
        """Remove the spool."""
        if self.spool.exists():
            shutil.rmtree(self.spool)
