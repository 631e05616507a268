"""The shell's part in the moment: listing open files, watching over barriers, waiting while clocks are set."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.agent.core.barrier import OWED, RECORD, RELEASED
from infra.agent.core.operations import (
    Fire,
    HBaseCall,
    HdfsCall,
    OpenFiles,
    OperationFailed,
    RunHook,
    SleepUntil,
    StartWatchdog,
)
from infra.agent.protocol import canonical
from infra.agent.shell.credentials import Credentials
from infra.agent.shell.executor import Executor
from infra.agent.shell.namenode_rpc import NameNodeRpc
from infra.agent.shell.open_files import OpenFileListing, parse_listing
from infra.agent.shell.reports import Log
from infra.agent.shell.running import OUTSTANDING_LIMIT
from infra.agent.shell.spool import Entry, Spool
from infra.agent.shell.watchdog import WatchdogStarter, is_released, watch

PATIENCE_SECONDS = 20.0


def until(condition: Callable[[], bool], what: str) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < give_up_at, what
        time.sleep(0.02)


# Open files


def test_the_commands_output_is_read_line_by_line() -> None:
    title = f"{'Client Host':20}\t{'Client Name':20}\tOpen File Path\n"
    text = title + "127.0.0.1           \tDFSClient_NONMAPREDUCE_1\t/data/a b\n10.0.0.1\tx\t  /data/ü\t#%\n"
    assert parse_listing(text) == ["/data/a b", "/data/ü\t#%"]
    assert parse_listing(title + "h\tc\t/data/two\nlines\nh\tc\t/data/b\n") == ["/data/two\nlines", "/data/b"]
    assert parse_listing(title) == []
    assert parse_listing("") == []


class Listing:
    """The listing with another command in place of ``hdfs``, and a NameNode that names ``rpc_address`` as its own."""

    def __init__(self, directory: Path, script: str) -> None:
        self.cancelled = threading.Event()
        credentials = directory / "credentials.json"
        credentials.write_bytes(canonical({"primary": {"hdfs": {"kind": "simple", "user": "super"}}}))
        program = directory / "command"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        self.rpc_address = "nameservice1"  # as a NameNode with high availability calls itself
        command = [str(program), "-path"]
        held = Credentials(str(credentials))
        self._listing = OpenFileListing(NameNodeRpc(self._ask, held), held, self.cancelled, command)

    def _ask(self, call: HdfsCall, is_read: bool) -> dict[str, Any]:
        assert (call.op, call.params, is_read) == ("CREATE", (("noredirect", "true"),), True)
        return {"Location": f"http://dn:1/webhdfs/v1/x?op=CREATE&namenoderpcaddress={self.rpc_address}&overwrite=false"}

    def list(self, site: str = "primary", quick: bool = False) -> list[str]:
        listed = self._listing.of(OpenFiles(site, "/data/x", quick))
        assert listed["way"] == "hdfs command"
        paths: list[str] = listed["paths"]
        return paths


def test_the_command_gets_the_path_and_the_credential(tmp_path: Path) -> None:
    listing = Listing(tmp_path, r'printf "title\nh\tc\t/$HADOOP_USER_NAME/$1/$2\n"')
    assert listing.list() == ["/super/-path//data/x"]


def test_where_rpc_does_not_work_the_command_does_unless_it_must_be_quick(tmp_path: Path) -> None:
    listing = Listing(tmp_path, r'printf "title\nh\tc\t/data/x/1\n"')
    for listing.rpc_address in ("nameservice1", "127.0.0.1:1", ""):
        assert listing.list() == ["/data/x/1"]
        with pytest.raises(OperationFailed, match=r"OPEN_FILES_UNKNOWN.*not over RPC"):
            listing.list(quick=True)


@pytest.mark.parametrize(
    ("script", "message"),
    [("echo no such user >&2; exit 3", "ended with 3: no such user"), ("kill -9 $$", "ended with -9")],
)
def test_a_command_that_fails_is_not_taken_for_an_empty_list(tmp_path: Path, script: str, message: str) -> None:
    with pytest.raises(OperationFailed, match=f"OPEN_FILES_UNKNOWN.*{message}"):
        Listing(tmp_path, script).list()


def test_a_missing_command_and_a_missing_credential_are_told(tmp_path: Path) -> None:
    listing = Listing(tmp_path, "true")
    (tmp_path / "command").unlink()
    with pytest.raises(OperationFailed, match=r"OPEN_FILES_UNKNOWN.*No such file"):
        listing.list()
    with pytest.raises(OperationFailed, match="NO_RIGHT"):
        listing.list("secondary")


def test_an_instruction_that_ends_does_not_wait_for_the_command(tmp_path: Path) -> None:
    listing = Listing(tmp_path, "sleep 600")
    threading.Timer(0.3, listing.cancelled.set).start()
    began = time.monotonic()
    with pytest.raises(OperationFailed, match="ABORTED"):
        listing.list()
    assert time.monotonic() - began < 10


# The watchdog


class ScriptedHooks:
    """Hooks that fail as often as they are told."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.runs: list[str] = []

    def run(self, operation: RunHook) -> dict[str, Any]:
        self.runs.append(f"{operation.name} {operation.argument}")
        if len(self.runs) <= self.failures:
            raise OperationFailed("HOOK_FAILED", "not now")
        return {"exit": 0, "output": ""}


