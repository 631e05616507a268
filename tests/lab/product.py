"""The whole product on the lab, as an operator has it: ``understudy serve`` as a process, driven by the command line.

Each ``Product`` has a control device of its own (settings, store, token in a directory) and a pair of its own; the
identity markers that an earlier one left on the lab's clusters are removed first, as their administrator would.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from api.cli.remote.connection import Options, connection
from api.cli.remote.transport import ApiClient
from api.cli.remote.transport import path as resource
from scripts.labkit.lab import Lab

ROOT = Path(__file__).parents[2]
ENDED = ("COMPLETED", "FAILED", "CANCELLED")
WITHIN_SECONDS = 240.0
SHORTEST_LEAD_SECONDS = 4.0
TABLES_SECONDS = 3.0  # what the checks need more when a service has tables
LEADS = (1.0, 2.0, 4.0)
SHORT_LEADS = (0.5, *LEADS)  # where nothing is done between the command and the moment, it may be tried


class CommandFailed(AssertionError):
    """A command of the product ended with an error: ``code`` and the exit code are what scripts match on."""

    def __init__(self, arguments: tuple[str, ...], exit_code: int, output: str) -> None:
        super().__init__(f"understudy {' '.join(arguments)} → {exit_code}: {output}")
        self.exit_code = exit_code
        self.output = output


class Product:
    """One control device over the lab's two clusters."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab = lab
        self.directory = directory
        self.pair = f"lab-{secrets.token_hex(4)}"
        self.lead_seconds = 0.0
        self._is_warm = False
        self.process: subprocess.Popen[bytes] | None = None
        self.environment = {
            **os.environ,
            "UNDERSTUDY_SOCKET": str(directory / "api.sock"),
            "UNDERSTUDY_TOKEN_FILE": str(directory / "token"),
            "PYTHONPATH": str(ROOT),
        }

    # The control device

    def install(self) -> None:
        """Write first settings."""
        self.run(
            "init",
            "--directory",
            str(self.directory),
            "--socket",
            "--token-file",
            str(self.directory / "token"),
            "--keys",
            str(self.lab.layout.controller),
            "--name",
            "tester",
        )

    def start(self) -> None:
        """Start it and return when it answers."""
        self.launch()
        self.wait_for("the control device answers", self._answers, 30)

    def launch(self) -> None:
        """Start it."""
        with (self.directory / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*_program(), "serve", "--config", str(self.directory / "understudy.toml")],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        """End it at once, as a crash does."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> None:
        """End it in order."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
            raise

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.directory / "serve.log").read_text()[-2000:]
        return self.attempt("cluster", "list").returncode == 0

    # Commands

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command and return how it ended."""
        return subprocess.run(
            [*_program(), *arguments],
            env=self.environment,
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def run(self, *arguments: str) -> str:
        """Run a command that has to succeed; returns what it wrote."""
        done = self.attempt(*arguments)
        if done.returncode != 0:
            raise CommandFailed(arguments, done.returncode, done.stdout + done.stderr)
        return done.stdout

    def ask(self, *arguments: str) -> Any:
        """Run a command with ``--json`` that has to succeed; returns the answer."""
        return json.loads(self.run(*arguments, "--json"))

    # The usual steps

    def form_pair(self) -> None:
        """Enter both clusters and join them; returns when both have their identities.

        How long that takes tells how busy the machine is, and so how far ahead a moment has to lie.
        """
        began = time.monotonic()
        for name in ("a", "b"):
            self.enter_cluster(name)
        self.run("pair", "create", self.pair, "--primary", "a", "--secondary", "b")
        self.wait_for("the pair is formed", lambda: self.ask("pair", "show", self.pair)["state"] == "STEADY", 60)
        self.lead_seconds = SHORTEST_LEAD_SECONDS + (time.monotonic() - began)

    def enter_cluster(
        self,
        name: str,
        *,
        gateway: Mapping[str, Any] | None = None,
        hbase: Mapping[str, Any] | None = None,
        **general: Any,
    ) -> None:
        """Enter a cluster as the lab describes it, with some of the settings changed."""
        described = json.loads((self.lab.layout.root / "lab.json").read_text())["clusters"][name]
        tables = {
            "gateway": {**described["gateway"], **(gateway or {})},
            "hbase": {**{key: described["hbase"][key] for key in ("root", "admin_command")}, **(hbase or {})},
        }
        lines = _toml({"namenodes": described["namenodes"], **general})
        for title, table in tables.items():
            lines += [f"[{title}]", *_toml(table)]
        path = self.directory / f"{name}.toml"
        path.write_text("\n".join(lines) + "\n")
        self.run("cluster", "add", name, "--file", str(path))

    def protect(
        self,
        service: str,
        hdfs: tuple[str, ...] = (),
        hbase: tuple[str, ...] = (),
        policy: tuple[str, ...] = (),
        *,
        adopts: bool = False,
    ) -> None:
        """Define a service with one policy, named after it; ``adopts`` what stands on the secondary already."""
        data_sets = [word for path in hdfs for word in ("--hdfs", path)]
        data_sets += [word for table in hbase for word in ("--hbase", table)]
        self.run("service", "adopt" if adopts else "add", service, "--pair", self.pair, *data_sets)
        self.run("policy", "add", service, "--service", service, *policy)
        if hbase and not self._is_warm:
            # The first check of tables waits for JRuby to start, on both gateways; no lead is measured by that. What it
            # finds is no concern of this: the run's own checks find it too.
            for name in ("a", "b"):
                self.attempt("cluster", "check", name)
            self._is_warm = True

    def lead(self, *, with_tables: bool = False, times: float = 1.0) -> tuple[str, str]:
        """The option for a moment that lies as far ahead as the checks of a run need, or ``times`` as far."""
        seconds = self.lead_seconds + (TABLES_SECONDS if with_tables else 0.0)
        return ("--at", f"+{round(seconds * times)}s")

    def begin(self, service: str, *arguments: str) -> str:
        """Begin a backup and return the run's id."""
        return str(self.ask("backup", service, *arguments)["id"])

    def arm(self, service: str, *arguments: str, times: float = 1.0) -> str:
        """Begin a backup and return the run's id when its snapshots are ordered."""

        def armed(longer: float) -> tuple[str, dict[str, Any]]:
            run = self.begin(service, *arguments, *self.lead(times=times * longer))
            return run, self._wait_for(run, lambda state: state in ("ARMED", *ENDED))

        run, page = self._in_time(armed)
        assert page["state"] == "ARMED", (page["state"], page["failure"])
        return run

    def back_up(self, service: str, *arguments: str, with_tables: bool = False) -> dict[str, Any]:
        """Back up and return the page of the completed run."""
        page = self._ended(service, arguments, with_tables)
        assert page["state"] == "COMPLETED", (page["state"], page["failure"])
        return page

    def fail_to_back_up(self, service: str, *arguments: str, with_tables: bool = False) -> dict[str, Any]:
        """Back up, expecting it to fail; returns the page."""
        page = self._ended(service, arguments, with_tables)
        assert page["state"] == "FAILED", page["state"]
        return page

    def _ended(self, service: str, arguments: tuple[str, ...], with_tables: bool) -> dict[str, Any]:
        def ended(longer: float) -> tuple[str, dict[str, Any]]:
            run = self.begin(service, *arguments, *self.lead(with_tables=with_tables, times=longer))
            return run, self._wait_for(run, lambda state: state in ENDED)

        return self._in_time(ended, SHORT_LEADS)[1]

    def _in_time(
        self, attempt: Callable[[float], tuple[str, dict[str, Any]]], leads: Sequence[float] = LEADS
    ) -> tuple[str, dict[str, Any]]:
        """A run whose checks are over before its moment: on a machine too busy for one, another moment is chosen."""
        for longer in leads:
            run, page = attempt(longer)
            if page["snapshots"] or not page["failure"] or page["failure"]["code"] != "MOMENT_MISSED":
                break
        return run, page

    def page(self, run: str) -> dict[str, Any]:
        """Everything about a run."""
        page: dict[str, Any] = self.ask("run", "show", run)
        return page

    def wait_for_state(self, run: str, *states: str) -> dict[str, Any]:
        """Wait until a run is in one of the states; fails when it ends in another one."""
        page = self._wait_for(run, lambda state: state in (*states, *ENDED))
        assert page["state"] in states, (page["state"], page["failure"])
        return page

    def _wait_for(self, run: str, is_awaited: Callable[[str], bool]) -> dict[str, Any]:
        """The run's page when it is in an awaited state.

        The API is asked directly: some states are shorter than a command takes to start.
        """
        client = ApiClient(connection(Options(), self.environment))
        give_up_at = time.monotonic() + WITHIN_SECONDS
        while True:
            page: dict[str, Any] = client.get(resource("runs", run))
            if is_awaited(page["state"]):
                return page
            assert time.monotonic() < give_up_at, f"run {run} stays {page['state']}: {page['last_failure']}"
            time.sleep(0.05)

    def wait_for(self, what: str, condition: Any, within_seconds: float) -> None:
        """Poll a condition; fails with ``what`` when the time is over."""
        give_up_at = time.monotonic() + within_seconds
        while not condition():
            assert time.monotonic() < give_up_at, f"not within {within_seconds} s: {what}"
            time.sleep(0.05)


def _toml(table: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {json.dumps(value)}" for key, value in table.items()]


def _program() -> list[str]:
    return [sys.executable, "-c", "from api.cli.main import main; main()"]


def forget_earlier_pairs(lab: Lab) -> None:
    """Remove what earlier control devices left on both clusters: whose they are, markers, staging, recovery points."""
    for cluster in (lab.cluster("a"), lab.cluster("b")):
        client = cluster.webhdfs("hdfs")
        for name in ("controller", "identity", "incoming", "recovery-points", "scratch", "damaged", "manifests"):
            directory = f"/.understudy/{name}"
            if client.status(directory, strict=False) is None:
                continue
            for child in client.list(directory):
                client.delete(f"{directory}/{child}", recursive=True)
