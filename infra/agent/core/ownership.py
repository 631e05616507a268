"""Whose cluster it is: one record on the cluster itself, which moves by compare-and-set and never goes back.

``/.understudy/controller`` holds one entry, an empty directory whose *name* is the record: the store that the cluster
belongs to, since when, and how far into that store's chain of events (``position``, ``link``) the newest instruction
went that was about to change something here. Renaming the entry from exactly the name that was read is a
compare-and-set in the NameNode: of two control devices with the same past, one gets through.

A control device sends with each submission who it is, and from which record it may go on (``follows``): it has looked
at that one, and its own chain has that very link at that position. So a copy of a store, or a restored back-up, that
does not know everything that was asked for here is refused, whatever its terms; so is any other store. Both are told
before anything is changed. Only a person's take-over goes on from a record that is not known.

``line`` stays the same while one control device follows another in this way. Whoever was let through once is known to
all that follow in its line, so what it has armed goes on while control devices come and go.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from infra.agent.core import hdfs
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import Operation, OperationFailed
from infra.agent.core.staging import PRIVATE
from infra.agent.core.work import ROOT, SCRATCH
from infra.agent.protocol import Instruction

CONTROLLER = f"{ROOT}/controller"
LINE_LENGTH = 16
LINK_LENGTH = 32
AT_ONCE = 100  # so many agents of one control device may raise the record at the same instant
UNKNOWN = "unknown"
"""In place of a store's id, for who formed a pair before stores had ids."""

_NAME = re.compile(
    r"(?P<store>[0-9a-f]{32})_(?P<host>[A-Za-z0-9.-]{1,63})_(?P<since>\d{8}T\d{6}Z)_(?P<line>[0-9a-f]{16})"
    r"_(?P<term>\d{1,15})_(?P<incarnation>[0-9a-f]{32})_(?P<position>\d{1,15})_(?P<link>[0-9a-f]{32})\Z",
    re.ASCII,
)
_NUMBERS = ("term", "position")


@dataclass(frozen=True)
class Submitter(Operation):
    """Who has submitted this instruction last. Result: its ``controller`` (see protocol), None where it told none."""


class Owner(NamedTuple):
    """The record: ``since`` is when the store came to own the cluster, the rest is about who acted there last."""

    store: str
    host: str
    since: str
    line: str
    term: int
    incarnation: str
    position: int
    link: str

    @property
    def name(self) -> str:
        """The name of the entry."""
        return "_".join(str(value) for value in self)


def parse_owner(name: str) -> Owner | None:
    """The record with this name, or None for a name that is none."""
    match = _NAME.match(name)
    if match is None:
        return None
    fields: dict[str, Any] = match.groupdict()
    numbers = {key: int(fields[key]) for key in _NUMBERS}
    return Owner(**{**fields, **numbers})


def read_owner(site: str) -> Procedure:
    """The record, or None where the cluster has none; raises OWNER_DAMAGED where it cannot be read."""
    entries = yield from hdfs.list_directory(site, CONTROLLER)
    if not entries:
        return None
    names = [entry["pathSuffix"] for entry in entries]
    found = [owner for owner in map(parse_owner, names) if owner is not None]
    if len(found) != 1:
        raise OperationFailed(
            "OWNER_DAMAGED",
            f"{CONTROLLER} must hold one record of whose cluster it is, and holds {names[:3]!r}",
            remedy="Somebody else wrote there: find out who, and take the pair over with the control device that is to"
            " have it, after an administrator has removed that directory.",
        )
    return found[0]


def judge(cluster: str, found: Owner | None, controller: Any, before: Owner | None = None) -> None:
    """Raise PAIR_OWNED or OTHER_CONTROLLER unless the submitter may act where the record says ``found``.

    ``before`` is the record with which this agent was let through already.
    """
    if found is None:
        return
    if before is not None and found.line == before.line and found.position >= before.position:
        return
    if controller is not None and found.store == controller["store"]:
        is_known = found.name == controller["follows"].get(cluster)
        if is_known or found.incarnation == controller["incarnation"]:
            return
    raise refusal(cluster, found, controller)