class Watched:
    """An instruction whose barrier is watched over, in virtual time; ``events`` happen at seconds from the start."""

    def __init__(self, directory: Path, failures: int = 0) -> None:
        self.spool = Spool(str(directory / "spool"))
        self.spool.open()
        self.spool.create("i1", {"instruction.json": b"{}"})
        self.entry: Entry = self.spool.entry("i1")
        self.hooks = ScriptedHooks(failures)
        self.now = 0.0
        self.log: list[str] = []
        self.events: list[tuple[float, Callable[[], object]]] = []

    def journal(self, *records: dict[str, Any]) -> None:
        with open(self.entry.work_path("journal"), "ab") as stream:
            stream.writelines(canonical(record) + b"\n" for record in records)

    def watch(self) -> bool:
        operation = StartWatchdog("release", "run1", 30)
        return watch(
            self.entry,
            self.hooks,
            operation,
            self.log.append,
            lambda: self.now,
            self._sleep,  # type: ignore[arg-type]
        )

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        for due in [event for event in self.events if event[0] <= self.now]:
            self.events.remove(due)
            due[1]()


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    made = Watched(tmp_path)
    made.journal({"data_set": "", "barrier": "owed"}, {"data_set": "", "firing": {}})
    return made


def test_the_watchdog_releases_when_the_time_is_over(watched: Watched) -> None:
    assert watched.watch()
    assert watched.hooks.runs == ["release run1"]
    assert watched.now == pytest.approx(30, abs=1)


def test_the_watchdog_does_nothing_once_the_agent_has_released(watched: Watched) -> None:
    watched.events.append((5, lambda: watched.journal({"data_set": "", "barrier": "released"})))
    assert watched.watch()
    assert watched.hooks.runs == []
    assert watched.now == pytest.approx(5, abs=1)


def test_a_barrier_that_is_held_again_is_watched_over_again(watched: Watched) -> None:
    watched.journal({"data_set": "", "barrier": "released"}, {"data_set": "", "barrier": "owed"})
    assert watched.watch()
    assert watched.hooks.runs == ["release run1"]


def test_the_watchdog_releases_at_once_when_the_instruction_has_ended_without(watched: Watched) -> None:
    watched.events.append((5, lambda: watched.entry.end({"status": "aborted"})))
    assert watched.watch()
    assert watched.hooks.runs == ["release run1"]
    assert watched.now == pytest.approx(5, abs=1)


def test_a_hook_that_fails_is_run_again_later_each_time(tmp_path: Path) -> None:
    watched = Watched(tmp_path, failures=4)
    assert watched.watch()
    assert len(watched.hooks.runs) == 5
    assert watched.now == pytest.approx(30 + 5 + 10 + 20 + 40, abs=1)
    assert len([line for line in watched.log if "not now" in line]) == 4


