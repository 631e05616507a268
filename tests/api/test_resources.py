"""Each resource: what its paths accept, what they hand to the control plane, what they answer."""

from __future__ import annotations

from dataclasses import fields
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp.test_utils import TestClient

from api.moments import SOONEST
from api.routes.policies import BarrierBody, SettingsBody
from domain.protection.policy import Barrier, Settings
from tests.api.conftest import BOBS, CLUSTER
from tests.api.fake_control_plane import FakeControlPlane

Client = TestClient[Any, Any]


async def enter_everything(client: Client) -> None:
    south = {**CLUSTER, "name": "south"}
    service = {"name": "orders", "pair": "sites", "data_sets": [{"component": "hdfs", "name": "/data/orders"}]}
    for path, body in (
        ("/v1/clusters", CLUSTER),
        ("/v1/clusters", south),
        ("/v1/pairs", {"name": "sites", "primary": "north", "secondary": "south"}),
        ("/v1/services", service),
        ("/v1/policies", {"name": "nightly", "service": "orders"}),
    ):
        response = await client.post(path, json=body)
        assert response.status == 200, await response.text()


async def test_everything_entered_is_shown_and_listed(client: Client) -> None:
    await enter_everything(client)
    for path, name in (
        ("clusters", "north"),
        ("pairs", "sites"),
        ("services", "orders"),
        ("policies", "nightly"),
    ):
        one = await (await client.get(f"/v1/{path}/{name}")).json()
        listed = await (await client.get(f"/v1/{path}")).json()
        assert one["name"] == name
        assert one in listed["items"]


async def test_a_cluster_reaches_the_control_plane_with_its_defaults(
    client: Client, control_plane: FakeControlPlane
) -> None:
    await client.post("/v1/clusters", json=CLUSTER)
    _, _, (name, summary) = control_plane.calls[0]
    assert name == "north"
    assert summary["endpoints"]["gateway"]["port"] == 22
    assert summary["endpoints"]["gateway"]["python"] == "python3"
    assert summary["endpoints"]["hbase"]["root"] == "/hbase"
    assert summary["endpoints"]["hdfs_user"] == "hdfs"


def test_policy_schema_has_exactly_the_domain_s_settings() -> None:
    assert set(SettingsBody.__struct_fields__) == {field.name for field in fields(Settings)}
    assert set(BarrierBody.__struct_fields__) == {field.name for field in fields(Barrier)}
    assert SettingsBody().to_domain() == Settings()


async def test_a_policy_keeps_the_domain_s_defaults_for_what_is_left_out(
    client: Client, control_plane: FakeControlPlane
) -> None:
    await enter_everything(client)
    settings = {"direction": "pull", "barrier": {"hold": "stop", "release": "start", "hold_max_seconds": 9}}
    response = await client.post("/v1/policies", json={"name": "n", "service": "orders", "settings": settings})
    shown = (await response.json())["summary"]["settings"]
    assert shown["direction"] == "pull"
    assert shown["barrier"]["hold_max_seconds"] == 9
    assert shown["keep_last"] == Settings().keep_last


async def test_limits_change_one_by_one_and_null_is_none(client: Client, control_plane: FakeControlPlane) -> None:
    await enter_everything(client)
    window = "mon-fri 08:00-18:00 bandwidth=20 workers=4"
    body = {"agents": 4, "workers": None, "windows": [window]}
    response = await client.post("/v1/clusters/north/limits", json=body)
    assert response.status == 200, await response.text()
    limits = (await response.json())["summary"]["limits"]
    assert (limits["agents"], limits["workers"], limits["megabytes_per_second"]) == (4, None, None)
    assert limits["windows"][0]["megabytes_per_second"] == 20
    assert (await client.post("/v1/clusters/west/limits", json={"agents": 4})).status == 404


async def test_a_pause_is_listed_until_it_is_resumed(client: Client, control_plane: FakeControlPlane) -> None:
    await enter_everything(client)
    body = {"scope": "cluster:north", "reason": "a switch is replaced"}
    paused = await (await client.post("/v1/pauses", json=body)).json()
    assert paused["summary"]["by"] == control_plane.calls[-1][1].actor
    assert (await (await client.get("/v1/pauses")).json())["items"] == [paused]
    assert (await client.post("/v1/pauses/resume", json={"scope": "cluster:north"})).status == 200
    assert (await (await client.get("/v1/pauses")).json())["items"] == []


