"""Apply: make a staged snapshot the secondary's own, with metadata operations alone, rolled forward only.

HBase's cleaner removes a file of the archive as soon as it is older than a few minutes and named neither by a finished
snapshot nor by one that is being made. So the order is: the snapshot's own files are put under ``.hbase-snapshot/.tmp``
as one rename, and read back; then each store file gets HBase's owner and the present time while it still is in staging,
and is renamed to its final name in the archive, in directories that HBase's own user has made; then everything is
looked at again, the snapshot is renamed to its final name, and everything is looked at once more. A master that
restarts empties ``.tmp``: that is noticed before each group of files and before the end, and done again.

A temporary name inside the archive would not be safe (the cleaner goes by names), nor would an old modification time;
and a file of another owner would make every later clone of the snapshot hang.

Each step can be repeated and is found done by a probe, by whatever attempt: nothing is kept beside staging and HBase's
own directories.
"""

from __future__ import annotations

from typing import Any

from infra.agent.core import hdfs
from infra.agent.core.hbase_copy import staged_file
from infra.agent.core.hbase_entries import Entry, Manifest, file_of
from infra.agent.core.hbase_files import locate
from infra.agent.core.hbase_layout import ARCHIVE, WORKING, snapshot_directory, working_directory
from infra.agent.core.hbase_send import fetch_manifest, write
from infra.agent.core.hbase_snapshot import FILES, name_of, read_files, root_of, understand
from infra.agent.core.hdfs_asking import checksum_by_bytes
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.meter import Meter
from infra.agent.core.operations import Now, OperationFailed
from infra.agent.core.staging import begin, scratch
from infra.agent.core.work import SECONDARY, Work

GROUP = 64
AT_ONCE = 16
REDO_LIMIT = 10
DIRECTORY_MODE = "755"
PATHS_TOLD = 20
_NOT_THERE = ("FileNotFoundException", "ParentNotDirectoryException")


def check_apply(work: Work, data_set: dict[str, Any]) -> Procedure:
    """Raise FILES_MISSING unless every store file is staged or there, and FOREIGN_TREE for another such snapshot."""
    applying = yield from _applying(work, data_set)
    yield from applying.check()


def apply(work: Work, data_set: dict[str, Any]) -> Procedure:
    """Carry out ApplyStaged for one table."""
    applying = yield from _applying(work, data_set)
    return (yield from applying.run())


def _applying(work: Work, data_set: dict[str, Any]) -> Procedure:
    manifest = yield from fetch_manifest(work, data_set, f"{work.staging(data_set)}/manifest")
    return _Applying(work, data_set, manifest)


