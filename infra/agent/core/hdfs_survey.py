"""Look at a tree for a short while before anything is done with it: what of it cannot be copied, or will be refused?

A check must not take as long as a copy, so it ends with its time, and says whether it has seen everything. It goes
breadth first, directory by directory, because what stands in the way (an encryption zone, erasure coding, an ACL for a
whole branch) mostly begins high up. Encryption zones besides are asked of the NameNode, which knows all of them.

What it does not see is met while the tree is copied, and told as well, before anything is changed on the secondary.
"""

from __future__ import annotations

from typing import Any

from infra.agent.core import hdfs
from infra.agent.core.findings import Findings
from infra.agent.core.hdfs_entries import check_supported, entry_of
from infra.agent.core.hdfs_trial import Trial
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.operations import Now, OperationFailed
from infra.agent.core.refusals import FOR_GOOD
from infra.agent.core.unreadable import REMEDY, UNREADABLE

AT_ONCE = 8
ATTRIBUTES_AT_ONCE = 100
ACLS_ASKED = 200


class Survey:
    """One look at one tree; ``trial`` is where what was seen is tried, None where the secondary cannot be asked."""

    def __init__(
        self, site: str, root: str, findings: Findings, leaves_out_unreadable: bool, trial: Trial | None
    ) -> None:
        self._site = site
        self._root = root
        self._findings = findings
        self._leaves_out_unreadable = leaves_out_unreadable
        self._trial = trial
        self._told: set[str] = set()
        self._acls = 0
        self._policy = 0
        self.entries = 0
        self.is_complete = True

    def run(self, give_up_at: float) -> Procedure:
        """Look until that time on the gateway's clock; add findings."""
        if (yield Now()) >= give_up_at:
            self.is_complete = False
            return
        found = yield from hdfs.status(self._site, self._root)
        self._policy = found["storagePolicy"] if found is not None else 0
        level = [self._root]
        while level:
            below_them: list[str] = []
            for begin in range(0, len(level), AT_ONCE):
                if (yield Now()) >= give_up_at:
                    self.is_complete = False
                    return
                paths = level[begin : begin + AT_ONCE]
                pages = yield Together((self._page(path) for path in paths), AT_ONCE)
                for path, page in zip(paths, pages):
                    below_them += yield from self._take(path, page)
            level = below_them

    def _page(self, path: str) -> Procedure:
        """The first page of a directory; None where it has gone meanwhile."""
        try:
            return (yield from hdfs.list_page(self._site, path))
        except OperationFailed as failure:
            if hdfs.exception_of(failure) != "FileNotFoundException":
                raise
            return None

    def _take(self, directory: str, page: hdfs.Page | None) -> Procedure:
        directories: list[str] = []
        if page is None:
            return directories
        self.is_complete = self.is_complete and not page.remaining
        self.entries += len(page.entries)
        files: list[str] = []
        for status in page.entries:
            path = f"{directory}/{status['pathSuffix']}"
            if self._is_unfit(status, path):
                continue
            if status["type"] == "DIRECTORY":
                directories.append(path)
            else:
                files.append(path)
            if status.get("aclBit"):
                yield from self._try_acl(status, path)
            elif self._trial is not None:
                yield from self._try(path, _values(status, self._policy))
        for begin in range(0, len(files), ATTRIBUTES_AT_ONCE):
            yield from self._look_at_attributes(files[begin : begin + ATTRIBUTES_AT_ONCE])
        return directories

    def _is_unfit(self, status: dict[str, Any], path: str) -> bool:
        try:
            check_supported(status, path)
        except OperationFailed as failure:
            self._tell(failure, path)
            return True
        return False

    def _try_acl(self, status: dict[str, Any], path: str) -> Procedure:
        if self._trial is None or self._acls >= ACLS_ASKED:
            return
        self._acls += 1
        entries = yield from hdfs.acl_entries(self._site, path)
        yield from self._try(path, {**_values(status, self._policy), "a": entries, "x": status["permission"]})

    def _look_at_attributes(self, files: list[str]) -> Procedure:
        try:
            found = yield from hdfs.extended_attributes_of(self._site, tuple(files), marks=True)
        except OperationFailed as failure:
            if hdfs.exception_of(failure) != "FileNotFoundException":
                raise
            return  # one has gone meanwhile
        for path, attributes in zip(files, found):
            if attributes.pop(hdfs.UNREADABLE_MARK, None) is not None:
                self._tell_unreadable(path)
            if attributes and self._trial is not None:
                yield from self._try(path, {"e": attributes})

    def _try(self, path: str, asked: dict[str, Any]) -> Procedure:
        assert self._trial is not None
        try:
            yield from self._trial.take(path, asked)
        except OperationFailed as failure:
            if failure.code not in FOR_GOOD:
                raise
            self._tell(failure, path)

    def _tell_unreadable(self, path: str) -> None:
        message = f"{path} has the attribute {hdfs.UNREADABLE_MARK}, so that the superuser, who copies, may not read it"
        if not self._leaves_out_unreadable:
            self._tell(OperationFailed(UNREADABLE, message, REMEDY), path)
        elif "LEFT_OUT" not in self._told:
            self._tell(OperationFailed("LEFT_OUT", f"{message}; such files are left out", "See the run's page."), path)

    def _tell(self, failure: OperationFailed, path: str) -> None:
        """One finding for each code: the first path is as good as a thousand."""
        if failure.code not in self._told:
            self._told.add(failure.code)
            message = failure.message if path in failure.message else f"{path}: {failure.message}"
            self._findings.bad("directory", self._root, failure.code, message, failure.remedy or "Take it out.")


def _values(status: dict[str, Any], policy: int) -> dict[str, Any]:
    """What a copy asks for of an entry that its listing shows; ``policy`` is that of the whole tree."""
    entry = entry_of(status, status["pathSuffix"], 0, policy)
    return {"n": status["pathSuffix"], **{name: entry[name] for name in ("r", "s") if name in entry}}


def check_zones(root: str, zones: list[str], findings: Findings) -> None:
    """Refuse a tree that has an encryption zone in it; one that lies in a zone shows that itself."""
    inside = [zone for zone in zones if zone.startswith(f"{root}/")]
    if inside:
        message = f"{inside[0]} is an encryption zone, which a copy cannot keep yet"
        findings.bad("directory", root, "ENCRYPTION_ZONE", message, "Take it out of the service.")
