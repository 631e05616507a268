"""Hooks: named programs of the gateway's administrator; an instruction names one, it never brings one.

A hook is a file in ``hooks.d`` that belongs to root and that nobody else can write, in a directory of which the same is
true. So what an instruction can make run is what root has put there.
"""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
from typing import Any

from infra.agent.core.operations import OperationFailed, RunHook

HOOKS_DIRECTORY = "/etc/understudy/hooks.d"
OUTPUT_LIMIT_BYTES = 4096
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\Z")
_NOT_OWNERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Hooks:
    """The hooks of this gateway."""

    def __init__(self, directory: str = HOOKS_DIRECTORY) -> None:
        self._directory = directory

    def names(self) -> list[str]:
        """The names that can be run."""
        if not os.path.isdir(self._directory):
            return []
        return sorted(name for name in os.listdir(self._directory) if self._why_not(name) is None)

    def run(self, operation: RunHook) -> dict[str, Any]:
        """Carry out ``RunHook``: the program gets the argument, an empty input and a bare environment."""
        reason = self._why_not(operation.name)
        if reason is not None:
            raise OperationFailed("NO_SUCH_HOOK", f"{operation.name!r}: {reason}")
        program = os.path.join(self._directory, operation.name)
        try:
            process = subprocess.Popen(
                [program, operation.argument],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
                start_new_session=True,
            )
        except OSError as error:
            raise OperationFailed("HOOK_FAILED", f"{operation.name}: {error.strerror}") from error
        try:
            output, _ = process.communicate(timeout=operation.timeout_seconds)
        except subprocess.TimeoutExpired as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            message = f"{operation.name} did not end within {operation.timeout_seconds:.0f} s and was killed"
            raise OperationFailed("HOOK_FAILED", message, unknown=True) from error
        text = output[-OUTPUT_LIMIT_BYTES:].decode("utf-8", "replace")
        if process.returncode != 0:
            raise OperationFailed(
                "HOOK_FAILED",
                f"{operation.name} ended with {process.returncode}: {text.strip()[-500:]}",
                detail={"exit": process.returncode, "output": text},
            )
        return {"exit": 0, "output": text}

    def _why_not(self, name: str) -> str | None:
        """Why a name cannot be run, or None."""
        if not _NAME.match(name):
            return "is no plain file name"
        for path in (self._directory, os.path.join(self._directory, name)):
            try:
                status = os.lstat(path)
            except OSError as error:
                return f"{path}: {error.strerror}"
            if status.st_uid != 0 or status.st_mode & _NOT_OWNERS_WRITE or stat.S_ISLNK(status.st_mode):
                return f"{path} must belong to root and be writable by root alone"
        if not os.access(os.path.join(self._directory, name), os.X_OK):
            return "is not executable for this user"
        return None
