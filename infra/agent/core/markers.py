"""Identity markers: write-once files on each cluster; the one with the highest serial says who the cluster is.

Writing one is a compare-and-set on the NameNode: the content is prepared in scratch and renamed to its serial's name
without overwriting, so of two writers one is told that the name is taken. The layout of the product is made on the
way, and a SECONDARY gets ``incoming/<epoch>``, whose presence lets senders of that epoch write.
"""

from __future__ import annotations

import json
from typing import Any

from infra.agent.core import hdfs
from infra.agent.core.hdfs import IDENTITY, newest_marker
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import OperationFailed, ReadFile, WriteFile
from infra.agent.core.staging import INCOMING, PRIVATE
from infra.agent.core.work import RECOVERY_POINTS, ROOT, SCRATCH
from infra.agent.protocol import Instruction, canonical

LAYOUT = (ROOT, IDENTITY, SCRATCH, INCOMING, RECOVERY_POINTS, f"{ROOT}/clock")


def check_marker(instruction: Instruction, site: str, identity: str) -> Procedure:
    """Raise MARKER_MISMATCH unless the site's newest marker is this pair's, with this identity and epoch.

    Returns the marker.
    """
    marker = yield from newest_marker(site)
    cluster = instruction.payload["sites"][site]["cluster"]
    expected = {"pair": instruction.pair, "cluster": cluster, "identity": identity, "epoch": instruction.epoch}
    found = {name: (marker or {}).get(name) for name in expected}
    if found != expected:
        raise OperationFailed(
            "MARKER_MISMATCH",
            f"the marker on cluster {cluster} says {found if marker else 'nothing'}, expected {expected}",
            remedy="Look at 'understudy pair show': a cluster changes its identity only through its pair.",
        )
    return marker


def check_unchanged(site: str, marker: dict[str, Any]) -> Procedure:
    """Raise MARKER_MISMATCH unless the marker is still the newest; cheap, because markers are written only once."""
    newest = yield from newest_serial(site)
    if newest != marker["serial"]:
        raise OperationFailed(
            "MARKER_MISMATCH",
            f"marker {marker['serial']} of this cluster was followed by {newest}",
            remedy="Look at 'understudy pair show': the cluster has changed its identity.",
        )


def newest_serial(site: str) -> Procedure:
    """The highest serial of the markers, or None where there is none."""
    entries = yield from hdfs.list_directory(site, IDENTITY)
    names = (entry["pathSuffix"].partition(".") for entry in entries or ())
    return max((int(serial) for serial, _, kind in names if kind == "json" and serial.isdigit()), default=None)


def write_marker(instruction: Instruction, journal: bytes) -> Procedure:
    """Carry out WriteMarker; returns serial and marker as read back."""
    (site,) = instruction.payload["sites"]
    serial: int = instruction.payload["serial"]
    marker: dict[str, Any] = instruction.payload["marker"]
    for directory in LAYOUT:
        yield from hdfs.make_directory(site, directory, PRIVATE)
    path = f"{IDENTITY}/{serial}.json"
    if (yield from hdfs.status(site, path)) is None:
        yield from _refuse_to_skip(site, serial)
        prepared = f"{SCRATCH}/{instruction.id}-marker"
        yield WriteFile(site, prepared, canonical({**marker, "term": instruction.term}))
        try:
            yield from hdfs.rename(site, prepared, path)
        except OperationFailed as failure:
            if hdfs.exception_of(failure) != "FileAlreadyExistsException":
                raise
            yield from hdfs.delete(site, prepared)
    written = json.loads((yield ReadFile(site, path)).decode("utf-8"))
    if {name: value for name, value in written.items() if name != "term"} != marker:
        raise OperationFailed(
            "CONFLICT",
            f"marker {serial} of this cluster exists and says {written}",
            remedy="The cluster belongs to another pair, or another control device changed it. Use 'pair show' there;"
            f" to give the cluster up for good, its administrator removes {IDENTITY}.",
        )
    if marker["identity"] == "SECONDARY":
        yield from hdfs.make_directory(site, f"{INCOMING}/{instruction.epoch}", PRIVATE)
    return {"serial": serial, "marker": written}


def _refuse_to_skip(site: str, serial: int) -> Procedure:
    """A marker may only follow the newest one: another history on the cluster is told, never covered up."""
    newest = yield from newest_marker(site)
    if newest is not None and int(newest["serial"]) != serial - 1:
        raise OperationFailed(
            "CONFLICT",
            f"the newest marker of this cluster is {newest}, so marker {serial} would not follow it",
            remedy=f"The cluster has a history of its own. To give it up, its administrator removes {IDENTITY}.",
        )
