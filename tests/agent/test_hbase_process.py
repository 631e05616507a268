"""The HBase administration process and its keeper: replies out of order, death, silence, noise, sharing, leaving."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.agent.core.operations import OperationFailed
from infra.agent.shell.hbase_process import HBaseProcess
from infra.agent.shell.reports import Log

PEER = """
import json, os, sys, threading, time
print("some Java library says hello", flush=True)
print("a warning", file=sys.stderr, flush=True)
print(json.dumps({"ready": True, "hbase": "2.6.4", "pid": os.getpid()}), flush=True)
lock = threading.Lock()
def answer(request):
    if request["do"] == "die":
        os._exit(1)
    if request["do"] == "what":
        reply = {"id": request["id"], "ok": False, "exception": "Refused", "message": '"what" is not in the vocabulary'}
    elif request["do"] == "fail":
        reply = {"id": request["id"], "ok": False, "exception": "TableNotFoundException", "message": "no such table"}
    else:
        time.sleep(request.get("seconds", 0))
        reply = {"id": request["id"], "ok": True, "result": {"echo": request["do"], "pid": os.getpid()}}
    with lock:
        print(json.dumps(reply), flush=True)
for line in sys.stdin:
    threading.Thread(target=answer, args=(json.loads(line),), daemon=True).start()
open(sys.argv[1], "w").write("ended")
"""


@pytest.fixture
def process(tmp_path: Path) -> Iterator[HBaseProcess]:
    script = tmp_path / "peer.py"
    script.write_text(PEER)
    started = join(tmp_path)
    yield started
    started.close()
    wait_until(lambda: not list(tmp_path.glob("*.socket")))


def join(directory: Path, idle_seconds: float = 0) -> HBaseProcess:
    command = [sys.executable, str(directory / "peer.py"), str(directory / "ended")]
    return HBaseProcess(str(directory), command, Log(str(directory / "log")), idle_seconds)


def wait_until(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def failure_of(process: HBaseProcess, do: str, timeout_seconds: float = 20.0) -> OperationFailed:
    with pytest.raises(OperationFailed) as caught:
        process.call({"do": do, "seconds": 5}, timeout_seconds)
    return caught.value


def test_requests_are_answered_at_the_same_time_each_to_its_own(process: HBaseProcess) -> None:
    process.warm_up()
    with ThreadPoolExecutor(10) as pool:
        began = time.monotonic()
        calls = [
            pool.submit(process.call, {"do": f"snapshot {number}", "seconds": 1.0 - number / 10}, 20.0)
            for number in range(10)
        ]
        assert [call.result()["echo"] for call in calls] == [f"snapshot {number}" for number in range(10)]
        assert time.monotonic() - began < 5


def test_a_remote_exception_is_told_with_its_class(process: HBaseProcess) -> None:
    failed = failure_of(process, "fail")
    assert failed.code == "HBASE"
    assert failed.detail["exception"] == "TableNotFoundException"
    assert not failed.unknown


def test_a_word_that_it_does_not_know_says_that_it_is_older_than_the_agent(process: HBaseProcess) -> None:
    failed = failure_of(process, "what")
    assert failed.code == "ADMIN_COMMAND_OLD"
    assert "set-up script" in failed.remedy
    assert failed.is_final


def test_after_its_death_the_outcome_is_unknown_and_the_next_call_starts_another(process: HBaseProcess) -> None:
    first = process.call({"do": "status"}, 20.0)["pid"]
    failed = failure_of(process, "die")
    assert failed.code == "HBASE_ADMIN_DIED"
    assert failed.unknown
    assert process.call({"do": "status"}, 20.0)["pid"] != first


def test_a_reply_that_does_not_come_in_time_is_unknown(process: HBaseProcess) -> None:
    process.warm_up()
    failed = failure_of(process, "slow", timeout_seconds=0.2)
    assert failed.code == "HBASE_TIMEOUT"
    assert failed.unknown
    assert process.call({"do": "status"}, 20.0)["echo"] == "status"


def test_what_it_prints_besides_goes_to_the_log_and_it_ends_when_nobody_needs_it(
    process: HBaseProcess, tmp_path: Path
) -> None:
    process.call({"do": "status"}, 20.0)
    for said in ("some Java library says hello", "hbase: a warning"):
        wait_until(lambda said=said: said in (tmp_path / "log").read_text())  # type: ignore[misc]
    process.close()
    wait_until((tmp_path / "ended").exists)


def test_agents_share_it_and_each_gets_its_own_replies(process: HBaseProcess, tmp_path: Path) -> None:
    others = [join(tmp_path) for _ in range(4)]
    with ThreadPoolExecutor(20) as pool:
        everybody = [process, *others] * 4
        calls = [
            pool.submit(each.call, {"do": f"word {number}", "seconds": 0.1}, 20.0)
            for number, each in enumerate(everybody)
        ]
        answers = [call.result() for call in calls]
    assert [answer["echo"] for answer in answers] == [f"word {number}" for number in range(20)]
    assert len({answer["pid"] for answer in answers}) == 1
    for other in others:
        other.close()
    assert process.call({"do": "status"}, 20.0)["pid"] == answers[0]["pid"]


def test_it_stays_warm_between_agents(tmp_path: Path) -> None:
    (tmp_path / "peer.py").write_text(PEER)
    pids = []
    for _ in range(3):
        agent = join(tmp_path, idle_seconds=2)
        pids.append(agent.call({"do": "status"}, 20.0)["pid"])
        agent.close()
    assert len(set(pids)) == 1
    wait_until((tmp_path / "ended").exists)


def test_another_is_started_when_the_keeper_was_killed(process: HBaseProcess, tmp_path: Path) -> None:
    first = process.call({"do": "status"}, 20.0)["pid"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(failure_of, process, "slow")
        os.kill(keeper_of(first), signal.SIGKILL)
        assert waiting.result().unknown
    wait_until((tmp_path / "ended").exists)
    assert process.call({"do": "status"}, 20.0)["pid"] != first


def keeper_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("command", [["/nowhere/hbase-admin"], [sys.executable, "-c", "print('no')"]])
def test_a_command_that_cannot_be_started_says_what_to_do(tmp_path: Path, command: list[str]) -> None:
    failed = failure_of(HBaseProcess(str(tmp_path), command, Log(str(tmp_path / "log")), 0), "status")
    assert failed.code == "HBASE_ADMIN_UNAVAILABLE"
    assert "set-up" in failed.remedy
    assert not failed.unknown


def test_a_killed_agent_leaves_nothing_behind_for_long(tmp_path: Path) -> None:
    (tmp_path / "peer.py").write_text(PEER)
    child = os.fork()
    if child == 0:
        join(tmp_path).call({"do": "status"}, 20.0)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    wait_until((tmp_path / "ended").exists)
