"""Identity markers: write-once files on each cluster; the one with the highest serial says who the cluster is.

Writing one is a compare-and-set on the NameNode: the content is prepared in scratch and renamed to its serial's name
without overwriting, so of two writers one is told that the name is taken. The layout of the product is made on the
way, and a SECONDARY gets ``incoming/<epoch>``, whose presence lets senders of that epoch write.

Whose the cluster is comes first (``ownership``): nothing is compared or written for a control device that may not act.
A take-over begins a new epoch: the older ones are evicted, so an agent of the other store that was let through before
finds nothing to write into, or to apply, any more.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from infra.agent.core import hdfs, ownership
from infra.agent.core.hdfs import IDENTITY
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import OperationFailed, ReadFile, WriteFile
from infra.agent.core.ownership import Owner, Submitter
from infra.agent.core.staging import INCOMING, PRIVATE
from infra.agent.core.work import RECOVERY_POINTS, ROOT, SCRATCH
from infra.agent.protocol import Instruction, canonical

EVICTED = f"{ROOT}/evicted"
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


class Checked(NamedTuple):
    """What a cluster said when the instruction was let through: its newest marker, and the record of whose it is."""

    marker: dict[str, Any]
    owner: Owner | None


def check_marker(instruction: Instruction, site: str, identity: str | None, before: Checked | None = None) -> Procedure:
    """Let the instruction through, or raise what forbids it, having changed nothing; returns a ``Checked``.

    PAIR_OWNED and OTHER_CONTROLLER: see ``ownership``. MARKER_MISMATCH unless the site's newest marker is this pair's,
    with this epoch and identity (None: any). ``before`` is how this very agent was let through already.
    """
    cluster = instruction.payload["sites"][site]["cluster"]
    seen = before.owner if before is not None else None
    controller = yield Submitter()
    found = yield from ownership.read_owner(site)
    ownership.judge(cluster, found, controller, seen)
    marker = yield from newest_marker(site)
    expected = {"pair": instruction.pair, "cluster": cluster, "epoch": instruction.epoch}
    if identity is not None:
        expected["identity"] = identity
    says = {name: (marker or {}).get(name) for name in expected}
    if says != expected:
        raise OperationFailed(
            "MARKER_MISMATCH",
            f"the marker on cluster {cluster} says {says if marker else 'nothing'}, expected {expected}",
            remedy="Look at 'understudy pair show': a cluster changes its identity only through its pair.",
        )
    if found is None:
        _refuse_store_of(marker, cluster, controller)
    return Checked(marker, (yield from ownership.stand(instruction, site, seen)))


def check_unchanged(instruction: Instruction, site: str, before: Checked) -> Procedure:
    """Raise MARKER_MISMATCH unless the marker is still the newest, and what ``ownership`` says against it; cheap."""
    newest = yield from newest_serial(site)
    if newest != before.marker["serial"]:
        raise OperationFailed(
            "MARKER_MISMATCH",
            f"marker {before.marker['serial']} of this cluster was followed by {newest}",
            remedy="Look at 'understudy pair show': the cluster has changed its identity.",
        )
    if before.owner is not None:
        found = yield from ownership.read_owner(site)
        cluster = instruction.payload["sites"][site]["cluster"]
        ownership.judge(cluster, found, (yield Submitter()), before.owner)


def _refuse_store_of(marker: dict[str, Any] | None, cluster: str, controller: Any) -> None:
    """Without a record, the marker tells whose the cluster is; one from before stores had ids tells nothing."""
    store = (marker or {}).get("store")
    if store is not None and (controller is None or store != controller["store"]):
        raise _owned(cluster, f"the store {store} of another control device, on host {(marker or {}).get('host')}")


def _owned(cluster: str, whose: str) -> OperationFailed:
    return OperationFailed(
        "PAIR_OWNED",
        f"cluster {cluster} belongs to {whose}, as its marker says",
        remedy="Use that control device. If it is lost for good: 'understudy pair take-over'.",
        detail={"cluster": cluster, "owner": None},
    )


def write_marker(instruction: Instruction, journal: bytes) -> Procedure:
    """Carry out WriteMarker; returns serial and marker as read back.

    PAIR_OWNED and OTHER_CONTROLLER unless the cluster is nobody's, or the submitter's, or is taken over from whose it
    is. CONFLICT when another marker has the serial, or when the cluster's history has gone another way or further.
    """
    (site,) = instruction.payload["sites"]
    serial: int = instruction.payload["serial"]
    marker: dict[str, Any] = instruction.payload["marker"]
    taken = marker.get("taken_over")
    newest = yield from newest_serial(site)
    if taken is None:
        yield from _check_owner(instruction, site, newest)
    if newest is not None and newest not in (serial, serial - 1):
        raise _conflict(f"its newest marker is {newest}, so marker {serial} would not follow it")
    if taken is not None:
        if taken["from_store"] != ownership.UNKNOWN:
            yield from ownership.take(instruction, site, taken["from_store"])
        yield from _check_owner(instruction, site, newest)
    for directory in LAYOUT:
        yield from hdfs.make_directory(site, directory, PRIVATE)
    yield from ownership.stand(instruction, site)
    if newest != serial:
        yield from _put_in_place(instruction, site, serial, canonical({**marker, "term": instruction.term}))
    written = yield from _read(site, serial)
    if {name: value for name, value in written.items() if name != "term"} != marker:
        raise _conflict(f"its marker {serial} exists and says {written}")
    newest = yield from newest_serial(site)
    if newest != serial:
        raise _conflict(f"marker {serial} stands and was followed by {newest}")
    if taken is not None:
        yield from _evict(site, instruction.epoch, serial)
    if marker["identity"] == "SECONDARY":
        yield from hdfs.make_directory(site, f"{INCOMING}/{instruction.epoch}", PRIVATE)
    return {"serial": serial, "marker": written}


def _check_owner(instruction: Instruction, site: str, newest: int | None) -> Procedure:
    """Raise unless the cluster is nobody's or the submitter's, or its pair was formed before stores had ids."""
    cluster = instruction.payload["sites"][site]["cluster"]
    marker: dict[str, Any] = instruction.payload["marker"]
    controller = yield Submitter()
    found = yield from ownership.read_owner(site)
    ownership.judge(cluster, found, controller)
    if found is not None or newest is None or "taken_over" in marker:
        return
    written = yield from _read(site, newest)
    if "store" in marker and "store" not in written:
        raise _owned(cluster, "a control device from before stores had ids")
    _refuse_store_of(written, cluster, controller)


def _evict(site: str, epoch: int, serial: int) -> Procedure:
    """Put aside what was staged in older epochs: nothing can be written there, or applied from there, any more."""
    yield from hdfs.make_directory(site, EVICTED, PRIVATE)
    for entry in (yield from hdfs.list_directory(site, INCOMING)) or ():
        name = entry["pathSuffix"]
        if name.isdigit() and int(name) < epoch:
            yield from hdfs.rename(site, f"{INCOMING}/{name}", f"{EVICTED}/{serial}-{name}")


def show_owner(instruction: Instruction, journal: bytes) -> Procedure:
    """Carry out ShowOwner; see docs/agent.md for the result. Changes nothing."""
    told = {}
    for site in sorted(instruction.payload["sites"]):
        owner = yield from ownership.read_owner(site)
        seen = (yield from hdfs.status(site, ownership.CONTROLLER)) if owner is not None else None
        told[site] = {
            "owner": None if owner is None else {**owner._asdict(), "name": owner.name},
            "seen_ms": None if seen is None else seen["modificationTime"],
            "marker": (yield from newest_marker(site)),
        }
    return {"sites": told}


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
        f" cluster up for good, its administrator removes {IDENTITY} and {ownership.CONTROLLER}.",
    )
