"""What a newcomer sees, in order. Every step goes through the product's own command line."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rich.console import Console

from scripts.demokit.device import DemoFailed, Device
from scripts.demokit.proof import compare
from scripts.demokit.telling import Teller
from scripts.labkit import processes
from scripts.labkit.application.control import progress_of, start_application, stop_application
from scripts.labkit.application.settings import ApplicationSettings
from scripts.labkit.comparison import comparison_table
from scripts.labkit.description import describe_lab
from scripts.labkit.errors import LabError
from scripts.labkit.lab import Lab
from scripts.labkit.processes import poll
from scripts.labkit.status import status_of

SHORTEST_LEAD_SECONDS = 20
FILLING = 20.0  # operations a second while the application fills its directory, and from then on
STEADY = 0.5
FILLED = 250
WIDTH = 130
LEFT_BEHIND = ("controller", "identity", "incoming", "recovery-points", "scratch", "damaged")


class Story:
    """One demonstration; ``tell`` proves or raises, ``end`` leaves nothing running."""

    def __init__(self, teller: Teller) -> None:
        self._teller = teller
        self._lab = Lab.load()
        self._mark = secrets.token_hex(3)
        self._device = Device(self._lab.layout.root / "demo", self._lab.layout.controller, teller)
        name = f"shop-{self._mark}"
        self._application = ApplicationSettings(
            name=name,
            directory=f"/data/{name}",
            tables=(f"orders_{self._mark}", f"customers_{self._mark}"),
            files_per_second=FILLING,
        )
        self._lab_was_up = all(line.state == "running" for line in status_of(self._lab.layout))
        self._application_runs = False
        self._lead_seconds = SHORTEST_LEAD_SECONDS

    def refuse_kept(self) -> None:
        """Raise ``DemoFailed`` if another demonstration was to be kept."""
        self._device.refuse_kept()

    def tell(self) -> None:
        """Everything; raises ``DemoFailed`` or ``LabError`` when something was not proved."""
        self._clusters()
        self._begin_application()
        self._control_device()
        self._policy()
        self._back_up_and_prove("push", "the primary sends its snapshots to the secondary")
        self._back_up_and_prove("pull", "the secondary fetches them; an increment from the first recovery point")

    def end(self, *, keep: bool) -> None:
        """Leave nothing running, or say how to go on."""
        if keep:
            self._device.keep()
            self._teller.section("Left running, because of --keep")
            print(self._device.exports)
            print(f"scripts/lab app stop --name {self._application.name}; scripts/lab down")
            print(f"kill $(cat {self._device.directory / 'events.db.lock'})   # the control device")
            return
        steps: list[tuple[bool, Callable[[], None]]] = [
            (True, self._device.stop),
            (self._application_runs, lambda: stop_application(self._lab, self._application.name)),
            (not self._lab_was_up, lambda: self._lab.down(self._teller.note)),
        ]
        for is_needed, step in steps:
            try:
                if is_needed:
                    step()
            except LabError as error:
                self._teller.problem(f"demo: {error}")

    def _clusters(self) -> None:
        self._teller.section(
            "Two real clusters",
            "Each with NameNode, DataNode, HttpFS, ZooKeeper, HBase master and RegionServer, HBase Thrift server,",
            "and a gateway: an SSH server on which Understudy's agent will work.",
        )
        self._teller.command("scripts/lab up")
        self._lab.up(self._teller.note)

    def _begin_application(self) -> None:
        settings = self._application
        self._teller.section(
            "An application that writes all the time",
            f"It writes files below {settings.directory} and rows of {' and '.join(settings.tables)} on cluster a,",
            "and keeps a log of what it was told is stored: the independent truth for what follows.",
        )
        self._stop_earlier_applications()
        self._application_runs = True
        start_application(self._lab, settings)
        self._fill()
        self._teller.note(f"its log: {settings.log_file(self._lab.cluster(settings.cluster).layout)}")
        self._set_up_as_administrator()

    def _stop_earlier_applications(self) -> None:
        """An application that a demonstration with --keep left writing."""
        for name in processes.recorded_names(self._lab.cluster(self._application.cluster).layout):
            kind, _, application = name.partition("-")
            if kind == "app" and application.startswith("shop-"):
                self._teller.note(f"stopping an earlier demonstration's application, {application}")
                stop_application(self._lab, application)

    def _fill(self) -> None:
        """Let it fill its directory, then change it slowly: most of what a service stores is not of today."""

        self._teller.note(f"filling it: {FILLED} operations on each data set …")

        def is_filled() -> bool:
            return all(line.acknowledged >= FILLED for line in progress_of(self._lab, self._application))

        if not poll(is_filled, within_seconds=120):
            raise DemoFailed("the application did not get on")
        stop_application(self._lab, self._application.name)
        self._application = replace(self._application, files_per_second=STEADY)
        start_application(self._lab, self._application)

    def _set_up_as_administrator(self) -> None:
        """What an administrator does once: allow snapshots; and forget control devices of earlier demonstrations."""
        directory = self._application.directory
        done = self._lab.cluster("a").ssh(f"HADOOP_USER_NAME=hdfs hdfs dfsadmin -allowSnapshot {directory}")
        if done.returncode != 0:
            raise DemoFailed(f"snapshots of {directory} could not be allowed: {done.stderr.strip()}")
        for name in ("a", "b"):
            client = self._lab.cluster(name).webhdfs("hdfs")
            for directory in (f"/.understudy/{part}" for part in LEFT_BEHIND):
                if client.status(directory, strict=False) is None:
                    continue
                for child in client.list(directory):
                    client.delete(f"{directory}/{child}", recursive=True)
                    self._teller.note(f"removed from cluster {name}, left by an earlier one: {directory}/{child}")

    def _control_device(self) -> None:
        self._teller.section("The control device, with a fresh store", "It decides and remembers; no data pass it.")
        self._device.install()
        self._device.start()
        clusters = json.loads(json.dumps(describe_lab(self._lab.layout)))["clusters"]
        for name in ("a", "b"):
            path = self._device.write_cluster(name, clusters[name])
            self._device.show("cluster", "add", name, "--file", str(path))
        self._device.show("pair", "create", self._pair, "--primary", "a", "--secondary", "b")
        for name in ("a", "b"):
            began = time.monotonic()
            self._device.show("cluster", "check", name)
        # A run begins with the same checks, and the agent warms up before the moment; a slow machine needs longer.
        self._lead_seconds = SHORTEST_LEAD_SECONDS + round(time.monotonic() - began)

    def _policy(self) -> None:
        settings = self._application
        self._teller.section(
            "A service and its policy", "The service is everything that belongs together, across components."
        )
        tables = [word for table in settings.tables for word in ("--hbase", table)]
        self._device.show("service", "add", "shop", "--pair", self._pair, "--hdfs", settings.directory, *tables)
        # Both clusters share this machine, so a cut takes longer here than on clusters of their own.
        limits = ("--max-skew-ms", "15000", "--mass-change-percent", "80")
        self._device.show("policy", "add", "nightly", "--service", "shop", *limits)

    def _back_up_and_prove(self, direction: str, explanation: str) -> None:
        self._teller.section(
            f"A backup of all of it at one announced moment, by {direction}", f"{explanation.capitalize()}."
        )
        self._device.show("backup", "shop", "--at", f"+{self._lead_seconds}s", f"--{direction}", "--watch")
        run = self._device.ask("runs", "--service", "shop", "--limit", "1")["items"][0]
        page = self._device.ask("run", "show", run["id"])
        self._device.show("recovery-points", "--service", "shop")
        self._prove(page)

    def _prove(self, page: dict[str, Any]) -> None:
        self._teller.section(
            "The recovery point, opened on the secondary and compared with the application's own log",
            "What was acknowledged before the moment must be there; what was sent after it must not.",
        )
        point = str(page["recovery_point"])
        self._device.show("open", point)
        readable = self._device.ask("recovery-point", "show", point)["summary"]["readable"]
        comparisons = compare(self._lab, self._application, page, readable)
        Console(width=WIDTH).print(comparison_table(comparisons))
        for comparison in comparisons:
            comparison.require_equal()
        self._device.show("close", point, "--yes")

    @property
    def _pair(self) -> str:
        return "sites"
