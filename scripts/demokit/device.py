"""The control device of the demonstration, as a process of its own, and its command line as a person uses it."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.demokit.telling import Teller
from scripts.labkit.processes import poll

STOP_WITHIN_SECONDS = 20
KEPT = "kept"


def _holder(lock: Path) -> int | None:
    """The process that holds a control device's lock, or None."""
    if not lock.exists():
        return None
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(file.read().strip())
    return None


class DemoFailed(Exception):
    """Something did not come out as it must."""


class Device:
    """``directory`` is emptied first, after ``refuse_kept``: the store is fresh each time."""

    def __init__(self, directory: Path, keys: Path, teller: Teller) -> None:
        self.directory = directory
        self._keys = keys
        self._teller = teller
        self._process: subprocess.Popen[str] | None = None
        self._program = str(Path(sys.executable).with_name("understudy"))
        self._environment = {
            **os.environ,
            "UNDERSTUDY_SOCKET": str(directory / "api.sock"),
            "UNDERSTUDY_TOKEN_FILE": str(directory / "token"),
        }

    @property
    def exports(self) -> str:
        """What a person types to use it."""
        names = ("UNDERSTUDY_SOCKET", "UNDERSTUDY_TOKEN_FILE")
        words = [f"{name}={self._environment[name]}" for name in names]
        return " ".join(["export", *words, f'PATH="{Path(self._program).parent}:$PATH"'])

    def refuse_kept(self) -> None:
        """Raise ``DemoFailed`` while the control device of another demonstration runs, or its store was to be kept."""
        runs = _holder(self.directory / "events.db.lock")
        if runs is None and not (self.directory / KEPT).exists():
            return
        state = f"its control device runs, process {runs}" if runs else "its control device has ended"
        raise DemoFailed(
            f"another demonstration is kept in {self.directory} ({state}); nothing was touched."
            " To let a new one take its place: scripts/demo --replace"
        )

    def keep(self) -> None:
        """Let no other demonstration take its place without being told to."""
        if self.directory.is_dir():
            (self.directory / KEPT).touch()

    def install(self) -> None:
        """Write settings and a token; whoever was to be asked about an earlier one has been."""
        earlier = _holder(self.directory / "events.db.lock")
        if earlier is not None:
            self._teller.note(f"ending the control device of an earlier demonstration, process {earlier}")
            os.kill(earlier, signal.SIGTERM)
            if not poll(lambda: _holder(self.directory / "events.db.lock") is None, STOP_WITHIN_SECONDS):
                raise DemoFailed(f"the control device of an earlier demonstration does not end: process {earlier}")
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        options = ("--directory", str(self.directory), "--keys", str(self._keys), "--token-file", self.token)
        self.show("init", "--socket", "--name", "demo", *options)

    @property
    def token(self) -> str:
        """The path of the token's file."""
        return str(self.directory / "token")

    def start(self) -> None:
        """Start it and return when it answers."""
        config = str(self.directory / "understudy.toml")
        self._teller.command(f"understudy serve --config {config}")
        with (self.directory / "log").open("w") as log:
            self._process = subprocess.Popen(
                [self._program, "serve", "--config", config],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.startswith("listening on"):
            raise DemoFailed(f"the control device did not start: {(self.directory / 'log').read_text()[-1000:]}")
        print(line, end="", flush=True)

    def stop(self) -> None:
        """End it in order."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def show(self, *words: str) -> None:
        """Run a command with its output on the terminal, live views included; raises ``DemoFailed``."""
        self._teller.command(shlex.join(["understudy", *words]))
        sys.stdout.flush()
        done = subprocess.run([self._program, *words], env=self._environment, check=False)
        if done.returncode != 0:
            raise DemoFailed(f"'understudy {words[0]}' ended with exit code {done.returncode}")

    def ask(self, *words: str) -> Any:
        """Run a command with ``--json``, unseen, and return its answer."""
        done = subprocess.run(
            [self._program, *words, "--json"], env=self._environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise DemoFailed(f"'understudy {words[0]}' ended with {done.returncode}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def write_cluster(self, name: str, described: Mapping[str, Any]) -> Path:
        """Write the file that ``cluster add`` takes, from the lab's description of a cluster."""
        keys = ("root", "admin_command")
        lines = [
            f"namenodes = {json.dumps(described['namenodes'])}",
            "",
            "[gateway]",
            *(f"{key} = {json.dumps(value)}" for key, value in described["gateway"].items()),
            "",
            "[hbase]",
            *(f"{key} = {json.dumps(described['hbase'][key])}" for key in keys),
        ]
        path = self.directory / f"{name}.toml"
        path.write_text("\n".join(lines) + "\n")
        return path
