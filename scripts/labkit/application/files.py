"""The writer of files: creates, appends, overwrites, renames and deletes below one HDFS directory, over WebHDFS.

Names come from a small pool, so that a name is used again after its file was renamed or deleted: the case in which a
difference of two snapshots shows two different files under one path.
"""

from __future__ import annotations

import random

import hdfs
import requests

from scripts.labkit.application.log import AcknowledgementLog
from scripts.labkit.application.operations import Operation
from scripts.labkit.application.records import render
from scripts.labkit.application.settings import ApplicationSettings
from scripts.labkit.application.writer import Unacknowledged, Writer
from scripts.labkit.errors import LabError
from scripts.labkit.layout import ClusterLayout

DIRECTORIES = ("invoices", "orders/open", "orders/closed", "receipts")
_NAMES = tuple(f"{directory}/{number:02d}.log" for directory in DIRECTORIES for number in range(40))
_FEWEST_FILES = 20
_KINDS = ("create", "append", "overwrite", "rename", "delete")
_WEIGHTS = (30, 40, 10, 10, 10)
_RECORD_BYTES = (60, 2000)
_TIMEOUT_SECONDS = 20
_USER = "app"


class FileWriter(Writer):
    """Writes below ``settings.directory`` as the user app."""

    def __init__(self, cluster: ClusterLayout, settings: ApplicationSettings, log: AcknowledgementLog) -> None:
        super().__init__(settings.directory, settings.files_per_second, log)
        self._settings = settings
        self._random = random.Random(settings.directory)
        self._client = hdfs.InsecureClient(cluster.webhdfs_url, user=_USER, timeout=_TIMEOUT_SECONDS)

    def choose(self, sequence: int) -> Operation:
        existing = sorted(self.contents)
        free = [name for name in _NAMES if name not in self.contents]
        size = self._random.randint(*_RECORD_BYTES)
        if free and self._settings.large_file_every and sequence % self._settings.large_file_every == 0:
            name = self._random.choice(free)
            return Operation(self.data_set, sequence, "write", name, self._settings.large_file_bytes)
        kind = self._random.choices(_KINDS, _WEIGHTS)[0]
        if len(existing) < _FEWEST_FILES:
            kind = "create"
        elif not free and kind in ("create", "rename"):
            kind = "delete"
        if kind == "create":
            return Operation(self.data_set, sequence, "write", self._random.choice(free), size)
        key = self._random.choice(existing)
        if kind == "overwrite":
            return Operation(self.data_set, sequence, "write", key, size)
        if kind == "append":
            return Operation(self.data_set, sequence, "append", key, size)
        if kind == "rename":
            return Operation(self.data_set, sequence, "rename", key, target=self._random.choice(free))
        return Operation(self.data_set, sequence, "delete", key)

    def carry_out(self, operation: Operation, *, again: bool) -> None:
        try:
            self._request(operation, again)
        except (hdfs.HdfsError, requests.RequestException) as error:
            raise Unacknowledged(f"{type(error).__name__}: {str(error)[:200]}") from error

    def _request(self, operation: Operation, again: bool) -> None:
        path = self._path(operation.key)
        if operation.kind == "write":
            self._client.write(path, data=render(operation.record), overwrite=True)
        elif operation.kind == "append" and again:
            # Whether or not the first try added the record, writing the whole file again leaves it there once.
            records = (*self.contents[operation.key], operation.record)
            self._client.write(path, data=b"".join(map(render, records)), overwrite=True)
        elif operation.kind == "append":
            self._client.write(path, data=render(operation.record), append=True)
        elif operation.kind == "rename":
            target = self._path(operation.target)
            if not (
                again and self._client.status(target, strict=False) and not self._client.status(path, strict=False)
            ):
                self._client.rename(path, target)
        elif not self._client.delete(path) and not again:
            raise LabError(f"{path} is gone: somebody else writes in the application's directory")

    def _path(self, key: str) -> str:
        return f"{self.data_set}/{key}"