def test_a_hook_that_never_succeeds_is_given_up_after_hours(tmp_path: Path) -> None:
    watched = Watched(tmp_path, failures=1_000_000)
    assert not watched.watch()
    assert watched.now > 4 * 3600
    assert "gives up" in watched.log[-1]


def processes_with(word: str) -> list[str]:
    listed = subprocess.run(
        ["ps", "-ww", "-eo", "pid,ppid,sid,args"], capture_output=True, text=True, check=True
    ).stdout
    return [line for line in listed.splitlines() if word in line and "watchdog" in line]


def test_the_watchdog_is_a_process_of_its_own_and_ends_when_the_barrier_is_released(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.journal({"data_set": "", "barrier": "owed"})
    starter = WatchdogStarter([sys.executable, "-m", "infra.agent"], watched.spool.root, watched.entry)
    starter.start(StartWatchdog("release", "run1", 3600))
    (line,) = processes_with(watched.spool.root)
    pid, _, session, *_ = line.split()
    assert pid == session, "it leads a session of its own"
    watched.journal({"data_set": "", "barrier": "released"})
    until(lambda: processes_with(watched.spool.root) == [], "the watchdog goes on")


def test_a_watchdog_that_cannot_start_is_told(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    starter = WatchdogStarter([sys.executable, "-c", "raise SystemExit(70)"], watched.spool.root, watched.entry)
    with pytest.raises(OperationFailed, match="WATCHDOG_FAILED"):
        starter.start(StartWatchdog("release", "run1", 3600))


# Waiting


def waiting_executor(directory: Path, now_ms: Callable[[], float]) -> Executor:
    log = Log(str(directory / "log"))
    return Executor({}, 1, now_ms, threading.Event(), log, lambda: None)


@pytest.mark.parametrize("step_ms", [-3_600_000.0, 0.0, 3_600_000.0])
def test_a_wait_ends_in_time_whatever_the_clock_does(tmp_path: Path, step_ms: float) -> None:
    stepped: list[float] = [0.0]

    def now_ms() -> float:
        return time.time() * 1000 + stepped[0]

    executor = waiting_executor(tmp_path, now_ms)
    executor.start(1, SleepUntil(now_ms() + 600))
    executor.start(2, SleepUntil(now_ms() + 60_000_000))
    began = time.monotonic()
    assert list(executor.wait(0.1)) == []
    stepped[0] = step_ms
    numbers: list[int] = []
    while not numbers:
        numbers += [outcome.number for outcome in executor.wait(1.0)]
    assert numbers == [1]
    assert time.monotonic() - began < 5
    executor.stop()


def test_the_journal_says_when_something_was_released(watched: Watched) -> None:
    """The words that barrier and watchdog agree on stand in the journal as the barrier writes them."""
    assert not is_released(watched.entry)
    watched.journal(json.loads(canonical({"data_set": "", RECORD: RELEASED})))
    assert is_released(watched.entry)
    watched.journal({"data_set": "", RECORD: OWED})
    assert not is_released(watched.entry)


def test_calls_to_hbase_that_hang_leave_room_to_fire(tmp_path: Path) -> None:
    """As many as the machine lets out at once, less one."""
    hanging, cancelled = threading.Event(), threading.Event()
    performs: dict[type[Any], Callable[[Any], Any]] = {
        HBaseCall: lambda call: hanging.wait(PATIENCE_SECONDS),
        Fire: lambda fire: "fired",
    }
    log = Log(str(tmp_path / "log"))
    executor = Executor(performs, 2, lambda: time.time() * 1000, cancelled, log, lambda: None)
    try:
        for number in range(OUTSTANDING_LIMIT - 1):
            executor.start(number, HBaseCall("primary", {"do": "flush", "table": "t"}, timeout_seconds=60.0))
        executor.start(OUTSTANDING_LIMIT, Fire(0.0, 250.0, ()))
        outcomes: list[Any] = []
        began = time.monotonic()
        while not outcomes and time.monotonic() < began + PATIENCE_SECONDS / 2:
            outcomes += executor.wait(0.2)
        assert [(outcome.number, outcome.value) for outcome in outcomes] == [(OUTSTANDING_LIMIT, "fired")]
    finally:
        hanging.set()
        executor.stop()
