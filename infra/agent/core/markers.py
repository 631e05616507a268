"""Identity markers: write-once files on each cluster; the one with the highest serial says who the cluster is.

Writing one is a compare-and-set on the NameNode: the content is prepared in scratch and renamed to its serial's name
without overwriting, so of two writers one is told that the name is taken. The layout of the product is made on the
way, and a SECONDARY gets ``incoming/<epoch>``, whose presence lets senders of that epoch write.
"""

from __future__ import annotations

import json
from typing import Any

from infra.agent.core import hdfs
from infra.agent.core.hdfs import IDENTITY
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import OperationFailed, ReadFile, WriteFile
from infra.agent.core.staging import INCOMING, PRIVATE
from infra.agent.core.work import RECOVERY_POINTS, ROOT, SCRATCH
from infra.agent.protocol import Instruction, canonical

LAYOUT = (ROOT, IDENTITY, SCRATCH, INCOMING, RECOVERY_POINTS, f"{ROOT}/clock")


def newest_marker(site: str) -> Procedure:
    """The marker with the highest serial, as a dict, or None where there is none."""
    serial = yield from newest_serial(site)
    return None if serial is None else (yield from _read(site, serial))


def newest_serial(site: str) -> Procedure:
    """The highest serial of the markers, or None where there is none; other names in the directory are no markers."""
    entries = yield from hdfs.list_directory(site, IDENTITY)
    names = (entry["pathSuffix"].partition(".") for entry in entries or ())
    return max((int(serial) for serial, _, kind in names if kind == "json" and serial.isdigit()), default=None)


def _read(site: str, serial: int) -> Procedure:
    content: bytes = yield ReadFile(site, f"{IDENTITY}/{serial}.json")
    try:
        marker = json.loads(content.decode("utf-8"))
    except ValueError:
        marker = None
    if not isinstance(marker, dict):
        raise OperationFailed(
            "MARKER_DAMAGED",
            f"{IDENTITY}/{serial}.json is no marker: {content[:80]!r}",
            remedy="Markers are never changed: see who wrote there, and restore it from the control device's history.",
        )
    return marker


def check_marker(instruction: Instruction, site: str, identity: str | None) -> Procedure:
    """Raise MARKER_MISMATCH unless the site's newest marker is this pair's, with this epoch and identity (None: any).

    Returns the marker.
    """
    marker = yield from newest_marker(site)
    cluster = instruction.payload["sites"][site]["cluster"]
    expected = {"pair": instruction.pair, "cluster": cluster, "epoch": instruction.epoch}
    if identity is not None:
        expected["identity"] = identity
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


def write_marker(instruction: Instruction, journal: bytes) -> Procedure:
    """Carry out WriteMarker; returns serial and marker as read back.

    CONFLICT when another marker has the serial, or when the cluster's history has gone another way or further.
    """
    (site,) = instruction.payload["sites"]
    serial: int = instruction.payload["serial"]
    marker: dict[str, Any] = instruction.payload["marker"]
    for directory in LAYOUT:
        yield from hdfs.make_directory(site, directory, PRIVATE)
    newest = yield from newest_serial(site)
    if newest != serial:
        if newest is not None and newest != serial - 1:
            raise _conflict(f"its newest marker is {newest}, so marker {serial} would not follow it")
        yield from _put_in_place(instruction, site, serial, canonical({**marker, "term": instruction.term}))
    written = yield from _read(site, serial)
    if {name: value for name, value in written.items() if name != "term"} != marker:
        raise _conflict(f"its marker {serial} exists and says {written}")
    newest = yield from newest_serial(site)
    if newest != serial:
        raise _conflict(f"marker {serial} stands and was followed by {newest}")
    if marker["identity"] == "SECONDARY":
        yield from hdfs.make_directory(site, f"{INCOMING}/{instruction.epoch}", PRIVATE)
    return {"serial": serial, "marker": written}


def _put_in_place(instruction: Instruction, site: str, serial: int, content: bytes) -> Procedure:
    """The compare-and-set: of several writers of one serial, the NameNode lets one through."""
    prepared = f"{SCRATCH}/{instruction.id}-marker"
    yield from write_file(site, prepared, content)
    try:
        yield from hdfs.rename(site, prepared, f"{IDENTITY}/{serial}.json")
    except OperationFailed as failure:
        if hdfs.exception_of(failure) != "FileAlreadyExistsException":
            raise
        yield from hdfs.delete(site, prepared)


def write_file(site: str, path: str, content: bytes) -> Procedure:
    """Write a small file whose parent is there; a lost answer is followed by writing it again, which is harmless."""

    def once() -> Procedure:
        yield WriteFile(site, path, content)

    yield from hdfs.persist(once)


def _conflict(what: str) -> OperationFailed:
    return OperationFailed(
        "CONFLICT",
        f"this cluster has another history: {what}",
        remedy="It belongs to another pair, or another control device changed it: use 'pair show' there. To give the"
        f" cluster up for good, its administrator removes {IDENTITY}.",
    )
