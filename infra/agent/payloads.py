"""What the payload of each kind of instruction may hold: the one place where it is checked, before anything is done.

Whoever can write into a spool, or a control device with a fault, must not be able to make an agent delete or overwrite
what is not the product's. So every field of every kind has a shape, and besides (``check_payload``):

- the cluster that shall act is the one that the kind is for: heads are changed by the secondary's own agent alone;
- staging is the directory of the instruction's own run, below an epoch that is not later than the instruction's;
- snapshots have the product's prefix, data sets do not lie in the product's own directory or namespaces;
- a marker speaks of the instruction's own pair, cluster and epoch, a manifest of the recovery point that is sealed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from infra.agent.names import is_absolute_path, is_path
from infra.agent.shapes import Check, Omissible, Unfit, each, flag, mapping, one_of, optional, record, text, whole

if TYPE_CHECKING:
    from infra.agent.protocol import Instruction

PRIMARY = "primary"
SECONDARY = "secondary"
ROOT = "/.understudy"
INCOMING = f"{ROOT}/incoming"
SNAPSHOT_PREFIX = "us-"
LEVELS = ("changed", "metadata", "checksum", "bytes")
IDENTITIES = ("PRIMARY", "SECONDARY", "PROMOTING", "DEMOTING", "FENCED", "DIVERGED")

LATEST_MS = 1 << 50
MOST_DATA_SETS = 10_000
LONGEST_PATH = 8_000  # HDFS's own limit
_RESERVED_PATHS = (ROOT, "/.reserved")

# Names that become names of files and directories: letters, digits, dash and underscore alone.
identifier = text(r"[A-Za-z0-9_-]{1,200}", "letters, digits, dashes and underscores")
plain_name = text(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}", "a name")
_snapshot = text(SNAPSHOT_PREFIX + r"[A-Za-z0-9_-]{1,150}", f"a snapshot's name that begins with {SNAPSHOT_PREFIX}")
_scratch = text(r"(?!trial\Z)[A-Za-z0-9_][A-Za-z0-9_-]{0,79}", "the name of an opening")
# HBase's names have letters and digits of any script.
_table_name = text(r"(\w+:)?\w[\w.-]*", "a table's name", re.UNICODE)
_table_pattern = text(r"([\w*?]+:)?[\w*?][\w.*?-]*", "a pattern of tables' names", re.UNICODE)
_hook = text(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", "the name of a hook")
_url = text(r"https?://[A-Za-z0-9.\[\]:_-]{1,300}/?", "the address of a NameNode")
_administrator = text(r"[A-Za-z_][A-Za-z0-9._-]{0,63}", "a user of the gateway")
_administration = text(r"(/[A-Za-z0-9_@+.-]{1,255}){0,32}/hbase-admin", "the path of hbase-admin")
_host = text(r"[A-Za-z0-9.-]{1,63}", "the name of a host")
_words = text(r"[^\x00]{1,500}", "a few words")
_fingerprint = text(r"[0-9a-f]{64}", "a SHA-256")
_staging = text(
    re.escape(INCOMING) + r"/(0|[1-9][0-9]{0,14})/[A-Za-z0-9_-]{1,200}", f"a directory of one run below {INCOMING}"
)


def _path(where: str, value: Any, first: str = "") -> None:
    """A normal path whose text begins with ``first``: "/" for absolute ones, "" for relative ones."""
    is_normal = is_absolute_path(value) if first else value != "" and is_path(value)
    if not is_normal or len(value) > LONGEST_PATH:
        raise Unfit(where, "a normal absolute path" if first else "a normal path within a data set", value)


def _directory(where: str, value: Any) -> None:
    """A directory that may hold data of an application."""
    _path(where, value, "/")
    if any(value == reserved or value.startswith(f"{reserved}/") for reserved in _RESERVED_PATHS):
        raise Unfit(where, "a directory outside of those that are reserved", value)


def _table(where: str, value: Any) -> None:
    """A table of an application: neither HBase's own nor the product's."""
    _table_name(where, value)
    _refuse_reserved_namespace(where, value)


def _tables(where: str, value: Any) -> None:
    _table_pattern(where, value)
    _refuse_reserved_namespace(where, value)


def _refuse_reserved_namespace(where: str, value: str) -> None:
    namespace = value.rpartition(":")[0]
    if len(value) > 400 or namespace == "hbase" or namespace.startswith("understudy"):
        raise Unfit(where, "a table of an application", value)


def _data_set(table: Check = _table, **more: Check) -> Check:
    """A data set in wire form, with further fields."""
    shapes = {
        "hdfs": record(id=identifier, component=one_of("hdfs"), path=_directory, **more),
        "hbase": record(id=identifier, component=one_of("hbase"), table=table, **more),
    }

    def check(where: str, value: Any) -> None:
        mapping(where, value)
        one_of(*shapes)(f"{where}.component", value.get("component"))
        shapes[value["component"]](where, value)

    return check


def _data_sets(**more: Check) -> Check:
    """Data sets of which no two have the same id, and no two are the same directory or table."""
    check_each = each(_data_set(**more), least=1, most=MOST_DATA_SETS)

    def check(where: str, value: Any) -> None:
        check_each(where, value)
        ids = {data_set["id"] for data_set in value}
        names = {(data_set["component"], data_set.get("path") or data_set.get("table")) for data_set in value}
        if not len(ids) == len(names) == len(value):
            raise Unfit(where, "every data set once", value)

    return check


def _admin_command(where: str, value: Any) -> None:
    """``sudo -n -u USER PATH`` and no other words; who has put what is there is looked at before it is run."""
    if not isinstance(value, list) or value[:3] != ["sudo", "-n", "-u"] or len(value) != 5:
        raise Unfit(where, "sudo -n -u USER PATH", value)
    _administrator(f"{where}[3]", value[3])
    _administration(f"{where}[4]", value[4])
    _path(f"{where}[4]", value[4], "/")


_site = record(
    cluster=plain_name,
    namenodes=each(_url, least=1, most=16),
    hbase=optional(record(root=_directory, admin_command=_admin_command)),
)


def _sites(*roles: tuple[str, ...]) -> Check:
    """The clusters that the instruction reaches: exactly one of these sets of roles."""

    def check(where: str, value: Any) -> None:
        mapping(where, value)
        if tuple(sorted(value)) not in roles:
            raise Unfit(where, f"the sites {' or '.join(' and '.join(choice) for choice in roles)}", sorted(value))
        for role, site in value.items():
            _site(f"{where}.{role}", site)

    return check


_BOTH = (PRIMARY, SECONDARY)
_any_one = _sites((PRIMARY,), (SECONDARY,))
_only_secondary = _sites((SECONDARY,))


def _manifest(where: str, value: Any) -> None:
    """A recovery point's manifest: evidence of any form, but the ids in it become names of files."""
    mapping(where, value)
    each(mapping, least=1, most=MOST_DATA_SETS)(f"{where}.data_sets", value.get("data_sets"))
    for number, data_set in enumerate(value["data_sets"]):
        identifier(f"{where}.data_sets[{number}].id", data_set.get("id"))


