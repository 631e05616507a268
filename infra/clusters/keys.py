"""The private keys with which the control device logs in at gateways: files in one directory, named by whoever enters
a cluster.

Who may enter a cluster must not be able to have any file of this machine read, to find out by an error which files
there are, or to keep a thread busy with one that never ends. So a name leads to a file in that directory alone, no link
is followed, only a short regular file is read, in a thread that does nothing else, and whatever is wrong with it is
told in the log; the error is always the same.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncssh

from domain.errors import InvalidInput, Unavailable

LONGEST_KEY = 64 << 10
READ_SECONDS = 10.0
_NAME = re.compile(r"[A-Za-z0-9_@+][A-Za-z0-9_@+.-]{0,127}")
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

log = logging.getLogger("understudy.keys")


class _Unusable(Exception):
    """Why a key cannot be used; for the log alone."""


class KeyDirectory:
    """The keys in one directory (``[keys] directory`` of the settings)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._places = {str(directory).rstrip("/"), os.path.realpath(directory).rstrip("/")}
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="keys")

    def check(self, key: str) -> None:
        """Raise ``InvalidInput`` KEY_ELSEWHERE unless ``key`` is a name in the directory, or a path inside of it."""
        if self._parts(key) is None:
            raise InvalidInput(
                "endpoints.gateway.client_key_file",
                f"{key[:200]!r} is no key in {self._directory}.",
                remedy=self._remedy,
                code="KEY_ELSEWHERE",
            )

    async def key(self, key: str) -> asyncssh.SSHKey:
        """Return a key; raise ``Unavailable`` GATEWAY_DENIED, the same for whatever is wrong with it."""
        parts = self._parts(key)
        if parts is None:
            message = f"the key {key[:200]!r} is not in {self._directory}."
            raise Unavailable("GATEWAY_DENIED", message, remedy=self._remedy)
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self._reader, self._read, parts)
        except (_Unusable, OSError, ValueError, asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
            log.warning("a key cannot be used", extra={"key": key, "why": f"{type(error).__name__}: {error}"})
            raise Unavailable(
                "GATEWAY_DENIED",
                f"the key {'/'.join(parts)!r} cannot be used.",
                remedy=f"{self._remedy} It has no passphrase. The log says what is wrong.",
            ) from None

    @property
    def _remedy(self) -> str:
        return (
            f"Put the private key into {self._directory} ([keys] directory of the settings), a regular file of the"
            " control device's user, chmod 600, and give its name there."
        )

    def _parts(self, key: str) -> list[str] | None:
        """The names that lead from the directory to the file; None for what lies elsewhere."""
        for place in self._places:
            if key.startswith(f"{place}/"):
                key = key[len(place) + 1 :]
                break
        parts = key.split("/")
        return parts if all(_NAME.fullmatch(part) for part in parts) else None

    def _read(self, parts: list[str]) -> asyncssh.SSHKey:
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts[:-1]:
                inner = os.open(part, _OPEN | os.O_DIRECTORY, dir_fd=directory)
                os.close(directory)
                directory = inner
            file = os.open(parts[-1], _OPEN, dir_fd=directory)
        finally:
            os.close(directory)
        try:
            _check(os.fstat(file))
            data = os.read(file, LONGEST_KEY + 1)
        finally:
            os.close(file)
        return asyncssh.import_private_key(data)


def _check(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _Unusable("it is no regular file")
    if found.st_size > LONGEST_KEY:
        raise _Unusable(f"it is longer than {LONGEST_KEY} bytes")
    if found.st_uid not in (0, os.geteuid()):
        raise _Unusable(f"it belongs to user {found.st_uid}")
    if found.st_mode & 0o077:
        raise _Unusable(f"others can read or write it (mode {stat.S_IMODE(found.st_mode):o}): chmod 600")
