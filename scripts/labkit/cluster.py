"""One cluster of the lab, for tests and for the command line: break it, mend it, look into it."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import happybase
import hdfs
import requests

from scripts.labkit import proc, processes
from scripts.labkit.configuration import ClusterOptions, write_configuration
from scripts.labkit.errors import LabError
from scripts.labkit.gateway import client_command
from scripts.labkit.layout import HOST, ClusterLayout, LabLayout
from scripts.labkit.parts import part_named
from scripts.labkit.starting import Report, start_named, start_process

_CLIENT_TIMEOUT_SECONDS = 30
_WRITABLE_WITHIN_SECONDS = 60
_SMALL_BLOCK_BYTES = 1 << 20  # for which there is room, where there is little


def _silent(line: str) -> None:
    """Report to nobody."""


class Cluster:
    """A handle; all state is in the files and processes that ``layout`` leads to, so handles are free to come and go.

    Parts are named as in ``PART_NAMES``; an unknown name raises LabError.
    """

    def __init__(self, layout: ClusterLayout, lab: LabLayout) -> None:
        self.layout = layout
        self.lab = lab

    @property
    def name(self) -> str:
        return self.layout.name

    @property
    def webhdfs_url(self) -> str:
        return self.layout.webhdfs_url

    # What stands

    def facts(self, part: str) -> proc.ProcessFacts | None:
        """The part's living process, or None."""
        return processes.living(self.layout, part_named(part).name)

    def running(self, part: str) -> bool:
        """Whether the part's process lives and is not paused."""
        facts = self.facts(part)
        return facts is not None and not facts.paused

    # Breaking and mending

    def kill(self, part: str) -> None:
        """End the part at once, as a crash does (SIGKILL), and return when it is gone.

        Of the gateway only the server dies: sessions and agents live on; see ``power_off_gateway``.
        """
        self._must_run(part, signal.SIGKILL)
        if not processes.wait_until_ended(self.layout, part, 10):
            raise LabError(f"{self.name}.{part} lives on, although it was killed")

    def pause(self, part: str) -> None:
        """Stop the part's process without ending it (SIGSTOP): it accepts connections and answers nothing.

        Returns when it stands still: each of its threads has to take notice of the signal.
        """
        self._must_run(part, signal.SIGSTOP)
        if not processes.wait_until_paused(self.layout, part, 10):
            raise LabError(f"{self.name}.{part} goes on, although it was told to stand still")

    def resume(self, part: str) -> None:
        """Let a paused part go on (SIGCONT)."""
        self._must_run(part, signal.SIGCONT)

    def start(self, part: str, *, wait: bool = True, report: Report = _silent) -> None:
        """Start the part if it is down; ``wait`` for it to be ready."""
        if wait:
            start_named(self.layout, part, report)
        else:
            start_process(self.layout, part_named(part))

    def power_off_gateway(self) -> None:
        """End the gateway's server and everything that runs in its sessions or was detached from them."""
        if self.facts("gateway") is not None:
            self.kill("gateway")
        facts = [processes.living(self.layout, name) for name in processes.recorded_names(self.layout)]
        processes.end_leftovers(self.layout, spare=[found.pid for found in facts if found is not None])

    def set_capture_open_files(self, capture: bool) -> None:
        """Choose whether snapshots freeze open files; a running NameNode is restarted when that changes its mind."""
        self._choose(replace(ClusterOptions.load(self.layout), capture_open_files=capture), "namenode")

    def set_reserved_bytes(self, reserved_bytes: int) -> None:
        """Choose how much of its disk a DataNode leaves to others; a running one is restarted when that changes it."""
        self._choose(replace(ClusterOptions.load(self.layout), reserved_bytes=reserved_bytes), "datanode")

    @contextmanager
    def configured(self, settings: Mapping[str, object]) -> Iterator[None]:
        """Give the NameNode further settings for a while; it is restarted for that twice, if it runs."""
        before = ClusterOptions.load(self.layout)
        given = {
            name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in settings.items()
        }
        try:
            self._choose(replace(before, namenode={**before.namenode, **given}), "namenode")
            yield
        finally:
            self._choose(before, "namenode")

    def _choose(self, options: ClusterOptions, part: str) -> None:
        """Keep what was chosen; the part that heeds it begins anew, if it runs, and then can be written to."""
        if options == ClusterOptions.load(self.layout):
            return
        options.save(self.layout)
        write_configuration(self.layout, options)
        if self.facts(part) is not None:
            self.kill(part)
            self.start(part)
            self._write_once()

    def _write_once(self) -> None:
        """Write until it can be done: the first write may still go through the DataNode's connection of before."""
        client, path = self.webhdfs("hdfs"), "/tmp/.lab-writes"
        give_up_at = time.monotonic() + _WRITABLE_WITHIN_SECONDS
        while True:
            try:
                client.write(path, b"x", overwrite=True, blocksize=_SMALL_BLOCK_BYTES)
                return
            except (hdfs.HdfsError, requests.RequestException):
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(0.5)

    # Looking into it

    def webhdfs(self, user: str) -> hdfs.InsecureClient:
        """A client of this cluster's HDFS as ``user`` ("hdfs" is the superuser, "app" the application)."""
        return hdfs.InsecureClient(self.webhdfs_url, user=user, timeout=_CLIENT_TIMEOUT_SECONDS)

    @contextmanager
    def hbase(self) -> Iterator[happybase.Connection]:
        """A connection to this cluster's Thrift server, closed at the end."""
        connection = happybase.Connection(HOST, self.layout.ports.thrift, timeout=_CLIENT_TIMEOUT_SECONDS * 1000)
        try:
            yield connection
        finally:
            connection.close()

    def ssh(
        self, command: str, *, text_input: str | None = None, timeout_seconds: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the gateway's shell; the exit code and both outputs are in the answer."""
        return subprocess.run(
            [*client_command(self.layout, self.lab), command],
            input=text_input,
            stdin=subprocess.DEVNULL if text_input is None else None,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )

    def _must_run(self, part: str, number: signal.Signals) -> None:
        if not processes.send(self.layout, part_named(part).name, number):
            raise LabError(f"{self.name}.{part} is not running")
