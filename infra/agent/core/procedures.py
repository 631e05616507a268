"""Which procedure carries out which kind of instruction.

A procedure takes the instruction and the content of the spool's journal (b"" when fresh, whole lines alone), and
returns the outcome's result or raises ``OperationFailed``.
"""

from __future__ import annotations

from typing import Callable

from infra.agent.core import components
from infra.agent.core.abort import abort
from infra.agent.core.check_cluster import check_cluster
from infra.agent.core.machine import Procedure
from infra.agent.core.markers import write_marker
from infra.agent.core.seal import seal_recovery_point
from infra.agent.core.take_snapshots import take_snapshots
from infra.agent.protocol import Instruction

PROCEDURES: dict[str, Callable[[Instruction, bytes], Procedure]] = {
    "Abort": abort,
    "ApplyStaged": components.apply_staged,
    "CheckCluster": check_cluster,
    "CloseCopies": components.close_copies,
    "DigestSnapshots": components.digest_snapshots,
    "FreezeCopies": components.freeze_copies,
    "OpenCopies": components.open_copies,
    "RemoveSnapshots": components.remove_snapshots,
    "ReplicateSnapshots": components.send_snapshots,
    "SealRecoveryPoint": seal_recovery_point,
    "SendSnapshots": components.send_snapshots,
    "TakeSnapshots": take_snapshots,
    "WriteMarker": write_marker,
}