_recovery_point = record(snapshot=_snapshot, recovery_point=identifier)

_COPY: dict[str, Check] = {
    "sites": _sites(_BOTH),
    "data_set": _data_set(),
    "snapshot": _snapshot,
    "base": optional(_snapshot),
    "base_is_on_source": flag,
    "recovery_point": optional(identifier),
    # Where the copy may start from instead when a cluster has lost the base's snapshot; newest first.
    "older_bases": Omissible(each(_recovery_point, most=16)),
    "open_files": each(_path),
    # When these were listed, after the cut, on the NameNode's clock: nothing that was open then was closed earlier.
    "open_listed_ms": Omissible(whole(0, LATEST_MS)),
    "staging": _staging,
    "level": one_of(*LEVELS),
    "workers": whole(1, 256),
    # What stands at the path on the secondary, and is nobody's copy, is compared with as it stands, and taken over.
    "adopts": Omissible(flag),
    # Files that the superuser may not read are left out, and told, instead of ending the copy.
    "leaves_out_unreadable": Omissible(flag),
}

# Clones are named by scratch and table; without "by_table" by scratch and snapshot, as earlier openings are.
_OPENING: dict[str, Check] = {"scratch": _scratch, "by_table": Omissible(flag)}

PAYLOADS: dict[str, dict[str, Check]] = {
    # Look, change nothing: facts for preflight and for `cluster check`. patterns: data sets with wildcards.
    "CheckCluster": {
        "sites": _sites((PRIMARY,), (SECONDARY,), _BOTH),
        "role": one_of(PRIMARY, SECONDARY),
        "patterns": each(_data_set(table=_tables), most=MOST_DATA_SETS),
        "copies_here": flag,
        "snapshot": _snapshot,
        # Snapshots of recovery points: it is told which of them the copies on a secondary do not have.
        "relied_on": Omissible(each(_snapshot, most=MOST_DATA_SETS)),
        "tries_rights": Omissible(flag),
        # How large the primary's data sets are is told; what stands on the secondary, nobody's copy, is taken over.
        "sizes": Omissible(flag),
        "adopts": Omissible(flag),
        "leaves_out_unreadable": Omissible(flag),
    },
    # Write a write-once identity marker with the given serial; succeed also when the very same one is there.
    "WriteMarker": {
        "sites": _any_one,
        "serial": whole(1, LATEST_MS),
        "marker": record(
            pair=identifier,
            pair_name=plain_name,
            cluster=plain_name,
            identity=one_of(*IDENTITIES),
            epoch=whole(1, LATEST_MS),
            serial=whole(1, LATEST_MS),
            # Whose the cluster is from now on, and what a person said who took it over from another store.
            store=Omissible(identifier),
            host=Omissible(_host),
            taken_over=Omissible(
                record(from_store=identifier, by=_words, reason=_words, at_ms=whole(0, LATEST_MS)),
            ),
        ),
    },
    # Whose these clusters are; changes nothing, and is answered to any control device.
    "ShowOwner": {"sites": _sites((PRIMARY,), (SECONDARY,), _BOTH), "role": one_of(PRIMARY, SECONDARY)},
    "TakeSnapshots": {
        "sites": _sites((PRIMARY,)),
        "moment_ms": whole(0, LATEST_MS),
        "fire_tolerance_ms": whole(1, 60_000),
        "warm_up_ms": whole(0, 3_600_000),
        "snapshot": _snapshot,
        "data_sets": _data_sets(),
        "barrier": optional(record(hold=_hook, release=_hook, hold_max_seconds=whole(1, 600))),
    },
    "SendSnapshots": _COPY,
    "ReplicateSnapshots": _COPY,
    # data_sets: each with "base" (snapshot that the head is healed to) or null, and "recovery_point" of that base;
    # "from_head": there is no base, and what is staged was compared with the head as it stands; "as_found": which may
    # be no copy of ours, and is adopted if it still has this fingerprint.
    "ApplyStaged": {
        "sites": _only_secondary,
        "data_sets": _data_sets(
            base=optional(_snapshot),
            recovery_point=optional(identifier),
            from_head=Omissible(flag),
            as_found=Omissible(_fingerprint),
        ),
        "snapshot": _snapshot,
        "staging": _staging,
        "head_mode": one_of("700", "755"),
        # A head that differs from its base is not brought back: nothing is applied.
        "refuses_changed_head": Omissible(flag),
    },
    "FreezeCopies": {"sites": _only_secondary, "data_sets": _data_sets(), "snapshot": _snapshot, "staging": _staging},
    # data_sets: each with "proved_by", the recovery point whose proof may stand for what has not changed since, and is
    # not older than "recheck_days".
    "DigestSnapshots": {
        "sites": _only_secondary,
        "data_sets": _data_sets(proved_by=Omissible(_recovery_point)),
        "snapshot": _snapshot,
        "staging": _staging,
        "level": one_of(*LEVELS),
        "trial_clone": optional(_table),
        "sample": record(percent=whole(0, 100), seed=identifier),
        "recheck_days": Omissible(whole(1, 3_650)),
        # Every byte is read within so many days, in each run at most so much of them.
        "read_days": Omissible(whole(1, 3_650)),
        "read_percent": Omissible(whole(1, 100)),
    },
    # Write the recovery point's manifest and the audit anchor, read both back, keep the source manifests beside them.
    "SealRecoveryPoint": {
        "sites": _any_one,
        "recovery_point": identifier,
        "manifest": _manifest,
        "anchor": mapping,
        "staging": optional(_staging),
    },
    # staging may be null; recovery_points: manifests to remove besides.
    "RemoveSnapshots": {
        "sites": _any_one,
        "data_sets": _data_sets(),
        "snapshot": _snapshot,
        "staging": optional(_staging),
        "recovery_point": optional(identifier),
    },
    # A page, from a byte offset on, of what a copy would take from a tree that is taken over; changes nothing.
    "ListLosses": {
        "sites": _only_secondary,
        "data_set": _data_set(),
        "staging": _staging,
        "offset": whole(0, LATEST_MS),
    },
    "Abort": {"instructions": each(identifier, most=MOST_DATA_SETS)},
    # Make a recovery point readable under scratch names: tables are cloned, snapshot paths are told.
    "OpenCopies": {"sites": _only_secondary, "data_sets": _data_sets(), "snapshot": _snapshot, **_OPENING},
    "CloseCopies": {"sites": _only_secondary, "data_sets": _data_sets(), **_OPENING},
}

