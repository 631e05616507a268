"""Which procedure carries out which kind of instruction, and what the clusters must be for it.

A procedure takes the instruction and the content of the spool's journal (b"" when fresh, whole lines alone), and
returns the outcome's result or raises ``OperationFailed``.

Who a cluster is, is told by the newest marker in its own HDFS, and by nothing that a control device believes. So before
anything is done about data, the markers of all clusters that the instruction reaches are looked at, here. Two kinds do
that themselves: TakeSnapshots looks again at the moment, and ApplyStaged does not look once it has begun.
"""

from __future__ import annotations

from typing import Callable

from infra.agent.core import components
from infra.agent.core.abort import abort
from infra.agent.core.check_cluster import check_cluster
from infra.agent.core.hdfs_adopt import list_losses
from infra.agent.core.machine import Procedure
from infra.agent.core.markers import check_marker, show_owner, write_marker
from infra.agent.core.seal import seal_recovery_point
from infra.agent.core.take_snapshots import take_snapshots
from infra.agent.core.work import PRIMARY, SECONDARY
from infra.agent.protocol import Instruction

Carry = Callable[[Instruction, bytes], Procedure]

IDENTITIES = {PRIMARY: "PRIMARY", SECONDARY: "SECONDARY"}


def _in_its_role(procedure: Carry) -> Carry:
    """Let it through only where each cluster is this control device's and this pair's, in this epoch, in its role."""
    return _checked(procedure, IDENTITIES)


def _in_any_role(procedure: Carry) -> Carry:
    """The same for what belongs to a recovery point: that outlives its pair's roles."""
    return _checked(procedure, {})


def _checked(procedure: Carry, identities: dict[str, str]) -> Carry:
    def carry(instruction: Instruction, journal: bytes) -> Procedure:
        for site in sorted(instruction.payload["sites"]):
            yield from check_marker(instruction, site, identities.get(site))
        return (yield from procedure(instruction, journal))

    return carry


PROCEDURES: dict[str, Carry] = {
    "Abort": abort,
    "ApplyStaged": components.apply_staged,
    "CheckCluster": check_cluster,
    "CloseCopies": _in_any_role(components.close_copies),
    "DigestSnapshots": _in_its_role(components.digest_snapshots),
    "FreezeCopies": _in_its_role(components.freeze_copies),
    "ListLosses": _in_its_role(list_losses),
    "OpenCopies": _in_any_role(components.open_copies),
    "RemoveSnapshots": _in_any_role(components.remove_snapshots),
    "ReplicateSnapshots": _in_its_role(components.send_snapshots),
    "SealRecoveryPoint": _in_its_role(seal_recovery_point),
    "SendSnapshots": _in_its_role(components.send_snapshots),
    "ShowOwner": show_owner,
    "TakeSnapshots": take_snapshots,
    "WriteMarker": write_marker,
}
