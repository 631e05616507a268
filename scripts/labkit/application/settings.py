"""Which application: its name, the cluster it writes to, its data sets, how fast."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.labkit.errors import LabError
from scripts.labkit.files import put
from scripts.labkit.layout import ClusterLayout, LabLayout


@dataclass(frozen=True)
class ApplicationSettings:
    """Rates are operations a second for each data set; sizes are bytes of a record.

    Every ``large_file_every``-th operation on the directory writes a file of ``large_file_bytes`` (0: never).
    """

    name: str = "shop"
    cluster: str = "a"
    directory: str = "/data/shop"
    tables: tuple[str, ...] = ("shop_orders", "shop_customers")
    files_per_second: float = 10
    rows_per_second: float = 30
    large_file_every: int = 50
    large_file_bytes: int = 4_000_000
    region_count: int = 4

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9-]*", self.name):
            raise LabError(f"an application's name is made of a-z, 0-9 and -, not {self.name!r}")

    @property
    def process_name(self) -> str:
        return f"app-{self.name}"

    def home(self, cluster: ClusterLayout) -> Path:
        return cluster.applications / self.name

    def log_file(self, cluster: ClusterLayout) -> Path:
        return self.home(cluster) / "acknowledged.ndjson"

    def save(self, cluster: ClusterLayout) -> None:
        put(self.home(cluster) / "settings.json", json.dumps(asdict(self), indent=2) + "\n")


def load_settings(lab: LabLayout, name: str) -> ApplicationSettings | None:
    """The settings with which the application of this name was started last, or None."""
    for cluster in lab.clusters:
        path = cluster.applications / name / "settings.json"
        if path.exists():
            fields = json.loads(path.read_text())
            return ApplicationSettings(**{**fields, "tables": tuple(fields["tables"])})
    return None
