"""The simulation itself: procedures run in virtual time, die anywhere and go on from their journal."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from infra.agent.core.machine import Procedure, Together
from infra.agent.core.operations import HdfsCall, Now, OperationFailed, SleepUntil, SpoolAppend
from tests.fakes.executor import AgentKilled, FakeExecutor, Kill, run_procedure
from tests.fakes.virtual_time import NothingLeftToHappen, VirtualClock, run_virtually


class ListOfCalls:
    """A cluster that only remembers what it was asked."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def call(self, method: str, op: str, path: str, params: dict[str, str], user: str) -> dict[str, str]:
        self.paths.append(path)
        return {"op": op}


def five_calls(journal: bytes) -> Procedure:
    """Five calls, each journalled after it was made."""
    done = len(journal.splitlines())
    for number in range(done, 5):
        yield HdfsCall("primary", "PUT", "MKDIRS", f"/{number}")
        yield SpoolAppend("journal", b"%d\n" % number)
    return done


def executor_with(cluster: ListOfCalls, directory: Path) -> FakeExecutor:
    return FakeExecutor(VirtualClock(), directory, hdfs={"primary": cluster})


@pytest.mark.parametrize("when", ["before", "after", "torn"])
@pytest.mark.parametrize("operation", range(1, 11))
def test_a_procedure_killed_anywhere_goes_on_from_its_journal(tmp_path: Path, when: str, operation: int) -> None:
    cluster = ListOfCalls()
    executor = executor_with(cluster, tmp_path / "one")
    with pytest.raises(AgentKilled):
        run_procedure(five_calls(b""), executor, Kill(operation, when))  # type: ignore[arg-type]
    run_procedure(five_calls(executor.journal()), executor)
    assert executor.journal() == b"0\n1\n2\n3\n4\n"
    assert sorted(set(cluster.paths)) == ["/0", "/1", "/2", "/3", "/4"]
    assert len(cluster.paths) - 5 == (1 if (operation % 2 == 1) == (when == "after") else 0)


def test_children_sleep_at_the_same_time(tmp_path: Path) -> None:
    def sleeper(seconds: float) -> Procedure:
        now = yield Now()
        return (yield SleepUntil(now + seconds * 1000)) - now

    def parent() -> Procedure:
        return (yield Together([sleeper(3), sleeper(5), sleeper(4)], limit=3))

    executor = executor_with(ListOfCalls(), tmp_path / "one")
    began = executor.clock.now_ms
    slept = run_procedure(parent(), executor)
    assert [round(milliseconds) for milliseconds in slept] == [3000, 5000, 4000]
    assert executor.clock.now_ms - began < 5100


def test_requests_in_flight_may_land_after_the_death(tmp_path: Path) -> None:
    def both() -> Procedure:
        calls = [HdfsCall("primary", "PUT", "MKDIRS", path) for path in ("/first", "/second")]

        def one(call: HdfsCall) -> Procedure:
            return (yield call)

        return (yield Together([one(call) for call in calls], limit=2))

    cluster = ListOfCalls()
    executor = executor_with(cluster, tmp_path / "one")
    with pytest.raises(AgentKilled):
        run_procedure(both(), executor, Kill(1, "after", in_flight_lands=True))
    assert cluster.paths == ["/first"]
    executor.clock.advance_to(executor.clock.now_ms + 10)
    assert cluster.paths == ["/first", "/second"]


def test_a_failure_reaches_the_caller(tmp_path: Path) -> None:
    def lonely() -> Procedure:
        return (yield HdfsCall("secondary", "GET", "GETFILESTATUS", "/"))

    with pytest.raises(OperationFailed, match="HDFS_UNREACHABLE"):
        run_procedure(lonely(), executor_with(ListOfCalls(), tmp_path / "one"))


def test_the_loop_jumps_and_the_world_outlives_it() -> None:
    clock = VirtualClock()
    happened: list[float] = []
    clock.call_at(clock.now_ms + 3_600_000, lambda: happened.append(clock.now_ms))

    async def controller() -> None:
        await asyncio.sleep(1800)
        assert not happened

    began = clock.now_ms
    run_virtually(clock, controller())
    assert clock.now_ms == pytest.approx(began + 1_800_000)
    clock.run_until(lambda: bool(happened))
    assert happened == [began + 3_600_000]


def test_waiting_for_nothing_is_an_error() -> None:
    async def controller() -> None:
        await asyncio.Event().wait()

    with pytest.raises(NothingLeftToHappen):
        run_virtually(VirtualClock(), controller())