async def test_backup_is_accepted_with_the_place_of_its_run(client: Client, control_plane: FakeControlPlane) -> None:
    await enter_everything(client)
    response = await client.post(
        "/v1/services/orders/backups",
        json={"policy": "nightly", "at": "2026-05-04T05:00:00.250+02:00", "direction": "pull"},
    )
    body = await response.json()
    assert response.status == 202
    assert response.headers["Location"] == f"/v1/runs/{body['id']}"
    assert control_plane.calls[-1][2] == ("orders", "nightly", 1_777_863_600_250, "pull")
    assert (await (await client.get(response.headers["Location"])).json())["state"] == "PLANNED"


async def test_the_soonest_moment_is_asked_for_as_such(client: Client, control_plane: FakeControlPlane) -> None:
    await enter_everything(client)
    response = await client.post("/v1/services/orders/backups", json={"policy": "nightly", "at": SOONEST})
    assert response.status == 202
    assert control_plane.calls[-1][2] == ("orders", "nightly", SOONEST, None)


async def test_backup_tells_other_runs_of_the_service_that_are_not_over(
    client: Client, control_plane: FakeControlPlane
) -> None:
    await enter_everything(client)
    answers = []
    for _ in range(3):
        answers.append(await (await client.post("/v1/services/orders/backups", json={})).json())
        await control_plane.move("run", UUID(answers[0]["id"]), "COMPLETED")
    assert [one["also_open"] for one in answers] == [[], [], [answers[1]["id"]]]


async def test_backup_without_anything_said_leaves_it_to_the_policy(
    client: Client, control_plane: FakeControlPlane
) -> None:
    await enter_everything(client)
    assert (await client.post("/v1/services/orders/backups", json={})).status == 202
    assert control_plane.calls[-1][2] == ("orders", None, None, None)


async def test_a_repeated_command_id_gives_the_first_answer(client: Client, control_plane: FakeControlPlane) -> None:
    await enter_everything(client)
    command_id = uuid4()
    ids = set()
    for form in (str(command_id), f'"{command_id}"'):
        response = await client.post("/v1/services/orders/backups", json={}, headers={"Idempotency-Key": form})
        ids.add((await response.json())["id"])
    assert len(ids) == 1
    assert {caller.command_id for call, caller, _ in control_plane.calls if call == "backup"} == {command_id}


async def test_the_token_s_name_and_the_request_s_id_reach_the_control_plane(
    client: Client, control_plane: FakeControlPlane
) -> None:
    response = await client.post("/v1/clusters", json=CLUSTER, headers={"X-Request-Id": "trace-7"})
    _, caller, _ = control_plane.calls[0]
    assert (caller.actor, caller.request_id) == ("alice", "trace-7")
    assert response.headers["X-Request-Id"] == "trace-7"


async def test_cancel_and_confirm_name_the_run(client: Client, control_plane: FakeControlPlane) -> None:
    await enter_everything(client)
    run = (await (await client.post("/v1/services/orders/backups", json={})).json())["id"]
    confirmed = await client.post(f"/v1/runs/{run}/confirm")
    assert (await confirmed.json())["state"] == "APPLYING"
    cancelled = await client.post(f"/v1/runs/{run}/cancel", json={"reason": "not wanted"})
    assert (await cancelled.json())["state"] == "CANCELLED"
    gone_on = await client.post(f"/v1/runs/{run}/retry")
    assert gone_on.status == 200
    assert control_plane.calls.pop()[0] == "retry_run"
    given_up = await client.post(f"/v1/runs/{run}/cancel", json={"reason": "in vain", "give_up": True})
    assert given_up.status == 200
    assert control_plane.calls.pop()[0] == "give_up_run"
    assert [call for call in control_plane.calls if call[0] in ("confirm_run", "cancel_run")] == [
        ("confirm_run", control_plane.calls[-2][1], (UUID(run),)),
        ("cancel_run", control_plane.calls[-1][1], (UUID(run), "not wanted")),
    ]