class _Applying:
    def __init__(self, work: Work, data_set: dict[str, Any], manifest: Manifest) -> None:
        self._work = work
        self._data_set = data_set
        self._manifest = manifest
        self._staging = work.staging(data_set)
        self._root = root_of(work, SECONDARY)
        name = name_of(work, data_set)
        self._final = snapshot_directory(self._root, name)
        self._working = working_directory(self._root, name)
        self._prepared = scratch(work.instruction, f"{data_set['id']}-snapshot")
        self._meter = Meter("apply", data_set["id"], 0, len(manifest.moved()))
        self._contents: tuple[bytes, bytes] = (b"", b"")
        self._owner = ""
        self._group = ""
        self._steps = 0
        self._replaced = 0

    def check(self) -> Procedure:
        """Raise what forbids to apply; true at any time, however much is done already."""
        yield from self._learn()
        if not (yield from self._is_published()):
            yield from self._check_files(staged_too=True)

    def run(self) -> Procedure:
        """Do what is not done yet and return the result."""
        yield from self._learn()
        if not (yield from self._is_published()):
            yield from begin(self._work, self._data_set)
            yield from self._publish()
        yield from self._check_files(staged_too=False)
        return {"steps": self._steps, "healed": self._replaced > 0}

    def _learn(self) -> Procedure:
        """Read what was staged of the snapshot, check it against the manifest, and learn who HBase is."""
        contents = yield from read_files(SECONDARY, f"{self._staging}/snapshot")
        if contents is None:
            raise OperationFailed("STAGING_DAMAGED", f"{self._staging}/snapshot is not whole")
        self._contents = contents
        wanted = {item.file.relative for item in understand(contents).wanted}
        told = {entry["p"] for entry in self._manifest.files}
        if wanted != told:
            raise OperationFailed("STAGING_DAMAGED", f"{self._staging}: manifest and snapshot name different files")
        root = yield from hdfs.status(SECONDARY, self._root)
        if root is None:
            raise OperationFailed("NO_HBASE", f"{self._root} is not there")
        self._owner, self._group = root["owner"], root["group"]

    def _is_published(self) -> Procedure:
        found = yield from read_files(SECONDARY, self._final)
        if found is None:
            return False
        if found != self._contents:
            raise OperationFailed(
                "FOREIGN_TREE",
                f"{self._final} is another snapshot of the same name",
                remedy="Find out who made it; delete or rename it, then start the run again.",
                detail={"path": self._final},
            )
        return True

    def _publish(self) -> Procedure:
        moved = self._manifest.moved()
        yield from self._meter.tell()
        for start in range(0, len(moved), GROUP):
            yield from self._ensure_working()
            yield Together((self._place(*item) for item in moved[start : start + GROUP]), AT_ONCE, keep_results=False)
        for _ in range(REDO_LIMIT):
            yield from self._ensure_working()
            yield from self._check_files(staged_too=False)
            if (yield from self._finish()):
                return
        raise OperationFailed("SNAPSHOT_FAILED", f"{self._working} vanishes again and again", transient=True)

    def _ensure_working(self) -> Procedure:
        """Make sure that the snapshot is in ``.tmp``, whole: one rename puts it there."""
        for _ in range(REDO_LIMIT):
            found = yield from read_files(SECONDARY, self._working)
            if found == self._contents:
                return
            yield from hdfs.delete(SECONDARY, self._working)
            yield from self._prepare()
            yield from hdfs.make_directory(SECONDARY, f"{self._root}/{WORKING}", DIRECTORY_MODE, user="hbase")
            try:
                yield from hdfs.rename(SECONDARY, self._prepared, self._working)
            except OperationFailed as failure:
                # Not there: the master has just emptied .tmp; the snapshot itself is looked for again, too.
                if hdfs.exception_of(failure) not in (*_NOT_THERE, "FileAlreadyExistsException"):
                    raise
            self._steps += 1
        raise OperationFailed("SNAPSHOT_FAILED", f"{self._working} cannot be made", transient=True)

    def _prepare(self) -> Procedure:
        yield from hdfs.make_directory(SECONDARY, self._prepared, DIRECTORY_MODE)
        yield from hdfs.set_permission(SECONDARY, self._prepared, DIRECTORY_MODE)
        for name, data in zip(FILES, self._contents):
            yield from write(f"{self._prepared}/{name}", data, "644")
            yield from self._give_to_hbase(f"{self._prepared}/{name}")
        yield from self._give_to_hbase(self._prepared)

    def _give_to_hbase(self, path: str) -> Procedure:
        yield from hdfs.set_owner(SECONDARY, path, self._owner, self._group)

    def _place(self, number: int, entry: Entry) -> Procedure:
        """Put one staged store file into the archive; one that is not in staging any more is there already."""
        staged = staged_file(self._staging, number)
        if (yield from hdfs.status(SECONDARY, staged)) is not None:
            yield from self._give_to_hbase(staged)
            yield from hdfs.set_permission(SECONDARY, staged, entry["x"])
            yield from hdfs.set_modification_time(SECONDARY, staged, int((yield Now())))
            yield from self._rename(number, staged, entry)
            self._steps += 1
        yield from self._meter.add(0, 1)

    def _rename(self, number: int, staged: str, entry: Entry) -> Procedure:
        file = file_of(entry)
        directory = f"{self._root}/{ARCHIVE}/{file.directory}"
        target = f"{directory}/{file.name}"
        for _ in range(REDO_LIMIT):
            yield from hdfs.make_directory(SECONDARY, directory, DIRECTORY_MODE, user="hbase")
            try:
                yield from hdfs.rename(SECONDARY, staged, target)
                return
            except OperationFailed as failure:
                exception = hdfs.exception_of(failure)
                if exception == "FileAlreadyExistsException":
                    if (yield from self._take_over(staged, target, entry)):
                        return
                    yield from self._set_aside(number, target)
                elif exception not in _NOT_THERE:
                    raise
                elif (yield from hdfs.status(SECONDARY, staged)) is None:
                    return  # an earlier request has done it after all; the check at the end looks at the result
                # Else the cleaner has removed the directory, because it was empty for a moment.
        raise OperationFailed("APPLY_FAILED", f"{target} cannot be put into place", transient=True)

    def _take_over(self, staged: str, target: str, entry: Entry) -> Procedure:
        """Keep a file of this name that has the same bytes (left by a run that failed); returns whether it has."""
        there = yield from hdfs.status(SECONDARY, target)
        if there is None or there["length"] != entry["l"]:
            return False
        if entry["l"] and not (yield from self._is_sound(target, entry)):
            return False
        yield from self._give_to_hbase(target)
        yield from hdfs.set_modification_time(SECONDARY, target, int((yield Now())))
        yield from hdfs.delete(SECONDARY, staged)
        return True

    def _is_sound(self, target: str, entry: Entry) -> Procedure:
        """Whether a file has the bytes that are wanted: read, because stored checksums do not show a damaged block."""
        try:
            by_bytes = yield from checksum_by_bytes(SECONDARY, target, entry["l"])
            return entry["c"] in (by_bytes, (yield from hdfs.checksum(SECONDARY, target)))
        except OperationFailed as failure:
            if failure.code != "SOURCE_DAMAGED":
                raise
            return False

    def _set_aside(self, number: int, target: str) -> Procedure:
        """A damaged file of this name: the staged one, which is proved, takes its place."""
        self._replaced += 1
        aside = f"{self._staging}/out/{number}"
        yield from hdfs.delete(SECONDARY, aside)
        try:
            yield from hdfs.rename(SECONDARY, target, aside)
        except OperationFailed as failure:
            if hdfs.exception_of(failure) not in _NOT_THERE:
                raise

    def _finish(self) -> Procedure:
        """The final rename; returns whether the snapshot is there with its own files whole."""
        try:
            yield from hdfs.rename(SECONDARY, self._working, self._final)
        except OperationFailed as failure:
            if hdfs.exception_of(failure) not in (*_NOT_THERE, "FileAlreadyExistsException"):
                raise
        self._steps += 1
        return (yield from self._is_published())

    def _check_files(self, staged_too: bool) -> Procedure:
        """Raise unless every store file is where the snapshot will look for it (or still in staging)."""
        files = {entry["p"]: file_of(entry) for entry in self._manifest.files}
        # Staging first: what an earlier request moves meanwhile is then seen twice, and not never.
        staged = (yield from self._staged()) if staged_too else {}
        found = yield from locate(SECONDARY, self._root, list(files.values()))
        missing = []
        for number, entry in enumerate(self._manifest.files):
            at = found.get(entry["p"])
            is_there = at is not None and at.length == entry["l"]
            can_be_put = entry.get("w") and staged.get(number) == entry["l"]
            # HBase would go on finding a damaged file of a live table before the one in the archive.
            is_hidden = at is not None and not at.path.startswith(f"{self._root}/{ARCHIVE}/")
            if not is_there and (not can_be_put or is_hidden):
                missing.append(entry["p"])
        if missing:
            raise OperationFailed(
                "FILES_MISSING",
                f"{len(missing)} store files are neither staged nor, whole, in HBase's directories, as {missing[0]}",
                remedy="Start the run again: what the secondary lacks is sent then.",
                detail={"paths": missing[:PATHS_TOLD]},
            )

    def _staged(self) -> Procedure:
        """The lengths of the staged files by their ordinals."""
        listed = yield from hdfs.list_directory(SECONDARY, f"{self._staging}/files")
        return {int(one["pathSuffix"]): one["length"] for one in listed or () if one["pathSuffix"].isdecimal()}
