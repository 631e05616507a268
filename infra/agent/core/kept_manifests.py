"""The source manifests that are kept with recovery points: how they are put there, read again, and swept.

A manifest is kept as layers (``manifest_layers``). The list ``<data set>.layers`` in the recovery point's directory
names them, the whole one first; the files stand in ``manifests/<data set>/``, since later points build on them and
outlive the point that brought them. Recovery points from before have ``<data set>.manifest`` instead, plain and whole.

Invariant: a layer that a list names is there. A sealing writes its list (in scratch, where the recovery point is
prepared) before its layer has its name, and renames the list into place last. A sweep goes the other way: which layers
are there, then the lists that are being prepared, then those of recovery points. So a layer that it has seen is in a
list that it reads, or nothing needs it. A layer's name holds its point and its own SHA-256, so it is nobody else's and
never written twice. What a sealing builds on is in the list of its base, which is held until the run has ended.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple, Sequence

from infra.agent.core import hdfs
from infra.agent.core.lines import damaged
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.manifest_layers import Sizes
from infra.agent.core.markers import write_file
from infra.agent.core.operations import Download, Operation, OperationFailed, ReadFile, SpoolTruncate, Upload
from infra.agent.core.staging import PREPARED, PRIVATE
from infra.agent.core.work import RECOVERY_POINTS, SCRATCH, SECONDARY, manifest_path
from infra.agent.names import is_name
from infra.agent.payloads import ROOT
from infra.agent.protocol import canonical

MANIFESTS = f"{ROOT}/manifests"
_LONGEST_LIST_BYTES = 1 << 20
_LISTS_AT_ONCE = 16


@dataclass(frozen=True)
class MakeLayer(Operation):
    """Write the layer that makes the manifest in one spool file of that in another one (None: a whole layer).

    Result: dict(bytes=…, sha256=hex) of the layer's file.
    """

    manifest: str
    below: str | None
    target: str


@dataclass(frozen=True)
class JoinLayers(Operation):
    """Write the manifest that layers in spool files give, the whole one first, into another spool file.

    Failure code "LINES_DAMAGED" unless it has the ``sha256``. Result: dict(bytes=…).
    """

    layers: tuple[str, ...]
    sha256: str
    target: str


class Fetched(NamedTuple):
    """A manifest in a work file."""

    name: str
    sha256: str
    bytes: int


class Kept(NamedTuple):
    """What a list says: the SHA-256 of the manifest, and of its layers names and sizes, the whole one first."""

    sha256: str
    layers: tuple[tuple[str, int], ...]

    def encoded(self) -> bytes:
        """The list as it is written."""
        layers = [{"bytes": size, "name": name} for name, size in self.layers]
        return canonical({"layers": layers, "sha256": self.sha256})


def fetch_manifest(recovery_point: str | None, data_set: dict[str, Any], name: str) -> Procedure:
    """Fetch a recovery point's manifest into a work file: ``Fetched``, or None when there is none to be read."""
    if recovery_point is None:
        return None
    try:
        kept = yield from _kept(SECONDARY, list_path(f"{RECOVERY_POINTS}/{recovery_point}", data_set["id"]))
        if kept is not None:
            return (yield from _join(SECONDARY, data_set["id"], kept, name))
        path = manifest_path(recovery_point, data_set)
        if (yield from hdfs.status(SECONDARY, path)) is None:
            return None
        got = yield Download(SECONDARY, path, name)
        return Fetched(name, got["sha256"], got["bytes"])
    except OperationFailed as failure:
        if not failure.is_final:
            raise
        return None


def keep_manifest(site: str, recovery_point: str, data_set: dict[str, Any], staged: str, prepared: str) -> Procedure:
    """Keep a staged source manifest: its layer in its place, and the list in the directory that is prepared.

    It is read back through its layers, from the cluster. An earlier attempt's list is made anew.
    """
    own, copied = data_set["id"], data_set.get("copied") or {}
    if (yield from hdfs.status(site, f"{prepared}/{own}.manifest")) is not None:
        return  # an agent from before has moved it here
    new, file = f"{own}.sealed", f"{own}.layer"
    got = yield Download(site, staged, new)
    if copied.get("manifest_sha256", got["sha256"]) != got["sha256"]:
        raise _differs(staged)
    below = yield from _to_build_on(site, copied.get("base"), data_set)
    made = yield MakeLayer(new, None if below is None else f"{own}.below", file)
    layer = (f"{recovery_point}-{made['sha256'][:16]}", made["bytes"])
    kept = Kept(got["sha256"], (*(() if below is None else below.layers), layer))
    yield from write_file(site, list_path(prepared, own), kept.encoded())
    yield from _place(site, file, f"{MANIFESTS}/{own}", layer[0], f"{prepared}/{own}.layer")
    written = yield from _kept(site, list_path(prepared, own))
    if written != kept:
        raise _differs(list_path(prepared, own))
    yield from _join(site, own, kept, new)
    for name in (new, file, f"{own}.below"):
        yield SpoolTruncate(name)


