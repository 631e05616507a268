"""The command line, the API, the real control plane, workers and store together; only the gateways are scripted."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api.access import token_hash
from api.main import control_device
from infra.settings import Listen, Settings, WorkerSettings
from tests.api.cli.conftest import Run, runner_for
from tests.api.cli.serving import TOKEN
from tests.api.cli.test_commands import CLUSTER_FILE
from tests.api.scripted_gateway import ScriptedClusters


@contextmanager
def device(directory: Path, clusters: ScriptedClusters) -> Iterator[str]:
    """A control device in a thread of its own; gives the path of its socket."""
    socket = directory / "api.sock"
    eager = WorkerSettings(poll_seconds=0.02, longest_poll_seconds=0.1)
    settings = Settings(directory / "events.db", Listen(socket=socket), {"ann": token_hash(TOKEN)}, eager)
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    ready = threading.Event()

    async def live() -> None:
        async with control_device(settings, clusters.open):
            ready.set()
            await stop.wait()

    def run() -> None:
        loop.run_until_complete(live())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10), "the control device has not started"
    try:
        yield str(socket)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        assert not thread.is_alive()


class _Address:
    def __init__(self, address: str) -> None:
        self.address = address


@pytest.fixture
def clusters() -> ScriptedClusters:
    return ScriptedClusters()


@pytest.fixture
def understudy(tmp_path: Path, clusters: ScriptedClusters) -> Iterator[Run]:
    with device(tmp_path, clusters) as socket:
        yield runner_for(_Address(socket), tmp_path)  # type: ignore[arg-type]


def good(understudy: Run, *arguments: str) -> str:
    result = understudy(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def a_service(understudy: Run, *settings: str) -> None:
    for name in ("north", "south"):
        assert understudy("cluster", "add", name, "--file", "-", stdin=CLUSTER_FILE).exit_code == 0
    assert "STEADY" in good(understudy, "pair", "create", "sites", "--primary", "north", "--secondary", "south")
    good(understudy, "service", "add", "orders", "--pair", "sites", "--hdfs", "/data/orders", "--hbase", "orders")
    good(understudy, "policy", "add", "nightly", "--service", "orders", "--lead-seconds", "1", *settings)


def json_of(understudy: Run, *arguments: str) -> Any:
    return json.loads(good(understudy, *arguments, "--json"))


def row(told: str, name: str) -> str:
    """What a page of names and values says of one of them; nothing where it does not say it."""
    found = [line.split(maxsplit=1) for line in told.splitlines()]
    return next((words[1] for words in found if words[:1] == [name]), "")


def test_a_backup_from_the_first_command_to_the_closed_recovery_point(
    understudy: Run, clusters: ScriptedClusters
) -> None:
    a_service(understudy)
    watched = good(understudy, "backup", "orders", "--watch")
    assert "CONSISTENT" in watched
    assert "hdfs:/data/orders" in watched
    assert "first copy" in watched
    (run,) = json_of(understudy, "runs", "--service", "orders", "--state", "COMPLETED")["items"]
    (point,) = json_of(understudy, "recovery-points")["items"]
    assert run["summary"]["recovery_point"] == point["id"]
    opened = good(understudy, "open", point["id"][:13])
    assert f"/data/orders/.snapshot/{point['summary']['snapshot']}" in opened
    assert "is AVAILABLE" in good(understudy, "close", point["id"], "--yes")
    kinds = [instruction.kind for instruction in clusters.done]
    assert kinds.index("TakeSnapshots") < kinds.index("SendSnapshots") < kinds.index("ApplyStaged")


def test_the_second_run_is_an_increment_by_pull(understudy: Run, clusters: ScriptedClusters) -> None:
    a_service(understudy)
    good(understudy, "backup", "orders", "--watch")
    page = json.loads(good(understudy, "backup", "orders", "--pull", "--watch", "--json").splitlines()[-2])
    assert page["data"]["direction"] == "pull"
    assert {staged["full"] for staged in page["data"]["staged"].values()} == {False}
    assert "ReplicateSnapshots" in [instruction.kind for instruction in clusters.done]


def test_a_failure_on_a_cluster_comes_out_as_exit_code_remedy_and_page(
    understudy: Run, clusters: ScriptedClusters
) -> None:
    a_service(understudy)
    clusters.fail["SendSnapshots"] = {"code": "SOURCE_DAMAGED", "message": "bad block.", "remedy": "Repair it."}
    result = understudy("backup", "orders", "--watch")
    assert result.exit_code == 4
    assert result.stderr.endswith("error SOURCE_DAMAGED: bad block.\nremedy: Repair it.\n")
    (run,) = json_of(understudy, "runs")["items"]
    assert run["state"] == "FAILED"
    assert "SOURCE_DAMAGED" in good(understudy, "run", "show", run["id"])
    assert json_of(understudy, "recovery-points")["items"] == []


def test_a_mass_change_is_held_and_confirmed(understudy: Run, clusters: ScriptedClusters) -> None:
    a_service(understudy)
    clusters.results["SendSnapshots"] = {"entries_in_base": 100, "deleted": 90}
    held = understudy("backup", "orders", "--watch")
    assert held.exit_code == 5
    (run,) = json_of(understudy, "runs")["items"]
    confirmed = understudy("run", "confirm", run["id"], stdin="y\n")
    assert "90 of its 100 entries (90 %; the policy allows 50 % without asking)" in confirmed.stderr
    good(understudy, "run", "watch", run["id"])


def test_what_was_found_is_taken_over_when_a_person_has_said_yes(understudy: Run, clusters: ScriptedClusters) -> None:
    a_service(understudy)
    entered = good(
        understudy, "service", "adopt", "orders", "--pair", "sites", "--hdfs", "/data/orders", "--hbase", "orders"
    )
    assert entered == "service orders is entered with 2 data sets, and takes over what stands on the secondary.\n"
    assert json_of(understudy, "service", "show", "orders")["summary"]["adopts"] is True
    counts = {"equal_files": 6, "equal_bytes": 600, "deleted_files": 2, "deleted_bytes": 20, "replaced_files": 1}
    clusters.results["SendSnapshots"] = {"compared_with": "head", "adopted": {**counts, "fingerprint": "f" * 64}}
    held = understudy("backup", "orders", "--watch")
    assert held.exit_code == 5
    (run,) = json_of(understudy, "runs")["items"]
    page = good(understudy, "run", "show", run["id"])
    assert ["hdfs:/data/orders", "6,", "600", "B", "1,", "-", "2,", "20", "B"] in [
        line.split() for line in page.splitlines()
    ]
    assert "what is deleted or replaced is then nowhere" in page
    listed = json_of(understudy, "run", "losses", run["id"])
    assert (listed["is_all"], [one["data_set"] for one in listed["items"]]) == (
        True,
        ["hbase:orders"] * 3 + ["hdfs:/data/orders"] * 3,
    )
    shortened = good(understudy, "run", "losses", run["id"], "--limit", "2")
    assert "deleted   file    5 B" in shortened
    assert "--limit 20" in shortened
    assert "\x1b" not in shortened
    confirmed = understudy("run", "confirm", run["id"], stdin="y\n")
    assert "6 of 18 entries there would be deleted or replaced" in confirmed.stderr
    good(understudy, "run", "watch", run["id"])
    (applied,) = [one for one in clusters.done if one.kind == "ApplyStaged"]
    assert {one["as_found"] for one in applied.payload["data_sets"]} == {"f" * 64}


def test_a_plan_says_how_much_and_how_long_before_anything_moves(understudy: Run, clusters: ScriptedClusters) -> None:
    a_service(understudy)
    plan = good(understudy, "plan", "orders")
    assert "how much that is could not be told" in plan
    clusters.sizes = {"files": 1_000, "directories": 10, "bytes": 1 << 30, "consumed_bytes": 3 << 30}
    plan = good(understudy, "plan", "orders")
    assert "takes    nobody can tell: no run of this pair has copied anything yet" in plan
    assert "formula" in plan
    assert "2.00 GiB" in plan
    good(understudy, "cluster", "limits", "south", "--bandwidth", "10")
    planned = json_of(understudy, "plan", "orders")
    assert planned["forecast"]["at_least_seconds"] == pytest.approx((2 << 30) / 10e6)
    assert not {one.kind for one in clusters.done} & {"TakeSnapshots", "SendSnapshots"}
    good(understudy, "backup", "orders", "--watch")
    (run,) = json_of(understudy, "runs")["items"]
    assert "First copy, as predicted" in good(understudy, "run", "show", run["id"])
    plan = good(understudy, "plan", "orders")
    assert "unknown until the difference is taken" in plan
    assert "moved 2.00 KiB of 8.00 KiB, 6 of 20 files" in plan
    clusters.sizes = {**clusters.sizes, "consumed_bytes": 1 << 40}
    assert "REFUSE NOT_ENOUGH_SPACE" in good(understudy, "plan", "orders")


def test_a_plan_says_from_when_to_when_it_would_copy(understudy: Run, clusters: ScriptedClusters) -> None:
    begin = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)

    def told(*, after: float) -> str:
        return (begin + timedelta(seconds=round(after))).isoformat().replace("+00:00", "Z")

    def plan(service: str) -> str:
        return good(understudy, "plan", service, "--at", begin.isoformat())

    a_service(understudy)
    clusters.sizes = {"files": 1_000, "directories": 10, "bytes": 1 << 30, "consumed_bytes": 3 << 30}
    assert row(plan("orders"), "window") == "", "nobody can tell"
    good(understudy, "cluster", "limits", "south", "--bandwidth", "10")
    assert row(plan("orders"), "window") == f"{told(after=0)} until {told(after=(2 << 30) / 10e6)} or later"

    good(understudy, "backup", "orders", "--watch")
    good(understudy, "service", "add", "bills", "--pair", "sites", "--hdfs", "/data/bills")
    good(understudy, "policy", "add", "bills", "--service", "bills")
    predicted = json_of(understudy, "plan", "bills", "--at", begin.isoformat())["forecast"]
    least, most = (predicted[name] for name in ("at_least_seconds", "at_most_seconds"))
    assert 0 < least < most
    assert row(plan("bills"), "window") == f"{told(after=0)} until {told(after=least)} … {told(after=most)}"


def test_a_run_is_cancelled_before_its_moment(understudy: Run) -> None:
    a_service(understudy, "--lead-seconds", "60")
    run = json_of(understudy, "backup", "orders")
    good(understudy, "run", "cancel", run["id"], "--yes", "--reason", "wrong day")
    result = understudy("run", "watch", run["id"])
    assert (result.exit_code, "error CANCELLED" in result.stderr) == (4, True)


def test_expiring_the_head_is_refused_with_its_reason(understudy: Run) -> None:
    a_service(understudy)
    good(understudy, "backup", "orders", "--watch")
    (point,) = json_of(understudy, "recovery-points")["items"]
    result = understudy("recovery-point", "expire", point["id"], "--yes")
    assert (result.exit_code, "error IS_BASE" in result.stderr) == (1, True)


def test_a_moment_that_has_passed_and_names_that_are_not_there_are_refused(understudy: Run) -> None:
    a_service(understudy)
    past = understudy("backup", "orders", "--at", "2020-01-01T00:00:00Z")
    assert (past.exit_code, "error MOMENT_PAST" in past.stderr) == (1, True)
    for arguments in (("backup", "billing"), ("backup", "orders", "--policy", "weekly"), ("service", "show", "x")):
        result = understudy(*arguments)
        assert (result.exit_code, "error NOT_FOUND" in result.stderr) == (1, True), result.stderr


def test_check_of_a_cluster_outside_any_run(understudy: Run) -> None:
    a_service(understudy)
    checked = good(understudy, "cluster", "check", "south")
    assert "identity                 SECONDARY of pair sites, epoch 1" in checked
    assert "HBase                    2.6.4" in checked
    assert "clock of namenode        +0.0 ms from the gateway's, known to ± 0.5 ms" in checked


def test_a_second_control_device_on_the_same_store_is_refused_and_a_later_one_goes_on(
    tmp_path: Path, clusters: ScriptedClusters
) -> None:
    with device(tmp_path, clusters) as socket:
        a_service(runner_for(_Address(socket), tmp_path))  # type: ignore[arg-type]
        settings = Settings(tmp_path / "events.db", Listen(port=0), {"ann": token_hash(TOKEN)})

        async def start() -> None:
            async with control_device(settings, clusters.open):
                raise AssertionError("two controllers at once")

        with pytest.raises(Exception, match="CONTROLLER_RUNNING"):
            asyncio.run(start())
    with device(tmp_path, clusters) as socket:
        understudy = runner_for(_Address(socket), tmp_path)  # type: ignore[arg-type]
        assert "nightly" in good(understudy, "policy", "list")
        good(understudy, "backup", "orders", "--watch")


def test_who_was_refused_what_can_be_listed(understudy: Run) -> None:
    a_service(understudy)
    for arguments in (
        ("pair", "create", "twice", "--primary", "north", "--secondary", "north"),
        ("service", "add", "orders", "--pair", "nowhere", "--hdfs", "/data/orders"),
    ):
        assert understudy(*arguments).exit_code == 1
    assert understudy("run", "show", "abcdef").exit_code == 1, "nothing was asked to be done"
    newest, oldest = good(understudy, "refusals").splitlines()[1:]
    assert newest.split()[1:5] == ["ann", "add_service", "orders", "NOT_FOUND"]
    assert oldest.split()[1:5] == ["ann", "create_pair", "twice", "SAME_CLUSTER"]
    answer = json.loads(good(understudy, "refusals", "--actor", "ann", "--limit", "1", "--json"))
    assert [one["summary"]["about"] for one in answer["items"]] == ["orders"]
    assert answer["next"] is not None
    assert json.loads(good(understudy, "refusals", "--actor", "bob", "--json"))["items"] == []