@pytest.mark.parametrize(
    ("action", "body", "state"),
    [("open", {}, "OPENING"), ("close", {}, "CLOSING"), ("expire", {"reason": "old"}, "EXPIRING")],
)
async def test_recovery_points_are_changed_in_the_background(
    client: Client, control_plane: FakeControlPlane, action: str, body: dict[str, str], state: str
) -> None:
    identity = uuid4()
    control_plane.put("recovery-point", identity, None, "AVAILABLE", {"service_name": "orders"})
    response = await client.post(f"/v1/recovery-points/{identity}/{action}", json=body)
    assert response.status == 202
    assert (await response.json())["state"] == state


async def test_check_says_what_each_finding_means_for_a_run(client: Client, control_plane: FakeControlPlane) -> None:
    await client.post("/v1/clusters", json=CLUSTER)
    control_plane.findings = [
        {"ok": True, "code": "OK"},
        {"ok": False, "code": "NOT_REBOOT_SAFE"},
        {"ok": False, "code": "NO_RIGHT"},
    ]
    answer = await (await client.post("/v1/clusters/north/check")).json()
    assert answer["safe_mode"] is False
    assert [finding["severity"] for finding in answer["findings"]] == ["OK", "WARN", "REFUSE"]


async def test_pages_follow_one_another_without_gap_or_repetition(
    client: Client, control_plane: FakeControlPlane
) -> None:
    wanted = [uuid4() for _ in range(7)]
    control_plane.put("service", uuid4(), "orders", "ENTERED", {})
    for run in wanted:
        control_plane.put("run", run, None, "COMPLETED", {"service_name": "orders"})
    control_plane.put("run", uuid4(), None, "FAILED", {"service_name": "orders"})
    control_plane.put("run", uuid4(), None, "COMPLETED", {"service_name": "billing"})
    seen: list[str] = []
    after: int | None = None
    while True:
        cursor = {} if after is None else {"after": str(after)}
        parameters = {"service": "orders", "state": "COMPLETED", "limit": "3", **cursor}
        answer = await (await client.get("/v1/runs", params=parameters)).json()
        seen += [item["id"] for item in answer["items"]]
        after = answer["next"]
        if after is None:
            break
    assert seen == [str(run) for run in reversed(wanted)]


async def test_an_unambiguous_beginning_of_an_id_is_enough_to_read(
    client: Client, control_plane: FakeControlPlane
) -> None:
    first, second = UUID("aaaabbbb-0000-4000-8000-000000000001"), UUID("aaaacccc-0000-4000-8000-000000000002")
    for run in (first, second):
        control_plane.put("run", run, None, "PLANNED", {})
        control_plane.pages[run] = {"id": str(run)}
    assert (await (await client.get("/v1/runs/aaaab")).json())["id"] == str(first)
    assert (await (await client.get("/v1/runs/AAAACCCC-00")).json())["id"] == str(second)
    ambiguous = await client.get("/v1/runs/aaaa")
    assert ambiguous.status == 409
    assert (await ambiguous.json())["code"] == "AMBIGUOUS"
    for nothing in ("bbbbb", "aaa", "zzzz"):
        assert (await client.get(f"/v1/runs/{nothing}")).status == 404
    assert (await client.post("/v1/runs/aaaab/confirm")).status == 422


async def test_health_needs_no_token_and_tells_nothing_but_that_it_is_well(client: Client) -> None:
    response = await client.get("/v1/health", headers={"Authorization": ""})
    assert await response.json() == {"status": "ok", "version": "1.2.3"}


async def test_a_key_stands_for_caller_operation_and_body_however_it_is_written(
    client: Client, control_plane: FakeControlPlane
) -> None:
    key = {"Idempotency-Key": str(uuid4()), "Content-Type": "application/json"}
    bobs = {**key, "Authorization": f"Bearer {BOBS}"}
    for path, text, headers in (
        ("pauses", '{"scope": "all", "reason": "why"}', key),
        ("pauses", '{"reason":"why","scope":"\\u0061ll"}', key),
        ("pauses", '{"scope": "all", "reason": "why not"}', key),
        ("pauses", '{"scope": "all", "reason": "why"}', bobs),
        ("pauses/resume", '{"scope": "all", "reason": "why"}', key),
        ("pauses", '{"scope": "all", "reason": "why"}', {"Content-Type": "application/json"}),
    ):
        await client.post(f"/v1/{path}", data=text, headers=headers)
    digests = [caller.digest for _, caller, _ in control_plane.calls]
    assert digests[0] == digests[1] != ""
    assert len(set(digests)) == 5
    assert digests[-1] == "", "an id that the control device chose is nobody's"
