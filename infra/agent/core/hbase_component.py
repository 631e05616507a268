"""HBase tables as a component: what the instructions do for one table.

The secondary keeps tables as snapshots, never as live tables: its head is the newest snapshot, so applying it needs no
base and nothing has to be healed. Snapshots share store files, so each costs what changed. They become tables, by
metadata alone, at a rehearsal, a restore or a failover.
"""

from __future__ import annotations

from typing import Any

from infra.agent.core import hbase_apply, hbase_calls, hbase_clones, hbase_digest, hbase_send, hdfs
from infra.agent.core.hbase_layout import snapshot_directory, working_directory
from infra.agent.core.hbase_snapshot import name_of, read_info, root_of
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import Now, OperationFailed, SleepUntil
from infra.agent.core.work import SECONDARY, Work

DEFAULT_PIECE_BYTES = 64 << 20
KNOWN_WITHIN_MS = 60_000.0
KNOWN_PAUSE_MS = 1_000.0


class HBaseComponent:
    """See ``components.Component``. Store files of more than ``piece_bytes`` are copied in parallel pieces."""

    def __init__(self, piece_bytes: int = DEFAULT_PIECE_BYTES) -> None:
        self._piece_bytes = piece_bytes

    def send(self, work: Work, data_set: dict[str, Any]) -> Procedure:
        """Fill the table's staging from its snapshot on the primary."""
        return (yield from hbase_send.send(work, data_set, self._piece_bytes))

    def check_apply(self, work: Work, data_set: dict[str, Any]) -> Procedure:
        """Look whether the snapshot's store files are staged or there."""
        yield from hbase_apply.check_apply(work, data_set)

    def apply(self, work: Work, data_set: dict[str, Any]) -> Procedure:
        """Make the staged snapshot the secondary's own."""
        return (yield from hbase_apply.apply(work, data_set))

    def freeze(self, work: Work, data_set: dict[str, Any]) -> Procedure:
        """Show that the secondary's master knows the snapshot: it was frozen as it was applied."""
        name, root = name_of(work, data_set), root_of(work, SECONDARY)
        give_up_at = (yield Now()) + KNOWN_WITHIN_MS
        while not (yield from hbase_calls.has_snapshot(SECONDARY, name, data_set["table"])):
            now = yield Now()
            if now > give_up_at:
                raise OperationFailed(
                    "SNAPSHOT_FAILED",
                    f"the master does not know {name}, though it is in HDFS",
                    remedy="See the master's log; `hbase snapshot info` tells what it makes of the snapshot.",
                    detail={"path": snapshot_directory(root, name)},
                )
            yield SleepUntil(now + KNOWN_PAUSE_MS)
        info = yield from read_info(SECONDARY, snapshot_directory(root, name))
        return {"snapshot": name, "server_ms": None if info is None else info.creation_ms}

    def digest(self, work: Work, data_set: dict[str, Any]) -> Procedure:
        """Compare the secondary's snapshot with the source manifest; try a clone of it when asked to."""
        return (yield from hbase_digest.digest_table(work, data_set))

    def remove(self, work: Work, data_set: dict[str, Any]) -> Procedure:
        """Remove the run's snapshot on the instruction's one site; its files stay where other snapshots name them."""
        site = work.only_site()
        name = name_of(work, data_set)
        if site == SECONDARY:
            recovery_point = work.payload.get("recovery_point")
            yield from hbase_clones.refuse_living_clones(site, name, recovery_point, data_set["table"])
            yield from hdfs.delete(site, working_directory(root_of(work, site), name))
        was_there = yield from hbase_calls.delete_snapshot(site, name)
        return {"removed": [name] if was_there else [], "absent": [] if was_there else [name]}

    def open_copy(self, work: Work, data_set: dict[str, Any]) -> Procedure:
        """Clone the snapshot to a scratch name."""
        return (yield from hbase_clones.open_clone(work, data_set))

    def close_copy(self, work: Work, data_set: dict[str, Any]) -> Procedure:
        """Drop that clone."""
        return (yield from hbase_clones.close_clones(work, data_set))


HBASE = HBaseComponent()