_COPIER = {"SendSnapshots": PRIMARY, "ReplicateSnapshots": SECONDARY}


def check_payload(instruction: Instruction) -> None:
    """Raise ``Unfit``, naming the field, unless the payload is one that this instruction may have."""
    payload = instruction.payload
    record(**PAYLOADS[instruction.kind])("payload", payload)
    if "sites" in payload:
        _check_who_acts(instruction)
    if payload.get("staging") is not None:
        _check_staging(instruction)
    if instruction.kind == "WriteMarker":
        marker = payload["marker"]
        own = {"pair": instruction.pair, "cluster": instruction.cluster, "epoch": instruction.epoch}
        for field, expected in {**own, "serial": payload["serial"]}.items():
            if marker[field] != expected:
                raise Unfit(f"payload.marker.{field}", f"the instruction's own, {expected!r}", marker[field])
    if instruction.kind == "SealRecoveryPoint":
        sealed, found = payload["recovery_point"], payload["manifest"].get("recovery_point")
        if found != sealed:
            raise Unfit("payload.manifest.recovery_point", f"the one that is sealed, {sealed!r}", found)


def _check_who_acts(instruction: Instruction) -> None:
    """The cluster to which the instruction is addressed must be the one that its kind lets act."""
    sites = instruction.payload["sites"]
    role = _COPIER.get(instruction.kind) or instruction.payload.get("role") or next(iter(sites))
    acting = sites.get(role, {}).get("cluster")
    if acting != instruction.cluster:
        raise Unfit(f"payload.sites.{role}.cluster", f"the cluster that shall act, {instruction.cluster!r}", acting)


def _check_staging(instruction: Instruction) -> None:
    """A run's staging is its own, on the secondary; what was begun is brought to its end in a later epoch, too."""
    if SECONDARY not in instruction.payload["sites"]:
        raise Unfit("payload.staging", "null, for staging is the secondary's", instruction.payload["staging"])
    _, epoch, run = instruction.payload["staging"].rsplit("/", 2)
    if run != instruction.run or int(epoch) > instruction.epoch:
        expected = f"that of run {instruction.run} in epoch {instruction.epoch} or before"
        raise Unfit("payload.staging", expected, instruction.payload["staging"])