def refusal(cluster: str, found: Owner, controller: Any) -> OperationFailed:
    """What to tell a control device that may not act here: who may, and since when."""
    detail = {"cluster": cluster, "owner": found._asdict()}
    if controller is None or found.store != controller["store"]:
        return OperationFailed(
            "PAIR_OWNED",
            f"cluster {cluster} belongs to the store {found.store} of another control device, on host {found.host},"
            f" since {found.since}",
            remedy="Use that control device. If it is lost for good: 'understudy pair take-over'.",
            detail=detail,
        )
    return OperationFailed(
        "OTHER_CONTROLLER",
        f"another control device with a copy of this store, on host {found.host}, has asked for something on cluster"
        f" {cluster} that this store does not know (term {found.term}, event {found.position}); the store owns the"
        f" cluster since {found.since}",
        remedy="Stop this control device and use the other one. If that one is lost for good and this copy of its"
        " store is the newest that is left: 'understudy pair take-over'.",
        detail=detail,
    )


def stand(instruction: Instruction, site: str, before: Owner | None = None) -> Procedure:
    """Make the record say how far the submitter's store has come; returns it, None where nobody says who submitted.

    Raises what ``judge`` raises, and changes nothing then.
    """
    cluster = instruction.payload["sites"][site]["cluster"]
    for _ in range(AT_ONCE):
        controller = yield Submitter()
        found = yield from read_owner(site)
        judge(cluster, found, controller, before)
        if controller is None:
            return found
        if found is not None and found.incarnation != controller["incarnation"] and _is_past(found, before):
            return found
        wanted = _raised(found, controller)
        if wanted == found:
            return found
        if (yield from _move(instruction, site, found, wanted)):
            return wanted
    raise _busy(cluster)


def take(instruction: Instruction, site: str, from_store: str) -> Procedure:
    """Go on from the record of ``from_store``, whatever it says: a person has asked for it. Begins a new line.

    Nothing is done where the record is known anyway; raises PAIR_OWNED where it is another store's by now.
    """
    cluster = instruction.payload["sites"][site]["cluster"]
    for _ in range(AT_ONCE):
        controller = yield Submitter()
        found = yield from read_owner(site)
        try:
            judge(cluster, found, controller)
            return
        except OperationFailed:
            if controller is None or found is None or found.store != from_store:
                raise
        if (yield from _move(instruction, site, found, _raised(None, controller))):
            return
    raise _busy(cluster)


def _is_past(found: Owner, before: Owner | None) -> bool:
    """Whether it is only because of an earlier look that this agent goes on: then the record is another's to raise."""
    return before is not None and found.line == before.line


def _raised(found: Owner | None, controller: Any) -> Owner:
    """The record that follows ``found``, or the first of a line."""
    is_own = found is not None and found.incarnation == controller["incarnation"]
    if found is not None and is_own and controller["position"] <= found.position:
        return found
    return Owner(
        store=controller["store"],
        host=controller["host"],
        since=controller["since"] if found is None else found.since,
        line=controller["incarnation"][:LINE_LENGTH] if found is None else found.line,
        term=controller["term"],
        incarnation=controller["incarnation"],
        position=controller["position"],
        link=controller["link"],
    )


def _move(instruction: Instruction, site: str, found: Owner | None, wanted: Owner) -> Procedure:
    """The compare-and-set; returns whether it was this one that moved the record."""
    if found is None:
        prepared = f"{SCRATCH}/{instruction.id}-{wanted.incarnation}-{wanted.position}"
        yield from hdfs.make_directory(site, f"{prepared}/{wanted.name}", PRIVATE)
        source, target, lost = prepared, CONTROLLER, "FileAlreadyExistsException"
    else:
        source, target = f"{CONTROLLER}/{found.name}", f"{CONTROLLER}/{wanted.name}"
        lost = "FileNotFoundException"
    try:
        yield from hdfs.rename(site, source, target)
    except OperationFailed as failure:
        if hdfs.exception_of(failure) != lost:
            raise
        if found is None:
            yield from hdfs.delete(site, source)
            yield from _remove_empty(site)
        return False
    return True


def _remove_empty(site: str) -> Procedure:
    """An administrator may have removed the record and left its directory: that is as good as no record."""
    try:
        yield from hdfs.delete(site, CONTROLLER, recursive=False)
    except OperationFailed as failure:
        if hdfs.exception_of(failure) != "PathIsNotEmptyDirectoryException":
            raise


def _busy(cluster: str) -> OperationFailed:
    return OperationFailed("OWNER_BUSY", f"{CONTROLLER} on cluster {cluster} changes all the time", transient=True)
