"""Whose a pair is, and taking it over: ``pair owner``, ``pair take-over``, ``pair show``, and their routes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from api.cli.remote.connection import Options, connection
from api.cli.remote.transport import ApiClient
from tests.api.cli.conftest import Run
from tests.api.cli.serving import TOKEN, Serving
from tests.api.cli.test_commands import enter_everything

LOST = "a" * 32
RECORD = {
    "store": LOST,
    "host": "old-device",
    "since": "20260101T000000Z",
    "line": "1" * 16,
    "term": 7,
    "incarnation": "2" * 32,
    "position": 81,
    "link": "3" * 32,
}
MARKER = {"pair_name": "sites", "serial": 1, "epoch": 1}


def put_owners(server: Serving) -> None:
    """The primary is a lost control device's; the secondary cannot be asked."""
    server.control_plane.owners = {
        "north": {"owner": RECORD, "seen_ms": 1_777_863_600_000, "marker": MARKER, "is_ours": False, "failure": None},
        "south": {"failure": {"code": "GATEWAY_UNREACHABLE", "message": "no route.", "remedy": "Look."}},
    }


def taken_over(server: Serving) -> list[tuple[Any, ...]]:
    """What the control plane was asked to take over."""
    return [one for one in server.control_plane.calls if one[0] == "take_over_pair"]


def test_owner_tells_of_each_cluster_whose_it_is_or_why_nobody_knows(
    server: Serving, understudy: Run, tmp_path: Path
) -> None:
    put_owners(server)
    enter_everything(understudy, tmp_path)
    for result in (
        understudy("pair", "owner", "sites", "--primary", "north", "--secondary", "south"),
        understudy("pair", "owner", "unknown", "--primary", "north", "--secondary", "south"),
    ):
        assert result.exit_code == 0, result.output
        for words in (f"{LOST}, another control device", "old-device", "20260101T000000Z", "GATEWAY_UNREACHABLE"):
            assert words in result.stdout
    told = understudy("pair", "owner", "sites", "--primary", "north", "--secondary", "south", "--json").stdout
    north, south = json.loads(told)["clusters"]
    assert (north["cluster"], north["owner"], north["is_ours"]) == ("north", RECORD, False)
    assert (south["cluster"], south["failure"]["code"]) == ("south", "GATEWAY_UNREACHABLE")


def test_taking_over_shows_whose_it_is_and_asks_first(server: Serving, understudy: Run, tmp_path: Path) -> None:
    put_owners(server)
    enter_everything(understudy, tmp_path)
    wanted = ("sites", "--from-store", LOST, "--reason", "it burnt", "--primary", "north", "--secondary", "south")
    refused = understudy("pair", "take-over", *wanted, stdin="n\n")
    assert refused.exit_code == 1
    assert "error NOT_CONFIRMED" in refused.stderr
    assert f"Is the control device of store {LOST} lost for good?" in refused.stderr
    assert "old-device" in refused.stderr
    assert understudy("pair", "take-over", *wanted).exit_code == 1, "no answer is no"
    assert taken_over(server) == []
    started = understudy("pair", "take-over", *wanted, "--yes", "--json", "--wait-seconds", "0")
    assert started.exit_code != 0, "the pair is not steady yet"
    ((_, caller, _),) = taken_over(server)
    assert caller.actor == "alice"
    identity = next(i for (kind, i) in server.control_plane.entries if kind == "pair")
    summary = server.control_plane.entries["pair", identity].summary
    assert summary == {"primary": "north", "secondary": "south", "from_store": LOST, "reason": "it burnt"}


def test_take_over_needs_a_store_and_a_reason(server: Serving, understudy: Run) -> None:
    for missing in (("--reason", "it burnt"), ("--from-store", LOST)):
        result = understudy("pair", "take-over", "sites", *missing, "--primary", "a", "--secondary", "b", "--yes")
        assert result.exit_code == 2
    assert taken_over(server) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("from_store", "A" * 32), ("from_store", "a" * 31), ("from_store", ""), ("reason", ""), ("reason", "x" * 100_000)],
)
def test_a_take_over_that_says_too_little_or_too_much_changes_nothing(
    server: Serving, understudy: Run, field: str, value: str
) -> None:
    words = {"from_store": LOST, "reason": "it burnt", field: value}
    arguments = ("--from-store", words["from_store"], "--reason", words["reason"], "--yes")
    result = understudy("pair", "take-over", "sites", *arguments, "--primary", "north", "--secondary", "south")
    assert result.exit_code != 0
    assert field in result.stderr
    assert taken_over(server) == []


def test_a_pair_shows_which_store_and_which_start_of_it_this_is(
    server: Serving, understudy: Run, tmp_path: Path
) -> None:
    enter_everything(understudy, tmp_path)
    device = {"store": LOST, "term": 7, "incarnation": "2" * 32, "host": "old-device"}
    server.control_plane.put("control-device", uuid4(), None, "ACTIVE", device)
    identity = next(i for (kind, i) in server.control_plane.entries if kind == "pair")
    taken = {"at_ms": 1_777_863_600_000, "by": "ann", "from_store": "b" * 32, "reason": "it burnt"}
    server.control_plane.put("pair", identity, "sites", "STEADY", {"epoch": 2, "store": LOST, "taken_over": taken})
    shown = understudy("pair", "show", "sites").stdout
    for words in (LOST, "2" * 32, "old-device", "by ann from store " + "b" * 32, "it burnt"):
        assert words in shown
    where = "UNDERSTUDY_SOCKET" if server.address.startswith("/") else "UNDERSTUDY_URL"
    client = ApiClient(connection(Options(), {where: server.address, "UNDERSTUDY_TOKEN": TOKEN}))
    assert client.get("/v1/control-device") == {**device, "refused": {}}


def test_a_pair_shows_that_this_control_device_is_refused(server: Serving, understudy: Run, tmp_path: Path) -> None:
    enter_everything(understudy, tmp_path)
    refusal = {"code": "OTHER_CONTROLLER", "message": "it is on host new-device.", "remedy": "Stop this one."}
    server.control_plane.refusals = {"south": refusal, "elsewhere": {**refusal, "message": "of another pair."}}
    identity = next(i for (kind, i) in server.control_plane.entries if kind == "pair")
    members = [
        {"cluster": name, "identity": role, "intended": role, "serial": 1}
        for name, role in (("north", "PRIMARY"), ("south", "SECONDARY"))
    ]
    server.control_plane.put("pair", identity, "sites", "STEADY", {"epoch": 1, "members": members})
    shown = understudy("pair", "show", "sites").stdout
    for words in ("THIS CONTROL DEVICE IS REFUSED", "south", "OTHER_CONTROLLER", "new-device", "Stop this one."):
        assert words in shown
    assert "of another pair" not in shown
    server.control_plane.refusals = {}
    assert "REFUSED" not in understudy("pair", "show", "sites").stdout
