"""SealRecoveryPoint: manifest, audit anchor and source manifests stand together on a cluster, read back.

They are prepared in scratch and renamed into place as one directory, so a recovery point's directory is whole or not
there. Staging is removed afterwards: what it still holds was moved away by APPLY and belongs to no recovery point.
On the primary there is no staging and there are no source manifests: it keeps manifest and anchor alone.
"""

from __future__ import annotations

import hashlib

from infra.agent.core import hdfs
from infra.agent.core.kept_manifests import keep_manifest
from infra.agent.core.machine import Procedure
from infra.agent.core.markers import write_file
from infra.agent.core.operations import OperationFailed, ReadFile
from infra.agent.core.staging import PRIVATE, prepared_seal, remove_run
from infra.agent.core.work import RECOVERY_POINTS
from infra.agent.protocol import Instruction, canonical

MANIFEST = "manifest.json"
ANCHOR = "anchor.json"


def seal_recovery_point(instruction: Instruction, journal: bytes) -> Procedure:
    """Carry out SealRecoveryPoint; returns the digests of what was read back."""
    payload = instruction.payload
    (site,) = payload["sites"]
    target = f"{RECOVERY_POINTS}/{payload['recovery_point']}"
    if (yield from hdfs.status(site, target)) is None:
        prepared = prepared_seal(payload["recovery_point"])
        yield from hdfs.make_directory(site, prepared, PRIVATE)
        yield from write_file(site, f"{prepared}/{MANIFEST}", canonical(payload["manifest"]))
        yield from write_file(site, f"{prepared}/{ANCHOR}", canonical(payload["anchor"]))
        if payload["staging"] is not None:
            for data_set in payload["manifest"]["data_sets"]:
                staged = f"{payload['staging']}/{data_set['id']}/manifest"
                yield from keep_manifest(site, payload["recovery_point"], data_set, staged, prepared)
        yield from hdfs.rename(site, prepared, target)
    digests = {}
    for name in (MANIFEST, ANCHOR):
        written = yield ReadFile(site, f"{target}/{name}")
        if written != canonical(payload[name[: -len(".json")]]):
            raise OperationFailed(
                "SEAL_DIFFERS",
                f"{target}/{name} does not say what was to be sealed",
                remedy="Somebody else wrote there. Keep it, and look at who may write below /.understudy.",
            )
        digests[name] = hashlib.sha256(written).hexdigest()
    yield from remove_run(instruction)
    return {"manifest_sha256": digests[MANIFEST], "anchor_sha256": digests[ANCHOR]}
