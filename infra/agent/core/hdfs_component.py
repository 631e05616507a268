"""HDFS directories as a component: what the instructions do for one directory."""

from __future__ import annotations

from typing import Any

from infra.agent.core import hdfs, hdfs_digest, hdfs_head, hdfs_send
from infra.agent.core.hdfs_snapshots import allow_snapshots, create_snapshot, delete_snapshot, snapshot_path
from infra.agent.core.hdfs_stage import DEFAULT_PIECE_BYTES
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import Now, OperationFailed
from infra.agent.core.work import SECONDARY, Work


class HdfsComponent:
    """See ``components.Component``. Files of more than ``piece_bytes`` are copied in parallel pieces."""

    def __init__(self, piece_bytes: int = DEFAULT_PIECE_BYTES) -> None:
        self._piece_bytes = piece_bytes

    def send(self, work: Work, data_set: dict[str, Any]) -> Procedure:
        """Fill the directory's staging from its snapshot on the primary."""
        return (yield from hdfs_send.send(work, data_set, self._piece_bytes))

    def check_apply(self, work: Work, data_set: dict[str, Any]) -> Procedure:
        """Look at the head's place, or for its base."""
        yield from hdfs_head.check_apply(work, data_set)

    def apply(self, work: Work, data_set: dict[str, Any]) -> Procedure:
        """Turn the head into the staged tree."""
        return (yield from hdfs_head.apply(work, data_set, self._piece_bytes))

    def freeze(self, work: Work, data_set: dict[str, Any]) -> Procedure:
        """Take the run's snapshot of the head."""
        path = data_set["path"]
        yield from allow_snapshots(SECONDARY, path)
        taken = yield from create_snapshot(SECONDARY, path, work.snapshot)
        return {"snapshot": work.snapshot, "server_ms": taken["modificationTime"]}

    def digest(self, work: Work, data_set: dict[str, Any]) -> Procedure:
        """Compare the frozen head with the source manifest."""
        return (yield from hdfs_digest.digest(work, data_set))

    def remove(self, work: Work, data_set: dict[str, Any]) -> Procedure:
        """Remove the run's snapshot on the instruction's one site."""
        name = snapshot_path(data_set["path"], work.snapshot)
        was_there = yield from delete_snapshot(work.only_site(), data_set["path"], work.snapshot)
        return {"removed": [name] if was_there else [], "absent": [] if was_there else [name]}

    def open_copy(self, work: Work, data_set: dict[str, Any]) -> Procedure:
        """Tell where the snapshot can be read: it is readable already."""
        started_ms = yield Now()
        site = work.only_site()
        path = snapshot_path(data_set["path"], work.snapshot)
        if (yield from hdfs.status(site, path)) is None:
            raise OperationFailed("SNAPSHOT_MISSING", f"{path} is not there", detail={"path": path})
        return {"readable": path, "seconds": ((yield Now()) - started_ms) / 1000}

    def close_copy(self, work: Work, data_set: dict[str, Any]) -> Procedure:
        """Nothing was made, so nothing is removed."""
        yield from ()
        return {"removed": []}


HDFS = HdfsComponent()
