"""Try mutations: a copy of the project, the fault in it, and pytest's word on whether it was noticed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from scripts.mutatekit.mutation import DoesNotApply, Mutation

LIMIT_SECONDS = 120
_FAILED_TESTS = 1  # pytest's exit code for "tests ran and some failed"; others say that they could not be run


class Verdict(Enum):
    """What became of a fault. Everything but KILLED is a failure of the test suite, or of the catalogue."""

    KILLED = "killed"
    SURVIVED = "survived"
    TIMED_OUT = "timed out"
    BROKEN = "broken"


@dataclass(frozen=True)
class Trial:
    """A fault that was tried; ``detail`` is the test that failed first, or why there is no verdict."""

    mutation: Mutation
    verdict: Verdict
    detail: str
    seconds: float


class Copy:
    """A copy of the project's files (those that git tracks or would track) in a directory of its own."""

    def __init__(self, project: Path, directory: Path) -> None:
        self._root = directory
        self._process: subprocess.Popen[str] | None = None
        self._is_stopped = False
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=project,
            capture_output=True,
            check=True,
        ).stdout
        for name in filter(None, listed.decode("utf-8").split("\0")):
            source, target = project / name, directory / name
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)

    def check(self, tests: Sequence[str]) -> str | None:
        """Run tests without any fault; None when all of them pass, else the end of what pytest said."""
        code, output = self._run(tests)
        return None if code == 0 else output[-3000:]

    def try_one(self, mutation: Mutation) -> Trial:
        """Put the fault in, run its tests, and take it out again."""
        began = time.monotonic()
        try:
            texts = mutation.applied(self._root)
        except DoesNotApply as failure:
            return Trial(mutation, Verdict.BROKEN, str(failure), 0)
        originals = {path: path.read_bytes() for path in texts}
        try:
            for path, text in texts.items():
                path.write_text(text, encoding="utf-8")
            code, output = self._run(mutation.tests)
        finally:
            for path, content in originals.items():
                path.write_bytes(content)
        verdict, detail = _judged(code, output)
        return Trial(mutation, verdict, detail, time.monotonic() - began)

    def _run(self, tests: Sequence[str]) -> tuple[int | None, str]:
        """Pytest's exit code (None: it took too long) and output."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-ra", "-p", "no:cacheprovider", *tests]
        # The copy comes first on the path, whatever the environment has installed.
        temporary = self._root.with_name(f"{self._root.name}-temporary")
        temporary.mkdir(exist_ok=True)  # of its own: several pytest processes clear one another's away
        environment = {
            **os.environ,
            "PYTHONPATH": str(self._root),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTEST_DEBUG_TEMPROOT": str(temporary),
        }
        if self._is_stopped:
            return None, ""
        process = self._process = subprocess.Popen(
            command,
            cwd=self._root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._end(process)
            process.communicate()
            return None, ""
        finally:
            self._process = None
        return process.returncode, output

    def stop(self) -> None:
        """End what runs in it, and run nothing more."""
        self._is_stopped = True
        if (process := self._process) is not None:
            self._end(process)

    @staticmethod
    def _end(process: subprocess.Popen[str]) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _judged(code: int | None, output: str) -> tuple[Verdict, str]:
    if code is None:
        return Verdict.TIMED_OUT, f"no verdict within {LIMIT_SECONDS} s"
    if code == 0:
        return Verdict.SURVIVED, "all tests passed"
    noticed = [line.split(" ", 1)[1] for line in output.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    if code != _FAILED_TESTS or not noticed:
        return Verdict.BROKEN, f"pytest ended with {code}: {output[-500:]}"
    return Verdict.KILLED, noticed[0].partition(" - ")[0]
