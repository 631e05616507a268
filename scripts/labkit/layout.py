"""Where everything of the lab is: directories, ports and names, and nothing that acts.

The state is outside the clone, because the gateways' OS users must be able to read it whatever the mode of the
clone's folder. ``UNDERSTUDY_LAB`` (a directory) and ``UNDERSTUDY_LAB_PORTS`` (two numbers; "18,28" gives ports 18000 to
18999 to cluster A and 28000 to 28999 to cluster B) let a second lab run beside the first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.labkit.errors import LabError

CLUSTER_NAMES = ("a", "b")
HOST = "127.0.0.1"
DEFAULT_ROOT = Path("/var/lib/understudy-lab")
DEFAULT_PORTS = "18,28"
FIRST_EPHEMERAL_PORT = 32768  # from here on, Linux hands ports out to outgoing connections by itself


@dataclass(frozen=True)
class Ports:
    """The ports of one cluster: a thousand of them, the offsets as near to Hadoop's own numbers as they fit."""

    base: int

    @property
    def gateway(self) -> int:
        return self.base + 22

    @property
    def namenode_rpc(self) -> int:
        return self.base + 20

    @property
    def namenode_http(self) -> int:
        return self.base + 70

    @property
    def datanode(self) -> int:
        return self.base + 66

    @property
    def datanode_http(self) -> int:
        return self.base + 64

    @property
    def datanode_ipc(self) -> int:
        return self.base + 67

    @property
    def httpfs(self) -> int:
        return self.base + 140

    @property
    def zookeeper(self) -> int:
        return self.base + 81

    @property
    def master(self) -> int:
        return self.base + 160

    @property
    def master_http(self) -> int:
        return self.base + 161

    @property
    def regionserver(self) -> int:
        return self.base + 162

    @property
    def regionserver_http(self) -> int:
        return self.base + 163

    @property
    def thrift(self) -> int:
        return self.base + 190

    @property
    def thrift_http(self) -> int:
        return self.base + 191


@dataclass(frozen=True)
class ClusterLayout:
    """The places of one cluster, under ``<lab>/<name>``."""

    name: str
    root: Path
    lab_root: Path
    ports: Ports

    @property
    def conf(self) -> Path:
        return self.root / "conf"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def java_scratch(self) -> Path:
        return self.data / "java-tmp"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    @property
    def lib(self) -> Path:
        return self.root / "lib"

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    @property
    def applications(self) -> Path:
        return self.root / "applications"

    @property
    def options_file(self) -> Path:
        return self.root / "options.json"

    @property
    def gateway_user(self) -> str:
        return f"understudy-{self.name}"

    @property
    def hbase_admin(self) -> Path:
        return self.lib / "hbase-admin"

    @property
    def filesystem_uri(self) -> str:
        return f"hdfs://{HOST}:{self.ports.namenode_rpc}"

    @property
    def webhdfs_url(self) -> str:
        return f"http://{HOST}:{self.ports.namenode_http}"

    @property
    def httpfs_url(self) -> str:
        return f"http://{HOST}:{self.ports.httpfs}"

    def log_of(self, part: str) -> Path:
        return self.logs / f"{part}.log"

    def java_options_of(self, family: str) -> Path:
        """The argument file that gives ``java`` the JVM options and the class path of a family of jars."""
        return self.conf / f"{family}.java"


@dataclass(frozen=True)
class LabLayout:
    """The places that both clusters share, and the layouts of the two."""

    root: Path
    port_bases: tuple[int, int]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> LabLayout:
        """Read the two variables; raises LabError when they make no sense."""
        root = Path(environment.get("UNDERSTUDY_LAB", str(DEFAULT_ROOT)))
        if not root.is_absolute() or any(character.isspace() for character in str(root)):
            raise LabError(f"UNDERSTUDY_LAB must be an absolute path without blanks, not {str(root)!r}")
        return cls(root, _port_bases(environment.get("UNDERSTUDY_LAB_PORTS", DEFAULT_PORTS)))

    @property
    def jars(self) -> Path:
        return self.root / "jars"

    @property
    def webapps(self) -> Path:
        return self.root / "webapps"

    @property
    def controller(self) -> Path:
        return self.root / "controller"

    @property
    def client_key(self) -> Path:
        return self.controller / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        return self.controller / "known_hosts"

    @property
    def description_file(self) -> Path:
        return self.root / "lab.json"

    @property
    def lock_file(self) -> Path:
        return self.root / "lock"

    def cluster(self, name: str) -> ClusterLayout:
        """The layout of cluster "a" or "b" (either case)."""
        lowered = name.lower()
        if lowered not in CLUSTER_NAMES:
            raise LabError(f"there is no cluster {name!r}; the lab has A and B")
        base = self.port_bases[CLUSTER_NAMES.index(lowered)]
        return ClusterLayout(lowered, self.root / lowered, self.root, Ports(base))

    @property
    def clusters(self) -> tuple[ClusterLayout, ...]:
        return tuple(self.cluster(name) for name in CLUSTER_NAMES)


def _port_bases(text: str) -> tuple[int, int]:
    numbers = text.split(",")
    if len(numbers) != len(CLUSTER_NAMES) or not all(number.strip().isdecimal() for number in numbers):
        raise LabError(f"UNDERSTUDY_LAB_PORTS must be two numbers such as {DEFAULT_PORTS!r}, not {text!r}")
    first, second = (int(number) * 1000 for number in numbers)
    if first == second or not all(2000 <= base <= FIRST_EPHEMERAL_PORT - 1000 for base in (first, second)):
        raise LabError(f"UNDERSTUDY_LAB_PORTS must be two different numbers from 2 to 31, not {text!r}")
    return first, second