def sweep_layers(site: str, data_set_ids: Sequence[str]) -> Procedure:
    """Remove the layers of these data sets that no recovery point needs any more.

    Where a list cannot be read, nobody knows which these are: then they stay until a later removal.
    """
    for own in data_set_ids:
        place = f"{MANIFESTS}/{own}"
        there = yield from _names(site, place)
        if not there:
            continue
        prepared = [name for name in (yield from _names(site, SCRATCH)) if name.endswith(PREPARED)]
        named = yield from _named(site, own, [f"{SCRATCH}/{name}" for name in prepared])
        points = yield from _names(site, RECOVERY_POINTS)
        orphans = [name for name in there if name.rpartition("-")[0] not in points]
        if named is None or not orphans:
            continue
        needed = yield from _named(site, own, [f"{RECOVERY_POINTS}/{name}" for name in points])
        if needed is not None:
            for name in sorted({*orphans} - named - needed):
                yield from hdfs.delete(site, f"{place}/{name}")


def list_path(directory: str, data_set_id: str) -> str:
    """Where a recovery point's directory says which layers its manifest of a data set has."""
    return f"{directory}/{data_set_id}.layers"


def _to_build_on(site: str, base: Any, data_set: dict[str, Any]) -> Procedure:
    """The base's layers, joined in a work file; None where a whole layer is due, or they give no manifest."""
    if base is None:
        return None
    try:
        kept = yield from _kept(site, list_path(f"{RECOVERY_POINTS}/{base}", data_set["id"]))
        if kept is None or Sizes(tuple(size for _, size in kept.layers)).should_be_whole:
            return None
        yield from _join(site, data_set["id"], kept, f"{data_set['id']}.below")
    except OperationFailed as failure:
        if not failure.is_final:
            raise
        return None
    return kept


def _place(site: str, file: str, directory: str, name: str, aside: str) -> Procedure:
    """Give a layer its name; written aside and renamed, so that it is whole or not there."""
    if (yield from hdfs.status(site, f"{directory}/{name}")) is None:
        yield from hdfs.make_directory(site, directory, PRIVATE)
        yield Upload(file, site, aside)
        yield from hdfs.rename(site, aside, f"{directory}/{name}")
    else:
        yield from hdfs.delete(site, aside)  # of an earlier attempt


def _join(site: str, data_set_id: str, kept: Kept, name: str) -> Procedure:
    """Fetch the layers and make a manifest of them in a work file."""
    files = tuple(f"{name}.layer{number}" for number in range(len(kept.layers)))
    for file, (layer, _) in zip(files, kept.layers):
        yield Download(site, f"{MANIFESTS}/{data_set_id}/{layer}", file)
    joined = yield JoinLayers(files, kept.sha256, name)
    for file in files:
        yield SpoolTruncate(file)
    return Fetched(name, kept.sha256, joined["bytes"])


def _kept(site: str, path: str) -> Procedure:
    """What a list says, or None where there is none; LINES_DAMAGED where it cannot be one."""
    found = yield from hdfs.status(site, path)
    if found is None:
        return None
    if found["length"] > _LONGEST_LIST_BYTES:
        raise damaged(path, "it is too long for a list of layers")
    content = yield ReadFile(site, path)
    try:
        said = json.loads(content.decode("utf-8"))
        layers = tuple((layer["name"], layer["bytes"]) for layer in said["layers"])
        kept = Kept(said["sha256"], layers)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise damaged(path, "it is not a list of layers") from error
    if not layers or not isinstance(kept.sha256, str):
        raise damaged(path, "it is not a list of layers")
    for name, size in layers:
        if not is_name(name) or type(size) is not int or size < 0:
            raise damaged(path, f"{name!r} of {size!r} bytes is not a layer")
    return kept


def _names(site: str, directory: str) -> Procedure:
    found = yield from hdfs.list_directory(site, directory)
    return {entry["pathSuffix"] for entry in found or ()}


def _named(site: str, data_set_id: str, directories: Sequence[str]) -> Procedure:
    """The names of all layers in the lists of these directories; None where one of them cannot be read."""
    paths = [list_path(directory, data_set_id) for directory in sorted(directories)]
    try:
        lists = yield Together((_kept(site, path) for path in paths), _LISTS_AT_ONCE)
    except OperationFailed as failure:
        if not failure.is_final:
            raise
        return None
    return {name for kept in lists if kept is not None for name, _ in kept.layers}


def _differs(path: str) -> OperationFailed:
    return OperationFailed(
        "SEAL_DIFFERS",
        f"{path} does not say what was to be sealed",
        remedy="Somebody else wrote there. Keep it, and look at who may write below /.understudy.",
    )
