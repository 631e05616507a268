"""What a person or a test may choose about a cluster; kept beside it, so that a later start keeps the choice."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from scripts.labkit.files import put
from scripts.labkit.layout import ClusterLayout


@dataclass(frozen=True)
class ClusterOptions:
    """``capture_open_files``: whether a snapshot freezes the length of files open for writing (Hadoop: no).

    ``reserved_bytes``: how much of its disk the DataNode leaves to others (Hadoop: nothing).
    ``namenode``: further settings of HDFS by their names, as an administrator may give them to a NameNode.
    """

    capture_open_files: bool = False
    reserved_bytes: int = 0
    namenode: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, cluster: ClusterLayout) -> ClusterOptions:
        if not cluster.options_file.exists():
            return cls()
        return cls(**json.loads(cluster.options_file.read_text()))

    def save(self, cluster: ClusterLayout) -> None:
        """Keep what differs from the defaults: other checkouts, which may not know all options, use the lab too."""
        chosen = {name: value for name, value in asdict(self).items() if value != getattr(ClusterOptions(), name)}
        put(cluster.options_file, json.dumps(chosen) + "\n")
