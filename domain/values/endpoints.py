"""Where a cluster is: its gateway, its NameNodes, its HBase; frozen into a run when it is planned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Gateway:
    """The host whose shell has the cluster's commands, reached by SSH.

    ``host_key`` is the public key line that the server must show ("ssh-ed25519 AAAA…"). ``client_key_file`` is the
    name of a key in the control device's directory of keys, or its path there. ``spool`` is a directory of ``user``,
    mode 0700. ``python`` is the interpreter's command.
    """

    host: str
    port: int
    user: str
    host_key: str
    client_key_file: str
    spool: str
    python: str = "python3"


@dataclass(frozen=True)
class HBase:
    """``root`` is HBase's directory in HDFS; ``admin_command`` starts the administration process on the gateway."""

    root: str = "/hbase"
    admin_command: tuple[str, ...] = ("sudo", "-n", "-u", "hbase", "/usr/local/lib/understudy/hbase-admin")


@dataclass(frozen=True)
class Endpoints:
    """All that is needed to reach one cluster. ``namenodes`` are WebHDFS base URLs, in order of preference.

    ``hdfs_user`` and ``hbase_user`` are the principals whose credential the agent uses.
    """

    gateway: Gateway
    namenodes: tuple[str, ...]
    hbase: HBase | None = None
    hdfs_user: str = "hdfs"
    hbase_user: str = "hbase"

    def to_site(self, cluster: str) -> dict[str, Any]:
        """The form that instructions use."""
        hbase = {"root": self.hbase.root, "admin_command": list(self.hbase.admin_command)} if self.hbase else None
        return {"cluster": cluster, "namenodes": list(self.namenodes), "hbase": hbase}
