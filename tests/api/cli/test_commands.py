"""Every command against a server that listens, on a port and on a Unix socket."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.api.cli import pages
from tests.api.cli.conftest import Run
from tests.api.cli.serving import Serving

CLUSTER_FILE = """
namenodes = ["http://nn1.north.example:9870"]
[gateway]
host = "gateway.north.example"
user = "understudy"
host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKdKjF0nQv5x7pH9xX2mR4uYv8b3cD1eF2gH3iJ4kL5m"
client_key_file = "north.key"
spool = "/var/lib/understudy/spool"
[hbase]
root = "/hbase"
"""


def enter_everything(understudy: Run, tmp_path: Path) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text(CLUSTER_FILE)
    for arguments in (
        ("cluster", "add", "north", "--file", str(file)),
        ("cluster", "add", "south", "--file", str(file)),
        ("pair", "create", "sites", "--primary", "north", "--secondary", "south", "--no-wait"),
        ("service", "add", "orders", "--pair", "sites", "--hdfs", "/data/orders", "--hbase", "orders", "--hbase", "c*"),
        ("policy", "add", "nightly", "--service", "orders", "--direction", "pull", "--no-trial-clone"),
    ):
        result = understudy(*arguments)
        assert result.exit_code == 0, result.output


def summary_of(understudy: Run, *arguments: str) -> Any:
    result = understudy(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)["summary"]


def put_run(server: Serving, page: dict[str, Any]) -> None:
    server.control_plane.put("run", UUID(pages.RUN), None, page["state"], {"service_name": "orders"})
    server.control_plane.pages[UUID(pages.RUN)] = page


def test_what_is_entered_is_shown_and_listed(understudy: Run, tmp_path: Path) -> None:
    enter_everything(understudy, tmp_path)
    assert summary_of(understudy, "cluster", "show", "north")["endpoints"]["gateway"]["port"] == 22
    assert summary_of(understudy, "service", "show", "orders")["data_sets"][2]["table"] == "c*"
    settings = summary_of(understudy, "policy", "show", "nightly")["settings"]
    assert (settings["direction"], settings["trial_clone"], settings["keep_last"]) == ("pull", False, 7)
    for kind, expected in (
        ("cluster", "north  understudy@gateway.north.example:22  http://nn1.north.example:9870"),
        ("pair", "sites  FORMING"),
        ("service", "orders  sites          3"),
        ("policy", "nightly  orders   pull          5.0 s  checksum          7"),
    ):
        listed = understudy(kind, "list")
        assert expected in listed.output, listed.output
        assert expected.split()[0] in understudy(kind, "show", expected.split()[0]).output


def test_limits_are_shown_and_changed_one_by_one(understudy: Run, tmp_path: Path) -> None:
    enter_everything(understudy, tmp_path)
    assert understudy("cluster", "limits", "north").output.splitlines() == [
        "agents   8",
        "workers  64",
        "MB/s     no limit",
    ]
    window = "mon-fri 08:00-18:00 bandwidth=20 workers=4"
    given = ("--agents", "4", "--workers", "none", "--bandwidth", "100", "--window", window)
    result = understudy("cluster", "limits", "north", *given)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [
        "agents   4",
        "workers  no limit",
        "MB/s     100",
        "window   mon,tue,wed,thu,fri 08:00-18:00 bandwidth=20 workers=4",
    ]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--agents", "many"), "BAD_NUMBER"),
        (("--window", "daily 01:00-02:00 workers=1", "--no-windows"), "CONTRADICTION"),
        (("--window", "at night"), "INVALID_INPUT"),
        (("--workers", "0"), "INVALID_INPUT"),
    ],
)
def test_limits_that_cannot_be_accepted_are_named(
    understudy: Run, tmp_path: Path, arguments: tuple[str, ...], code: str
) -> None:
    enter_everything(understudy, tmp_path)
    result = understudy("cluster", "limits", "north", *arguments)
    assert (result.exit_code, f"error {code}" in result.output) == (2, True), result.output


def test_what_is_paused_is_told_until_it_is_resumed(server: Serving, understudy: Run) -> None:
    put_run(server, pages.planned())
    assert "PAUSED" not in understudy("runs").output
    result = understudy("pause", "--cluster", "north", "--reason", "a switch is replaced")
    assert result.output == "cluster north: paused. To let it go on: understudy resume --cluster north\n"
    for listed in (understudy("pauses"), understudy("runs")):
        assert "cluster north" in listed.output
        assert "a switch is replaced" in listed.output
    assert understudy("resume", "--cluster", "north").output == "cluster north: goes on\n"
    assert "cluster north" not in understudy("pauses").output


@pytest.mark.parametrize("scope", [(), ("--all", "--service", "orders"), ("--cluster", "a", "--service", "b")])
def test_a_pause_needs_exactly_one_scope(understudy: Run, scope: tuple[str, ...]) -> None:
    for verb in (("pause", "--reason", "why"), ("resume",)):
        result = understudy(*verb, *scope)
        assert (result.exit_code, "error NO_SCOPE" in result.output) == (2, True), result.output


def test_a_cluster_file_can_come_from_standard_input(understudy: Run) -> None:
    assert understudy("cluster", "add", "north", "--file", "-", stdin=CLUSTER_FILE).exit_code == 0


def test_check_shows_bad_findings_first_and_fails(server: Serving, understudy: Run, tmp_path: Path) -> None:
    enter_everything(understudy, tmp_path)
    assert understudy("cluster", "check", "north").exit_code == 0
    server.control_plane.findings = findings = [
        {"check": "safe mode", "subject": "north", "ok": True, "code": "", "message": "off", "remedy": ""},
        {"check": "reboot", "subject": "n", "ok": False, "code": "NOT_REBOOT_SAFE", "message": "x.", "remedy": "y."},
        {"check": "right", "subject": "/data", "ok": False, "code": "NO_RIGHT", "message": "no.", "remedy": "Grant."},
    ]
    result = understudy("cluster", "check", "north")
    assert result.exit_code == 4
    assert result.stdout.splitlines()[-6:] == [
        "         CHECK      SUBJECT  FOUND",
        "NOT OK   right      /data    NO_RIGHT: no.",
        "                             remedy: Grant.",
        "warning  reboot     n        NOT_REBOOT_SAFE: x.",
        "                             remedy: y.",
        "ok       safe mode  north    off",
    ]
    assert "error CHECK_FAILED: 1 of 3 findings of cluster north would refuse a run." in result.stderr
    findings.pop()
    assert understudy("cluster", "check", "north").exit_code == 0


def test_backup_tells_where_to_follow_it(server: Serving, understudy: Run, tmp_path: Path) -> None:
    enter_everything(understudy, tmp_path)
    result = understudy("backup", "orders", "--policy", "nightly", "--at", "2026-05-04T05:00:00+02:00", "--push")
    assert result.exit_code == 0, result.output
    assert "of orders at 2026-05-04T03:00:00Z, by push" in result.output
    assert server.control_plane.calls[-1][2] == ("orders", "nightly", pages.MOMENT_MS, "push")


def test_backup_tells_that_another_run_is_not_over(server: Serving, understudy: Run, tmp_path: Path) -> None:
    enter_everything(understudy, tmp_path)
    first = json.loads(understudy("backup", "orders", "--json").stdout)
    result = understudy("backup", "orders")
    assert f"note: of orders {first['id'].replace('-', '')[:12]} is not over yet." in result.stderr
    assert "SUPERSEDED" in result.stderr


def test_a_distance_is_an_instant_before_it_is_sent(server: Serving, understudy: Run, tmp_path: Path) -> None:
    enter_everything(understudy, tmp_path)
    assert understudy("backup", "orders", "--at", "+90s", "--json").exit_code == 0
    assert server.control_plane.calls[-1][2][2] > pages.MOMENT_MS


def test_runs_are_listed_in_a_table(server: Serving, understudy: Run) -> None:
    summary = {
        "service_name": "orders",
        "policy_name": "nightly",
        "moment_ms": pages.MOMENT_MS,
        "skew_ms": 403.6,
        "verdict": "CONSISTENT",
        "copies_staged": 2,
        "totals": {"bytes": 4 * 1024**3, "bytes_moved": 1024**3},
        "failure": {"code": "VERIFICATION_FAILED"},
    }
    server.control_plane.put("run", UUID(pages.RUN), None, "FAILED", summary)
    server.control_plane.put("service", uuid4(), "orders", "ENTERED", {})
    heading, row = understudy("runs", "--service", "orders", "--state", "FAILED").output.splitlines()
    assert row.split() == [
        "1a2b3c4d5e6f", "orders", "nightly", "2026-05-04T03:00:00Z", "FAILED", "404", "ms", "CONSISTENT",
        "1.00", "GiB", "4.00", "GiB", "VERIFICATION_FAILED",
    ]  # fmt: skip
    assert heading.index("STATE") == row.index("FAILED")
    assert len(understudy("runs", "--state", "COMPLETED").output.splitlines()) == 1


@pytest.mark.parametrize("command", ["runs", "recovery-points"])
def test_a_list_of_what_does_not_exist_is_no_empty_list(server: Serving, understudy: Run, command: str) -> None:
    result = understudy(command, "--service", "orders")
    assert (result.exit_code, "remedy: There is none yet" in result.stderr) == (2, True)
    for name in ("billing", "carts"):
        server.control_plane.put("service", uuid4(), name, "ENTERED", {})
    result = understudy(command, "--service", "orders")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "error INVALID_INPUT: service: there is no service named 'orders'." in result.stderr
    assert "remedy: There is billing, carts." in result.stderr
    result = understudy(command, "--state", "DONE")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no state DONE." in result.stderr
    assert ("COMPLETED" if command == "runs" else "AVAILABLE") in result.stderr
    assert understudy("policy", "list", "--service", "orders").exit_code == 2


def test_the_version_is_told_without_a_control_device(understudy: Run) -> None:
    result = understudy("--version", UNDERSTUDY_URL="http://127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (0, f"understudy {version('understudy')}\n")


def test_a_run_is_shown_by_the_beginning_of_its_id(server: Serving, understudy: Run) -> None:
    put_run(server, pages.completed())
    result = understudy("run", "show", "1a2b3c4d5e6f")
    assert result.output == (Path(__file__).parent / "golden/run_completed.txt").read_text(encoding="utf-8")
    assert json.loads(understudy("run", "show", "1a2b", "--json").output)["state"] == "COMPLETED"


def test_cancelling_asks_first(server: Serving, understudy: Run) -> None:
    put_run(server, pages.staging())
    refused = understudy("run", "cancel", "1a2b3c4d5e6f", stdin="n\n")
    assert refused.exit_code == 1
    assert "error NOT_CONFIRMED" in refused.stderr
    assert understudy("run", "cancel", "1a2b3c4d5e6f").exit_code == 1
    assert server.control_plane.calls == []
    assert understudy("run", "cancel", "1a2b3c4d5e6f", "--yes", "--reason", "wrong day").exit_code == 0
    assert server.control_plane.calls[-1][2] == (UUID(pages.RUN), "wrong day")


def test_a_run_that_has_stopped_goes_on(server: Serving, understudy: Run) -> None:
    put_run(server, pages.staging() | {"state": "APPLYING"})
    result = understudy("run", "retry", "1a2b3c4d5e6f")
    assert result.exit_code == 0, result.output
    assert "run 1a2b3c4d5e6f is APPLYING and goes on" in result.stdout
    assert (server.control_plane.calls[-1][0], server.control_plane.calls[-1][2]) == ("retry_run", (UUID(pages.RUN),))


def test_confirming_shows_the_numbers(server: Serving, understudy: Run) -> None:
    put_run(server, pages.held())
    result = understudy("run", "confirm", "1a2b3c4d5e6f", stdin="y\n")
    assert result.exit_code == 0, result.output
    assert "900 of its 1 200 entries (75 %; the policy allows 50 % without asking)" in result.stderr
    assert server.control_plane.calls[-1][0] == "confirm_run"
    assert "is APPLYING" in result.stdout


def put_point(server: Serving, state: str, readable: dict[str, Any] | None = None) -> None:
    summary = {
        "service_name": "orders",
        "moment_ms": pages.MOMENT_MS,
        "secondary": "south",
        "level": "checksum",
        "consistency": {"skew_ms": 403.6, "verdict": "CONSISTENT"},
        "data_sets": [{"id": pages.FILES, "component": "hdfs", "path": "/data/orders"}],
        "readable": readable or {},
        "last_failure": {},
        "failure": None,
    }
    server.control_plane.put("recovery-point", UUID(pages.POINT), None, state, summary)


def end_with(server: Serving, busy: str, state: str, readable: dict[str, Any] | None = None) -> None:
    """Let the control plane finish as soon as somebody watches what is busy."""
    original = server.control_plane.wait_for

    async def wait_for(position: int) -> int:
        entry = server.control_plane.entries["recovery-point", UUID(pages.POINT)]
        if position > 0 and entry.state == busy:
            put_point(server, state, readable)
        return await original(position)

    server.control_plane.wait_for = wait_for  # type: ignore[method-assign]


def test_opening_waits_and_tells_where_to_read(server: Serving, understudy: Run) -> None:
    put_point(server, "AVAILABLE")
    path = "/data/orders/.snapshot/us-20260504T030000Z-1a2b3c4d5e6f"
    told = {"readable": path, "seconds": 0.1, "left_out": ["SPLIT_POLICY com.example.Split"]}
    end_with(server, "OPENING", "OPEN", {pages.FILES: told})
    result = understudy("open", "9f8e7d6c5b4a")
    assert result.exit_code == 0, result.output
    assert f"hdfs:/data/orders  {path}" in result.stdout
    assert "hdfs:/data/orders was made without SPLIT_POLICY com.example.Split" in result.stdout
    assert "readable by HDFS's superuser only" in result.stdout
    again = understudy("open", "9f8e7d6c5b4a")
    assert again.exit_code == 0
    assert path in again.stdout
    assert [call[0] for call in server.control_plane.calls] == ["open_recovery_point"]


@pytest.mark.parametrize("arguments", [("recovery-point", "show", "9f8e7d6c5b4a"), ("recovery-points",)])
def test_json_steers_no_terminal_and_says_what_it_says(
    tcp_server: Serving, understudy_tcp: Run, arguments: tuple[str, ...]
) -> None:
    """Names on clusters reach a terminal by ``--json`` as well, as values and as keys."""
    readable = {f"key {pages.STEERING}": {"readable": f"a\x1b[2J\u202eb {pages.STEERING} é 表 \U0001f600"}}
    put_point(tcp_server, "OPEN", readable)
    result = understudy_tcp(*arguments, "--json")
    assert result.exit_code == 0, result.output
    assert not set(pages.STEERING) & set(result.stdout) - {"\n"}
    assert "é 表 \U0001f600" in result.stdout
    answer = json.loads(result.stdout)
    (point,) = answer.get("items", [answer])
    assert point["summary"]["readable"] == readable


def test_an_opening_that_fails_is_a_failure(server: Serving, understudy: Run) -> None:
    put_point(server, "AVAILABLE")
    end_with(server, "OPENING", "AVAILABLE")
    result = understudy("open", "9f8e7d6c5b4a")
    assert result.exit_code == 4
    assert "error NOT_DONE: it is AVAILABLE, not OPEN." in result.stderr


def test_closing_and_expiring(server: Serving, understudy: Run) -> None:
    put_point(server, "OPEN")
    end_with(server, "CLOSING", "AVAILABLE")
    assert understudy("close", "9f8e7d6c5b4a", stdin="n\n").exit_code == 1
    assert server.control_plane.calls == []
    assert understudy("close", "9f8e7d6c5b4a", "--yes").exit_code == 0
    assert understudy("recovery-point", "expire", "9f8e7d6c5b4a", stdin="n\n").exit_code == 1
    end_with(server, "EXPIRING", "EXPIRED")
    result = understudy("recovery-point", "expire", "9f8e7d6c5b4a", "--yes", "--reason", "old")
    assert result.exit_code == 0, result.output
    assert server.control_plane.calls[-1][2] == (UUID(pages.POINT), "old")
    server.control_plane.put("service", uuid4(), "orders", "ENTERED", {})
    listed = understudy("recovery-points", "--service", "orders", "--state", "EXPIRED").output
    assert "9f8e7d6c5b4a    orders   2026-05-04T03:00:00Z  EXPIRED  404 ms  CONSISTENT  checksum  south" in listed
    assert "manifest" not in understudy("recovery-point", "show", "9f8e7d6c5b4a").stderr


def test_creating_a_pair_waits_until_it_is_steady(server: Serving, understudy: Run, tmp_path: Path) -> None:
    enter_everything(understudy, tmp_path)
    identity = next(i for (kind, i) in server.control_plane.entries if kind == "pair")
    original = server.control_plane.wait_for

    async def wait_for(position: int) -> int:
        if position > 0:
            server.control_plane.put("pair", identity, "sites", "STEADY", {"epoch": 1})
        return await original(position)

    server.control_plane.wait_for = wait_for  # type: ignore[method-assign]
    server.control_plane.live_facts[identity] = {
        "waiting_for": "the markers",
        "gateways": {"north": "reachable", "south": "GATEWAY_REFUSED: connection refused"},
    }
    result = understudy("pair", "create", "sites", "--primary", "north", "--secondary", "south")
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines() == [
        "waiting for the markers …",
        "not reachable: south: GATEWAY_REFUSED: connection refused",
    ]
    assert "state  STEADY" in result.stdout


def test_waiting_for_a_pair_has_a_bound_that_names_what_is_tried_again(
    server: Serving, understudy: Run, tmp_path: Path
) -> None:
    enter_everything(understudy, tmp_path)
    identity = next(i for (kind, i) in server.control_plane.entries if kind == "pair")
    failure = {"code": "NO_RIGHT", "message": "not permitted.", "remedy": "Grant it."}

    async def fail(*arguments: Any, **named: Any) -> UUID:
        server.control_plane.put("pair", identity, "sites", "FORMING", {"last_failure": {"marker-secondary": failure}})
        return identity

    server.control_plane.create_pair = fail  # type: ignore[method-assign]
    result = understudy("pair", "create", "sites", "--primary", "north", "--secondary", "south", "--wait-seconds", "0")
    assert result.exit_code == 3
    assert result.stderr.splitlines()[0] == (
        "marker-secondary is tried again: NO_RIGHT: not permitted. Remedy: Grant it."
    )
    assert "error STILL_WAITING" in result.stderr
    shown = understudy("pair", "show", "sites").stdout
    assert shown.endswith("IN THE WAY\nmarker-secondary is tried again: NO_RIGHT: not permitted. Remedy: Grant it.\n")
